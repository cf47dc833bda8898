//! Evaluation of queries.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::TimestampMs;
use crate::database::Database;
use crate::labels::Labels;
use crate::query::plan::Expr;
use crate::query::{Query, ValueType};

mod aggregate;
mod binary;
mod cache;
mod calendar;
mod calls;
mod elementwise;
mod eval;
mod histogram;
mod math;
mod over_range;
mod ranking;
mod rate;
mod relabel;
mod select;
mod sorting;
mod subquery;

use cache::QueryCache;
use eval::Evaluator;

/// Whose behavior to copy where versions of Prometheus differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus 2.42: ranges and lookback include their start, and sums of an aggregation are plain.
    V2,
    /// Prometheus 3: ranges and lookback exclude their start, and sums are compensated.
    #[default]
    V3,
}

/// What a server is told by flags and by its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The version to behave like.
    pub dialect: Dialect,
    /// How long a sample counts as current.
    pub lookback_ms: i64,
    /// The step of a subquery that names none: the global evaluation interval.
    pub subquery_step_ms: i64,
}

impl Default for Settings {
    /// Prometheus' own defaults: lookback of five minutes, evaluation every minute.
    fn default() -> Self {
        Self { dialect: Dialect::V3, lookback_ms: 300_000, subquery_step_ms: 60_000 }
    }
}

/// Why a query that parsed has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    message: String,
}

impl EvalError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// One series of a range vector, or of a range query's result.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its samples, in order of time.
    pub points: Vec<(TimestampMs, f64)>,
}

/// What an instant query returns.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number without labels.
    Scalar(f64),
    /// Samples of one time.
    Vector(Vec<Sample>),
    /// Series over a range of time.
    Matrix(Vec<RangeSeries>),
    /// A text.
    String(String),
}

/// How many queries an engine remembers something of before it starts again. Chosen: rule files have some hundred expressions.
const CACHED_QUERIES: usize = 1_024;

/// Evaluates queries, and keeps what successive evaluations have in common.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    caches: RefCell<BTreeMap<u64, QueryCache>>,
}

impl Engine {
    /// An engine with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings, caches: RefCell::default() }
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The result of a query at one time.
    pub fn instant(
        &self,
        query: &Query,
        database: &Database,
        time: TimestampMs,
    ) -> Result<Value, EvalError> {
        self.evaluate(query, database, (time, time), |evaluator| evaluator.value(query, time))
    }

    /// The results of a query every `step_ms`, from the start of a range to its end, both included; series sorted by labels.
    pub fn range(
        &self,
        query: &Query,
        database: &Database,
        times: RangeInclusive<TimestampMs>,
        step_ms: i64,
    ) -> Result<Vec<RangeSeries>, EvalError> {
        if step_ms <= 0 {
            return Err(EvalError::new(
                "zero or negative query resolution step widths are not accepted",
            ));
        }
        if !matches!(query.value_type(), ValueType::Vector | ValueType::Scalar) {
            return Err(EvalError::new("a range query must be a scalar or an instant vector"));
        }
        let (start, end) = times.into_inner();
        let mut series: IndexMap<Labels, Vec<(TimestampMs, f64)>, FxBuildHasher> =
            IndexMap::default();
        self.evaluate(query, database, (start, end), |evaluator| {
            let mut time = start;
            while time <= end {
                let vector = match evaluator.value(query, time)? {
                    Value::Vector(vector) => vector,
                    Value::Scalar(value) => vec![Sample { labels: Labels::empty(), value }],
                    Value::Matrix(_) | Value::String(_) => Vec::new(),
                };
                for sample in vector {
                    series.entry(sample.labels).or_default().push((time, sample.value));
                }
                time += step_ms;
            }
            Ok(())
        })?;
        let mut series: Vec<_> =
            series.into_iter().map(|(labels, points)| RangeSeries { labels, points }).collect();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }

    fn evaluate<T>(
        &self,
        query: &Query,
        database: &Database,
        bounds: (TimestampMs, TimestampMs),
        evaluation: impl FnOnce(&mut Evaluator<'_>) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        let known = self.caches.borrow_mut().remove(&query.identity());
        let mut cache = known.unwrap_or_else(|| QueryCache::new(query.nodes()));
        let mut evaluator =
            Evaluator { database, settings: &self.settings, cache: &mut cache, bounds };
        let result = evaluation(&mut evaluator);
        let mut caches = self.caches.borrow_mut();
        if caches.len() >= CACHED_QUERIES {
            caches.clear();
        }
        caches.insert(query.identity(), cache);
        result
    }
}

impl Evaluator<'_> {
    fn value(&mut self, query: &Query, time: TimestampMs) -> Result<Value, EvalError> {
        match query.value_type() {
            ValueType::Scalar => self.scalar(query.plan(), time).map(Value::Scalar),
            ValueType::Vector => self.vector(query.plan(), time).map(Value::Vector),
            ValueType::Matrix => self.matrix(query.plan(), time).map(Value::Matrix),
            ValueType::String => match query.plan() {
                Expr::Text(text) => Ok(Value::String(text.clone())),
                _ => Err(EvalError::new("expected a string")),
            },
        }
    }
}
