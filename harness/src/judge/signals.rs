//! Measures of what on-call would have seen: alerts, lines, reports, traces.

use std::collections::{BTreeMap, BTreeSet};

use kv_node::ids::Dc;
use kv_node::telemetry::catalogue;
use kv_node::telemetry::log::ResponseLine;
use kv_node::worker::ScriptName;
use promql::Labels;

use super::detection;
use super::measure::{Taken, count};
use crate::recording::{AlertRow, AlertState, Recording, Series};
use crate::spec::cause::Cause;
use crate::spec::expectation::Window;
use crate::spec::measure::After;
use crate::spec::peers::{PROBE_CLASS, PROBE_NAMESPACE};

/// Evaluations of the rules in a window: what there was to see.
fn evaluations(recording: &Recording, window: Window) -> u64 {
    let rounds = 0..recording.metrics.rounds;
    rounds.filter(|round| window.contains(recording.metrics.round_at(*round))).count() as u64
}

/// The firings of a window: those that began in it, and those that had begun before and had not ended when it began.
fn firings(recording: &Recording, window: Window) -> Vec<&AlertRow> {
    let mut before: Vec<&AlertRow> = Vec::new();
    for row in recording.alerts.iter().filter(|row| row.at < window.from) {
        if row.to == AlertState::Firing {
            before.push(row);
        } else {
            before.retain(|open| open.alert != row.alert || open.labels != row.labels);
        }
    }
    let within = recording
        .alerts
        .iter()
        .filter(|row| row.to == AlertState::Firing && window.contains(row.at));
    before.into_iter().chain(within).collect()
}

/// What an alert says under a label. A data center that it blames as the owner of keys is the one that it is about.
pub(super) fn said<'a>(row: &'a AlertRow, label: &str) -> Option<&'a String> {
    let owner = || (label == "dc").then(|| row.labels.get("owner")).flatten();
    row.labels.get(label).or_else(owner)
}

pub(super) fn seconds_to_alert(
    recording: &Recording,
    window: Window,
    (alert, labels): (&str, &BTreeMap<String, String>),
    after: After,
) -> Taken {
    let from = match after {
        After::Window => Some(window.from),
        After::Errors => recording
            .requests
            .iter()
            .filter(|row| row.outcome.failed() && window.contains(row.at))
            .map(|row| row.at)
            .min(),
    };
    let Some(from) = from else { return Taken::nothing().note("nothing failed") };
    let fits = |row: &&AlertRow| {
        row.alert == alert && labels.iter().all(|(name, value)| said(row, name) == Some(value))
    };
    let evaluations = evaluations(recording, window);
    match firings(recording, window).into_iter().find(fits) {
        Some(row) => {
            let at = crate::spec::time::format(row.at.max(window.from));
            Taken::new(row.at.since(from).as_secs_f64(), evaluations).note(format!("at {at}"))
        }
        None => Taken { evidence: evaluations, ..Taken::nothing() }.note("it never fired"),
    }
}

pub(super) fn alerts_firing(
    recording: &Recording,
    window: Window,
    wanted: impl Fn(&AlertRow) -> bool,
) -> Taken {
    let fired: BTreeSet<String> = firings(recording, window)
        .into_iter()
        .filter(|row| wanted(row))
        .map(|row| {
            let named = |name: &&str| row.labels.contains_key(*name);
            let scope = ["dc", "owner", "namespace", "store", "region", "script"];
            let scope: Vec<&str> = scope
                .iter()
                .filter(|name| named(name))
                .map(|name| row.labels[*name].as_str())
                .collect();
            format!("{} {}", row.alert, scope.join("/"))
        })
        .collect();
    let number = fired.len() as u64;
    let some: Vec<String> = fired.into_iter().take(4).collect();
    Taken::new(count(number), evaluations(recording, window)).note(some.join(", "))
}

pub(super) fn naming(recording: &Recording, window: Window, texts: &BTreeSet<String>) -> Taken {
    let names = |text: &str| texts.iter().any(|wanted| text.contains(wanted));
    let lines = recording.lines.iter().filter(|line| window.contains(line.at));
    let reports = recording.exceptions.iter().filter(|report| window.contains(report.at));
    let (mut looked, mut found) = (0, 0);
    for line in lines {
        looked += 1;
        found += u64::from(serde_json::to_string(line).is_ok_and(|text| names(&text)));
    }
    for report in reports {
        looked += 1;
        found += u64::from(serde_json::to_string(&report.report).is_ok_and(|text| names(&text)));
    }
    Taken::new(count(found), looked).note(format!("of {looked}"))
}

pub(super) fn log_lines(
    recording: &Recording,
    window: Window,
    status: u16,
    dcs: &BTreeSet<Dc>,
) -> Taken {
    let lines = recording
        .lines
        .iter()
        .filter(|line| window.contains(line.at) && (dcs.is_empty() || dcs.contains(&line.dc)));
    let (mut looked, mut found, mut stand_for) = (0, 0, 0);
    for line in lines {
        looked += 1;
        if line.status == status {
            found += 1;
            stand_for += u64::from(line.stands_for);
        }
    }
    Taken::new(count(found), looked).note(format!("they stand for {stand_for} answers"))
}

