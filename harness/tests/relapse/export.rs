//! What `relapse export` writes holds what the recording holds, no more and no less.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use promql::Labels;
use relapse::recording::Recording;
use serde_json::Value;

use crate::repo::Copy;

/// Samples by series: times in milliseconds, values to the bit.
pub(crate) type Samples = BTreeMap<Labels, Vec<(i64, f64)>>;

/// The one run in a folder that `run --out` wrote.
pub(crate) fn only_run(folder: &Path) -> PathBuf {
    let runs: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|run| run.unwrap().path()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs.into_iter().next().unwrap()
}

/// Reads OpenMetrics text as `relapse export` writes it.
pub(crate) fn read_openmetrics(file: &Path) -> Samples {
    let text = std::fs::read_to_string(file).unwrap();
    let body = text.strip_suffix("# EOF\n").expect("it ends as the format wants");
    let mut samples = Samples::new();
    let mut known: BTreeMap<String, Labels> = BTreeMap::new();
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (rest, at) = line.rsplit_once(' ').unwrap();
        let (series, value) = rest.rsplit_once(' ').unwrap();
        let (seconds, millis) = at.split_once('.').unwrap();
        assert_eq!(millis.len(), 3, "{line}");
        let at_ms: i64 = format!("{seconds}{millis}").parse().unwrap();
        let labels = known.entry(series.to_owned()).or_insert_with(|| labels(series)).clone();
        samples.entry(labels).or_default().push((at_ms, value.parse().unwrap()));
    }
    samples
}

fn labels(series: &str) -> Labels {
    let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
    let mut pairs = vec![("__name__".to_owned(), name.to_owned())];
    let mut rest = rest;
    while let Some((label, after)) = rest.split_once("=\"") {
        let (mut value, mut chars) = (String::new(), after.chars());
        loop {
            match chars.next().unwrap() {
                '"' => break,
                '\\' => match chars.next().unwrap() {
                    'n' => value.push('\n'),
                    escaped => value.push(escaped),
                },
                plain => value.push(plain),
            }
        }
        pairs.push((label.to_owned(), value));
        rest = chars.as_str().trim_start_matches(',');
    }
    assert_eq!(rest, "}", "{series}");
    Labels::new(pairs)
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An attribute of a record or a resource.
fn attribute<'a>(of: &'a Value, key: &str) -> Option<&'a str> {
    let found = of["attributes"].as_array().unwrap().iter().find(|pair| pair["key"] == key)?;
    found["value"]["stringValue"].as_str().or_else(|| found["value"]["intValue"].as_str())
}

/// The sum of a column.
fn sum(file: &Path, column: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap();
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let at = rows.next().unwrap().iter().position(|name| *name == column).unwrap();
    rows.map(|row| row[at].parse::<u64>().unwrap()).sum()
}

/// A run in which an owner throws, exported.
fn exported(copy: &Copy) -> (Recording, PathBuf) {
    copy.feature(
        "x.feature",
        "Feature: x
  Scenario: y
    Given the topology \"small\" with its traffic and without noise
    And the replay starts at 2023-07-11 12:00
    And every data center runs the current build without \"request-scoped-env\", \"return-gate\", \"owner-quarantine\" and \"owner-fallback\"
    And data center \"SYD\" goes down for maintenance at 12:02 and returns at 12:03
    When 10 minutes pass
    Then at least 100 requests were sent
",
    );
    let said = copy.relapse(&["run", "x", "--out", "out"]);
    assert_eq!(said.exit, 0, "{}{}", said.stdout, said.stderr);
    let run = only_run(&copy.path().join("out"));
    let folder = copy.path().join("exported");
    let said = copy.relapse(&["export", run.to_str().unwrap(), "exported"]);
    assert_eq!(said.exit, 0, "{}", said.stderr);
    (Recording::read(&run.join("recording")).unwrap(), folder)
}

