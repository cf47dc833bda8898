//! What people read: verdicts as text, progress while a run is under way. What CI reads: verdicts as JUnit.

mod detection;
pub mod junit;
mod parity;
mod progress;
mod text;

pub use detection::{Heading, detection, seen};
pub use parity::parity;
pub use progress::Watcher;
pub use text::{cost, judgement, number};
