//! Exceptions, log lines and alerts against what else is known of the same things.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kv_node::env::Listener;
use kv_node::ids::Dc;
use kv_node::safeguards::Safeguard;
use kv_node::telemetry::Place;
use kv_node::telemetry::catalogue::{self, Metric};
use kv_node::telemetry::log::{FAILURES_PER_LINE, SUCCESSES_PER_LINE};
use kv_node::telemetry::ship::{Signal, TRIED_AGAIN_WITHIN};
use kv_node::worker::ScriptName;

use super::{has, steady, told, total};
use crate::alerts::{self, Moment};
use crate::judge::partitions::kept_to_the_end;
use crate::recording::{AlertRow, AlertState, Journal, Recording};
use crate::spec::peers::intake_of;
use crate::spec::time::IncidentTime;

/// Estimates from log lines are compared where so many answers are alike.
const ESTIMATED_FROM: u64 = 10_000;
/// And must come as near as this.
const ESTIMATE_WITHIN: f64 = 0.05;

fn script_of(listener: Listener) -> Option<ScriptName> {
    match listener {
        Listener::Rest | Listener::Binding => Some(ScriptName::Gateway),
        Listener::Tier => Some(ScriptName::Supercache),
        _ => None,
    }
}

/// One report for each exception, none twice: an exception leaves an answer 500 without a body, which the network saw.
pub(super) fn exceptions(recording: &Recording) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ids = BTreeSet::new();
    for exception in &recording.exceptions {
        if !ids.insert(&exception.report.id) {
            wrong.push(format!("exception {} is reported twice", exception.report.id));
        }
    }
    let mut left: BTreeMap<(&str, ScriptName), u64> = BTreeMap::new();
    for row in recording.answers.iter().filter(|row| row.bare && row.status == 500) {
        if let Some(script) = script_of(row.listener) {
            *left.entry((&row.by, script)).or_default() += row.count;
        }
    }
    let mut reported: BTreeMap<(&str, ScriptName), u64> = BTreeMap::new();
    for exception in &recording.exceptions {
        let report = &exception.report;
        if report.place == Place::Request {
            *reported.entry((report.dc.as_str(), report.script)).or_default() += 1;
        }
    }
    for dc in steady(recording) {
        if !has(recording, dc, Safeguard::UnconditionalReports) {
            continue;
        }
        let (mut thrown_by_both, mut told_of_both) = (0, 0);
        for script in [ScriptName::Gateway, ScriptName::Supercache] {
            let thrown = left.get(&(dc, script)).copied().unwrap_or(0);
            let told = reported.get(&(dc, script)).copied().unwrap_or(0);
            if told > thrown {
                let script = script.name();
                wrong.push(format!(
                    "{told} exceptions of the {script} of {dc} are reported, and {thrown} left it"
                ));
            }
            (thrown_by_both, told_of_both) = (thrown_by_both + thrown, told_of_both + told);
        }
        // Of which script what was lost was, nobody knows.
        let lost = lost(recording, dc, Signal::Exceptions);
        let waiting = waiting(recording, dc, Signal::Exceptions);
        if told_of_both + lost + waiting < thrown_by_both {
            wrong.push(format!(
                "{thrown_by_both} exceptions left {dc}, {told_of_both} are reported, {lost} known to be lost and {waiting} to wait"
            ));
        }
    }
    wrong
}

/// Records of a signal that a data center knows to be lost.
fn lost(recording: &Recording, dc: &str, signal: Signal) -> u64 {
    of_signal(recording, &catalogue::TELEMETRY_DROPPED, dc, signal)
}

/// Records of a signal that a data center had still to hand over when it was asked last. That is believed where a fault kept it
/// from the intake; anywhere else nothing has to wait, and what does is as good as swallowed.
fn waiting(recording: &Recording, dc: &str, signal: Signal) -> u64 {
    let intake = intake_of(signal);
    if !kept_to_the_end(&recording.spec, &Dc::from(dc), &intake, TRIED_AGAIN_WITHIN) {
        return 0;
    }
    of_signal(recording, &catalogue::TELEMETRY_WAITING, dc, signal)
}

/// The last value of a data center's series of a signal, added up.
fn of_signal(recording: &Recording, metric: &Metric, dc: &str, signal: Signal) -> u64 {
    let told = told(recording, metric.name, dc);
    told.filter(|series| series.labels.get("signal") == Some(signal.name())).map(total).sum()
}

/// Lines stand for what was answered: every status and error class has one, and many answers are estimated well.
pub(super) fn lines(recording: &Recording) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut estimated: BTreeMap<(&str, ScriptName, u16), u64> = BTreeMap::new();
    for line in &recording.lines {
        let key = (line.dc.as_str(), line.script, line.status);
        *estimated.entry(key).or_default() += u64::from(line.stands_for);
    }
    let mut given: BTreeMap<(&str, ScriptName, u16), u64> = BTreeMap::new();
    for row in &recording.answers {
        if let Some(script) = script_of(row.listener) {
            *given.entry((&row.by, script, row.status)).or_default() += row.count;
        }
    }
    for dc in steady(recording).filter(|dc| has(recording, dc, Safeguard::BoundaryLog)) {
        let untold = lost(recording, dc, Signal::Logs) + waiting(recording, dc, Signal::Logs);
        for ((by, script, status), answers) in given.iter().filter(|((by, ..), _)| *by == dc) {
            let estimate = estimated.get(&(*by, *script, *status)).copied().unwrap_or(0);
            let script = script.name();
            let each =
                if (200..300).contains(status) { SUCCESSES_PER_LINE } else { FAILURES_PER_LINE };
            // What is known to be lost or to wait may have stood for so many of these.
            let stood_for = untold * u64::from(each);
            if estimate == 0 && *answers > stood_for {
                wrong.push(format!(
                    "the {script} of {dc} answered {answers} requests with {status}, and no line says so"
                ));
            }
            #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
            let allowed = ESTIMATE_WITHIN.mul_add(*answers as f64, stood_for as f64);
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let off = estimate.abs_diff(*answers) as f64;
            if *answers >= ESTIMATED_FROM && off > allowed {
                wrong.push(format!(
                    "the {script} of {dc} answered {answers} requests with {status}, its lines stand for {estimate}"
                ));
            }
        }
        wrong.extend(losses(recording, dc));
    }
    wrong
}

