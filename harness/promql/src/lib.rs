//! Prometheus' query language, rule files and alert states, as Prometheus has them. Knows nothing of Relapse.

pub mod database;
pub mod engine;
pub mod labels;
pub mod query;
pub mod rules;

pub use database::{Database, STALE, SeriesId, is_stale};
pub use engine::{Dialect, Engine, EvalError, RangeSeries, Sample, Settings, Value};
pub use labels::{Labels, METRIC_NAME};
pub use query::{LabelNames, MetricNames, ParseError, Query, Selector};
pub use query::{Shape, UnknownLabel, ValueType};

/// Milliseconds since 1970, as Prometheus counts.
pub type TimestampMs = i64;
