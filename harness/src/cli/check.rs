//! `relapse check`.

use std::path::Path;

use super::{Chosen, out, scenarios};
use crate::exit::Exit;

pub(super) fn check(root: &Path, chosen: &Chosen) -> Exit {
    match scenarios(root, chosen) {
        Ok(scenarios) => {
            let expectations: usize = scenarios.iter().map(|s| s.expectations.len()).sum();
            out(&format!(
                "{} scenarios with {expectations} expectations: nothing is wrong",
                scenarios.len()
            ));
            Exit::Pass
        }
        Err(exit) => exit,
    }
}
