//! Queries over truth or telemetry.

use std::collections::BTreeMap;

use promql::{Database, Engine, Labels, METRIC_NAME, Query, RangeSeries, TimestampMs};

use super::measure::Taken;
use crate::alerts;
use crate::recording::{INTERVAL_S, Outcome, ProductRow, Recording};
use crate::spec::expectation::Window;
use crate::spec::measure::{Extreme, Source};
use crate::spec::query::{TRUTH, TRUTH_OF_PRODUCTS};
use crate::spec::time::IncidentTime;

fn ms(moment: IncidentTime) -> TimestampMs {
    TimestampMs::try_from(moment.0 / 1_000).unwrap_or(TimestampMs::MAX)
}

/// A query's series over a window, step by step, or why there are none.
fn series(
    recording: &Recording,
    window: Window,
    over: Source,
    text: &str,
) -> Result<Vec<RangeSeries>, String> {
    let query = Query::parse(text).map_err(|_| "no query".to_owned())?;
    let (database, step_ms) = match over {
        Source::Truth => (truth(recording), INTERVAL_S * 1_000),
        Source::Telemetry => {
            let names = query.metrics();
            let names = (!names.any).then_some(names.names);
            let scrapes = &recording.metrics;
            (alerts::database(scrapes, names.as_ref()), scrapes.interval_ms)
        }
    };
    let step_ms = TimestampMs::try_from(step_ms).unwrap_or(1);
    let engine = Engine::new(alerts::settings());
    let span = ms(window.from)..=ms(window.to) - 1;
    engine.range(&query, &database, span, step_ms).map_err(|error| error.to_string())
}

/// How many steps of a window, in minutes, a query has any value above a level.
pub(super) fn minutes_above(
    recording: &Recording,
    window: Window,
    over: Source,
    (text, level): (&str, f64),
) -> Taken {
    let series = match series(recording, window, over, text) {
        Ok(series) => series,
        Err(why) => return Taken::nothing().note(why),
    };
    let mut steps: BTreeMap<TimestampMs, bool> = BTreeMap::new();
    for (at, value) in series.iter().flat_map(|one| &one.points) {
        *steps.entry(*at).or_default() |= *value > level;
    }
    let step_s = match over {
        Source::Truth => INTERVAL_S,
        Source::Telemetry => recording.metrics.interval_ms / 1_000,
    };
    let above = steps.values().filter(|above| **above).count() as u64;
    let minutes = super::measure::count(above * step_s) / 60.0;
    Taken::new(minutes, steps.len() as u64)
}

/// The extreme value of a query at any step of a window.
pub(super) fn take(
    recording: &Recording,
    window: Window,
    over: Source,
    text: &str,
    extreme: Extreme,
) -> Taken {
    let series = match series(recording, window, over, text) {
        Ok(series) => series,
        Err(why) => return Taken::nothing().note(why),
    };
    let mut best: Option<(f64, &Labels)> = None;
    let mut points = 0u64;
    for one in &series {
        for (_, value) in one.points.iter().filter(|(_, value)| !value.is_nan()) {
            points += 1;
            let better = best.is_none_or(|(known, _)| match extreme {
                Extreme::Max => *value > known,
                Extreme::Min => *value < known,
            });
            if better {
                best = Some((*value, &one.labels));
            }
        }
    }
    best.map_or_else(Taken::nothing, |(value, labels)| {
        let note = if labels.is_empty() { String::new() } else { labels.to_string() };
        Taken::new(value, points).note(note)
    })
}

type Alike<'a> = (&'a str, &'a str, &'a str, Outcome);

/// What the customers saw, as counters that grow with every interval.
fn truth(recording: &Recording) -> Database {
    let mut database = Database::new();
    let mut counters: BTreeMap<Alike<'_>, (promql::SeriesId, u64)> = BTreeMap::new();
    let regions = &recording.spec.topology.dcs;
    let intervals: std::collections::BTreeSet<IncidentTime> =
        recording.offered.iter().map(|offered| offered.from).collect();
    let mut rows = recording.truth.iter().peekable();
    let mut products =
        Products { rows: recording.products.iter().peekable(), counters: BTreeMap::new() };
    for from in intervals {
        while let Some(row) = rows.next_if(|row| row.from <= from) {
            let key = (&*row.dc, &*row.namespace, &*row.operation, row.outcome);
            let region = regions.get(&(&*row.dc).into()).map_or("", |dc| dc.region.as_str());
            let (_, sum) = counters.entry(key).or_insert_with(|| {
                let outcome = row.outcome.name();
                let labels = Labels::new([
                    (METRIC_NAME, TRUTH),
                    ("dc", &row.dc),
                    ("region", region),
                    ("namespace", &row.namespace),
                    ("operation", &row.operation),
                    ("outcome", &outcome),
                    ("failed", if row.outcome.failed() { "true" } else { "false" }),
                ]);
                let id = database.series(&labels);
                // A counter begins with nothing counted, so that its first requests are an increase too.
                database.append(id, ms(from), 0.0);
                (id, 0)
            });
            *sum += row.count;
        }
        let at = ms(from) + TimestampMs::try_from(INTERVAL_S * 1_000).unwrap_or(0);
        for (id, sum) in counters.values() {
            database.append(*id, at, super::measure::count(*sum));
        }
        products.take(from, at, &mut database);
    }
    database
}

/// The same of products.
struct Products<'a> {
    rows: std::iter::Peekable<std::slice::Iter<'a, ProductRow>>,
    counters: BTreeMap<Alike<'a>, (promql::SeriesId, u64)>,
}

impl Products<'_> {
    fn take(&mut self, from: IncidentTime, at: TimestampMs, database: &mut Database) {
        while let Some(row) = self.rows.next_if(|row| row.from <= from) {
            let key = (&*row.dc, &*row.product, &*row.operation, row.outcome);
            let (_, sum) = self.counters.entry(key).or_insert_with(|| {
                let labels = Labels::new([
                    (METRIC_NAME, TRUTH_OF_PRODUCTS),
                    ("dc", &row.dc),
                    ("product", &row.product),
                    ("operation", &row.operation),
                    ("outcome", &row.outcome.name()),
                    ("failed", if row.outcome.succeeded() { "false" } else { "true" }),
                ]);
                let id = database.series(&labels);
                database.append(id, ms(from), 0.0);
                (id, 0)
            });
            *sum += row.count;
        }
        for (id, sum) in self.counters.values() {
            database.append(*id, at, super::measure::count(*sum));
        }
    }
}
