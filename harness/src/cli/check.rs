//! `relapse check`.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Chosen, out, scenarios};
use crate::exit::Exit;
use crate::spec::Scenario;
use crate::spec::dependencies;

pub(super) fn check(root: &Path, chosen: &Chosen) -> Exit {
    match scenarios(root, chosen) {
        Ok(scenarios) => {
            let expectations: usize = scenarios.iter().map(|s| s.expectations.len()).sum();
            out(&format!(
                "{} scenarios with {expectations} expectations: nothing is wrong",
                scenarios.len()
            ));
            for note in circles(&scenarios) {
                out(&note);
            }
            Exit::Pass
        }
        Err(exit) => exit,
    }
}

/// What needs itself to be mended, each with the first scenario in which it does.
fn circles(scenarios: &[Scenario]) -> Vec<String> {
    let mut known = BTreeMap::new();
    for scenario in scenarios {
        for circle in dependencies::circles(&scenario.spec) {
            known.entry(circle).or_insert(&scenario.place);
        }
    }
    let note = |(circle, place): (Vec<&str>, _)| {
        format!("note: {place}: {}: what is broken is needed to mend it", circle.join(" needs "))
    };
    known.into_iter().map(note).collect()
}
