//! What an engine remembers between evaluations must not show: one that remembers everything and one that was just made agree.

use promql::{Database, Engine, Labels, Query, Settings, TimestampMs, Value};
use proptest::prelude::*;

const QUERIES: [&str; 12] = [
    "m",
    "sum by (dc) (rate(m[5m]))",
    "sum without (node) (m) > 20",
    "max_over_time((sum by (dc) (rate(m[2m])))[10m:1m])",
    "avg_over_time(m[3m:15s] offset 1m)",
    "max_over_time(sum(m offset -2m)[6m:1m])",
    "sum_over_time(count(m @ 300)[5m:1m])",
    "m / on (dc, node) group_left n",
    "m > 30 or n",
    "topk by (dc) (2, m)",
    "label_replace(m, \"dc\", \"$1\", \"node\", \"(.).*\")",
    "{__name__=~\"m|n\", node!=\"3\"} * 2",
];

/// What happens between two evaluations.
#[derive(Clone, Debug)]
enum Step {
    /// The nodes of this pattern report values.
    Scrape {
        nodes: u8,
        value: f64,
    },
    /// A node's series end.
    End {
        node: u8,
    },
    /// A sample comes with the time of so many seconds ago.
    Late {
        node: u8,
        ago_s: i64,
    },
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u8>(), 0.0..50.0).prop_map(|(nodes, value)| Step::Scrape { nodes, value: f64::floor(value) }),
        1 => (0..8_u8).prop_map(|node| Step::End { node }),
        1 => (8..11_u8, 0..600_i64).prop_map(|(node, ago_s)| Step::Late { node, ago_s }),
        1 => Just(Step::Forget),
    ]
}

fn labels(metric: &str, node: u8) -> Labels {
    let (node, dc) = (node.to_string(), (node % 3).to_string());
    Labels::new([("__name__", metric), ("node", &node), ("dc", &dc)])
}

fn apply(database: &mut Database, step: &Step, time: TimestampMs) {
    match step {
        Step::Scrape { nodes, value } => {
            for node in (0..8).filter(|node| nodes & (1 << node) != 0) {
                for (metric, factor) in [("m", 1.0), ("n", 2.0)] {
                    let id = database.series(&labels(metric, node));
                    database.append(id, time, value * factor + f64::from(node));
                }
            }
        }
        Step::End { node } => {
            let id = database.series(&labels("m", *node));
            database.mark_stale(id, time);
        }
        Step::Late { node, ago_s } => {
            let id = database.series(&labels("m", *node));
            database.append(id, time - ago_s * 1_000, 7.0);
        }
        Step::Forget => database.forget_before(time - 1_200_000),
    }
}

/// With all bits of the values, of which one kind of NaN differs from another.
fn text(value: &Value) -> String {
    match value {
        Value::Vector(vector) => {
            let elements = vector
                .iter()
                .map(|sample| format!("{} {:x}", sample.labels, sample.value.to_bits()));
            elements.collect::<Vec<_>>().join("\n")
        }
        other => format!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn remembering_changes_nothing(steps in prop::collection::vec(step(), 1..80)) {
        let queries = QUERIES.map(|text| Query::parse(text).unwrap());
        let old = Engine::new(Settings::default());
        let mut database = Database::new();
        for (step, time) in steps.iter().zip((600_000..).step_by(15_000)) {
            apply(&mut database, step, time);
            for query in &queries {
                let fresh = Engine::new(Settings::default());
                let (known, new) = (old.instant(query, &database, time), fresh.instant(query, &database, time));
                match (known, new) {
                    (Ok(known), Ok(new)) => prop_assert_eq!(text(&known), text(&new), "{} at {}", query.text(), time),
                    (known, new) => prop_assert_eq!(known.map(|_| ()), new.map(|_| ()), "{} at {}", query.text(), time),
                }
            }
        }
    }
}
