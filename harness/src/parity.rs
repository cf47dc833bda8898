//! Whether two labs tell the same of the same scenario: verdicts, which alerts fired, and when.
//!
//! Chance of its own each lab has, and containers have the machine's besides. So figures may differ within their bounds;
//! what on-call would have seen may not.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::alerts::INTERVAL_MS;
use crate::judge::Judgement;
use crate::recording::{AlertRow, AlertState, Recording};
use crate::spec::time::IncidentTime;
use crate::spec::{Planned, Scenario};

/// One lab's side of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// What it came to.
    pub judgement: &'a Judgement,
    /// What was recorded.
    pub recording: &'a Recording,
}

/// What both labs say, side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Parity {
    /// Expectations, each with both verdicts and figures.
    pub expectations: Vec<Compared>,
    /// Alerts that fired in one of them or in both.
    pub alerts: Vec<Alert>,
}

/// An expectation in both labs.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Its title, with its place among those of the scenario.
    pub at: usize,
    /// Whether both say the same.
    pub same: bool,
}

/// An alert with its labels, and when it fired first in each lab.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its name and its labels.
    pub name: String,
    /// The last thing that was done before, and when.
    pub after: IncidentTime,
    /// When it fired in the first lab and in the second.
    pub fired: [Option<IncidentTime>; 2],
    /// How far apart the two may be.
    pub allowed: Duration,
}

impl Alert {
    /// How long it took in each lab.
    pub fn took(&self) -> [Option<Duration>; 2] {
        self.fired.map(|fired| fired.map(|fired| fired.since(self.after)))
    }

    /// Whether it fired in both labs, near enough to each other.
    pub fn same(&self) -> bool {
        match self.fired {
            [Some(a), Some(b)] => a.since(b).max(b.since(a)) <= self.allowed,
            [a, b] => a == b,
        }
    }
}

impl Parity {
    /// Compares what two labs made of a scenario.
    pub fn of(scenario: &Scenario, sides: [Side<'_>; 2]) -> Self {
        let [one, other] = sides;
        let pairs = one.judgement.expectations.iter().zip(&other.judgement.expectations);
        let expectations = pairs
            .enumerate()
            .map(|(at, (a, b))| Compared { at, same: a.verdict == b.verdict })
            .collect();
        let mut alerts: BTreeMap<String, [Option<IncidentTime>; 2]> = BTreeMap::new();
        for (at, side) in sides.iter().enumerate() {
            for row in fired(side.recording, scenario) {
                alerts.entry(name(row)).or_default()[at].get_or_insert(row.at);
            }
        }
        let alert = |(name, fired): (String, [Option<IncidentTime>; 2])| {
            let first = fired.iter().flatten().min().copied().unwrap_or(scenario.spec.start);
            let after = last_before(&scenario.spec.timeline, first).unwrap_or(scenario.spec.start);
            let allowed = Duration::from_millis(INTERVAL_MS).max(first.since(after) / 10);
            Alert { name, after, fired, allowed }
        };
        Self { expectations, alerts: alerts.into_iter().map(alert).collect() }
    }

    /// Whether they tell the same.
    pub fn holds(&self) -> bool {
        self.expectations.iter().all(|compared| compared.same)
            && self.alerts.iter().all(Alert::same)
    }
}

fn fired<'a>(recording: &'a Recording, scenario: &Scenario) -> impl Iterator<Item = &'a AlertRow> {
    let end = scenario.spec.end;
    recording.alerts.iter().filter(move |row| row.to == AlertState::Firing && row.at < end)
}

fn name(row: &AlertRow) -> String {
    let labels = row.labels.iter().filter(|(name, _)| *name != "severity");
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {}", row.alert, labels.join(" ")).trim_end().to_owned()
}

fn last_before(timeline: &[Planned], at: IncidentTime) -> Option<IncidentTime> {
    timeline.iter().map(|planned| planned.at).filter(|planned| *planned <= at).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(fired_s: [Option<u64>; 2]) -> Alert {
        let at = |s: u64| IncidentTime::from_unix_s(1_000 + s);
        let fired = fired_s.map(|s| s.map(at));
        let took = fired.iter().flatten().min().map_or(Duration::ZERO, |first| first.since(at(0)));
        let allowed = Duration::from_millis(INTERVAL_MS).max(took / 10);
        Alert { name: String::new(), after: at(0), fired, allowed }
    }

    #[test]
    fn one_interval_apart_is_near_enough_and_so_is_a_tenth_of_a_long_time() {
        assert!(alert([Some(60), Some(75)]).same());
        assert!(!alert([Some(60), Some(76)]).same());
        assert!(!alert([Some(76), Some(60)]).same());
        assert!(alert([Some(600), Some(660)]).same());
    }

    #[test]
    fn an_alert_that_fires_in_one_lab_only_is_a_difference() {
        assert!(!alert([Some(60), None]).same());
        assert!(!alert([None, Some(60)]).same());
    }
}
