//! Two histories that part at one moment, side by side: what another action would have saved.

use std::collections::BTreeMap;

use kv_node::telemetry::Lifecycle;

use crate::impact::{self, Impact};
use crate::recording::{AlertState, INTERVAL_S, Journal, Recording, TruthRow};
use crate::spec::expectation::Window;
use crate::spec::time::IncidentTime;

/// Two histories compared: as it was, and with another action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Until when both are alike, by every minute that customers counted.
    pub alike: Alike,
    /// What each came to.
    pub sides: [Side; 2],
    /// What the journal and the alerts of one of them say and those of the other do not, in order.
    pub differences: Vec<Difference>,
    /// Actions of the other history that found nothing to act on.
    pub never_acted: Vec<String>,
}

/// Whether two histories are one until they part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    /// So many requests ended alike, each minute of them. The last minute is left out: its requests end after it.
    Requests(u64),
    /// They differ in this minute: then nothing that follows can be compared.
    Differ(IncidentTime),
}

/// What one history came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// What it cost, from the moment where they part.
    pub impact: Impact,
    /// The last minute in which more failed than usual.
    pub last_minute: Option<IncidentTime>,
    /// The last request that failed, noise among them.
    pub last_failure: Option<IncidentTime>,
    /// The first page of the whole history, and its name.
    pub first_page: Option<(IncidentTime, String)>,
    /// Pages from the moment where they part.
    pub pages: u64,
}

/// Something that only one of two journals says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// When.
    pub at: IncidentTime,
    /// Whether it is in the other history.
    pub other: bool,
    /// What.
    pub text: String,
}

impl Comparison {
    /// Compares two recordings whose histories part at a moment.
    pub fn of(recordings: [&Recording; 2], at: IncidentTime) -> Self {
        let [original, other] = recordings;
        let quiet = impact::quiet(&original.spec);
        // What comes after the parting is no measure of what was usual before.
        let quiet = Window { to: quiet.to.min(at), ..quiet };
        Self {
            alike: alike(recordings, at),
            sides: recordings.map(|recording| Side::of(recording, at, quiet)),
            differences: differences(recordings, at),
            never_acted: never_acted(other, at),
        }
    }

    /// Minutes and failed requests that the other history spares.
    pub fn saved(&self) -> [i64; 2] {
        let [original, other] = [self.sides[0].impact, self.sides[1].impact];
        let less = |a: u64, b: u64| a.cast_signed() - b.cast_signed();
        [less(original.minutes, other.minutes), less(original.failed, other.failed)]
    }
}

impl Side {
    fn of(recording: &Recording, at: IncidentTime, quiet: Window) -> Self {
        let window = Window { from: at, to: recording.spec.end };
        let requests = recording.requests.iter().filter(|row| window.contains(row.at));
        let mut pages = recording.alerts.iter().filter(|row| {
            row.to == AlertState::Firing
                && row.labels.get("severity").is_some_and(|severity| severity == "page")
        });
        let first = pages.clone().next();
        Self {
            impact: Impact::of(recording, window, quiet),
            last_minute: impact::above(recording, window, quiet).last().copied(),
            last_failure: requests
                .filter(|row| impact::failed(row.outcome))
                .map(|row| row.at)
                .max(),
            first_page: first.map(|row| (row.at, alert(&row.alert, &row.labels))),
            pages: pages.by_ref().filter(|row| window.contains(row.at)).count() as u64,
        }
    }
}

/// An alert with the labels that say what it is about.
fn alert(name: &str, labels: &BTreeMap<String, String>) -> String {
    let scope = ["dc", "owner", "namespace", "store", "region", "script"];
    let scope: Vec<&str> =
        scope.iter().filter_map(|label| labels.get(*label)).map(String::as_str).collect();
    format!("{name} {}", scope.join("/")).trim_end().to_owned()
}

