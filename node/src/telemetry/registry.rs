//! Counters, gauges and histograms of one node, and the text that a scraper reads.
//!
//! A series' text up to its value is made once, when the series begins, so that a scrape costs a copy and a number for
//! each: a simulated day is scraped hundreds of thousands of times. Series stand in the order of the catalogue, and within
//! a metric in the order in which they began.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::catalogue::{Kind, METRICS, Metric};
use crate::striped::Striped;

/// Upper ends of the buckets of every latency histogram, in seconds: from a hit in the data center to a timeout.
pub const LATENCY_BUCKETS_S: [f64; 7] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Numbers of one registry, side by side: what a node counts lies in a few lines of memory, not all over it. Each thread adds
/// to numbers of its own, which are there once it does.
type Slab = Arc<Striped<OnceLock<Box<Numbers>>>>;
type Numbers = [AtomicU64; SLAB_SLOTS];
/// Numbers in one slab. A node has a few hundred.
const SLAB_SLOTS: usize = 512;

/// A place in a slab, and so many after it.
#[derive(Clone)]
struct Slots {
    slab: Slab,
    first: usize,
}

impl Slots {
    fn add(&self, offset: usize, more: u64) {
        let numbers = || Box::new([const { AtomicU64::new(0) }; SLAB_SLOTS]);
        let mine = self.slab.mine().get_or_init(numbers);
        mine[self.first + offset].fetch_add(more, Ordering::Relaxed);
    }

    fn sum(&self, offset: usize) -> u64 {
        let counted = self.slab.used().filter_map(OnceLock::get);
        let numbers = counted.map(|slab| slab[self.first + offset].load(Ordering::Relaxed));
        numbers.fold(0, u64::wrapping_add)
    }
}

/// A number that only grows.
#[derive(Clone)]
pub struct Counter(Slots);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds some.
    pub fn add(&self, more: u64) {
        self.0.add(0, more);
    }

    /// What it has come to.
    pub fn get(&self) -> u64 {
        self.0.sum(0)
    }
}

/// A number that goes up and down.
#[derive(Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What it is.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Buckets of a histogram, that without an end among them.
const BUCKETS: usize = LATENCY_BUCKETS_S.len() + 1;

/// Latencies by [`LATENCY_BUCKETS_S`]: a count for each bucket, then the sum in microseconds.
#[derive(Clone)]
pub struct Histogram(Slots);

impl Histogram {
    /// Takes a latency down.
    pub fn observe(&self, latency: std::time::Duration) {
        let seconds = latency.as_secs_f64();
        let bucket = LATENCY_BUCKETS_S.partition_point(|end| *end < seconds);
        self.0.add(bucket, 1);
        self.0.add(BUCKETS, u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }
}

macro_rules! opaque {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
opaque!(Counter, Gauge, Histogram);

enum Cell {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram, Vec<String>),
}

struct Series {
    /// Name and labels, up to and with the space before the value.
    text: String,
    cell: Cell,
}

/// The series of one node. Nothing in it is global.
#[derive(Default)]
pub struct Registry {
    // One list for each metric, at its place in the catalogue.
    families: Mutex<Vec<Vec<Series>>>,
    /// The slab that is being filled, and how many of its numbers are taken.
    filling: Mutex<Option<(Slab, usize)>>,
}

impl Registry {
    /// Begins a series of a counter; `values` are those of the metric's labels, in their order.
    pub fn counter(&self, metric: &'static Metric, values: &[&str]) -> Counter {
        debug_assert_eq!(metric.kind, Kind::Counter, "{}", metric.name);
        let counter = Counter(self.slots(1));
        self.begin(metric, metric.name, values, Cell::Counter(counter.clone()));
        counter
    }

    /// Begins a series of a gauge.
    pub fn gauge(&self, metric: &'static Metric, values: &[&str]) -> Gauge {
        debug_assert_eq!(metric.kind, Kind::Gauge, "{}", metric.name);
        let gauge = Gauge::default();
        self.begin(metric, metric.name, values, Cell::Gauge(gauge.clone()));
        gauge
    }

    /// Begins a histogram.
    pub fn histogram(&self, metric: &'static Metric, values: &[&str]) -> Histogram {
        debug_assert_eq!(metric.kind, Kind::Histogram, "{}", metric.name);
        let histogram = Histogram(self.slots(BUCKETS + 1));
        let bucket = format!("{}_bucket", metric.name);
        let ends = LATENCY_BUCKETS_S.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        let mut texts: Vec<String> =
            ends.map(|end| series_text(&bucket, metric.labels, values, Some(&end))).collect();
        for part in ["_sum", "_count"] {
            texts.push(series_text(&format!("{}{part}", metric.name), metric.labels, values, None));
        }
        self.begin(metric, metric.name, values, Cell::Histogram(histogram.clone(), texts));
        histogram
    }

