//! What people read: verdicts as text, progress while a run is under way. What CI reads: verdicts as JUnit.

mod detection;
mod fork;
pub mod junit;
mod parity;
mod progress;
mod safeguards;
mod text;

pub use detection::{Heading, detection, seen};
pub use fork::fork;
pub use parity::parity;
pub use progress::Watcher;
pub use safeguards::{ablation, matrix, matrix_markdown};
pub use text::{cost, judgement, limit};
