//! Whether two labs tell the same of the same scenario: verdicts, which alerts fired, and when.
//!
//! Chance of its own each lab has, and containers have the machine's besides. So figures may differ within their bounds;
//! what on-call would have seen may not, as far as it does not hang on chance: the first lab replays the scenario with several seeds, and an
//! alert that fires with some of them and not with others tells nothing about the second lab.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::alerts::{self, INTERVAL_MS};
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

/// When each alert of a run fired first, by its name and labels.
pub type Fired = BTreeMap<String, IncidentTime>;

/// An alert with its labels, and when it fired first in each lab.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its name and its labels.
    pub name: String,
    /// The last thing that was done before, and when.
    pub after: IncidentTime,
    /// When it fired in the first lab, with each seed.
    pub first: Vec<Option<IncidentTime>>,
    /// When it fired in the second.
    pub second: Option<IncidentTime>,
    /// How far the second may be from the earliest and the latest of the first.
    pub allowed: Duration,
}

/// What is to be said of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Both labs tell the same.
    Same,
    /// They do not.
    Different,
    /// In the first lab it fires with some seeds only.
    Chance,
}

impl Alert {
    /// How long it took in the first lab: with the seed where it took least, and where it took longest.
    pub fn first_took(&self) -> Option<[Duration; 2]> {
        let fired = || self.first.iter().flatten();
        let (min, max) = (fired().min()?, fired().max()?);
        Some([min, max].map(|at| at.since(self.after)))
    }

    /// How long it took in the second.
    pub fn second_took(&self) -> Option<Duration> {
        self.second.map(|at| at.since(self.after))
    }

    /// With how many seeds it fired in the first lab.
    pub fn fired(&self) -> usize {
        self.first.iter().flatten().count()
    }

    /// Whether it fired in both labs, near enough to each other.
    pub fn told(&self) -> Told {
        let fired = self.fired();
        if fired > 0 && fired < self.first.len() {
            return Told::Chance;
        }
        let same = match (self.first.iter().flatten().min(), self.first.iter().flatten().max()) {
            (Some(min), Some(max)) => self
                .second
                .is_some_and(|at| at.after(self.allowed) >= *min && at <= max.after(self.allowed)),
            _ => self.second.is_none(),
        };
        if same { Told::Same } else { Told::Different }
    }
}

impl Parity {
    /// Compares what two labs made of a scenario, where the first has also replayed it with other seeds.
    pub fn of(scenario: &Scenario, sides: [Side<'_>; 2], others: &[Fired]) -> Self {
        let [one, other] = sides;
        let pairs = one.judgement.expectations.iter().zip(&other.judgement.expectations);
        let expectations = pairs
            .enumerate()
            .map(|(at, (a, b))| Compared { at, same: a.verdict == b.verdict })
            .collect();
        let one = first_fired(one.recording, scenario);
        let first: Vec<&Fired> = std::iter::once(&one).chain(others).collect();
        let second = first_fired(other.recording, scenario);
        let names: BTreeSet<&String> =
            first.iter().flat_map(|fired| fired.keys()).chain(second.keys()).collect();
        let intervals = alerts::intervals(&scenario.spec.rules);
        let alert = |name: &String| {
            let first: Vec<Option<IncidentTime>> =
                first.iter().map(|fired| fired.get(name).copied()).collect();
            let second = second.get(name).copied();
            let earliest = first.iter().flatten().chain(&second).min();
            let earliest = earliest.copied().unwrap_or(scenario.spec.start);
            let after =
                last_before(&scenario.spec.timeline, earliest).unwrap_or(scenario.spec.start);
            let rule = name.split(' ').next().unwrap_or_default();
            let interval =
                intervals.get(rule).copied().unwrap_or(Duration::from_millis(INTERVAL_MS));
            let allowed = interval.max(earliest.since(after) / 10);
            Alert { name: name.clone(), after, first, second, allowed }
        };
        Self { expectations, alerts: names.into_iter().map(alert).collect() }
    }

    /// Whether they tell the same.
    pub fn holds(&self) -> bool {
        self.expectations_hold() && self.alerts.iter().all(|alert| alert.told() != Told::Different)
    }

    /// Whether they differ in alerts alone. Then more seeds of the first lab may show that it is chance: what fires with one of twenty
    /// is missed by ten seeds more often than not.
    pub fn differs_in_alerts_alone(&self) -> bool {
        self.expectations_hold() && !self.holds()
    }

    fn expectations_hold(&self) -> bool {
        self.expectations.iter().all(|compared| compared.same)
    }
}

/// When each alert fired first.
pub fn first_fired(recording: &Recording, scenario: &Scenario) -> Fired {
    let mut first = BTreeMap::new();
    for row in fired(recording, scenario) {
        first.entry(name(row)).or_insert(row.at);
    }
    first
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

    fn alert(first_s: &[Option<u64>], second_s: Option<u64>) -> Alert {
        let at = |s: u64| IncidentTime::from_unix_s(1_000 + s);
        let first: Vec<_> = first_s.iter().map(|s| s.map(at)).collect();
        let earliest = first.iter().flatten().min().copied();
        let took = earliest.map_or(Duration::ZERO, |first| first.since(at(0)));
        let allowed = Duration::from_millis(INTERVAL_MS).max(took / 10);
        Alert { name: String::new(), after: at(0), first, second: second_s.map(at), allowed }
    }

    #[test]
    fn where_alerts_alone_differ_more_seeds_may_help() {
        let of = |same, second_s| Parity {
            expectations: vec![Compared { at: 0, same }],
            alerts: vec![alert(&[None, None], second_s)],
        };
        assert!(of(true, Some(60)).differs_in_alerts_alone());
        assert!(!of(true, None).differs_in_alerts_alone());
        assert!(!of(false, Some(60)).differs_in_alerts_alone());
    }

    #[test]
    fn one_interval_apart_is_near_enough_and_so_is_a_tenth_of_a_long_time() {
        assert_eq!(alert(&[Some(60)], Some(75)).told(), Told::Same);
        assert_eq!(alert(&[Some(60)], Some(76)).told(), Told::Different);
        assert_eq!(alert(&[Some(76)], Some(60)).told(), Told::Different);
        assert_eq!(alert(&[Some(600)], Some(660)).told(), Told::Same);
    }

    #[test]
    fn what_lies_between_two_seeds_of_one_lab_is_no_difference_to_the_other() {
        assert_eq!(alert(&[Some(60), Some(120)], Some(90)).told(), Told::Same);
        assert_eq!(alert(&[Some(60), Some(120)], Some(135)).told(), Told::Same);
        assert_eq!(alert(&[Some(60), Some(120)], Some(136)).told(), Told::Different);
        assert_eq!(alert(&[Some(60), Some(120)], Some(44)).told(), Told::Different);
    }

    #[test]
    fn an_alert_that_fires_in_one_lab_only_is_a_difference() {
        assert_eq!(alert(&[Some(60), Some(60)], None).told(), Told::Different);
        assert_eq!(alert(&[None, None], Some(60)).told(), Told::Different);
    }

    #[test]
    fn an_alert_that_fires_with_some_seeds_tells_nothing() {
        assert_eq!(alert(&[Some(60), None], None).told(), Told::Chance);
        assert_eq!(alert(&[Some(60), None], Some(600)).told(), Told::Chance);
    }
}
