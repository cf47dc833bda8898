//! Aggregations over the elements of an instant vector.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::eval::Evaluator;
use super::math::{Kahan, Mean, number, quantile};
use super::ranking::Ranking;
use super::{Dialect, EvalError, Sample};
use crate::TimestampMs;
use crate::labels::{Labels, METRIC_NAME};
use crate::query::plan::{Aggregate, Aggregator, Expr, Grouping};

impl Grouping {
    /// The labels that identify the group.
    pub(super) fn key(&self, labels: &Labels) -> Labels {
        match self {
            Self::By(names) => labels.keeping(|name| names.iter().any(|known| known == name)),
            Self::Without(names) => labels
                .keeping(|name| name != METRIC_NAME && !names.iter().any(|known| known == name)),
        }
    }
}

impl Evaluator<'_> {
    pub(super) fn aggregate(
        &mut self,
        aggregate: &Aggregate,
        time: TimestampMs,
    ) -> Result<Vec<Sample>, EvalError> {
        let parameter = match &aggregate.parameter {
            None | Some(Expr::Text(_)) => 0.0,
            Some(parameter) => self.scalar(parameter, time)?,
        };
        match aggregate.operator {
            Aggregator::CountValues => {
                let vector = self.vector(&aggregate.operand, time)?;
                self.count_values(aggregate, &vector)
            }
            Aggregator::TopK | Aggregator::BottomK => {
                let vector = self.vector(&aggregate.operand, time)?;
                self.rank(aggregate, vector, parameter)
            }
            _ => self.accumulate(aggregate, time, parameter),
        }
    }

    fn accumulate(
        &mut self,
        aggregate: &Aggregate,
        time: TimestampMs,
        parameter: f64,
    ) -> Result<Vec<Sample>, EvalError> {
        let start = Accumulator::new(aggregate.operator, self.settings.dialect, parameter);
        let mut groups = std::mem::take(&mut self.cache.node(aggregate.node).groups);
        let mut accumulators: Vec<Option<Accumulator>> = Vec::new();
        let mut order = Vec::new();
        let mut nth = 0;
        let done = self.each(&aggregate.operand, time, |labels, value| {
            let keys = &mut groups.keys;
            let group = groups
                .members
                .get(nth, labels, |labels| keys.insert_full(aggregate.grouping.key(labels)).0);
            nth += 1;
            if group >= accumulators.len() {
                accumulators.resize_with(group + 1, || None);
            }
            match &mut accumulators[group] {
                Some(accumulator) => accumulator.add(value),
                empty => {
                    *empty = Some(start.with_first(value));
                    order.push(group);
                }
            }
        });
        let result = |group: &usize| {
            let value = accumulators[*group].take()?.result();
            Some(Sample { labels: groups.keys[*group].clone(), value })
        };
        let vector = order.iter().filter_map(result).collect();
        self.cache.node(aggregate.node).groups = groups;
        done.map(|()| vector)
    }

    /// Visits the elements of an instant vector. What is only read once is not collected first: to count a reference to the
    /// labels of every series costs more than to add its value.
    fn each(
        &mut self,
        expr: &Expr,
        time: TimestampMs,
        mut visit: impl FnMut(&Labels, f64),
    ) -> Result<(), EvalError> {
        match expr {
            Expr::Select(selection) => {
                self.each_current(selection, time, |labels, _, value| visit(labels, value));
            }
            _ => match Self::of_one_metric(expr) {
                Some(call) => {
                    self.each_over_range(call, time, visit)?;
                }
                None => {
                    for sample in self.vector(expr, time)? {
                        visit(&sample.labels, sample.value);
                    }
                }
            },
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    fn rank(
        &mut self,
        aggregate: &Aggregate,
        vector: Vec<Sample>,
        k: f64,
    ) -> Result<Vec<Sample>, EvalError> {
        // Go turns a number into an integer only if it fits into 63 bits and a sign, which not a number does not.
        let limit = -(i64::MIN as f64);
        if !(-limit..limit).contains(&k) {
            return Err(EvalError::new(format!("Scalar value {k} overflows int64")));
        }
        if k < 1.0 {
            return Ok(Vec::new());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked: 1 or more, and 64 bits wide"
        )]
        let k = (k as u64).min(vector.len() as u64) as usize;
        let dialect = self.settings.dialect;
        let groups = &mut self.cache.node(aggregate.node).groups;
        let mut rankings: IndexMap<usize, Ranking, FxBuildHasher> = IndexMap::default();
        for (nth, sample) in vector.into_iter().enumerate() {
            let keys = &mut groups.keys;
            let group = groups.members.get(nth, &sample.labels, |labels| {
                keys.insert_full(aggregate.grouping.key(labels)).0
            });
            let largest = aggregate.operator == Aggregator::TopK;
            rankings.entry(group).or_insert_with(|| Ranking::new(k, largest, dialect)).add(sample);
        }
        Ok(rankings.into_values().flat_map(Ranking::into_sorted).collect())
    }

    fn count_values(
        &mut self,
        aggregate: &Aggregate,
        vector: &[Sample],
    ) -> Result<Vec<Sample>, EvalError> {
        let Some(Expr::Text(label)) = &aggregate.parameter else {
            return Err(EvalError::new("count_values needs a label name"));
        };
        if !is_label_name(label, self.settings.dialect) {
            return Err(EvalError::new(format!(
                "invalid label name {}",
                crate::labels::quote(label)
            )));
        }
        let mut grouping = aggregate.grouping.clone();
        if let Grouping::By(names) = &mut grouping {
            names.push(label.clone());
        }
        let mut counts: IndexMap<Labels, usize, FxBuildHasher> = IndexMap::default();
        for sample in vector {
            let labels = sample.labels.with(label, &format_value(sample.value));
            *counts.entry(grouping.key(&labels)).or_insert(0) += 1;
        }
        Ok(counts
            .into_iter()
            .map(|(labels, count)| Sample { labels, value: number(count) })
            .collect())
    }
}

