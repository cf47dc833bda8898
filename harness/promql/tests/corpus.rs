//! Prometheus' own tests, in a folder named by the variable `PROMQL_CORPUS`: `promql/promqltest/testdata` of version 3, or
//! `promql/testdata` of version 2 with `PROMQL_DIALECT=v2`. They are not part of this repository.
//!
//! `PROMQL_CORPUS_VERBOSE=1` prints each case that does not pass.
#![expect(clippy::print_stderr, reason = "a test's report")]

mod notation;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use notation::{Series, duration_ms, load, series};
use promql::{Database, Dialect, Engine, Query, Settings, TimestampMs, Value, is_stale};

/// Files about features that are refused or that the format of the tests needs: their failures say nothing.
/// Start timestamps of samples, and labels for types and units, are experimental.
const FEATURES: [&str; 2] = ["start_timestamps.test", "type_and_unit.test"];

/// Cases that cannot pass, by a part of their query.
/// - Results keep their metric name until the end only with the experimental `promql-delayed-name-removal`, which the tests set.
/// - A text with `\\xff` is not UTF-8.
const KNOWN: [&str; 5] = [
    "label_replace(rate({env=\"1\"}[10m])",
    "label_join(rate({env=\"1\"}[10m])",
    "sum(rate({env=\"1\"}[10m])) by (env)",
    "sum by (__name__) (",
    "label_replace(testmetric, \"\\xff\"",
];

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Passed,
    Failed,
    /// Needs something that is refused on purpose.
    Refused,
    /// About native histograms.
    Histogram,
}

#[derive(Debug, Default)]
struct Case {
    line: usize,
    query: String,
    times: Times,
    fails: bool,
    ordered: bool,
    string: Option<String>,
    matrix: Option<(TimestampMs, i64)>,
    expected: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    start: TimestampMs,
    end: TimestampMs,
    /// 0 for an instant query.
    step: i64,
}

/// The state of one file.
struct Run {
    engine: Engine,
    database: Database,
    histograms: Vec<String>,
}

#[test]
fn prometheus_own_tests_pass() {
    let Some(folder) = std::env::var_os("PROMQL_CORPUS").map(PathBuf::from) else {
        eprintln!(
            "SKIPPED: PROMQL_CORPUS names no folder with Prometheus' tests, so they were not run"
        );
        return;
    };
    let dialect = if std::env::var("PROMQL_DIALECT").is_ok_and(|name| name == "v2") {
        Dialect::V2
    } else {
        Dialect::V3
    };
    let verbose = std::env::var_os("PROMQL_CORPUS_VERBOSE").is_some();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut report = String::new();
    let mut all: BTreeMap<Outcome, usize> = BTreeMap::new();
    let mut unexpected = Vec::new();
    for file in
        files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "test"))
    {
        let text = std::fs::read_to_string(file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy();
        let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
        let feature = FEATURES.iter().any(|feature| name == *feature);
        for (line, query, outcome, why) in run_file(&text, dialect) {
            *counts.entry(outcome).or_default() += 1;
            *all.entry(outcome).or_default() += 1;
            if outcome == Outcome::Failed
                && !feature
                && !KNOWN.iter().any(|known| query.contains(known))
            {
                unexpected.push(format!("{name}:{line}: {query}\n    {why}"));
            }
            if verbose && matches!(outcome, Outcome::Failed | Outcome::Refused) {
                writeln!(report, "{name}:{line} {outcome:?}: {query}\n    {why}").unwrap();
            }
        }
        writeln!(report, "{name}: {counts:?}").unwrap();
    }
    eprintln!("{report}all with {dialect:?}: {all:?}");
    assert!(
        all.get(&Outcome::Passed).is_some_and(|passed| *passed > 500),
        "fewer than 500 cases passed"
    );
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}

fn run_file(text: &str, dialect: Dialect) -> Vec<(usize, String, Outcome, String)> {
    let settings = Settings { dialect, ..Settings::default() };
    let mut run =
        Run { engine: Engine::new(settings), database: Database::new(), histograms: Vec::new() };
    let lines: Vec<&str> = text.lines().collect();
    let mut results = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let head = without_comment(lines[at]);
        let first = at;
        at += 1;
        let mut body = Vec::new();
        if head.starts_with("load") || head.starts_with("eval") {
            while at < lines.len() && !without_comment(lines[at]).is_empty() {
                body.push(without_comment(lines[at]));
                at += 1;
            }
            // A comment line does not end a block.
            while at < lines.len() && lines[at].trim_start().starts_with('#') && !body.is_empty() {
                at += 1;
                while at < lines.len()
                    && !without_comment(lines[at]).is_empty()
                    && !starts_command(lines[at])
                {
                    body.push(without_comment(lines[at]));
                    at += 1;
                }
            }
        }
        let commands = body.iter().position(|line| starts_command(line));
        if let Some(next) = commands {
            at -= body.len() - next;
            body.truncate(next);
        }
        if head == "clear" {
            run.database = Database::new();
            run.histograms.clear();
        } else if head.starts_with("load") {
            run.load(head, &body);
        } else if head.starts_with("eval") {
            let outcome = match parse_case(head, &body, first + 1) {
                Ok(case) => {
                    let (outcome, why) = run.judge(&case);
                    (case.line, case.query, outcome, why)
                }
                Err(why) => (first + 1, head.to_owned(), Outcome::Failed, why),
            };
            results.push(outcome);
        }
    }
    results
}

