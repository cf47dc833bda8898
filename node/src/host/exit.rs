//! The exit codes, all of them, and what goes with each.

use std::fmt;
use std::path::Path;

/// Ended as asked: a first signal, or a check that found nothing.
pub(crate) const DONE: u8 = 0;
/// Something that worked at first failed: a disk, a runtime.
pub(crate) const FAILED: u8 = 1;
/// It never began: arguments, configuration, or a port that is taken.
pub(crate) const REFUSED: u8 = 2;
/// A second signal came while requests were being finished.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ends early: what to say on stderr, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Lowercase, without a full stop; may have more lines with hints.
    pub(crate) message: String,
    /// One of the codes above.
    pub(crate) code: u8,
}

impl Failure {
    /// What was given cannot be used: correct it and try again.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: REFUSED }
    }

    /// The system did not do what it should.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: FAILED }
    }

    /// A file that cannot be used.
    pub(crate) fn file(path: &Path, what: impl fmt::Display) -> Self {
        Self::refused(format!("{}: {what}", path.display()))
    }
}
