//! Rule files at work: groups with their times, and what changes at each.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::file::{Group, Rule, RuleFile};
use super::rule::{Alerter, Context, Evaluation, Recorder};
use super::state::{ActiveAlert, Machine, Transition};
use crate::{Database, Engine, Labels, MetricNames, Query, Settings, TimestampMs};

/// What a server is told about its rules.
#[derive(Clone, Debug)]
pub struct AlertSettings {
    /// How queries are evaluated.
    pub query: Settings,
    /// Milliseconds between the evaluations of a group that names no interval. At least 1.
    pub interval_ms: i64,
    /// Groups are evaluated at multiples of their interval plus this, where [`Alerts::shift`] says nothing else.
    pub phase_ms: i64,
    /// The labels that the server adds to everything it sends; templates can read them.
    pub external_labels: Labels,
    /// Where the server is reached; templates can read it.
    pub external_url: String,
}

/// What one step changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Changes of alerts, by group, rule and labels.
    pub transitions: Vec<Transition>,
    /// Rules that could not be evaluated.
    pub failures: Vec<RuleFailure>,
}

/// A rule that could not be evaluated. Its alerts and series stay as they were, unless it exceeded its limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group {group}, rule {rule}: {message}")]
pub struct RuleFailure {
    /// The name of the group.
    pub group: String,
    /// The name of the rule.
    pub rule: String,
    /// Why.
    pub message: String,
}

/// A rule with its state.
#[derive(Debug)]
enum Worker {
    Record(Recorder),
    Alert(Box<Alerter>),
}

impl Worker {
    fn query(&self) -> &Query {
        match self {
            Self::Record(recorder) => &recorder.rule.query,
            Self::Alert(alerter) => &alerter.rule.query,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Record(recorder) => &recorder.rule.name,
            Self::Alert(alerter) => &alerter.rule.name,
        }
    }
}

#[derive(Debug)]
struct RunningGroup {
    file: Arc<str>,
    name: Arc<str>,
    interval_ms: i64,
    phase_ms: i64,
    offset_ms: i64,
    rules: Vec<Worker>,
}

/// Rule files at work on one database.
#[derive(Debug)]
pub struct Alerts {
    context: Context,
    groups: Vec<RunningGroup>,
}

impl Alerts {
    /// Starts with all alerts inactive. Groups are evaluated in the order of the files and, in a file, of its groups.
    pub fn new(files: Vec<RuleFile>, settings: AlertSettings) -> Self {
        let interval_ms = settings.interval_ms.max(1);
        let mut groups = Vec::new();
        for file in files {
            let name: Arc<str> = Arc::from(file.name);
            let new = |group| RunningGroup::new(&name, group, interval_ms, settings.phase_ms);
            groups.extend(file.groups.into_iter().map(new));
        }
        let context = Context {
            engine: Engine::new(settings.query),
            external_labels: settings.external_labels,
            external_url: settings.external_url,
            queries: RefCell::default(),
        };
        Self { context, groups }
    }

    /// Has one group evaluated at multiples of its interval plus `phase_ms`. A server derives it from a hash of the group's
    /// name and file, so each has its own. A group that there is not is no error.
    pub fn shift(&mut self, file: &str, group: &str, phase_ms: i64) {
        let those = |running: &&mut RunningGroup| (&*running.file, &*running.name) == (file, group);
        for group in self.groups.iter_mut().filter(those) {
            group.phase_ms = phase_ms;
        }
    }

    /// Tells the database how long it must keep the samples of each metric that rules read.
    pub fn prepare(&self, database: &mut Database) {
        let mut reach: BTreeMap<String, i64> = BTreeMap::new();
        for group in &self.groups {
            // Samples of one more interval may be there before the evaluation that reads the oldest.
            let slack_ms = group.offset_ms + group.interval_ms;
            for query in group.queries() {
                for (metric, own_ms) in query.reach_by_metric(self.context.engine.settings()) {
                    let longest = reach.entry(metric).or_default();
                    *longest = (*longest).max(own_ms + slack_ms);
                }
            }
        }
        for (metric, reach_ms) in reach {
            database.retain(&metric, reach_ms);
        }
    }