fn starts_command(line: &str) -> bool {
    let line = line.trim();
    line == "clear"
        || line.starts_with("eval ")
        || line.starts_with("eval_")
        || line.starts_with("load")
}

fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') { "" } else { line }
}

fn parse_case(head: &str, body: &[&str], line: usize) -> Result<Case, String> {
    let mut words = head.splitn(3, ' ');
    let (command, kind, rest) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut case = Case {
        line,
        fails: command == "eval_fail",
        ordered: command == "eval_ordered",
        ..Case::default()
    };
    if kind == "instant" {
        let (time, query) = rest
            .trim_start_matches("at ")
            .trim()
            .split_once(char::is_whitespace)
            .ok_or("no query")?;
        case.times = Times { start: duration_ms(time)?, end: duration_ms(time)?, step: 0 };
        case.query = query.trim().into();
    } else {
        let parts: Vec<&str> = rest.splitn(7, ' ').collect();
        let [_, start, _, end, _, step, query] = parts[..] else { return Err("bad range".into()) };
        case.times =
            Times { start: duration_ms(start)?, end: duration_ms(end)?, step: duration_ms(step)? };
        case.query = query.trim().into();
    }
    for line in body {
        let expectation = line.strip_prefix("expect ").map(str::trim);
        match expectation {
            Some(text) if text.starts_with("fail") => case.fails = true,
            Some("ordered") => case.ordered = true,
            Some(text) if text.starts_with("string") => {
                case.string = Some(text[6..].trim().trim_matches(['"', '`']).into());
            }
            Some(text) if text.starts_with("range vector") => {
                let words: Vec<&str> = text.split_whitespace().collect();
                case.matrix = Some((duration_ms(words[3])?, duration_ms(words[7])?));
            }
            Some(_) => {}
            None if line.starts_with("expected_fail") => {}
            None => case.expected.push((*line).to_owned()),
        }
    }
    Ok(case)
}

impl Run {
    fn load(&mut self, head: &str, body: &[&str]) {
        let interval = head.split_whitespace().nth(1).and_then(|text| duration_ms(text).ok());
        let interval = interval.expect("load has an interval");
        if head.starts_with("load_with_nhcb") {
            self.histograms.push("nhcb".into());
        }
        let mut loaded = BTreeMap::new();
        for line in body {
            if line.contains("{{") {
                let end = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
                self.histograms.push(line[..end].to_owned());
                continue;
            }
            match series(line) {
                // Of two lines for one series, the later counts.
                Ok(series) => _ = loaded.insert(series.labels.clone(), series),
                Err(_) => self.histograms.push("unreadable".into()),
            }
        }
        for series in loaded.values() {
            load(&mut self.database, series, interval);
        }
    }

    fn judge(&mut self, case: &Case) -> (Outcome, String) {
        let query = match Query::parse(&case.query) {
            Ok(query) => query,
            Err(error) if error.message.contains("not supported") => {
                return (Outcome::Refused, error.to_string());
            }
            Err(_) if case.fails => return (Outcome::Passed, String::new()),
            Err(error) => return (Outcome::Failed, error.to_string()),
        };
        match self.compare(case, &query) {
            Ok(()) => (Outcome::Passed, String::new()),
            Err(_) if self.about_histograms(case, &query) => (Outcome::Histogram, String::new()),
            Err(why) => (Outcome::Failed, why),
        }
    }

    fn about_histograms(&self, case: &Case, query: &Query) -> bool {
        let metrics = query.metrics();
        let unknown = |name: &String| self.database.ids(name).is_empty();
        case.expected.iter().any(|line| line.contains("{{"))
            || self.histograms.iter().any(|name| metrics.any || metrics.names.contains(name))
            || (self.histograms.iter().any(|name| name == "nhcb")
                && metrics.names.iter().any(unknown))
    }

