//! Queries over truth or telemetry.

use std::collections::BTreeMap;

use promql::{Database, Engine, Labels, METRIC_NAME, Query, TimestampMs};

use super::measure::Taken;
use crate::alerts;
use crate::recording::{INTERVAL_S, Outcome, Recording};
use crate::spec::expectation::Window;
use crate::spec::measure::{Extreme, Source};
use crate::spec::query::TRUTH;
use crate::spec::time::IncidentTime;

fn ms(moment: IncidentTime) -> TimestampMs {
    TimestampMs::try_from(moment.0 / 1_000).unwrap_or(TimestampMs::MAX)
}

/// The extreme value of a query at any step of a window.
pub(super) fn take(
    recording: &Recording,
    window: Window,
    over: Source,
    text: &str,
    extreme: Extreme,
) -> Taken {
    let Ok(query) = Query::parse(text) else { return Taken::nothing().note("no query") };
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
    let series = match engine.range(&query, &database, span, step_ms) {
        Ok(series) => series,
        Err(error) => return Taken::nothing().note(error.to_string()),
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
    for from in intervals {
        while let Some(row) = rows.next_if(|row| row.from <= from) {
            let key = (&*row.dc, &*row.namespace, &*row.operation, row.outcome);
            let region = regions.get(&(&*row.dc).into()).map_or("", |dc| dc.region.as_str());
            let (_, sum) = counters.entry(key).or_insert_with(|| {
                let outcome = match row.outcome {
                    Outcome::Timeout => "timeout".to_owned(),
                    Outcome::Broken => "broken".to_owned(),
                    Outcome::Aborted => "aborted".to_owned(),
                    Outcome::Status(status) => status.to_string(),
                };
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
    }
    database
}
