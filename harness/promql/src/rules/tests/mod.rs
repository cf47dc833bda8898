//! Rules over a database, minute by minute.

mod files;
mod promtool;
mod recording;
mod timeline;
mod webhook;

use super::{AlertSettings, Alerts, RuleFile, Step};
use crate::{Database, Labels, Query, SeriesId, Settings, TimestampMs};

const MINUTE: TimestampMs = 60_000;

/// A server with one rule file, evaluated every minute.
struct Server {
    alerts: Alerts,
    database: Database,
    now: TimestampMs,
}

/// A series: its metric and labels, and its values minute by minute. `_` is no sample, `stale` the end of the series,
/// `1x5` five times the same.
type Input<'a> = (&'a [(&'a str, &'a str)], &'a str);

impl Server {
    fn new(rules: &str) -> Self {
        let problems = |problems: Vec<super::RuleProblem>| {
            problems.iter().map(ToString::to_string).collect::<String>()
        };
        let settings = AlertSettings {
            query: Settings::default(),
            interval_ms: MINUTE,
            phase_ms: 0,
            external_labels: Labels::new([("cluster", "live")]),
            external_url: "http://prometheus:9090".to_owned(),
        };
        let files = RuleFile::parse("rules.yml", rules).map_err(problems).unwrap();
        Self { alerts: Alerts::new(vec![files], settings), database: Database::new(), now: 0 }
    }

    /// Scrapes and evaluates each minute, as long as there are values, and returns what each step changed.
    fn run(&mut self, input: &[Input<'_>]) -> Vec<Step> {
        let series: Vec<(SeriesId, Vec<&str>)> = input
            .iter()
            .map(|(labels, values)| {
                (self.database.series(&Labels::new(labels.iter().copied())), spread(values))
            })
            .collect();
        let minutes = series.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        let mut steps = Vec::new();
        for minute in 0..minutes {
            for (id, values) in &series {
                match values.get(minute).copied().unwrap_or("_") {
                    "_" => {}
                    "stale" => self.database.mark_stale(*id, self.now),
                    value => self.database.append(*id, self.now, value.parse().unwrap()),
                }
            }
            steps.push(self.alerts.step(&mut self.database, self.now));
            self.now += MINUTE;
        }
        steps
    }

    /// The same, with each change on a line that begins with its minute.
    fn changes(&mut self, input: &[Input<'_>]) -> Vec<String> {
        let transitions = self.run(input).into_iter().flat_map(|step| step.transitions);
        transitions
            .map(|change| {
                format!("{} {} {}→{}", change.at / MINUTE, change.labels, change.from, change.to)
            })
            .collect()
    }

    /// The result of a query at a minute, sorted.
    fn ask(&self, query: &str, minute: TimestampMs) -> Vec<String> {
        let query = Query::parse(query).unwrap();
        let engine = crate::Engine::new(Settings::default());
        match engine.instant(&query, &self.database, minute * MINUTE).unwrap() {
            crate::Value::Vector(samples) => {
                let mut lines: Vec<String> = samples
                    .iter()
                    .map(|sample| format!("{} {}", sample.labels, sample.value))
                    .collect();
                lines.sort();
                lines
            }
            other => vec![format!("{other:?}")],
        }
    }
}

fn spread(values: &str) -> Vec<&str> {
    let words = values.split_whitespace();
    words
        .flat_map(|word| match word.split_once('x') {
            Some((value, times)) => vec![value; times.parse().unwrap()],
            None => vec![word],
        })
        .collect()
}