    fn compare(&self, case: &Case, query: &Query) -> Result<(), String> {
        let Times { start, end, step } = case.times;
        if step > 0 {
            let result = self.engine.range(query, &self.database, start..=end, step);
            return match result {
                Err(_) if case.fails => Ok(()),
                Err(error) => Err(error.to_string()),
                Ok(_) if case.fails => Err("did not fail".into()),
                Ok(found) => {
                    let found =
                        found.into_iter().map(|series| (series.labels.to_string(), series.points));
                    same_matrix(case, &found.collect(), (start, step))
                }
            };
        }
        match self.engine.instant(query, &self.database, start) {
            Err(_) if case.fails => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(_) if case.fails => Err("did not fail".into()),
            Ok(Value::String(text)) => {
                let expected =
                    case.string.as_ref().or(case.expected.first()).ok_or("nothing expected")?;
                if expected.trim_matches(['"', '`']) == text {
                    Ok(())
                } else {
                    Err(format!("found {text:?}"))
                }
            }
            Ok(Value::Scalar(value)) => {
                let expected = notation::values(case.expected.first().ok_or("nothing expected")?)?;
                if expected[0].is_some_and(|expected| close(expected, value)) {
                    Ok(())
                } else {
                    Err(format!("found {value}"))
                }
            }
            Ok(Value::Matrix(found)) => {
                let found =
                    found.into_iter().map(|series| (series.labels.to_string(), series.points));
                same_matrix(case, &found.collect(), case.matrix.unwrap_or((start, 1)))
            }
            Ok(Value::Vector(found)) => {
                let found: Vec<(String, f64)> = found
                    .into_iter()
                    .map(|sample| (sample.labels.to_string(), sample.value))
                    .collect();
                same_vector(case, &found)?;
                self.as_range(case, query, &found)
            }
        }
    }

    /// The same at one step of a range query, as Prometheus' own runner asks.
    fn as_range(&self, case: &Case, query: &Query, found: &[(String, f64)]) -> Result<(), String> {
        if case.query.contains("start()") || case.query.contains("end()") {
            return Ok(());
        }
        let time = case.times.start;
        let range = self.engine.range(query, &self.database, time - 60_000..=time + 60_000, 60_000);
        let range = range.map_err(|error| format!("as range: {error}"))?;
        let at_time = range.iter().filter_map(|series| {
            let point = series.points.iter().find(|(at, _)| *at == time)?;
            Some((series.labels.to_string(), point.1))
        });
        let at_time: BTreeMap<String, f64> = at_time.collect();
        let same = at_time.len() == found.len()
            && found.iter().all(|(labels, value)| {
                at_time.get(labels).is_some_and(|other| close(*value, *other))
            });
        if same { Ok(()) } else { Err(format!("as range: {at_time:?}, instant: {found:?}")) }
    }
}

fn same_vector(case: &Case, found: &[(String, f64)]) -> Result<(), String> {
    let mut expected = Vec::new();
    for line in &case.expected {
        let Series { labels, values } = series(line)?;
        let value = values.first().copied().flatten().ok_or("no value")?;
        expected.push((labels.to_string(), value));
    }
    let mut sorted = found.to_vec();
    if !case.ordered {
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let same = expected.len() == sorted.len()
        && expected.iter().zip(&sorted).all(|(a, b)| a.0 == b.0 && close(a.1, b.1));
    if same { Ok(()) } else { Err(format!("found {sorted:?}\n    expected {expected:?}")) }
}

fn same_matrix(
    case: &Case,
    found: &BTreeMap<String, Vec<(TimestampMs, f64)>>,
    (start, step): (TimestampMs, i64),
) -> Result<(), String> {
    let mut expected = BTreeMap::new();
    for line in &case.expected {
        let Series { labels, values } = series(line).or_else(|error| {
            notation::values(line)
                .map(|values| Series { labels: promql::Labels::empty(), values })
                .map_err(|_| error)
        })?;
        let times = (0..).map(|nth| start + nth * step);
        let points = times.zip(&values).filter_map(|(time, value)| Some((time, (*value)?)));
        let points: Vec<(TimestampMs, f64)> = points.collect();
        if !points.is_empty() {
            expected.insert(labels.to_string(), points);
        }
    }
    let same = |a: &[(TimestampMs, f64)], b: &[(TimestampMs, f64)]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && close(a.1, b.1))
    };
    let all = expected.len() == found.len()
        && expected
            .iter()
            .all(|(labels, points)| found.get(labels).is_some_and(|other| same(points, other)));
    if all { Ok(()) } else { Err(format!("found {found:?}\n    expected {expected:?}")) }
}

/// Prometheus' comparison in tests: within a millionth of the sum.
#[expect(clippy::float_cmp, reason = "infinities are equal or not")]
fn close(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < 1e-6
}
