//! Alert rules over scraped samples. Pure: the same samples give the same alerts, whoever feeds them.
//!
//! The monitor feeds an [`Evaluation`] while a run goes on; the judge feeds another one from the recording ([`replay()`]) and
//! compares.

mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use promql::rules::{AlertSettings, Alerts, Rule, RuleFile, State, Transition};
use promql::{Database, Labels, MetricNames, Selector, SeriesId, Settings, TimestampMs};
use serde::{Deserialize, Serialize};

pub use replay::{database, replay, replay_as, replay_at, replayed};

use crate::recording::{AlertRow, AlertState};
use crate::spec::time::IncidentTime;

/// How far apart scrapes are, in milliseconds: Prometheus' usual 15 s.
pub const INTERVAL_MS: u64 = 15_000;
/// How long a target may take to answer a scrape.
pub const SCRAPE_TIMEOUT_MS: u64 = 5_000;
/// How long after a scrape began rules are evaluated: when every target has answered or timed out.
pub const PHASE_MS: u64 = SCRAPE_TIMEOUT_MS;
/// Samples beyond the longest look back of any rule are dropped so often, in evaluations.
const FORGET_EVERY: u64 = 40;

/// A rule file as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleText {
    /// Its path from the root of the repository.
    pub file: String,
    /// What stands in it.
    pub text: String,
}

/// A moment at which a group of rules was evaluated, from which all others follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The file that the group stands in, as [`RuleText::file`] names it.
    pub file: String,
    /// The group's name.
    pub group: String,
    /// When.
    pub at: IncidentTime,
}

/// What came of an evaluation.
#[derive(Debug, Default)]
pub struct Evaluated {
    /// Alerts that changed their state.
    pub transitions: Vec<Transition>,
    /// Rules that could not be evaluated, in words.
    pub failures: Vec<String>,
}

/// Rules, and the samples that they look at.
#[derive(Debug)]
pub struct Evaluation {
    database: Database,
    alerts: Alerts,
    wanted: MetricNames,
    /// For each metric, what some selector of a rule asks of its other labels.
    selectors: BTreeMap<String, Vec<Selector>>,
    /// Metrics of which every sample stays.
    kept: BTreeSet<String>,
    evaluations: u64,
}

/// The settings of every query here.
pub fn settings() -> Settings {
    let step = TimestampMs::try_from(INTERVAL_MS).unwrap_or(TimestampMs::MAX);
    Settings { subquery_step_ms: step, ..Settings::default() }
}

impl Evaluation {
    /// An evaluation of rules that have been checked: a file that does not parse has no rules.
    pub fn new(rules: &[RuleText]) -> Self {
        Self::with(rules, settings())
    }

    /// The same with other settings of its queries.
    pub fn with(rules: &[RuleText], settings: Settings) -> Self {
        let files: Vec<RuleFile> =
            rules.iter().filter_map(|rule| RuleFile::parse(&rule.file, &rule.text).ok()).collect();
        let mut selectors: BTreeMap<String, Vec<Selector>> = BTreeMap::new();
        for rule in files.iter().flat_map(|file| &file.groups).flat_map(|group| &group.rules) {
            for selector in rule.query().selectors() {
                let name = selector.metric.clone().unwrap_or_default();
                selectors.entry(name).or_default().push(selector);
            }
        }
        let ms = |ms: u64| TimestampMs::try_from(ms).unwrap_or(TimestampMs::MAX);
        let alerts = Alerts::new(
            files,
            AlertSettings {
                query: settings,
                interval_ms: ms(INTERVAL_MS),
                phase_ms: ms(PHASE_MS),
                external_labels: Labels::empty(),
                external_url: String::new(),
            },
        );
        let mut database = Database::new();
        alerts.prepare(&mut database);
        let wanted = alerts.metrics();
        let kept = BTreeSet::new();
        Self { database, alerts, wanted, selectors, kept, evaluations: 0 }
    }

    /// Keeps every sample of some metrics, whether rules look at them or not.
    fn keep(&mut self, names: BTreeSet<String>) {
        for name in &names {
            self.database.retain(name, TimestampMs::MAX);
        }
        self.kept.extend(names);
    }

    /// Whether any rule looks at a series. Asked once a series: what no rule looks at is not kept for them.
    pub fn wants(&self, labels: &Labels) -> bool {
        let Some(metric) = labels.metric() else { return false };
        if self.wanted.any || self.kept.contains(metric) {
            return true;
        }
        match self.selectors.get(metric) {
            Some(selectors) => selectors.iter().any(|selector| may_select(selector, labels)),
            // Only a template asks for it.
            None => self.wanted.names.contains(metric),
        }
    }

