//! Customers against the network, and what nodes count against what the network saw of their answers.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_node::env::Listener;
use kv_node::ids::{Dc, Peer};
use kv_node::telemetry::catalogue;

use super::{steady, told, total};
use crate::judge::partitions::kept_to_the_end;
use crate::recording::{Caller, INTERVAL_S, Journal, MESSAGES, Outcome, Recording, Series};
use crate::spec::Action;
use crate::spec::fault::{FaultKind, Who};
use crate::spec::peers::MONITOR;

/// Series of one target: what a scrape may cost, whatever is asked of the node.
const SERIES_MAX: f64 = 400.0;

pub(super) fn customers(recording: &Recording) -> Vec<String> {
    let mut wrong = Vec::new();
    let sent: u64 = recording.offered.iter().map(|o| o.sent).sum();
    let open: u64 = recording.offered.iter().map(|o| o.open).sum();
    let ended: u64 = recording.truth.iter().map(|row| row.count).sum();
    if sent != ended + open {
        wrong
            .push(format!("customers sent {sent} requests, but {ended} ended and {open} are open"));
    }
    let failed = recording.requests.iter().filter(|row| !row.outcome.succeeded());
    let singles: u64 = failed.map(|row| row.weight).sum();
    let counted = recording.truth.iter().filter(|row| !row.outcome.succeeded());
    let counted: u64 = counted.map(|row| row.count).sum();
    if singles != counted {
        wrong.push(format!(
            "{counted} requests were not answered 2xx, but {singles} are recorded one by one"
        ));
    }
    wrong.extend(customers_against_the_network(recording));
    wrong
}

/// Classes of answers that are compared.
const CLASSES: [(&str, u16); 3] = [("2xx", 2), ("4xx", 4), ("5xx", 5)];