/// Prometheus 2 knows the old names only; since 3, any text but the empty one names a label.
pub(super) fn is_label_name(name: &str, dialect: Dialect) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match dialect {
        Dialect::V3 => !name.is_empty(),
        Dialect::V2 => {
            !name.is_empty()
                && name.chars().all(plain)
                && !name.starts_with(|c: char| c.is_ascii_digit())
        }
    }
}

/// A value as `count_values` writes it into a label: as short as possible, never with an exponent.
fn format_value(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".into()
    } else if value == f64::NEG_INFINITY {
        "-Inf".into()
    } else {
        value.to_string()
    }
}

/// The state of one group.
#[derive(Clone, Debug)]
enum Accumulator {
    Sum { sum: Kahan, dialect: Dialect },
    Avg(Mean),
    Min(f64),
    Max(f64),
    Count(f64),
    Group,
    Variance { mean: f64, squares: f64, count: f64, root: bool, dialect: Dialect },
    Quantile { q: f64, values: Vec<f64> },
}

impl Accumulator {
    fn new(operator: Aggregator, dialect: Dialect, parameter: f64) -> Self {
        let variance = |root| Self::Variance { mean: 0.0, squares: 0.0, count: 0.0, root, dialect };
        match operator {
            Aggregator::Sum => Self::Sum { sum: Kahan::default(), dialect },
            Aggregator::Avg => Self::Avg(Mean::new(0.0, dialect, true)),
            Aggregator::Min => Self::Min(0.0),
            Aggregator::Max => Self::Max(0.0),
            Aggregator::Count => Self::Count(0.0),
            Aggregator::Stddev => variance(true),
            Aggregator::Stdvar => variance(false),
            Aggregator::Quantile => Self::Quantile { q: parameter, values: Vec::new() },
            _ => Self::Group,
        }
    }

    /// The state after the first value.
    fn with_first(&self, value: f64) -> Self {
        match self {
            Self::Sum { dialect, .. } => {
                Self::Sum { sum: Kahan { sum: value, lost: 0.0 }, dialect: *dialect }
            }
            Self::Avg(empty) => Self::Avg(empty.restart(value)),
            Self::Min(_) => Self::Min(value),
            Self::Max(_) => Self::Max(value),
            Self::Count(_) => Self::Count(1.0),
            Self::Group => Self::Group,
            Self::Variance { root, dialect, .. } => {
                let odd = !value.is_finite() && *dialect == Dialect::V3;
                let squares = if odd { f64::NAN } else { 0.0 };
                Self::Variance { mean: value, squares, count: 1.0, root: *root, dialect: *dialect }
            }
            Self::Quantile { q, .. } => Self::Quantile { q: *q, values: vec![value] },
        }
    }

    #[inline]
    fn add(&mut self, value: f64) {
        match self {
            Self::Sum { sum, dialect: Dialect::V2 } => sum.sum += value,
            Self::Sum { sum, dialect } => *sum = sum.add(value, *dialect),
            Self::Avg(mean) => mean.add(value),
            Self::Min(least) => {
                if *least > value || least.is_nan() {
                    *least = value;
                }
            }
            Self::Max(most) => {
                if *most < value || most.is_nan() {
                    *most = value;
                }
            }
            Self::Count(count) => *count += 1.0,
            Self::Group => {}
            Self::Variance { mean, squares, count, .. } => {
                *count += 1.0;
                let delta = value - *mean;
                *mean += delta / *count;
                *squares += delta * (value - *mean);
            }
            Self::Quantile { values, .. } => values.push(value),
        }
    }

    fn result(self) -> f64 {
        match self {
            Self::Sum { sum, .. } => sum.sum + sum.lost,
            Self::Avg(mean) => mean.result(),
            Self::Min(value) | Self::Max(value) | Self::Count(value) => value,
            Self::Group => 1.0,
            Self::Variance { squares, count, root, .. } => {
                let variance = squares / count;
                if root { variance.sqrt() } else { variance }
            }
            Self::Quantile { q, mut values } => quantile(q, &mut values),
        }
    }
}
