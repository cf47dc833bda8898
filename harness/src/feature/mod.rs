//! From feature files to specifications.
//!
//! * [`catalog`]: the files that features name: topologies, builds, the facts of incidents.
//! * [`steps`]: every sentence; each only tells the [`world`] something.
//! * [`world`]: builds one spec, and knows when a sentence contradicts another; [`expectations`] is its second half.
//! * [`compile`](mod@compile): features in, scenarios or problems out. No lab exists yet.

pub mod catalog;
pub mod compile;
mod expectations;
mod parameters;
pub mod steps;
mod table;
mod tree;
mod world;

pub use catalog::Catalog;
pub use compile::compile;
pub use tree::{Library, Selection};
