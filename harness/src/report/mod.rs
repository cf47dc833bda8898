//! What people read: verdicts as text, progress while a run is under way. What CI reads: verdicts as JUnit.

pub mod junit;
mod progress;
mod text;

pub use progress::Watcher;
pub use text::{cost, judgement, number};