#[test]
fn an_export_holds_what_the_recording_holds() {
    let copy = Copy::new();
    let (recording, folder) = exported(&copy);

    let mut samples = read_openmetrics(&folder.join("metrics.om"));
    assert!(recording.metrics.series.len() > 300, "{}", recording.metrics.series.len());
    for series in &recording.metrics.series {
        let told = samples.remove(&series.labels).unwrap_or_default();
        let expected = series
            .samples()
            .map(|(round, value)| (recording.metrics.round_ms(round), value.to_bits()));
        let told = told.into_iter().map(|(at, value)| (at, value.to_bits()));
        assert!(told.eq(expected), "{}", series.labels);
    }
    assert_eq!(samples, Samples::new(), "no series but those of the recording");

    let csv = |name: &str| folder.join(name);
    let count = |counts: &mut dyn Iterator<Item = u64>| counts.sum::<u64>();
    let truth = count(&mut recording.truth.iter().map(|row| row.count));
    assert_eq!(sum(&csv("truth.csv"), "count"), truth);
    let sent = count(&mut recording.offered.iter().map(|row| row.sent));
    assert_eq!(sum(&csv("offered.csv"), "sent"), sent);
    let weights = count(&mut recording.requests.iter().map(|row| row.weight));
    assert_eq!(sum(&csv("requests.csv"), "weight"), weights);
    let alerts = std::fs::read_to_string(csv("alerts.csv")).unwrap();
    assert_eq!(alerts.lines().count(), recording.alerts.len() + 1);
}

#[test]
fn an_export_tells_logs_exceptions_and_traces_as_opentelemetry_does() {
    let copy = Copy::new();
    let (recording, folder) = exported(&copy);

    let logs = lines(&folder.join("logs.jsonl"));
    assert_eq!(logs.len(), recording.lines.len());
    for (log, line) in logs.iter().zip(&recording.lines) {
        let of = &log["resourceLogs"][0];
        let record = &of["scopeLogs"][0]["logRecords"][0];
        let service = format!("kv-node/{}", line.script.name());
        assert_eq!(attribute(&of["resource"], "service.name"), Some(service.as_str()));
        assert_eq!(attribute(&of["resource"], "relapse.dc"), Some(line.dc.as_str()));
        assert_eq!(record["timeUnixNano"], format!("{}000", line.at.0));
        let status = line.status.to_string();
        assert_eq!(attribute(record, "http.response.status_code"), Some(status.as_str()));
    }

    let exceptions = lines(&folder.join("exceptions.jsonl"));
    assert_eq!(exceptions.len(), recording.exceptions.len());
    for (told, exception) in exceptions.iter().zip(&recording.exceptions) {
        let record = &told["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        let report = &exception.report;
        assert_eq!(attribute(record, "exception.type"), Some(report.kind.as_str()));
        assert_eq!(attribute(record, "exception.message"), Some(report.message.as_str()));
        assert!(attribute(record, "exception.stacktrace").is_some());
        assert_eq!(record["traceId"], report.trace);
    }

    let traces = lines(&folder.join("traces.jsonl"));
    assert_eq!(traces.len(), recording.spans.len());
    for (told, span) in traces.iter().zip(&recording.spans) {
        let record = &told["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(
            (&record["traceId"], &record["spanId"]),
            (&span.trace.as_str().into(), &span.span.as_str().into())
        );
        assert_eq!(record["status"]["code"], if span.failed { 2 } else { 0 });
    }
    // Otherwise nothing was compared.
    assert!(
        !logs.is_empty() && !exceptions.is_empty() && !traces.is_empty(),
        "{} {} {}",
        logs.len(),
        exceptions.len(),
        traces.len()
    );
}

#[test]
fn an_export_overwrites_nothing() {
    let copy = Copy::new();
    let said = copy.relapse(&["run", "crash", "--out", "out"]);
    assert_eq!(said.exit, 0, "{}", said.stderr);
    let run = std::fs::read_dir(copy.path().join("out")).unwrap().next().unwrap().unwrap().path();
    // The recording itself will do as well as its run.
    let recording = run.join("recording");
    assert_eq!(copy.relapse(&["export", recording.to_str().unwrap(), "x/y"]).exit, 0);
    let again = copy.relapse(&["export", recording.to_str().unwrap(), "x/y"]);
    assert_eq!((again.exit, again.stderr.contains("is not empty")), (3, true), "{}", again.stderr);
    assert_eq!(copy.relapse(&["export", "features", "z"]).exit, 3);
}
