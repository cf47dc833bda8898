//! Who saw an incident first, after how long, and what was named: of the customers, of every detector, of pages and reports.
//!
//! * [`customers`]: when the first customer failed because of it, as the customers' own measurements have it.
//! * [`naming`]: what an alert, a report or a line says of the cause, and whether a page blames what was none.
//!
//! A detector is a rule that says so by its annotation `detector`. Rules of the file `then.yml` are those of the day of the
//! incidents; the others came of them. Both look at the same telemetry, which is that of the builds that ran.

mod customers;
mod naming;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use promql::rules::{Rule, RuleFile};

use super::signals::said;
use crate::alerts::{self, RuleText};
use crate::recording::{AlertRow, AlertState, Recording};
use crate::spec::cause::Cause;
use crate::spec::expectation::Window;
use crate::spec::time::IncidentTime;

pub(super) use naming::diagnosis;
pub use naming::{Named, Wrong};

/// The detectors of the table, by name, with what each looks at.
pub const DETECTORS: [(&str, &str); 11] = [
    ("D1", "global error ratio"),
    ("D2", "burn rate by namespace"),
    ("D3", "failures by owner"),
    ("D4", "received less answered"),
    ("D5", "shift of status classes"),
    ("D6", "unhandled exceptions"),
    ("D7", "drift of configuration"),
    ("D8", "missing context"),
    ("D9", "build against build"),
    ("D10", "probes through each tier"),
    ("D11", "age of what probes read"),
];

/// The rule file of the incidents' days.
const OF_THAT_DAY: &str = "then.yml";
/// The severity that wakes somebody.
const PAGE: &str = "page";
/// The annotation by which a rule says which detector it is.
pub const DETECTOR: &str = "detector";

/// What a recording tells of how an incident was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The first customer who failed because of it, and how many did; none where nobody did.
    pub customers: Option<Customers>,
    /// Each detector with what it told, in the order of their names; then every other alert that pages and fired.
    pub seen: Vec<Seen>,
    /// The first page of that day's rules, and the first of all rules.
    pub paged: Both<Option<Fired>>,
    /// Who named the cause first, by that day's rules, and by all.
    pub diagnosis: Both<Option<Named>>,
    /// The first line of the response log that names the cause: what a search would find.
    pub line: Option<Named>,
    /// What was firing when the cause began to act, and names all of it: a warning, since nobody is told twice.
    pub warned: Vec<Named>,
    /// Pages that named what was not the cause.
    pub wrong: Vec<Wrong>,
    /// What it might have been taken for, in words.
    pub decoys: Vec<String>,
}

/// By the rules of that day, and by those of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Both<T> {
    /// By the rules of that day.
    pub then: T,
    /// By all rules that there are now.
    pub now: T,
}

/// Customers who failed because of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customers {
    /// When the first request was sent that failed.
    pub first: IncidentTime,
    /// How many failed from then on.
    pub failures: u64,
}

/// What one detector told.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// `D1` to `D11`; empty for an alert that is none of them.
    pub detector: String,
    /// What it looks at, or the alert's name.
    pub what: String,
    /// Whether there is a rule for it.
    pub known: bool,
    /// An alert of its that was firing when the incident began.
    pub before: Option<Fired>,
    /// Its first alert that was not.
    pub first: Option<Fired>,
    /// Its first alert that names the whole cause.
    pub whole: Option<Fired>,
}

/// An alert that began to fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// When.
    pub at: IncidentTime,
    /// Its name.
    pub alert: String,
    /// Whether the rule is one of that day.
    pub of_that_day: bool,
    /// The labels that name something of the cause.
    pub names: BTreeMap<String, String>,
    /// All its labels but the severity.
    pub labels: BTreeMap<String, String>,
}

/// What is known of an alert by its rule.
#[derive(Clone, Debug, Default)]
struct Known {
    detector: Option<String>,
    pages: bool,
    of_that_day: bool,
}

/// Alerts by name, with what their rules say.
#[derive(Debug, Default)]
struct Alerts(BTreeMap<String, Known>);

impl Alerts {
    fn of(rules: &[RuleText]) -> Self {
        let mut known = BTreeMap::new();
        for rules in rules {
            let of_that_day = rules.file.rsplit('/').next() == Some(OF_THAT_DAY);
            // A file that does not parse has no rules, here as in the monitor.
            let Ok(file) = RuleFile::parse(&rules.file, &rules.text) else { continue };
            for rule in file.groups.into_iter().flat_map(|group| group.rules) {
                let Rule::Alert(alert) = rule else { continue };
                let detector = alert.annotations.get(DETECTOR).map(|text| text.text().to_owned());
                let pages = alert.labels.get("severity").is_some_and(|text| text.text() == PAGE);
                known.insert(alert.name, Known { detector, pages, of_that_day });
            }
        }
        Self(known)
    }

    fn fired(&self, row: &AlertRow, cause: &Cause) -> Fired {
        let mut labels = row.labels.clone();
        labels.remove("severity");
        Fired {
            at: row.at,
            alert: row.alert.clone(),
            of_that_day: self.0.get(&row.alert).is_some_and(|known| known.of_that_day),
            names: naming::named(&cause.names, |label| said(row, label).map(String::as_str)),
            labels,
        }
    }

    fn pages(&self, alert: &str) -> bool {
        self.0.get(alert).is_some_and(|known| known.pages)
    }
}

