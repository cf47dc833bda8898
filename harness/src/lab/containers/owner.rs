//! Whose a container is: a process, told apart from a later one of the same number.

use std::fmt;
use std::str::FromStr;

use crate::runs::about;

/// A process of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    host: String,
    process: u32,
    /// When it began, in the kernel's ticks since it booted.
    began: String,
}

impl Owner {
    /// This process.
    pub(super) fn this_process() -> Self {
        let process = std::process::id();
        Self { host: about::host(), process, began: began(process).unwrap_or_default() }
    }

    /// Whether the process has ended. Of another host's processes nothing is known: those are not.
    pub(super) fn is_gone(&self) -> bool {
        self.host == about::host() && began(self.process).unwrap_or_default() != self.began
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
        write!(f, "{} {} {}", self.host, self.process, self.began)
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.rsplitn(3, ' ');
        let (Some(began), Some(process), Some(host)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let process = process.parse().map_err(|_| ())?;
        Ok(Self { host: host.to_owned(), process, began: began.to_owned() })
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
        assert!(Owner { began: "1".to_owned(), ..own.clone() }.is_gone());
        assert!(Owner { process: u32::MAX, ..own.clone() }.is_gone());
        assert!(!Owner { host: "elsewhere".to_owned(), process: u32::MAX, ..own }.is_gone());
    }
}
