//! One rule at work: it evaluates, writes series, and remembers which.

use std::cell::RefCell;
use std::collections::BTreeMap;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::file::{AlertingRule, RecordingRule};
use super::state::{Element, Machine, State, Transition};
use super::template::TemplateData;
use crate::{Database, Engine, Labels, METRIC_NAME, Query, Sample, SeriesId, TimestampMs, Value};

/// What evaluations need besides the database.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) engine: Engine,
    pub(super) external_labels: Labels,
    pub(super) external_url: String,
    /// The queries of templates, parsed once.
    pub(super) queries: RefCell<BTreeMap<String, Query>>,
}

impl Context {
    /// Evaluates as rules do: a scalar counts as one element without labels.
    fn query(
        &self,
        query: &Query,
        database: &Database,
        at: TimestampMs,
    ) -> Result<Vec<Sample>, String> {
        match self.engine.instant(query, database, at).map_err(|error| error.to_string())? {
            Value::Vector(samples) => Ok(samples),
            Value::Scalar(value) => Ok(vec![Sample { labels: Labels::empty(), value }]),
            Value::Matrix(_) | Value::String(_) => {
                Err("rule result is not a vector or scalar".to_owned())
            }
        }
    }

    /// Evaluates what a template asks for.
    fn query_text(
        &self,
        text: &str,
        database: &Database,
        at: TimestampMs,
    ) -> Result<Vec<Sample>, String> {
        if let Some(query) = self.queries.borrow().get(text) {
            return self.query(query, database, at);
        }
        let query = Query::parse(text).map_err(|error| error.to_string())?;
        let result = self.query(&query, database, at);
        self.queries.borrow_mut().insert(text.to_owned(), query);
        result
    }
}

/// When a rule is evaluated, and with what.
#[derive(Clone, Copy)]
pub(super) struct Evaluation<'a> {
    pub(super) context: &'a Context,
    /// The evaluation time of the group.
    pub(super) at: TimestampMs,
    /// How many milliseconds before that queries are evaluated and series are written.
    pub(super) offset_ms: i64,
}

/// A recording rule at work.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) rule: RecordingRule,
    limit: usize,
    /// The series that an element of the result is written to, by the element's labels.
    series: IndexMap<Labels, SeriesId, FxBuildHasher>,
    written: Vec<SeriesId>,
}

impl Recorder {
    pub(super) fn new(rule: RecordingRule, limit: usize) -> Self {
        Self { rule, limit, series: IndexMap::default(), written: Vec::new() }
    }

    pub(super) fn step(
        &mut self,
        evaluation: Evaluation<'_>,
        database: &mut Database,
    ) -> Result<(), String> {
        let time = evaluation.at - evaluation.offset_ms;
        let result = evaluation.context.query(&self.rule.query, database, time)?;
        let mut samples = Vec::with_capacity(result.len());
        for Sample { labels, value } in &result {
            let id = match self.series.get(labels) {
                Some(id) => *id,
                None => {
                    let id = database.series(&self.output(labels));
                    self.series.insert(labels.clone(), id);
                    id
                }
            };
            samples.push((id, *value));
        }
        let mut written: Vec<SeriesId> = samples.iter().map(|(id, _)| *id).collect();
        written.sort_unstable();
        if written.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(
                "vector contains metrics with the same labelset after applying rule labels"
                    .to_owned(),
            );
        }
        if self.limit > 0 && samples.len() > self.limit {
            return Err(format!("exceeded limit of {} with {} series", self.limit, samples.len()));
        }
        write(database, time, &samples, &mut self.written, written);
        Ok(())
    }

    /// The labels of the series that an element is written to.
    fn output(&self, element: &Labels) -> Labels {
        let own = self.rule.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        element.iter().chain([(METRIC_NAME, self.rule.name.as_str())]).chain(own).collect()
    }
}

/// The series that say how an alert is.
#[derive(Clone, Copy, Debug)]
struct AlertSeries {
    pending: SeriesId,
    firing: SeriesId,
    since: SeriesId,
}

/// An alerting rule at work.
#[derive(Debug)]
pub(super) struct Alerter {
    pub(super) rule: AlertingRule,
    pub(super) machine: Machine,
    /// The series of an alert, by its labels.
    series: IndexMap<Labels, AlertSeries, FxBuildHasher>,
    /// The labels of the alert of an element, by the element's; only if the rule's own labels are the same for all.
    outputs: IndexMap<Labels, Labels, FxBuildHasher>,
    written: Vec<SeriesId>,
}