    fn slots(&self, count: usize) -> Slots {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let (slab, taken) = match filling.take() {
            Some((slab, taken)) if taken + count <= SLAB_SLOTS => (slab, taken),
            _ => (Slab::default(), 0),
        };
        *filling = Some((slab.clone(), taken + count));
        Slots { slab, first: taken }
    }

    fn begin(&self, metric: &'static Metric, name: &str, values: &[&str], cell: Cell) {
        let place = METRICS.iter().position(|known| std::ptr::eq(*known, metric));
        debug_assert!(place.is_some(), "{} is not in the catalogue", metric.name);
        let text = series_text(name, metric.labels, values, None);
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        families.resize_with(METRICS.len(), Vec::new);
        if let Some(place) = place {
            families[place].push(Series { text, cell });
        }
    }

    /// All series in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut out = String::with_capacity(24 * 1024);
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        for (metric, family) in METRICS.iter().zip(families.iter()) {
            if family.is_empty() {
                continue;
            }
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# HELP {} {}", metric.name, metric.question);
            let _ = writeln!(out, "# TYPE {} {}", metric.name, metric.kind.name());
            for series in family {
                series.write(&mut out);
            }
        }
        out
    }
}

impl Series {
    fn write(&self, out: &mut String) {
        match &self.cell {
            Cell::Counter(counter) => line(out, &self.text, counter.get()),
            Cell::Gauge(gauge) => {
                out.push_str(&self.text);
                let _ = writeln!(out, "{}", gauge.get());
            }
            Cell::Histogram(histogram, texts) => {
                let mut sum = 0;
                for (bucket, text) in texts.iter().take(BUCKETS).enumerate() {
                    sum += histogram.0.sum(bucket);
                    line(out, text, sum);
                }
                let us = histogram.0.sum(BUCKETS);
                out.push_str(&texts[BUCKETS]);
                let _ = writeln!(out, "{}.{:06}", us / 1_000_000, us % 1_000_000);
                line(out, &texts[BUCKETS + 1], sum);
            }
        }
    }
}

/// A number after a series' text: by hand, since this is most of what a scrape does.
fn line(out: &mut String, text: &str, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.push_str(text);
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
    out.push('\n');
}

fn series_text(name: &str, labels: &[&str], values: &[&str], end: Option<&str>) -> String {
    debug_assert_eq!(labels.len(), values.len(), "{name} has the labels {labels:?}");
    let mut text = name.to_owned();
    let pairs = labels.iter().zip(values).map(|(label, value)| (*label, *value));
    let mut first = true;
    for (label, value) in pairs.chain(end.map(|end| ("le", end))) {
        text.push(if first { '{' } else { ',' });
        first = false;
        let _ = write!(text, "{label}=\"{}\"", escaped(value));
    }
    text.push_str(if first { " " } else { "} " });
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::catalogue;
    use super::*;

    #[test]
    fn a_scrape_reads_what_was_counted_in_the_order_of_the_catalogue() {
        let registry = Registry::default();
        let revision = registry.gauge(&catalogue::CONFIG_REVISION, &[]);
        let seconds = registry.histogram(&catalogue::RESPONSE_SECONDS, &["gateway", "get"]);
        let received = registry.counter(&catalogue::REQUESTS_RECEIVED, &["gateway", "a\"b\\c"]);
        revision.set(-3);
        received.add(1_234_567);
        seconds.observe(Duration::from_millis(5));
        seconds.observe(Duration::from_secs(3));
        let text = registry.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines[0],
            "node_requests_received_total{script=\"gateway\",build=\"a\\\"b\\\\c\"} 1234567"
        );
        let bucket = "node_response_seconds_bucket{script=\"gateway\",operation=\"get\",le=";
        assert_eq!(lines[1], format!("{bucket}\"0.01\"}} 1"));
        assert_eq!(lines[7], format!("{bucket}\"2.5\"}} 1"));
        assert_eq!(lines[8], format!("{bucket}\"+Inf\"}} 2"));
        assert_eq!(
            lines[9],
            "node_response_seconds_sum{script=\"gateway\",operation=\"get\"} 3.005000"
        );
        assert_eq!(
            lines[10],
            "node_response_seconds_count{script=\"gateway\",operation=\"get\"} 2"
        );
        assert_eq!(lines[11], "node_config_revision -3");
        assert_eq!(lines.len(), 12);
    }
}