/// For every data center: what customers say they got, against what the network saw.
fn customers_against_the_network(recording: &Recording) -> Vec<String> {
    let forged = answers_made_by_faults(recording);
    let mut given: BTreeMap<(&str, u16), u64> = BTreeMap::new();
    for row in &recording.answers {
        let of_customers = matches!(row.listener, Listener::Rest | Listener::Binding);
        if of_customers && row.caller == Caller::Client {
            *given.entry((&row.by, row.status / 100)).or_default() += row.count;
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
    let mut wrong = Vec::new();
    for dc in recording.spec.topology.dcs.keys().map(Dc::as_str) {
        // What a customer did not wait for, the network saw alone.
        let slack = unknown.get(dc).copied().unwrap_or(0) + forged;
        for (name, class) in CLASSES {
            let network = given.get(&(dc, class)).copied().unwrap_or(0);
            let customers = got.get(&(dc, class)).copied().unwrap_or(0);
            if network.abs_diff(customers) > slack {
                wrong.push(format!(
                    "{dc} answered {network} requests with {name}, its customers say {customers}"
                ));
            }
        }
    }
    wrong
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
    let acted = recording.journal.iter().map(|(_, entry)| match entry {
        Journal::Witness { acted, text, .. } if text == MESSAGES => *acted,
        _ => 0,
    });
    acted.sum()
}

/// For every node that was up throughout: each counter of answers is what the network saw, to the last one.
pub(super) fn nodes(recording: &Recording) -> Vec<String> {
    if recording.metrics.rounds == 0 {
        return vec!["nobody scraped".to_owned()];
    }
    let mut given: BTreeMap<(&str, &str, u16), u64> = BTreeMap::new();
    for row in &recording.answers {
        let script = match row.listener {
            Listener::Rest | Listener::Binding => "gateway",
            Listener::Tier => "supercache",
            _ => continue,
        };
        *given.entry((&row.by, script, row.status)).or_default() += row.count;
    }
    let mut wrong = Vec::new();
    for dc in steady(recording) {
        if !told_in_the_last(recording, dc, 2) {
            // Whoever is kept from it cannot ask it for its last word. Now and then a scrape is lost to noise, never five of them.
            if !told_in_the_last(recording, dc, 5) && !kept_from_monitor(recording, dc) {
                wrong.push(format!(
                    "{dc} answers no scrape at the end, and nothing keeps it from that"
                ));
            }
            continue;
        }
        let mut counted: BTreeMap<(&str, u16), u64> = BTreeMap::new();
        for series in told(recording, catalogue::RESPONSES.name, dc) {
            let label = |name| series.labels.get(name).unwrap_or_default();
            let status = label("status").parse().unwrap_or(0);
            *counted.entry((label("script"), status)).or_default() += total(series);
        }
        let network = given.range((dc, "", 0)..).take_while(|((by, ..), _)| *by == dc);
        let network: BTreeMap<(&str, u16), u64> =
            network.map(|((_, script, status), count)| ((*script, *status), *count)).collect();
        for key in network.keys().chain(counted.keys().filter(|key| !network.contains_key(*key))) {
            let (saw, says) = (network.get(key).unwrap_or(&0), counted.get(key).unwrap_or(&0));
            if saw != says {
                let (script, status) = key;
                wrong.push(format!(
                    "the {script} of {dc} says it answered {says} requests with {status}, the network saw {saw}"
                ));
            }
        }
    }
    wrong
}

/// Whether one of so many last rounds reached a data center.
fn told_in_the_last(recording: &Recording, dc: &str, rounds: u32) -> bool {
    let last = recording.metrics.rounds.saturating_sub(rounds);
    told(recording, "up", dc)
        .any(|series| series.samples().any(|(round, value)| round >= last && value > 0.0))
}

/// Whether a data center stands still at the end, or a fault keeps the monitor from it.
fn kept_from_monitor(recording: &Recording, dc: &str) -> bool {
    let dc = Dc::from(dc);
    let still =
        recording.spec.timeline.iter().fold(false, |still, planned| match &planned.action {
            Action::Pause { dc: paused } if *paused == dc => true,
            Action::Resume { dc: resumed } if *resumed == dc => false,
            _ => still,
        });
    still || kept_to_the_end(&recording.spec, &dc, &Peer::from(MONITOR), Duration::ZERO)
}

/// Whoever scraped a node asked it over the network: in no minute more rounds have its samples than requests reached it.
pub(super) fn scrapes(recording: &Recording) -> Vec<String> {
    let mut asked: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for row in &recording.wire {
        if row.listener == Listener::Admin && row.caller == Caller::Control {
            *asked.entry((&row.to, row.from.unix_s())).or_default() += row.count;
        }
    }
    let mut wrong = Vec::new();
    for dc in recording.spec.topology.dcs.keys().map(Dc::as_str) {
        let mut told_in: BTreeMap<u64, u64> = BTreeMap::new();
        for (round, _) in told(recording, "up", dc).flat_map(Series::samples).filter(|s| s.1 > 0.0)
        {
            let at = recording.metrics.round_at(round).unix_s();
            *told_in.entry(at - at % INTERVAL_S).or_default() += 1;
        }
        let mut minutes = told_in.iter();
        if let Some((minute, rounds)) = minutes
            .find(|(minute, rounds)| asked.get(&(dc, **minute)).copied().unwrap_or(0) < **rounds)
        {
            let at =
                crate::spec::time::format(crate::spec::time::IncidentTime::from_unix_s(*minute));
            wrong.push(format!(
                "{rounds} scrapes of {dc} are recorded in the minute of {at}, and fewer requests reached it"
            ));
        }
    }
    wrong
}

/// No target tells more series than was agreed.
pub(super) fn budget(recording: &Recording) -> Vec<String> {
    let mut wrong = Vec::new();
    for dc in recording.spec.topology.dcs.keys().map(Dc::as_str) {
        let most = told(recording, "scrape_samples_scraped", dc)
            .flat_map(|series| series.samples().map(|(_, value)| value))
            .fold(0.0, f64::max);
        if most > SERIES_MAX {
            wrong.push(format!("{dc} tells {most} series, more than {SERIES_MAX}"));
        }
    }
    wrong
}