    /// Begins a series.
    pub fn series(&mut self, labels: &Labels) -> SeriesId {
        self.database.series(labels)
    }

    /// Adds a round's sample.
    pub fn append(&mut self, series: SeriesId, round_ms: TimestampMs, value: f64) {
        self.database.append(series, round_ms, value);
    }

    /// Says that a round has no sample of a series that the round before it had.
    pub fn mark_stale(&mut self, series: SeriesId, round_ms: TimestampMs) {
        self.database.mark_stale(series, round_ms);
    }

    /// Has groups evaluated at the moments of another server, and not a fixed time after each round.
    fn shift(&mut self, moments: &[Moment]) {
        for Moment { file, group, at } in moments {
            let phase_ms = TimestampMs::try_from(at.0 / 1_000).unwrap_or(0);
            self.alerts.shift(file, group, phase_ms);
        }
    }

    /// Evaluates the rules that are due after a round and before the next.
    pub fn evaluate(&mut self, round_ms: TimestampMs) -> Evaluated {
        let next_round_ms = round_ms + TimestampMs::try_from(INTERVAL_MS).unwrap_or(0);
        let failure = |failure: &promql::rules::RuleFailure| {
            format!("{}, {}: {}", failure.group, failure.rule, failure.message)
        };
        let mut evaluated = Evaluated::default();
        let mut at = self.alerts.next_after(round_ms - 1);
        while at < next_round_ms {
            let step = self.alerts.step(&mut self.database, at);
            evaluated.failures.extend(step.failures.iter().map(failure));
            evaluated.transitions.extend(step.transitions);
            at = self.alerts.next_after(at);
        }
        self.evaluations += 1;
        if self.evaluations.is_multiple_of(FORGET_EVERY) {
            self.database.forget_before(round_ms);
        }
        evaluated
    }
}

/// How far apart the evaluations of each alert are, by its name.
pub fn intervals(rules: &[RuleText]) -> BTreeMap<String, Duration> {
    let mut intervals = BTreeMap::new();
    for rules in rules {
        let Ok(file) = RuleFile::parse(&rules.file, &rules.text) else { continue };
        for group in file.groups {
            let ms = group.interval_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(INTERVAL_MS);
            for rule in group.rules {
                if let Rule::Alert(alert) = rule {
                    intervals.insert(alert.name, Duration::from_millis(ms));
                }
            }
        }
    }
    intervals
}

/// The groups of rules, each with its file.
pub fn groups(rules: &[RuleText]) -> Vec<(String, String)> {
    let files = rules.iter().filter_map(|rules| RuleFile::parse(&rules.file, &rules.text).ok());
    files
        .flat_map(|file| file.groups.into_iter().map(move |group| (file.name.clone(), group.name)))
        .collect()
}

/// The metrics that rules write.
pub fn written(files: &[RuleFile]) -> BTreeSet<String> {
    let rules = files.iter().flat_map(|file| &file.groups).flat_map(|group| &group.rules);
    rules
        .filter_map(|rule| match rule {
            Rule::Record(rule) => Some(rule.name.clone()),
            Rule::Alert(_) => None,
        })
        .chain(["ALERTS", "ALERTS_FOR_STATE"].map(str::to_owned))
        .collect()
}

/// Whether a selector's equalities fit a series; its patterns are taken to fit.
fn may_select(selector: &Selector, labels: &Labels) -> bool {
    selector.matchers.iter().all(|(name, operator, value)| {
        let told = labels.get(name).unwrap_or_default();
        match *operator {
            "=" => told == value,
            "!=" => told != value,
            _ => true,
        }
    })
}

/// A transition as a recording keeps it.
pub fn row(transition: &Transition) -> AlertRow {
    let state = |state| match state {
        State::Inactive => AlertState::Inactive,
        State::Pending => AlertState::Pending,
        State::Firing => AlertState::Firing,
    };
    let labels: BTreeMap<String, String> = transition
        .labels
        .iter()
        .filter(|(name, _)| *name != "alertname")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    AlertRow {
        at: IncidentTime(u64::try_from(transition.at).unwrap_or(0) * 1_000),
        alert: transition.alert.clone(),
        labels,
        from: state(transition.from),
        to: state(transition.to),
        value: transition.value,
        annotations: transition.annotations.clone(),
    }
}