/// What an intake refused of a data center's records, that data center counts as lost.
fn losses(recording: &Recording, dc: &str) -> Option<String> {
    let refused: u64 = recording
        .metrics
        .series
        .iter()
        .filter(|series| {
            series.labels.metric() == Some(catalogue::INTAKE_DROPPED.name)
                && series.labels.get("dc") == Some(dc)
                && series.labels.get("signal") == Some("logs")
        })
        .map(total)
        .sum();
    let known = lost(recording, dc, Signal::Logs);
    (refused > known)
        .then(|| format!("an intake refused {refused} lines of {dc}, which knows of {known}"))
}

/// The rules over what was scraped give the alerts that the monitor told of, each at its moment.
pub(super) fn alerts(recording: &Recording) -> Vec<String> {
    let mut wrong: Vec<String> = recording
        .journal
        .iter()
        .filter_map(|(_, entry)| match entry {
            Journal::RuleFailed { text } => Some(format!("a rule could not be evaluated: {text}")),
            _ => None,
        })
        .take(5)
        .collect();
    let (replayed, _) = alerts::replay(&recording.metrics, &recording.spec.rules);
    let same = |at: usize| match (replayed.get(at), recording.alerts.get(at)) {
        (Some(one), Some(other)) => one.is(other),
        _ => false,
    };
    if let Some(at) = (0..replayed.len().max(recording.alerts.len())).find(|at| !same(*at)) {
        let say = |row: Option<&AlertRow>| {
            row.map_or("nothing".to_owned(), |row| {
                let at = crate::spec::time::format(row.at);
                let AlertRow { alert, from, to, labels, value, .. } = row;
                format!("{alert} {from:?} to {to:?} at {at} {labels:?}, {value}")
            })
        };
        wrong.push(format!(
            "the monitor's alerts are not those of the rules over what it scraped: it says {}, they say {}",
            say(recording.alerts.get(at)),
            say(replayed.get(at))
        ));
    }
    wrong.extend(prometheus(recording));
    wrong
}

/// Prometheus tells when it began to evaluate, which is some milliseconds after the moment for which it does.
const LATE: Duration = Duration::from_millis(500);

/// Where a real Prometheus watched as well: what began to fire there began to fire here, within one evaluation of its rule, and the
/// other way round. Each server has moments of its own at which it evaluates a group, so ours is asked at those of the other:
/// else it would be chance which of the two a threshold's crossing comes just before.
fn prometheus(recording: &Recording) -> Vec<String> {
    if !recording.journal.iter().any(|(_, entry)| *entry == Journal::Prometheus) {
        return Vec::new();
    }
    let intervals = alerts::intervals(&recording.spec.rules);
    let interval = |alert: &str| {
        intervals.get(alert).copied().unwrap_or(Duration::from_millis(alerts::INTERVAL_MS))
    };
    let moments: Vec<Moment> = recording
        .journal
        .iter()
        .filter_map(|(at, entry)| match entry {
            Journal::EvaluatedInPrometheus { file, group } => {
                Some(Moment { file: file.clone(), group: group.clone(), at: *at })
            }
            _ => None,
        })
        .collect();
    let replayed = alerts::replay_at(&recording.metrics, &recording.spec.rules, &moments);
    let here = replayed.iter().filter(|row| row.to == AlertState::Firing);
    let here: Vec<Fired<'_>> = here.map(|row| (row.at, &*row.alert, &row.labels)).collect();
    let there = recording.journal.iter().filter_map(|(at, entry)| match entry {
        Journal::FiredInPrometheus { alert, labels } => Some((*at, &**alert, labels)),
        _ => None,
    });
    let there: Vec<Fired<'_>> = there.collect();
    let lacking = |those: &[Fired<'_>], these: &[Fired<'_>], which: &str| {
        let near = |a: &Fired<'_>, b: &Fired<'_>| {
            (a.1, a.2) == (b.1, b.2) && a.0.since(b.0).max(b.0.since(a.0)) <= interval(a.1) + LATE
        };
        // What fires in the last interval the other may not have seen.
        let alone = |one: &&Fired<'_>| {
            one.0 < recording.spec.end.before(interval(one.1) + LATE)
                && !these.iter().any(|other| near(one, other))
        };
        let say = |one: &Fired<'_>| {
            let (at, alert, labels) = one;
            format!(
                "{alert} {labels:?} fired at {} in {which} alone",
                crate::spec::time::format(*at)
            )
        };
        those.iter().filter(alone).map(say).collect::<Vec<_>>()
    };
    let mut wrong = lacking(&here, &there, "ours");
    wrong.extend(lacking(&there, &here, "Prometheus"));
    wrong.extend(alerts::groups(&recording.spec.rules).into_iter().filter_map(|(file, group)| {
        let known = moments.iter().any(|moment| (&moment.file, &moment.group) == (&file, &group));
        (!known)
            .then(|| format!("{file}: Prometheus does not tell when it evaluated group {group}"))
    }));
    wrong
}

/// When which alert with which labels began to fire.
type Fired<'a> = (IncidentTime, &'a str, &'a BTreeMap<String, String>);