/// What a count of errors in the log, over the requests that metrics count, says of the failures. Of customers alone where lines name
/// namespaces; where they do not, synthetic requests make lines like any other, and are among the failures as well.
pub(super) fn failures_told_by_log(recording: &Recording, window: Window) -> Taken {
    let errors = || {
        recording.lines.iter().filter(|line| {
            line.script == ScriptName::Gateway && line.status >= 500 && window.contains(line.at)
        })
    };
    let named = errors().all(|line| line.context.is_some());
    let of_customers = |line: &&ResponseLine| {
        let namespace = line.context.as_ref().and_then(|context| context.namespace.as_ref());
        namespace.is_none_or(|namespace| namespace.as_str() != PROBE_NAMESPACE)
    };
    let told: u64 = errors()
        .filter(|line| !named || of_customers(line))
        .map(|line| u64::from(line.stands_for))
        .sum();
    let synthetic = |labels: &Labels| labels.get("class") == Some(PROBE_CLASS);
    let failed = |labels: &Labels| labels.get("status").is_some_and(|status| status >= "500");
    let answered = gateway_answers(recording, window, |labels| !named || !synthetic(labels));
    let (probes, probes_failed) = if named {
        (0.0, 0.0)
    } else {
        (
            gateway_answers(recording, window, synthetic),
            gateway_answers(recording, window, |labels| synthetic(labels) && failed(labels)),
        )
    };
    let (mut failed, mut sent) = (0, 0);
    for row in recording.truth.iter().filter(|row| window.contains(row.from)) {
        sent += row.count;
        failed += if row.outcome.failed() { row.count } else { 0 };
    }
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let (told_share, true_share) =
        (share(count(told), answered), share(count(failed) + probes_failed, count(sent) + probes));
    if true_share <= 0.0 {
        return Taken::nothing().note("nothing failed");
    }
    let among = if named { "" } else { ", synthetic ones among them" };
    Taken::new(told_share / true_share, failed).note(format!(
        "{:.3} % told, {:.3} % true{among}",
        told_share * 100.0,
        true_share * 100.0
    ))
}

/// How much the gateways' counters of answers grew in a window: those with such labels.
fn gateway_answers(recording: &Recording, window: Window, wanted: impl Fn(&Labels) -> bool) -> f64 {
    let of_gateways = recording.metrics.series.iter().filter(|series| {
        series.labels.metric() == Some(catalogue::RESPONSES.name)
            && series.labels.get("script") == Some(ScriptName::Gateway.name())
            && wanted(&series.labels)
    });
    let grown = |series: &Series| {
        let (mut before, mut grown) = (0.0, 0.0);
        for (round, value) in series.samples() {
            if window.contains(recording.metrics.round_at(round)) {
                // A node that was started again counts from nothing.
                grown += if value < before { value } else { value - before };
            }
            before = value;
        }
        grown
    };
    of_gateways.map(grown).sum()
}

pub(super) fn seconds_to_report(
    recording: &Recording,
    window: Window,
    (kind, script): (&str, &str),
    dcs: &BTreeSet<Dc>,
) -> Taken {
    let reports = recording.exceptions.iter().filter(|exception| {
        let report = &exception.report;
        window.contains(exception.at)
            && report.kind == kind
            && report.script.name() == script
            && (dcs.is_empty() || dcs.contains(&report.dc))
    });
    let (mut first, mut number) = (None, 0u64);
    for exception in reports {
        number += 1;
        first = first.or(Some(exception));
    }
    let Some(first) = first else { return Taken::nothing().note("none was reported") };
    let report = &first.report;
    Taken::new(first.at.since(window.from).as_secs_f64(), number)
        .note(format!("{number}; {}: {}", report.dc, report.message))
}

/// A page that names a decoy first is no diagnosis: whoever follows it looks in the wrong place.
pub(super) fn seconds_to_diagnosis(
    recording: &Recording,
    window: Window,
    cause: Option<&Cause>,
) -> Taken {
    let Some(cause) = cause else { return Taken::nothing().note("no cause is declared") };
    let evaluations = evaluations(recording, window);
    let (named, wrong) = detection::diagnosis(recording, cause, window);
    let nothing = Taken { evidence: evaluations, ..Taken::nothing() };
    match (named, wrong.first()) {
        (_, Some(wrong)) => nothing.note(format!("{} named a decoy: {}", wrong.alert, wrong.decoy)),
        (None, None) => nothing.note("nothing named it"),
        (Some(named), None) => {
            let labels: Vec<&str> = named.names.values().map(String::as_str).collect();
            Taken::new(named.at.since(window.from).as_secs_f64(), evaluations).note(format!(
                "{}: {}",
                named.by,
                labels.join(" ")
            ))
        }
    }
}

pub(super) fn failed_traces(recording: &Recording, window: Window, from: &Dc, to: &Dc) -> Taken {
    let mut reached: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    let mut looked = 0;
    for span in recording.spans.iter().filter(|span| window.contains(span.start)) {
        looked += 1;
        let (begins, goes_on) = reached.entry(&span.trace).or_default();
        *begins |= span.dc == *from && span.script == ScriptName::Gateway && span.failed;
        *goes_on |= span.dc == *to && span.script == ScriptName::Supercache;
    }
    let both = reached.values().filter(|(begins, goes_on)| *begins && *goes_on).count();
    Taken::new(count(both as u64), looked).note(format!("of {} traces", reached.len()))
}
