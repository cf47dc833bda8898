//! From feature files to specifications.
//!
//! * [`catalog`]: the files that features name: topologies, builds, the facts of incidents.
//! * [`steps`]: every sentence; each only tells the [`world`] something.
//! * [`world`]: builds one spec; [`order`]: whether what it plans can happen in that order; [`expectations`]: what is expected of it.
//! * [`fork`](mod@fork): the same history with other actions from a moment on.
//! * [`compile`](mod@compile): features in, scenarios or problems out. No lab exists yet.

pub mod catalog;
pub mod compile;
mod expectations;
pub mod fork;
mod names;
mod operators;
mod order;
mod parameters;
pub mod steps;
mod table;
mod tree;
mod world;

pub use catalog::Catalog;
pub use compile::compile;
pub use tree::{Library, Selection};

use std::sync::Arc;

use crate::spec::fault::Fault;
use crate::spec::problem::Problem;

/// The kinds of faults that a table of faults knows.
pub const FAULTS: [&str; 7] = table::KINDS;

/// One line of a table of faults, about a topology: fault, from, to, amount, share.
pub fn one_fault(
    catalog: &Arc<Catalog>,
    topology: &str,
    line: &[String; 5],
) -> Result<Fault, Problem> {
    let mut world = world::World::of(catalog.clone(), "", None);
    world.topology(topology, false);
    table::fault(&world, line)
}

/// The incident that tags name.
pub fn incident_of(tags: &[String]) -> Option<&str> {
    tags.iter().find_map(|tag| tag.strip_prefix("incident:"))
}
