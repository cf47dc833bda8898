//! Whose a container is: a process and the one that started it, each told apart from a later one of the same number.

use std::fmt;
use std::str::FromStr;

use crate::runs::about;

/// A lab's process and its parent, of a host. A lab does not outlive the one that started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    host: String,
    lab: Process,
    parent: Process,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    number: u32,
    /// When it began, in the kernel's ticks since it booted.
    began: String,
}

impl Owner {
    /// This process.
    pub(super) fn this_process() -> Self {
        Self {
            host: about::host(),
            lab: Process::of(std::process::id()),
            parent: Process::of(std::os::unix::process::parent_id()),
        }
    }

    /// Whether one of the two has ended. Of another host's processes nothing is known: those are not.
    pub(super) fn is_gone(&self) -> bool {
        self.host == about::host() && (self.lab.is_gone() || self.parent.is_gone())
    }
}

impl Process {
    fn of(number: u32) -> Self {
        Self { number, began: began(number).unwrap_or_default() }
    }

    fn is_gone(&self) -> bool {
        began(self.number).unwrap_or_default() != self.began
    }
}

/// When a process began; none where there is no such process.
fn began(process: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything; the 22nd field is the 20th behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // A zombie holds nothing any more.
    (*fields.first()? != "Z").then(|| fields.get(19).map(ToString::to_string)).flatten()
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, lab, parent } = self;
        write!(f, "{host} {} {} {} {}", lab.number, lab.began, parent.number, parent.began)
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.rsplitn(5, ' ');
        let mut process = || {
            let (began, number) = (parts.next().ok_or(())?, parts.next().ok_or(())?);
            Ok(Process { number: number.parse().map_err(|_| ())?, began: began.to_owned() })
        };
        let (parent, lab) = (process()?, process()?);
        Ok(Self { host: parts.next().ok_or(())?.to_owned(), lab, parent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_not_gone_and_a_later_one_of_its_number_is_another() {
        let own = Owner::this_process();
        assert_eq!(own.to_string().parse(), Ok(own.clone()));
        assert!(!own.is_gone());
        let later = Process { began: "1".to_owned(), ..own.lab.clone() };
        let nobody = Process { number: u32::MAX, began: "1".to_owned() };
        assert!(Owner { lab: later.clone(), ..own.clone() }.is_gone());
        assert!(Owner { lab: nobody.clone(), ..own.clone() }.is_gone());
        assert!(Owner { parent: later, ..own.clone() }.is_gone());
        assert!(!Owner { host: "elsewhere".to_owned(), lab: nobody, ..own }.is_gone());
    }
}
