//! Series and their samples: what queries read.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;

use crate::TimestampMs;
use crate::labels::{Labels, METRIC_NAME};

/// The value that ends a series: a NaN with the bits that Prometheus chose for it.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value is the stale marker, not just any NaN.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// How much time passes between two passes of [`Database::forget_before`] over all series. Chosen: a pass every 20 scrapes of
/// 15 s costs nothing that a profile shows, and five more minutes of samples are little beside the hours that rules look back.
const FORGET_EVERY_MS: TimestampMs = 300_000;

/// How late a sample may come without what is known of the past being forgotten. Chosen: a scrape is over within its interval,
/// which is at most a minute everywhere, and its samples carry the time at which it began.
pub(crate) const LATE_MS: TimestampMs = 60_000;

/// A series of one [`Database`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(usize);

impl SeriesId {
    fn index(self) -> usize {
        self.0
    }
}

/// Series with their samples, in memory.
///
/// Series keep the order in which they were created, as in the head of a Prometheus server; queries visit them in that order.
#[derive(Debug)]
pub struct Database {
    identity: u64,
    ids: IndexSet<Labels, FxBuildHasher>,
    series: Vec<Series>,
    metrics: IndexMap<Box<str>, Metric, FxBuildHasher>,
    newest: TimestampMs,
    disorder: u64,
    forgotten: TimestampMs,
}

#[derive(Debug)]
pub(crate) struct Series {
    /// All labels.
    pub(crate) labels: Labels,
    /// The labels without the metric name, kept because most functions return them.
    pub(crate) bare: Labels,
    pub(crate) times: Vec<TimestampMs>,
    pub(crate) values: Vec<f64>,
    /// Whether it ever got a stale marker.
    pub(crate) ended: bool,
}

#[derive(Debug, Default)]
struct Metric {
    ids: Vec<SeriesId>,
    reach_ms: i64,
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Database {
    /// A database without series.
    pub fn new() -> Self {
        // Engines keep caches for each database. The number only tells databases apart, nothing that is written depends on it.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            identity: NEXT.fetch_add(1, Ordering::Relaxed),
            ids: IndexSet::default(),
            series: Vec::new(),
            metrics: IndexMap::default(),
            newest: TimestampMs::MIN,
            disorder: 0,
            forgotten: TimestampMs::MIN,
        }
    }

    /// The series with these labels, created if there is none.
    pub fn series(&mut self, labels: &Labels) -> SeriesId {
        if let Some(at) = self.ids.get_index_of(labels) {
            return SeriesId(at);
        }
        let (at, _) = self.ids.insert_full(labels.clone());
        let id = SeriesId(at);
        self.metrics.entry(labels.metric().unwrap_or_default().into()).or_default().ids.push(id);
        self.series.push(Series {
            labels: labels.clone(),
            bare: labels.without(METRIC_NAME),
            times: Vec::new(),
            values: Vec::new(),
            ended: false,
        });
        id
    }

    /// Adds a sample. One that is not newer than the last of its series is ignored.
    pub fn append(&mut self, id: SeriesId, time: TimestampMs, value: f64) {
        let series = &mut self.series[id.index()];
        if series.times.last().is_some_and(|last| *last >= time) {
            return;
        }
        series.times.push(time);
        series.values.push(value);
        series.ended |= is_stale(value);
        if time < self.newest.saturating_sub(LATE_MS) {
            self.disorder += 1;
        }
        self.newest = self.newest.max(time);
    }

    /// Says that a series ended: from this time on it is absent, until it gets a sample again.
    pub fn mark_stale(&mut self, id: SeriesId, time: TimestampMs) {
        self.append(id, time, STALE);
    }

    /// The labels of a series.
    pub fn labels(&self, id: SeriesId) -> &Labels {
        &self.series[id.index()].labels
    }

    /// The series of a metric, in the order in which they were created.
    pub fn ids(&self, metric: &str) -> &[SeriesId] {
        self.metrics.get(metric).map_or(&[], |metric| &metric.ids)
    }

