//! Reports of exceptions that no handler owned.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::env::Timestamp;
use crate::ids::{BuildId, Dc};
use crate::worker::{ScriptName, Thrown};

/// What an exception ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A request: its caller got 500.
    Request,
    /// Work that went on beside a request.
    Beside,
}

/// An exception that no handler owned: what an engineer needs to find its cause. One report for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionReport {
    /// Tells it from every other report: data center, life of the node, number.
    pub id: String,
    /// When it was thrown.
    pub at: Timestamp,
    /// Where.
    pub dc: Dc,
    /// In which script.
    pub script: ScriptName,
    /// What it ended.
    pub place: Place,
    /// In which isolate.
    pub isolate: u32,
    /// What that runs.
    pub build: BuildId,
    /// Under which configuration.
    pub revision: u64,
    /// The request's trace, as 32 hexadecimal digits.
    pub trace: String,
    /// Its class, such as `TypeError`.
    #[serde(rename = "exception.type")]
    pub kind: String,
    /// What it says.
    #[serde(rename = "exception.message")]
    pub message: String,
    /// The script and the stages that it left, the outermost first: no line numbers, no addresses.
    #[serde(rename = "exception.stacktrace")]
    pub stack: Vec<String>,
    /// The same for exceptions that are alike: 16 hexadecimal digits.
    pub fingerprint: String,
}

/// Numbers a node's reports.
#[derive(Debug)]
pub(super) struct Reports {
    dc: Dc,
    life: u64,
    next: AtomicU64,
}

impl Reports {
    pub(super) fn new(dc: &Dc, started: Timestamp) -> Self {
        Self { dc: dc.clone(), life: started.0, next: AtomicU64::new(0) }
    }

    pub(super) fn id(&self) -> String {
        format!("{}/{:x}/{}", self.dc, self.life, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// What exceptions of one cause have in common: script, class, message without numbers, stages.
pub(super) fn fingerprint(script: ScriptName, thrown: &Thrown) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    part(script.name());
    part(thrown.kind);
    let words: String =
        thrown.message.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    part(&words);
    thrown.stack.iter().for_each(|stage| part(stage));
    super::hex(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_numbers_only_is_one_cause() {
        let print = |message: &str| fingerprint(ScriptName::Gateway, &Thrown::type_error(message));
        assert_eq!(print("no slot 17"), print("no slot 23"));
        assert_ne!(print("no slot 17"), print("no shard 17"));
        assert_ne!(
            fingerprint(ScriptName::Gateway, &Thrown::type_error("x")),
            fingerprint(ScriptName::Supercache, &Thrown::type_error("x"))
        );
    }
}
