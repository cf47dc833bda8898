//! Who saw an incident first, as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::text::columns;
use crate::judge::detection::{Both, Detection, Fired, Named, Seen, seconds_after};
use crate::spec::cause::{Cause, Names};
use crate::spec::time::{self, IncidentTime};

/// How wide the heads of lines are.
const HEAD: usize = 24;

/// What stands above a table: which run of which incident.
#[derive(Clone, Debug)]
pub struct Heading {
    /// The incident's id and title.
    pub incident: String,
    /// What was run: the scenarios' rule and the build.
    pub run: String,
}

/// One run of an incident: customers, pages, diagnosis, then a line for each detector.
pub fn detection(heading: &Heading, cause: &Cause, detection: &Detection) -> String {
    let begins = detection.begins(cause);
    let since = if detection.customers.is_some() { "the first customer" } else { "the cause" };
    let mut out = format!("{}\n      {}\n\n", heading.incident, heading.run);
    for (what, says) in head(cause, detection, since) {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "   {}", format!("{what:HEAD$}{says}").trim_end());
    }
    if detection.is_silent() {
        out.push_str("\n   no detector saw anything\n");
        return out;
    }
    let _ = writeln!(out, "\n   seconds after {since}:\n");
    out.push_str(&table(begins, cause, &detection.seen));
    out
}

/// The same in one line: customers, pages, diagnosis.
pub fn seen(cause: &Cause, detection: &Detection) -> String {
    if detection.is_silent() {
        return "seen: by nobody; no customer failed, no detector fired".to_owned();
    }
    let begins = detection.begins(cause);
    let customers = detection.customers.as_ref().map_or_else(
        || "no customer failed".to_owned(),
        |customers| format!("customers fail from {} on", time::format(customers.first)),
    );
    let page = |fired: &Option<Fired>| {
        fired.as_ref().map_or_else(|| "never".to_owned(), |fired| minutes(begins, fired.at))
    };
    let Both { then, now } = &detection.paged;
    let named = detection.diagnosis.now.as_ref().map_or_else(
        || "cause not named".to_owned(),
        |named| format!("cause named {} by {}", after(cause.at, named.at), named.by),
    );
    let (then, now) = (page(then), page(now));
    format!(
        "seen: {customers}; first page {then} by that day's rules, {now} by those of now; {named}"
    )
}

/// What stands above the table, each line with its head.
fn head(cause: &Cause, detection: &Detection, since: &str) -> Vec<(&'static str, String)> {
    let begins = detection.begins(cause);
    let customers = detection.customers.as_ref().map_or_else(
        || "nobody fails because of it".to_owned(),
        |some| format!("the first fails {}; {} in all", after(cause.at, some.first), some.failures),
    );
    let page = |fired: &Option<Fired>| {
        fired.as_ref().map_or_else(
            || "nobody is paged".to_owned(),
            |fired| {
                let labels = labels_text(&fired.labels);
                format!("{} {since}: {} {labels}", minutes(begins, fired.at), fired.alert)
            },
        )
    };
    let named = |named: Option<&Named>| {
        named.map_or_else(
            || "not named".to_owned(),
            |named| {
                let labels = labels_text(&named.names);
                format!("{}: {} {labels}", after(cause.at, named.at), named.by)
            },
        )
    };
    let Both { then: paged_then, now: paged_now } = &detection.paged;
    let Both { then: named_then, now: named_now } = &detection.diagnosis;
    let mut lines = vec![
        ("cause", format!("{}: {}", cause.says, names_text(&cause.names))),
        ("begins", time::format(cause.at)),
        ("prevented by", list(cause.lacks.iter().map(String::as_str))),
        ("decoys", list(detection.decoys.iter().map(String::as_str))),
        ("customers", customers),
        ("first page, that day", page(paged_then)),
        ("first page, now", page(paged_now)),
        ("cause named, that day", named(named_then.as_ref())),
        ("cause named, now", named(named_now.as_ref())),
        ("in the log", named(detection.line.as_ref())),
    ];
    lines.extend(detection.warned.iter().map(|one| ("warned before", named(Some(one)))));
    lines.extend(detection.wrong.iter().map(|wrong| {
        ("WRONG", format!("{}: {} names {}", after(cause.at, wrong.at), wrong.alert, wrong.decoy))
    }));
    lines
}

fn list<'a>(some: impl Iterator<Item = &'a str>) -> String {
    let some: Vec<&str> = some.collect();
    if some.is_empty() { "-".to_owned() } else { some.join(", ") }
}

fn table(begins: IncidentTime, cause: &Cause, seen: &[Seen]) -> String {
    let heads = ["", "looks at", "first alert", "rules", "after", "names", "whole cause after"];
    let mut rows = vec![heads.map(str::to_owned)];
    for one in seen {
        let (told, at) = match (&one.first, &one.before) {
            (Some(first), _) => (Some(first), seconds(begins, first.at)),
            (None, Some(before)) => (Some(before), "fired before".to_owned()),
            (None, None) if one.known => (None, "silent".to_owned()),
            (None, None) => (None, "no rule".to_owned()),
        };
        let text = |text: fn(&Fired) -> String| told.map(text).unwrap_or_default();
        let alert = text(|fired| fired.alert.clone());
        let rules = text(|fired| if fired.of_that_day { "that day" } else { "now" }.to_owned());
        let names = text(|fired| naming(&fired.names));
        let whole = one.whole.as_ref().map(|whole| seconds(begins, whole.at)).unwrap_or_default();
        // Whoever names the whole cause with its first alert does not say it twice.
        let at_once =
            one.first.as_ref().is_some_and(|first| first.names.len() == cause.names.len());
        let whole = if at_once { "at once".to_owned() } else { whole };
        let detector = if one.detector.is_empty() { "-" } else { &one.detector };
        rows.push([detector.to_owned(), one.what.clone(), alert, rules, at, names, whole]);
    }
    columns(&rows)
}

fn naming(names: &BTreeMap<String, String>) -> String {
    if names.is_empty() { "nothing of it".to_owned() } else { labels_text(names) }
}

fn labels_text(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(" ")
}

fn names_text(names: &Names) -> String {
    let pairs = names.iter().map(|(label, values)| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        format!("{label}={}", values.join("|"))
    });
    pairs.collect::<Vec<_>>().join(" ")
}

fn seconds(from: IncidentTime, at: IncidentTime) -> String {
    format!("{:.1} s", seconds_after(from, at))
}

/// `1.5 min after`, `0.3 min before`.
fn minutes(from: IncidentTime, at: IncidentTime) -> String {
    let minutes = seconds_after(from, at) / 60.0;
    let side = if minutes < 0.0 { "before" } else { "after" };
    format!("{:.1} min {side}", minutes.abs())
}

/// `4 s later`, `2 min 5 s before`, `at once`.
fn after(from: IncidentTime, at: IncidentTime) -> String {
    let seconds = seconds_after(from, at);
    let span = Duration::from_secs_f64(seconds.abs());
    let span =
        if span < Duration::from_millis(1) { String::new() } else { time::format_duration(span) };
    match (span.is_empty(), seconds < 0.0) {
        (true, _) => "at once".to_owned(),
        (false, true) => format!("{span} before"),
        (false, false) => format!("{span} later"),
    }
}
