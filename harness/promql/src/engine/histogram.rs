//! Classic histograms: series with a `le` label that count what is at most that large.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::eval::Evaluator;
use super::{Dialect, EvalError, Sample};
use crate::TimestampMs;
use crate::labels::{Labels, METRIC_NAME};
use crate::query::Function;
use crate::query::plan::Call;

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";

/// How far apart two buckets may be, relative to their sum, and still count as rounding errors. Prometheus' own figure.
const SMALL_DELTA: f64 = 1e-12;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    bound: f64,
    count: f64,
}

impl Evaluator<'_> {
    pub(super) fn histogram(
        &mut self,
        call: &Call,
        time: TimestampMs,
    ) -> Result<Vec<Sample>, EvalError> {
        let first = self.scalar(&call.arguments[0], time)?;
        let is_quantile = call.function == Function::HistogramQuantile;
        let second = if is_quantile { 0.0 } else { self.scalar(&call.arguments[1], time)? };
        let vector = self.vector(&call.arguments[if is_quantile { 1 } else { 2 }], time)?;
        let dialect = self.settings.dialect;
        let cache = self.cache.node(call.node);
        let mut histograms: IndexMap<Labels, Vec<Bucket>, FxBuildHasher> = IndexMap::default();
        let mut nth = 0;
        for sample in &vector {
            let Some(bound) = sample.labels.get(BOUND).and_then(parse_bound) else { continue };
            let group = cache.renamed.get(nth, &sample.labels, |labels| labels.without(BOUND));
            histograms.entry(group).or_default().push(Bucket { bound, count: sample.value });
            nth += 1;
        }
        let result = |(labels, buckets): (Labels, Vec<Bucket>)| {
            let value = if is_quantile {
                quantile(first, buckets, dialect)
            } else {
                fraction((first, second), buckets)
            };
            Sample { labels: labels.without(METRIC_NAME), value }
        };
        let results: Vec<Sample> = histograms.into_iter().map(result).collect();
        cache.unique.check(&results)?;
        Ok(results)
    }
}

fn parse_bound(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Sorted, with equal bounds added up; nothing if the last bucket is not that of everything.
fn complete(mut buckets: Vec<Bucket>) -> Option<Vec<Bucket>> {
    buckets.sort_by(|a, b| a.bound.partial_cmp(&b.bound).unwrap_or(std::cmp::Ordering::Equal));
    if buckets.last()?.bound != f64::INFINITY {
        return None;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.bound.total_cmp(&kept.bound).is_eq();
        if same {
            kept.count += next.count;
        }
        same
    });
    Some(buckets)
}

/// Counts must not fall from bucket to bucket, but rates of buckets that were not scraped at once do.
fn force_monotonic(buckets: &mut [Bucket], dialect: Dialect) {
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count < previous || (dialect == Dialect::V3 && almost_equal(previous, count)) {
            bucket.count = previous;
        } else {
            previous = count;
        }
    }
}

fn almost_equal(a: f64, b: f64) -> bool {
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if difference <= 0.0 {
        return true;
    }
    if a.abs() <= 0.0 || b.abs() <= 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

fn quantile(q: f64, buckets: Vec<Bucket>, dialect: Dialect) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let Some(mut buckets) = complete(buckets) else { return f64::NAN };
    force_monotonic(&mut buckets, dialect);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations.abs() <= 0.0 {
        return f64::NAN;
    }
    let mut rank = q * observations;
    // Written as Go's search asks, so that not a number goes to the last bucket.
    #[expect(
        clippy::neg_cmp_op_on_partial_ord,
        reason = "a count that is not a number is not at least the rank"
    )]
    let at = buckets[..last].partition_point(|bucket| !(bucket.count >= rank));
    if at == last {
        return buckets[last - 1].bound;
    }
    if at == 0 && buckets[0].bound <= 0.0 {
        return buckets[0].bound;
    }
    let (mut start, mut count) = (0.0, buckets[at].count);
    if at > 0 {
        start = buckets[at - 1].bound;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    start + (buckets[at].bound - start) * (rank / count)
}

/// The share of observations between two values.
fn fraction((lower, upper): (f64, f64), buckets: Vec<Bucket>) -> f64 {
    let Some(buckets) = complete(buckets) else { return f64::NAN };
    let count = buckets[buckets.len() - 1].count;
    if count.abs() <= 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, &buckets, count) - rank_of(lower, &buckets, count)) / count
}

/// How many observations are below a value, linear within a bucket.
fn rank_of(value: f64, buckets: &[Bucket], all: f64) -> f64 {
    let mut start = if buckets[0].bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank: f64 = 0.0;
    for bucket in buckets {
        if start >= value {
            return rank.min(all);
        }
        if bucket.bound > value {
            let inside = if start == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (value - start) / (bucket.bound - start)
            };
            return if inside > all { all } else { inside };
        }
        rank = bucket.count;
        start = bucket.bound;
    }
    all
}
