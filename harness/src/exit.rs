//! Exit codes: the one list of them.
//!
//! | code | meaning | what to do |
//! |---|---|---|
//! | 0 | everything holds | |
//! | 1 | an expectation failed, or `ablate` found something | read the table: row, bound, replayed; the finding |
//! | 2 | the specification is wrong | the message names file, line and what to write instead |
//! | 3 | the environment is at fault: disk, process, a recording that is not whole | the message names the cause |
//! | 4 | inconclusive: a fault never acted, or there was nothing to look at | the message names the action |
//! | 130 | interrupted | everything that was started has been stopped |
//!
//! Where several apply: 2 before 3 before 1 before 4.

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything holds.
    Pass,
    /// An expectation failed.
    Failed,
    /// The specification is wrong.
    Specification,
    /// The environment is at fault.
    Environment,
    /// It cannot be said.
    Inconclusive,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// The code.
    pub fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Failed => 1,
            Self::Specification => 2,
            Self::Environment => 3,
            Self::Inconclusive => 4,
            Self::Interrupted => 130,
        }
    }

    /// Which of two prevails.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let gravity = |exit: Self| match exit {
            Self::Pass => 0,
            Self::Inconclusive => 1,
            Self::Failed => 2,
            Self::Environment => 3,
            Self::Specification => 4,
            Self::Interrupted => 5,
        };
        if gravity(other) > gravity(self) { other } else { self }
    }
}

impl From<crate::judge::Verdict> for Exit {
    fn from(verdict: crate::judge::Verdict) -> Self {
        match verdict {
            crate::judge::Verdict::Pass => Self::Pass,
            crate::judge::Verdict::Inconclusive => Self::Inconclusive,
            crate::judge::Verdict::Fail => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exit::*;

    #[test]
    fn the_graver_prevails() {
        let order = [Pass, Inconclusive, Failed, Environment, Specification, Interrupted];
        for (at, graver) in order.iter().enumerate() {
            for lesser in &order[..=at] {
                assert_eq!(lesser.or(*graver), *graver);
                assert_eq!(graver.or(*lesser), *graver);
            }
        }
        assert_eq!(order.map(super::Exit::code), [0, 4, 1, 3, 2, 130]);
    }
}
