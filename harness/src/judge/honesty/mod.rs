//! What must be true of every run, whatever a scenario expects. Every signal is compared with a witness that does not depend
//! on it: customers with the network, nodes' counters with the network, exception reports with the answers that exceptions
//! leave, log lines with the network, alerts with the rules over what was scraped.
//!
//! * [`counts`]: customers and counters.
//! * [`control_hosts`]: control headers on their way to what serves them, where a row asks.
//! * [`signals`]: exceptions, lines, alerts, losses.

mod control_hosts;
mod counts;
mod signals;

use std::collections::BTreeSet;

pub(super) use control_hosts::lost as control_hosts_lost;

use kv_node::safeguards::Safeguard;

use super::{Finding, Verdict};
use crate::recording::{Recording, Series};
use crate::spec::Action;

pub(super) fn check(recording: &Recording) -> Vec<Finding> {
    let mut wrong = counts::customers(recording);
    wrong.extend(counts::nodes(recording));
    wrong.extend(counts::scrapes(recording));
    wrong.extend(counts::budget(recording));
    wrong.extend(signals::exceptions(recording));
    wrong.extend(signals::lines(recording));
    wrong.extend(signals::alerts(recording));
    let mut findings: Vec<Finding> =
        wrong.into_iter().map(|text| Finding { verdict: Verdict::Fail, text }).collect();
    if recording.offered.iter().all(|offered| offered.sent == 0) {
        let text = "no request was sent".to_owned();
        findings.push(Finding { verdict: Verdict::Inconclusive, text });
    }
    findings
}

/// Data centers that were there from the beginning to the end.
fn steady(recording: &Recording) -> impl Iterator<Item = &str> {
    let restarted: BTreeSet<&str> = recording
        .spec
        .timeline
        .iter()
        .filter_map(|planned| match &planned.action {
            Action::Crash { dc } | Action::Start { dc } => Some(dc.as_str()),
            _ => None,
        })
        .collect();
    let dcs = recording.spec.topology.dcs.keys().map(kv_node::ids::Dc::as_str);
    dcs.filter(move |dc| !restarted.contains(dc))
}

/// Whether what a data center runs has a safeguard.
fn has(recording: &Recording, dc: &str, safeguard: Safeguard) -> bool {
    recording.spec.build_of(&dc.into()).has(safeguard)
}

/// Series of a metric that a data center told.
fn told<'a>(
    recording: &'a Recording,
    metric: &'a str,
    dc: &'a str,
) -> impl Iterator<Item = &'a Series> {
    recording.metrics.series.iter().filter(move |series| {
        series.labels.metric() == Some(metric)
            && series.labels.get("dc") == Some(dc)
            && series.labels.get("job") == Some("kv-node")
    })
}

/// A counter's last value.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn total(series: &Series) -> u64 {
    series.samples().last().map_or(0, |(_, value)| value as u64)
}