impl Alerter {
    pub(super) fn new(rule: AlertingRule, machine: Machine) -> Self {
        Self {
            rule,
            machine,
            series: IndexMap::default(),
            outputs: IndexMap::default(),
            written: Vec::new(),
        }
    }

    pub(super) fn step(
        &mut self,
        evaluation: Evaluation<'_>,
        database: &mut Database,
        changes: &mut Vec<Transition>,
    ) -> Result<(), String> {
        let time = evaluation.at - evaluation.offset_ms;
        let elements = self.elements(evaluation, database)?;
        self.machine.step(evaluation.at, elements, changes)?;
        let mut samples = Vec::new();
        for alert in self.machine.active() {
            let series = match self.series.get(&alert.labels) {
                Some(series) => *series,
                None => {
                    let series = alert_series(&self.rule, &alert.labels, database);
                    self.series.insert(alert.labels.clone(), series);
                    series
                }
            };
            samples.push((
                if alert.state == State::Firing { series.firing } else { series.pending },
                1.0,
            ));
            #[expect(
                clippy::cast_precision_loss,
                reason = "seconds since 1970 are far below 2^53"
            )]
            samples.push((series.since, alert.active_at.div_euclid(1_000) as f64));
        }
        let mut written: Vec<SeriesId> = samples.iter().map(|(id, _)| *id).collect();
        written.sort_unstable();
        write(database, time, &samples, &mut self.written, written);
        Ok(())
    }

    /// The elements of the result by the labels of their alerts.
    fn elements(
        &mut self,
        evaluation: Evaluation<'_>,
        database: &Database,
    ) -> Result<BTreeMap<Labels, Element>, String> {
        let Evaluation { context, at, offset_ms } = evaluation;
        let query = |text: &str, at: TimestampMs| context.query_text(text, database, at);
        let mut elements = BTreeMap::new();
        for Sample { labels, value } in context.query(&self.rule.query, database, at - offset_ms)? {
            let data = TemplateData {
                labels: &labels,
                external_labels: &context.external_labels,
                external_url: &context.external_url,
                value,
                at,
                query: &query,
            };
            let annotations = self
                .rule
                .annotations
                .iter()
                .map(|(name, template)| (name.clone(), template.expand(&data)))
                .collect();
            let element = Element { annotations, value };
            if elements.insert(self.output(&data), element).is_some() {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels"
                        .to_owned(),
                );
            }
        }
        Ok(elements)
    }

    /// The labels of an element's alert.
    fn output(&mut self, data: &TemplateData<'_>) -> Labels {
        if let Some(known) = self.outputs.get(data.labels) {
            return known.clone();
        }
        let own =
            self.rule.labels.iter().map(|(name, template)| (name.clone(), template.expand(data)));
        let element = data.labels.iter().filter(|(name, _)| *name != METRIC_NAME);
        let element = element.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let name = ("alertname".to_owned(), self.rule.name.clone());
        let output: Labels = element.chain(own).chain([name]).collect();
        if self.rule.labels.values().all(super::Template::is_plain) {
            self.outputs.insert(data.labels.clone(), output.clone());
        }
        output
    }
}

/// The series of an alert. Where a template of the rule's labels became empty, Prometheus leaves its text in them.
fn alert_series(rule: &AlertingRule, alert: &Labels, database: &mut Database) -> AlertSeries {
    let own = rule.labels.iter().map(|(name, template)| (name.as_str(), template.text()));
    let base: Labels = own.chain(alert.iter()).chain([("alertname", rule.name.as_str())]).collect();
    let mut state = |state: State| {
        database.series(&base.with(METRIC_NAME, "ALERTS").with("alertstate", state.name()))
    };
    let (pending, firing) = (state(State::Pending), state(State::Firing));
    AlertSeries {
        pending,
        firing,
        since: database.series(&base.with(METRIC_NAME, "ALERTS_FOR_STATE")),
    }
}

/// Writes samples, and ends the series that were written before and are not now. Both lists of ids are sorted.
fn write(
    database: &mut Database,
    time: TimestampMs,
    samples: &[(SeriesId, f64)],
    before: &mut Vec<SeriesId>,
    now: Vec<SeriesId>,
) {
    for (id, value) in samples {
        database.append(*id, time, *value);
    }
    for id in before.iter().filter(|id| now.binary_search(id).is_err()) {
        database.mark_stale(*id, time);
    }
    *before = now;
}