impl Detection {
    /// Looks through a recording for how an incident was seen, by rules: those that the lab's monitor had, or others.
    pub fn of(recording: &Recording, cause: &Cause, rules: &[RuleText]) -> Self {
        let replayed;
        let rows = if recording.spec.rules == rules {
            &recording.alerts
        } else {
            replayed = alerts::replay(&recording.metrics, rules).0;
            &replayed
        };
        let known = Alerts::of(rules);
        let window = Window { from: cause.at, to: recording.spec.end };
        let fired: Vec<Fired> =
            began(rows, window).into_iter().map(|row| known.fired(row, cause)).collect();
        let open: Vec<Fired> =
            open_at(rows, window.from).into_iter().map(|row| known.fired(row, cause)).collect();
        let whole = |one: &&Fired| one.names.len() == cause.names.len();
        let page = |of_that_day: bool| {
            let wanted =
                |one: &&Fired| known.pages(&one.alert) && (one.of_that_day || !of_that_day);
            fired.iter().find(wanted).cloned()
        };
        let pages: Vec<&Fired> = fired.iter().filter(|one| known.pages(&one.alert)).collect();
        let wrong = naming::wrong(recording, cause, window, &pages);
        let named = |of_that_day: bool| {
            let pages = pages.iter().copied().filter(|one| one.of_that_day || !of_that_day);
            naming::first_named(recording, cause, window, pages)
        };
        Self {
            customers: customers::first(recording, cause, window),
            seen: seen(&known, &fired, &open, cause),
            warned: open.iter().filter(whole).map(Named::from).collect(),
            paged: Both { then: page(true), now: page(false) },
            diagnosis: Both { then: named(true), now: named(false) },
            line: naming::first_line(recording, cause, window),
            wrong,
            decoys: naming::decoys(recording, cause).into_iter().map(|decoy| decoy.says).collect(),
        }
    }

    /// Whether anything was seen at all.
    pub fn is_silent(&self) -> bool {
        let silent = |seen: &Seen| seen.first.is_none() && seen.before.is_none();
        self.customers.is_none() && self.line.is_none() && self.seen.iter().all(silent)
    }

    /// From which moment on detectors are timed: that of the first customer who failed, or where nobody did that at which the
    /// cause began to act.
    pub fn begins(&self, cause: &Cause) -> IncidentTime {
        self.customers.as_ref().map_or(cause.at, |customers| customers.first)
    }
}

/// Alerts that were firing at a moment, each with the row of its beginning.
fn open_at(rows: &[AlertRow], at: IncidentTime) -> Vec<&AlertRow> {
    let mut open: BTreeMap<(&str, &BTreeMap<String, String>), &AlertRow> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.at < at) {
        let one = (row.alert.as_str(), &row.labels);
        if row.to == AlertState::Firing {
            open.insert(one, row);
        } else {
            open.remove(&one);
        }
    }
    open.into_values().collect()
}

/// Alerts that began to fire in a window. What was firing when it began is no news, even where a missed scrape interrupts it.
fn began(rows: &[AlertRow], window: Window) -> Vec<&AlertRow> {
    let open: BTreeSet<(&str, &BTreeMap<String, String>)> = open_at(rows, window.from)
        .into_iter()
        .map(|row| (row.alert.as_str(), &row.labels))
        .collect();
    let news = |row: &&AlertRow| {
        row.to == AlertState::Firing
            && window.contains(row.at)
            && !open.contains(&(row.alert.as_str(), &row.labels))
    };
    rows.iter().filter(news).collect()
}

/// A line for each detector, silent ones among them, and one for every other alert that pages and fired.
fn seen(known: &Alerts, fired: &[Fired], open: &[Fired], cause: &Cause) -> Vec<Seen> {
    let line = |detector: &str, what: &str, alerts: &BTreeSet<&str>| {
        let of_it = |one: &&Fired| alerts.contains(one.alert.as_str());
        let whole = |one: &&Fired| of_it(one) && one.names.len() == cause.names.len();
        Seen {
            detector: detector.to_owned(),
            what: what.to_owned(),
            known: !alerts.is_empty(),
            before: open.iter().find(of_it).cloned(),
            first: fired.iter().find(of_it).cloned(),
            whole: fired.iter().find(whole).cloned(),
        }
    };
    let mut lines: Vec<Seen> = DETECTORS
        .into_iter()
        .map(|(detector, what)| {
            let own = |known: &Known| known.detector.as_deref() == Some(detector);
            let alerts = known.0.iter().filter(|(_, known)| own(known));
            line(detector, what, &alerts.map(|(alert, _)| alert.as_str()).collect())
        })
        .collect();
    let others = known.0.iter().filter(|(_, known)| known.pages && known.detector.is_none());
    let others = others.map(|(alert, _)| line("", alert, &BTreeSet::from([alert.as_str()])));
    lines.extend(others.filter(|seen| seen.before.is_some() || seen.first.is_some()));
    lines
}

/// How long after a moment another one came; negative where it came before.
pub fn seconds_after(from: IncidentTime, at: IncidentTime) -> f64 {
    let span = |from: IncidentTime, to: IncidentTime| -> Duration { to.since(from) };
    if at >= from { span(from, at).as_secs_f64() } else { -span(at, from).as_secs_f64() }
}
