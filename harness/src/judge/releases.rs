//! Measures of what the release tool did, from the journal.

use std::collections::BTreeSet;

use kv_node::telemetry::Lifecycle;

use super::measure::{Taken, count};
use crate::recording::{Journal, Recording};
use crate::spec::expectation::Window;
use crate::spec::time::IncidentTime;

fn within(
    recording: &Recording,
    window: Window,
) -> impl Iterator<Item = (IncidentTime, &Lifecycle)> {
    recording.journal.iter().filter_map(move |(at, entry)| match entry {
        Journal::Life(event) if window.contains(*at) => Some((*at, event)),
        _ => None,
    })
}

/// Releases that were refused for a reason in which all of some texts stand.
pub(super) fn refused(recording: &Recording, window: Window, naming: &BTreeSet<String>) -> Taken {
    let mut reasons = within(recording, window).filter_map(|(_, event)| match event {
        Lifecycle::ReleaseRefused { by, why } => Some(format!("{by}: {why}")),
        _ => None,
    });
    let evidence = recording.journal.len() as u64;
    let (matching, others): (Vec<String>, Vec<String>) =
        reasons.by_ref().partition(|reason| naming.iter().all(|text| reason.contains(text)));
    let note = matching.first().or(others.first()).cloned().unwrap_or_default();
    Taken::new(count(matching.len() as u64), evidence).note(note)
}

/// Seconds until somebody rolls a release back.
pub(super) fn seconds_to_rollback(recording: &Recording, window: Window, by: &str) -> Taken {
    let found = within(recording, window).find_map(|(at, event)| match event {
        Lifecycle::RolledBack { by: who, why, .. } if who == by => Some((at, why)),
        _ => None,
    });
    found.map_or_else(Taken::nothing, |(at, why)| {
        Taken::new(at.since(window.from).as_secs_f64(), 1).note(why.clone())
    })
}
