//! Which labs are needed, and running them.
//!
//! A run is named by the hash of its spec, the seed and the binary, and done once. A scenario whose spec is the beginning of
//! another's is served by that one's run: the same history, looked at up to an earlier moment.

pub mod about;
mod child;
mod store;

pub use child::{Event, Plan, Reader, execute, execute_and_read, lab_run};
pub use store::{Store, copy};

use crate::lab::Kind;
use crate::recording::digest;
use crate::spec::{Scenario, Spec};

/// A run, and the scenarios that it serves.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its name.
    pub hash: String,
    /// What is run.
    pub spec: Spec,
    /// From which seed.
    pub seed: u64,
    /// Where.
    pub lab: Kind,
    /// The scenarios, by their place.
    pub scenarios: Vec<usize>,
}

/// The distinct runs that scenarios need, longest first.
pub fn distinct(scenarios: &[Scenario], lab: Kind, seed: u64, binary: &str) -> Vec<Run> {
    let mut order: Vec<usize> = (0..scenarios.len()).collect();
    let length = |at: &usize| {
        let spec = &scenarios[*at].spec;
        std::cmp::Reverse(spec.end.since(spec.start))
    };
    order.sort_by_key(length);
    let mut runs: Vec<Run> = Vec::new();
    for at in order {
        let spec = &scenarios[at].spec;
        match runs.iter_mut().find(|run| spec.is_beginning_of(&run.spec)) {
            Some(run) => run.scenarios.push(at),
            None => runs.push(Run {
                hash: name(spec, lab, seed, binary),
                spec: spec.clone(),
                seed,
                lab,
                scenarios: vec![at],
            }),
        }
    }
    runs
}

/// The name of a run: 16 hexadecimal digits.
pub fn name(spec: &Spec, lab: Kind, seed: u64, binary: &str) -> String {
    let mut bytes = serde_json::to_vec(spec).unwrap_or_default();
    bytes.extend_from_slice(&seed.to_le_bytes());
    bytes.extend_from_slice(lab.name().as_bytes());
    bytes.extend_from_slice(binary.as_bytes());
    let mut name = digest(&bytes);
    name.truncate(16);
    name
}

/// The hash of the running program: another build is another node.
pub fn binary_hash() -> std::io::Result<String> {
    Ok(digest(&std::fs::read(std::env::current_exe()?)?))
}
