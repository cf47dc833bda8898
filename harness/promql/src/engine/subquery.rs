//! Subqueries: an instant query at each step of a range.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::eval::Evaluator;
use super::{EvalError, Sample};
use crate::TimestampMs;
use crate::labels::Labels;
use crate::query::plan::Subquery;

/// The samples of one resulting series.
#[derive(Debug, Default)]
pub(super) struct Assembled {
    pub(super) times: Vec<TimestampMs>,
    pub(super) values: Vec<f64>,
}

pub(super) type AssembledSeries = IndexMap<Labels, Assembled, FxBuildHasher>;

impl Evaluator<'_> {
    /// Evaluates the steps, which lie on multiples of the step since 1970, and sorts the results into series.
    pub(super) fn subquery(
        &mut self,
        subquery: &Subquery,
        time: TimestampMs,
    ) -> Result<AssembledSeries, EvalError> {
        let end = self.resolve(subquery.moment, time);
        let start = end - subquery.range_ms;
        let step = subquery.step_ms.unwrap_or(self.settings.subquery_step_ms);
        let mut at = step * (start / step);
        if at < start + self.open_start() {
            at += step;
        }
        let mut steps = std::mem::take(&mut self.cache.node(subquery.node).steps);
        if steps.past != Some(self.database.past()) {
            steps.past = Some(self.database.past());
            steps.results.clear();
        }
        // Evaluations mostly move forward, so what lies before this range is not needed again.
        steps.results = steps.results.split_off(&at);
        let mut series = AssembledSeries::default();
        let mut order = Vec::new();
        while at <= end {
            if let Some(known) = steps.results.get(&at) {
                append(&mut series, &mut order, known, at);
            } else {
                let vector = self.vector(&subquery.inner, at)?;
                append(&mut series, &mut order, &vector, at);
                if subquery.lookahead_ms.is_some_and(|ahead| at + ahead < self.database.settled()) {
                    steps.results.insert(at, vector);
                }
            }
            at += step;
        }
        self.cache.node(subquery.node).steps = steps;
        Ok(series)
    }
}

/// Adds one step. `order` says to which series the n-th element of the last step went: mostly, that of this one goes there too.
fn append(
    series: &mut AssembledSeries,
    order: &mut Vec<usize>,
    vector: &[Sample],
    time: TimestampMs,
) {
    for (nth, sample) in vector.iter().enumerate() {
        let same = order.get(nth).copied().filter(|at| {
            series.get_index(*at).is_some_and(|(labels, _)| labels.is_same(&sample.labels))
        });
        let at = same.unwrap_or_else(|| {
            let entry = series.entry(sample.labels.clone());
            let at = entry.index();
            entry.or_default();
            at
        });
        if nth < order.len() {
            order[nth] = at;
        } else {
            order.push(at);
        }
        series[at].times.push(time);
        series[at].values.push(sample.value);
    }
}
