//! Range queries over an export, asked of both.

use std::time::Duration;

use promql::{Database, Dialect, Engine, Query, Settings};
use relapse::runs::about::Stopwatch;

use super::server::Server;
use super::{installed, promtool, say};
use crate::export::{Samples, only_run, read_openmetrics};
use crate::repo::Copy;

const QUERIES: &str = include_str!("../queries.txt");
/// Two numbers that differ by no more than this share of the greater are the same: sums are made in another order.
const SHARE: f64 = 1e-9;

/// A quarter of a day with a little of everything; the gaps and new beginnings of a crash among it.
const FEATURE: &str = "Feature: x
  Scenario: y
    Given the topology \"small\" with its traffic and without noise
    And customers send 4 requests a second
    And the replay starts at 2023-07-11 12:00
    And every data center runs the current build without \"request-scoped-env\", \"return-gate\", \"owner-quarantine\" and \"owner-fallback\"
    And data center \"MEL\" goes down for maintenance at 13:00 and returns at 14:00
    When it is 14:30
    And data center \"SYD\" crashes
    And 4 minutes pass
    And data center \"SYD\" is started again
    And it is 16:00
    And these faults act for 20 minutes:
      | fault     | from    | to       | amount | share |
      | partition | anyone  | store-a  |        | 100 % |
      | latency   | clients | FRA:rest | 300 ms | 50 %  |
    And it is 18:15
    Then at least 1000 requests were sent
";

#[derive(Default)]
struct Compared {
    queries: usize,
    refused: usize,
    series: usize,
    points: usize,
    empty: Vec<String>,
    different: Vec<String>,
}

#[test]
fn queries_over_an_export_are_answered_as_prometheus_answers_them() {
    if !installed() {
        return;
    }
    let copy = Copy::new();
    copy.feature("x.feature", FEATURE);
    let said = copy.relapse(&["run", "x", "--out", "out"]);
    assert_eq!(said.exit, 0, "{}{}", said.stdout, said.stderr);
    let run = only_run(&copy.path().join("out"));
    let said = copy.relapse(&["export", run.to_str().unwrap(), "exported"]);
    assert_eq!(said.exit, 0, "{}", said.stderr);
    let folder = copy.path().join("exported");
    let args = ["tsdb", "create-blocks-from", "openmetrics", "metrics.om", "blocks"];
    let (made, words) = promtool(&folder, &args);
    assert!(made, "{words}");

    // Both sides see the same file: a gap in it is a gap, and nothing is marked as stale.
    let samples = read_openmetrics(&folder.join("metrics.om"));
    let (mut database, mut count) = (Database::new(), 0);
    for (labels, points) in &samples {
        let id = database.series(labels);
        for (at, value) in points {
            database.append(id, *at, *value);
        }
        count += points.len();
    }
    let times = samples.values().flatten().map(|(at, _)| *at);
    let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
    let span = Duration::from_millis(u64::try_from(last - first).unwrap());
    assert!(samples.len() >= 500 && span >= Duration::from_hours(6), "{} {span:?}", samples.len());

    let server = Server::start(&folder, "blocks");
    let (compared, [ours, theirs]) = compare(&database, &server, (first, last));
    say(&format!(
        "compared with prometheus: {} range queries over {} series with {count} samples of {} h; {} series and {} points \
         of answers, {} refused alike; {ours:.1} s here, {theirs:.1} s there",
        compared.queries,
        samples.len(),
        span.as_secs() / 3_600,
        compared.series,
        compared.points,
        compared.refused,
    ));
    assert!(compared.different.is_empty(), "{}", compared.different.join("\n"));
    assert!(compared.queries >= 200, "{}", compared.queries);
    // A query that selects nothing compares nothing.
    assert!(compared.empty.is_empty(), "nothing comes of {}", compared.empty.join("\n"));

    // The other dialect is found out: a range of ten minutes holds 41 samples in one and 40 in the other.
    let engine = Engine::new(Settings::default());
    let text = "count_over_time(up[10m])";
    let ours = engine.range(&Query::parse(text).unwrap(), &database, first..=last, 60_000).unwrap();
    let ours = ours.into_iter().map(|series| (series.labels, series.points)).collect();
    let theirs = server.range(text, first, last, 60_000).unwrap();
    assert!(difference(&ours, &theirs).is_some());
}

/// Asks every query of both, once on the grid of the samples and once beside it; and how long each side took.
fn compare(
    database: &Database,
    server: &Server,
    (first, last): (i64, i64),
) -> (Compared, [f64; 2]) {
    let settings = Settings { dialect: Dialect::V2, ..Settings::default() };
    let engine = Engine::new(settings);
    let (mut compared, mut took) = (Compared::default(), [0.0, 0.0]);
    let asked = QUERIES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for text in asked {
        let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut answered = 0;
        for (from, step) in [(first, 60_000), (first + 7_300, 47_000)] {
            let watch = Stopwatch::start();
            let ours = engine.range(&query, database, from..=last, step);
            took[0] += watch.seconds();
            let watch = Stopwatch::start();
            let theirs = server.range(text, from, last, step);
            took[1] += watch.seconds();
            compared.queries += 1;
            let found = match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => {
                    answered += theirs.len();
                    compared.series += theirs.len();
                    compared.points += theirs.values().map(Vec::len).sum::<usize>();
                    let ours = ours.into_iter().map(|series| (series.labels, series.points));
                    difference(&ours.collect(), &theirs)
                }
                (Err(ours), Err(theirs)) if words(&ours.to_string()) == words(&theirs) => {
                    answered += 1;
                    compared.refused += 1;
                    None
                }
                (ours, theirs) => Some(format!("{:?} here, {:?} there", ours.err(), theirs.err())),
            };
            let found = found.map(|found| format!("{text} every {step} ms: {found}"));
            compared.different.extend(found);
        }
        if answered == 0 {
            compared.empty.push(text.to_owned());
        }
    }
    (compared, took)
}

/// An error without the label sets that it names: each side has its own way of writing those.
fn words(error: &str) -> &str {
    error.split('{').next().unwrap_or_default()
}

/// The first difference, in words.
fn difference(ours: &Samples, theirs: &Samples) -> Option<String> {
    if let Some(labels) = ours.keys().find(|labels| !theirs.contains_key(labels)) {
        return Some(format!("{labels} is ours alone"));
    }
    for (labels, points) in theirs {
        let Some(here) = ours.get(labels) else {
            return Some(format!("{labels} is theirs alone"));
        };
        let here_at = here.iter().map(|(at, _)| at);
        if !here_at.eq(points.iter().map(|(at, _)| at)) {
            return Some(format!("{labels}: {} points here, {} there", here.len(), points.len()));
        }
        let other = here.iter().zip(points).find(|((_, a), (_, b))| !same(*a, *b));
        if let Some(((at, a), (_, b))) = other {
            return Some(format!("{labels} at {at}: {a} here, {b} there"));
        }
    }
    None
}

#[expect(clippy::float_cmp, reason = "infinities are the same or are not")]
fn same(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= SHARE * a.abs().max(b.abs())
}
