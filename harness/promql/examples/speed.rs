//! How long evaluations take: `cargo run --release -p relapse-promql --example speed`. 43 targets with 40 series of one metric
//! each, a sample every 15 s, evaluations every 15 s; the median.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "this measures this machine")]
#![expect(clippy::cast_precision_loss, reason = "a report needs no 53 bits")]

use std::time::Instant;

use promql::{Database, Engine, Labels, Query, SeriesId, Settings, TimestampMs};

const STEP_MS: TimestampMs = 15_000;
const EVALUATIONS: i64 = 400;

fn main() {
    for text in [
        "m",
        "sum by (dc) (m)",
        "sum by (dc) (rate(m{status=~\"5..\"}[5m]))",
        "sum by (dc) (rate(m{status=~\"5..\"}[5m])) / sum by (dc) (rate(m[5m])) > 0.01",
        "histogram_quantile(0.99, sum by (dc, le) (rate(b[5m])))",
        "m / on(dc, instance, status, other) m",
        "max_over_time((sum by (dc) (rate(m[5m])))[30m:1m])",
        "topk(3, m)",
        "avg_over_time(m[30m])",
    ] {
        measure(text);
    }
}

fn measure(text: &str) {
    let query = Query::parse(text).expect("a query");
    let engine = Engine::new(Settings::default());
    let mut database = Database::new();
    let ids = create(&mut database);
    let (mut spent, mut results) = (Vec::new(), 0);
    for step in 0..EVALUATIONS + 240 {
        let time = step * STEP_MS;
        for (id, slope) in ids.iter().zip((1..8).cycle()) {
            database.append(*id, time, (step * slope) as f64);
        }
        database.forget_before(time - 3_600_000);
        if step >= 240 {
            let start = Instant::now();
            let value = engine.instant(&query, &database, time).expect("a result");
            spent.push(start.elapsed().as_nanos());
            results +=
                usize::from(matches!(value, promql::Value::Vector(vector) if !vector.is_empty()));
        }
    }
    spent.sort_unstable();
    let median_us = spent[spent.len() / 2] as f64 / 1_000.0;
    println!("{median_us:>9.1} µs  {text}  ({results} results)");
}

fn create(database: &mut Database) -> Vec<SeriesId> {
    let mut ids = Vec::new();
    for target in 0..43 {
        for nth in 0..40 {
            let (instance, dc, other) =
                (format!("node-{target}"), format!("dc{}", target % 5), format!("x{}", nth / 4));
            let status = ["200", "404", "500", "503"][nth % 4];
            let le = ["0.1", "0.5", "1", "+Inf"][nth % 4];
            let shared = [("instance", instance.as_str()), ("dc", dc.as_str()), ("job", "node")];
            let m = [("__name__", "m"), ("status", status), ("other", other.as_str())];
            ids.push(database.series(&Labels::new(shared.iter().chain(&m).copied())));
            let b = [("__name__", "b"), ("le", le), ("other", other.as_str())];
            ids.push(database.series(&Labels::new(shared.iter().chain(&b).copied())));
        }
    }
    ids
}