/// Compares all that customers counted of the minutes that were over before the histories part.
fn alike(recordings: [&Recording; 2], at: IncidentTime) -> Alike {
    let last = at.unix_s().saturating_sub(INTERVAL_S);
    let before = |recording: &Recording| {
        let mut rows: Vec<TruthRow> = recording
            .truth
            .iter()
            .filter(|row| row.from.unix_s() + INTERVAL_S <= last)
            .cloned()
            .collect();
        rows.sort_by(|a, b| key(a).cmp(&key(b)));
        rows
    };
    let [one, two] = recordings.map(before);
    let unlike = one.iter().zip(&two).find(|(a, b)| a != b).map(|(a, b)| a.from.min(b.from));
    let longer = if one.len() > two.len() { &one[two.len()..] } else { &two[one.len()..] };
    match unlike.or(longer.first().map(|row| row.from)) {
        Some(minute) => Alike::Differ(minute),
        None => Alike::Requests(one.iter().map(|row| row.count).sum()),
    }
}

type Key<'a> = (IncidentTime, &'a str, &'a str, &'a str, crate::recording::Outcome);

fn key(row: &TruthRow) -> (Key<'_>, crate::recording::CacheStatus) {
    ((row.from, &row.dc, &row.namespace, &row.operation, row.outcome), row.cache)
}

/// What one journal says and the other does not. What nodes do all the time (taking a configuration, starting isolates) is
/// left out.
fn differences(recordings: [&Recording; 2], at: IncidentTime) -> Vec<Difference> {
    let mut counts: BTreeMap<(IncidentTime, String), i64> = BTreeMap::new();
    for (recording, sign) in recordings.into_iter().zip([-1, 1]) {
        let told = recording.journal.iter().filter_map(|(at, entry)| Some((*at, said(entry)?)));
        let alerts = recording.alerts.iter().filter_map(|row| {
            let name = alert(&row.alert, &row.labels);
            match (row.from, row.to) {
                (_, AlertState::Firing) => Some((row.at, format!("{name} fires"))),
                (AlertState::Firing, _) => Some((row.at, format!("{name} is over"))),
                _ => None,
            }
        });
        for told in told.chain(alerts).filter(|(moment, _)| *moment >= at) {
            *counts.entry(told).or_default() += sign;
        }
    }
    let differing = counts.into_iter().filter(|(_, count)| *count != 0);
    differing.map(|((at, text), count)| Difference { at, other: count > 0, text }).collect()
}

fn said(entry: &Journal) -> Option<String> {
    let life = match entry {
        Journal::Action { text, .. } => return Some(text.clone()),
        Journal::Life(life) => life,
        _ => return None,
    };
    Some(match life {
        Lifecycle::State { dc, state } => format!("{dc} is {state:?}").to_lowercase(),
        Lifecycle::OwnerQuarantined { dc } => format!("{dc} is taken out of placement"),
        Lifecycle::Released { by, revision, .. } => format!("{by} released revision {revision}"),
        Lifecycle::ReleaseRefused { by, why } => format!("{by} was refused: {why}"),
        Lifecycle::RolledBack { by, script, why, .. } => {
            format!("{by} rolled back {}: {why}", script.name())
        }
        Lifecycle::ReturnProbed { dc, fit } => {
            format!("{dc} was found {} to return", if *fit { "fit" } else { "unfit" })
        }
        _ => return None,
    })
}

/// Actions from a moment on that never acted, by their witnesses.
fn never_acted(recording: &Recording, from: IncidentTime) -> Vec<String> {
    let begun: BTreeMap<u64, IncidentTime> = recording
        .journal
        .iter()
        .filter_map(|(at, entry)| match entry {
            Journal::Action { id, .. } => Some((*id, *at)),
            _ => None,
        })
        .collect();
    let idle = recording.journal.iter().filter_map(|(_, entry)| match entry {
        Journal::Witness { id, text, acted: 0 } => Some((id, text)),
        _ => None,
    });
    idle.filter(|(id, _)| begun.get(id).is_some_and(|at| *at >= from))
        .map(|(_, text)| text.clone())
        .collect()
}