    /// The names of all metrics that ever had a series.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.metrics.keys().map(|name| &**name).filter(|name| !name.is_empty())
    }

    /// The newest sample of a series, which may be a stale marker.
    pub fn last(&self, id: SeriesId) -> Option<(TimestampMs, f64)> {
        let series = &self.series[id.index()];
        Some((*series.times.last()?, *series.values.last()?))
    }

    /// How many samples are in memory.
    pub fn samples(&self) -> usize {
        self.series.iter().map(|series| series.times.len()).sum()
    }

    /// Keeps the samples of a metric for so long before the newest sample of all, whatever [`Database::forget_before`] is told.
    /// Of two calls the longer reach counts.
    pub fn retain(&mut self, metric: &str, reach_ms: i64) {
        let metric = self.metrics.entry(metric.into()).or_default();
        metric.reach_ms = metric.reach_ms.max(reach_ms);
    }

    /// Drops samples older than `time`, except those that [`Database::retain`] holds. May be called as often as one likes: it
    /// works only every five minutes of the times it is given, and moves a series' samples only when half of them go.
    pub fn forget_before(&mut self, time: TimestampMs) {
        if time < self.forgotten.saturating_add(FORGET_EVERY_MS) {
            return;
        }
        self.forgotten = time;
        for metric in self.metrics.values() {
            let cutoff = match metric.reach_ms {
                0 => time,
                reach => time.min(self.newest.saturating_sub(reach)),
            };
            for id in &metric.ids {
                self.series[id.index()].forget_before(cutoff);
            }
        }
    }

    pub(crate) fn get(&self, id: SeriesId) -> &Series {
        &self.series[id.index()]
    }

    /// All series from the n-th on, in the order in which they were created.
    pub(crate) fn ids_from(&self, first: usize) -> impl Iterator<Item = SeriesId> {
        (first..self.series.len()).map(SeriesId)
    }

    /// Differs between databases.
    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }

    /// Changes when a sample comes so late that results for times before [`Database::settled`] may have changed.
    pub(crate) fn past(&self) -> (u64, u64) {
        (self.identity, self.disorder)
    }

    /// Before this time, nothing is expected to come.
    pub(crate) fn settled(&self) -> TimestampMs {
        self.newest.saturating_sub(LATE_MS)
    }
}

impl Series {
    fn forget_before(&mut self, time: TimestampMs) {
        let old = self.times.partition_point(|sample| *sample < time);
        if old * 2 >= self.times.len() && old > 0 {
            self.times.drain(..old);
            self.values.drain(..old);
        }
    }

    /// Where the samples later than `after` and not later than `until` are. `length` is how many there were in the last series,
    /// which is mostly how many there are here.
    #[inline]
    pub(crate) fn between(
        &self,
        after: TimestampMs,
        until: TimestampMs,
        length: usize,
    ) -> Range<usize> {
        let high = self.first_after(until);
        if let Some(low) = high.checked_sub(length)
            && length > 0
            && self.times[low] > after
            && low.checked_sub(1).is_none_or(|before| self.times[before] <= after)
        {
            return low..high;
        }
        self.first_after(after).min(high)..high
    }

    /// The index of the first sample later than `time`. Searches from the end, where nearly all queries look.
    pub(crate) fn first_after(&self, time: TimestampMs) -> usize {
        let len = self.times.len();
        let mut reach = 1;
        while reach < len && self.times[len - reach] > time {
            reach *= 2;
        }
        let low = len.saturating_sub(reach);
        let high = len - reach / 2;
        low + self.times[low..high].partition_point(|sample| *sample <= time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_in_order_of_time() {
        let mut database = Database::new();
        let id = database.series(&Labels::new([("__name__", "up")]));
        for (time, value) in [(10, 1.0), (10, 2.0), (5, 3.0), (20, 4.0)] {
            database.append(id, time, value);
        }
        assert_eq!(database.get(id).times, [10, 20]);
        assert_eq!(database.last(id), Some((20, 4.0)));
        assert_eq!(database.series(&Labels::new([("__name__", "up")])), id);
        assert_eq!(database.ids("up"), [id]);
        database.mark_stale(id, 30);
        assert!(database.last(id).is_some_and(|(_, value)| is_stale(value)));
        assert!(!is_stale(f64::NAN));
    }

    #[test]
    fn the_search_from_the_end_finds_what_a_plain_search_finds() {
        let mut database = Database::new();
        let id = database.series(&Labels::empty());
        for length in 0..40 {
            let series = database.get(id);
            for time in -1..=length * 10 + 1 {
                assert_eq!(
                    series.first_after(time),
                    series.times.partition_point(|sample| *sample <= time)
                );
            }
            database.append(id, length * 10, 0.0);
        }
    }

    #[test]
    fn old_samples_go_except_those_that_a_rule_needs() {
        let mut database = Database::new();
        let short = database.series(&Labels::new([("__name__", "short")]));
        let long = database.series(&Labels::new([("__name__", "long")]));
        database.retain("long", 9_000_000);
        for minute in 0..=240 {
            database.append(short, minute * 60_000, 0.0);
            database.append(long, minute * 60_000, 0.0);
            database.forget_before(minute * 60_000 - 600_000);
        }
        assert!(database.get(short).times.len() <= 2 * 16);
        assert_eq!(database.get(short).times.last(), Some(&14_400_000));
        assert!(database.get(long).times[0] <= 14_400_000 - 9_000_000);
        assert!(database.samples() < 360);
    }
}