    /// The metrics that rules and their templates read and no rule writes: what must be stored for them. `any` says that some
    /// selector names no metric, so that everything must.
    pub fn metrics(&self) -> MetricNames {
        let mut read = MetricNames::default();
        let mut written: BTreeSet<&str> = BTreeSet::from(["ALERTS", "ALERTS_FOR_STATE"]);
        for group in &self.groups {
            for query in group.queries() {
                let metrics = query.metrics();
                read.names.extend(metrics.names);
                read.any |= metrics.any;
            }
            written.extend(
                group
                    .rules
                    .iter()
                    .filter(|rule| matches!(rule, Worker::Record(_)))
                    .map(Worker::name),
            );
        }
        read.names.retain(|name| !written.contains(name.as_str()));
        read
    }

    /// Whether some group is to be evaluated at this time.
    pub fn due(&self, at: TimestampMs) -> bool {
        self.groups.iter().any(|group| group.is_due(at))
    }

    /// The next time after `at` at which some group is to be evaluated; the end of time if there is no group.
    pub fn next_after(&self, at: TimestampMs) -> TimestampMs {
        let next = |group: &RunningGroup| {
            at + group.interval_ms - (at - group.phase_ms).rem_euclid(group.interval_ms)
        };
        self.groups.iter().map(next).min().unwrap_or(TimestampMs::MAX)
    }

    /// Evaluates the groups that are due at `at`: each rule sees what those before it wrote at the same time.
    /// Times must grow from call to call, and the database must be the same.
    pub fn step(&mut self, database: &mut Database, at: TimestampMs) -> Step {
        let mut step = Step::default();
        for group in self.groups.iter_mut().filter(|group| group.is_due(at)) {
            let evaluation = Evaluation { context: &self.context, at, offset_ms: group.offset_ms };
            for rule in &mut group.rules {
                let done = match rule {
                    Worker::Record(recorder) => recorder.step(evaluation, database),
                    Worker::Alert(alerter) => {
                        alerter.step(evaluation, database, &mut step.transitions)
                    }
                };
                if let Err(message) = done {
                    let (group, rule) = (group.name.to_string(), rule.name().to_owned());
                    step.failures.push(RuleFailure { group, rule, message });
                }
            }
        }
        step
    }

    /// Pending and firing alerts, by group, rule and labels.
    pub fn active(&self) -> impl Iterator<Item = &ActiveAlert> {
        let rules = self.groups.iter().flat_map(|group| &group.rules);
        rules
            .filter_map(|rule| match rule {
                Worker::Alert(alerter) => Some(alerter.machine.active()),
                Worker::Record(_) => None,
            })
            .flatten()
    }
}

impl RunningGroup {
    fn new(file: &Arc<str>, group: Group, interval_ms: i64, phase_ms: i64) -> Self {
        let name: Arc<str> = Arc::from(group.name);
        let limit = group.limit;
        let worker = |rule| match rule {
            Rule::Record(rule) => Worker::Record(Recorder::new(rule, limit)),
            Rule::Alert(rule) => {
                let machine = Machine::new(&name, &rule, limit);
                Worker::Alert(Box::new(Alerter::new(rule, machine)))
            }
        };
        let rules = group.rules.into_iter().map(worker).collect();
        let interval_ms = group.interval_ms.unwrap_or(interval_ms);
        let (file, offset_ms) = (Arc::clone(file), group.query_offset_ms);
        Self { file, name: Arc::clone(&name), interval_ms, phase_ms, offset_ms, rules }
    }

    fn is_due(&self, at: TimestampMs) -> bool {
        (at - self.phase_ms).rem_euclid(self.interval_ms) == 0
    }

    /// The queries of rules and, as far as their texts tell, of templates.
    fn queries(&self) -> Vec<Query> {
        let mut queries = Vec::new();
        for rule in &self.rules {
            queries.push(rule.query().clone());
            if let Worker::Alert(alerter) = rule {
                let templates =
                    alerter.rule.labels.values().chain(alerter.rule.annotations.values());
                queries.extend(templates.flat_map(super::Template::queries));
            }
        }
        queries
    }
}
