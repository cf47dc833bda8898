//! Exceptions that no handler owns.

use std::any::Any;
use std::fmt;

/// What a script throws when it meets what it never expected. A handler that knows an error answers it instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thrown {
    /// Its class.
    pub kind: &'static str,
    /// What it says.
    pub message: String,
    /// The stages that it left, the outermost first, where it was thrown at a place that knows them.
    pub stack: Vec<&'static str>,
}

impl Thrown {
    /// A property was read of something that is not there.
    pub fn type_error(message: impl Into<String>) -> Self {
        Self { kind: "TypeError", message: message.into(), stack: Vec::new() }
    }

    /// What a panic carried.
    pub fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        Self { kind: "panic", message, stack: Vec::new() }
    }
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Thrown {}
