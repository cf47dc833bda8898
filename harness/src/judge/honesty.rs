//! What must be true of every run, whatever a scenario expects: customers' counts agree with themselves, and nodes say what
//! they answered.

use std::collections::{BTreeMap, BTreeSet};

use kv_node::env::Listener;

use super::{Finding, Verdict};
use crate::recording::{Caller, Journal, MESSAGES, Outcome, Recording};
use crate::spec::Action;
use crate::spec::fault::{FaultKind, Who};

pub(super) fn check(recording: &Recording) -> Vec<Finding> {
    let mut findings = Vec::new();
    let fail = |text: String| Finding { verdict: Verdict::Fail, text };
    let sent: u64 = recording.offered.iter().map(|o| o.sent).sum();
    let open: u64 = recording.offered.iter().map(|o| o.open).sum();
    let ended: u64 = recording.truth.iter().map(|row| row.count).sum();
    if sent == 0 {
        findings
            .push(Finding { verdict: Verdict::Inconclusive, text: "no request was sent".into() });
    }
    if sent != ended + open {
        findings.push(fail(format!(
            "customers sent {sent} requests, but {ended} ended and {open} are open"
        )));
    }
    let singles: u64 = recording
        .requests
        .iter()
        .filter(|row| !row.outcome.succeeded())
        .map(|row| row.weight)
        .sum();
    let counted: u64 =
        recording.truth.iter().filter(|row| !row.outcome.succeeded()).map(|row| row.count).sum();
    if singles != counted {
        findings.push(fail(format!(
            "{counted} requests were not answered 2xx, but {singles} are recorded one by one"
        )));
    }
    findings.extend(nodes_against_customers(recording).into_iter().map(fail));
    findings
}

/// Classes of answers that are compared.
const CLASSES: [(&str, u16); 2] = [("2xx", 2), ("5xx", 5)];

/// For every data center that was up throughout: what its node says it answered, against what customers got.
fn nodes_against_customers(recording: &Recording) -> Vec<String> {
    if recording.scrape.is_empty() {
        return vec!["no node told its metrics".to_owned()];
    }
    let restarted: BTreeSet<&str> = recording
        .spec
        .timeline
        .iter()
        .filter_map(|planned| match &planned.action {
            Action::Crash { dc } | Action::Start { dc } => Some(dc.as_str()),
            _ => None,
        })
        .collect();
    let forged = answers_made_by_faults(recording);
    let mut told: BTreeMap<(&str, u16), u64> = BTreeMap::new();
    for row in &recording.scrape {
        if row.series.starts_with("node_responses_total{")
            && row.series.contains("listener=\"rest\"")
            && let Some(status) = label(&row.series, "status").and_then(|s| s.parse::<u16>().ok())
        {
            *told.entry((&row.dc, status / 100)).or_default() += row.value;
        }
    }
    let mut got: BTreeMap<(&str, u16), u64> = BTreeMap::new();
    let mut unknown: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &recording.truth {
        match row.outcome {
            Outcome::Status(status) => {
                *got.entry((&row.dc, status / 100)).or_default() += row.count;
            }
            _ => *unknown.entry(&row.dc).or_default() += row.count,
        }
    }
    for row in &recording.wire {
        if row.caller == Caller::Control && row.listener == Listener::Rest {
            *unknown.entry(&row.to).or_default() += row.count;
        }
    }
    let mut differences = Vec::new();
    for dc in recording.spec.topology.dcs.keys().map(kv_node::ids::Dc::as_str) {
        if restarted.contains(dc) {
            continue;
        }
        // What a customer did not wait for, and what the control plane probed, the node counts alone.
        let slack = unknown.get(dc).copied().unwrap_or(0) + forged;
        for (name, class) in CLASSES {
            let node = told.get(&(dc, class)).copied().unwrap_or(0);
            let customers = got.get(&(dc, class)).copied().unwrap_or(0);
            if node.abs_diff(customers) > slack {
                differences.push(format!("{dc} says it answered {node} requests with {name}, its customers got {customers}"));
            }
        }
    }
    differences
}

/// Answers that customers got and no node gave.
fn answers_made_by_faults(recording: &Recording) -> u64 {
    let towards_customers = |action: &Action| {
        matches!(action, Action::Fault { fault, .. }
            if matches!(fault.kind, FaultKind::Status { .. })
                && matches!(fault.from, Who::Clients | Who::Anyone))
    };
    if !recording.spec.timeline.iter().any(|planned| towards_customers(&planned.action)) {
        return 0;
    }
    recording
        .journal
        .iter()
        .map(|(_, entry)| match entry {
            Journal::Witness { acted, text, .. } if text == MESSAGES => *acted,
            _ => 0,
        })
        .sum()
}

/// A label's value in a series as the text format writes it; our own labels hold no quotes.
fn label<'a>(series: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = series.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}
