//! Verdicts as JUnit XML, for whatever shows test results in CI.
//!
//! A suite for each feature, a case for each scenario. Nothing is ever skipped: what could not be done or read is an error,
//! and so is what stayed inconclusive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::text::{bound, replayed};
use crate::judge::{Judged, JudgedCheck, Judgement, Verdict};
use crate::runs::about::About;
use crate::spec::Scenario;
use crate::spec::measure::Measure;

/// From which run a scenario was judged, as far as that is known.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The run's name.
    pub hash: Option<String>,
    /// Its seed.
    pub seed: Option<u64>,
    /// The commit of the working directory.
    pub commit: Option<String>,
    /// Seconds on the wall clock that the run took.
    pub wall_s: Option<f64>,
}

impl Source {
    /// The run that `run.json` tells of.
    pub fn of(about: &About) -> Self {
        Self {
            hash: Some(about.hash.clone()),
            seed: Some(about.seed),
            commit: Some(about.commit.clone()),
            wall_s: Some(about.wall_s),
        }
    }
}

/// Cases as they come, written at the end.
#[derive(Debug, Default)]
pub struct Junit {
    /// By feature, then by the place in its file.
    cases: BTreeMap<String, BTreeMap<(String, usize), Vec<TestCase>>>,
}

impl Junit {
    /// Takes a scenario that was judged.
    pub fn judged(&mut self, scenario: &Scenario, judgement: &Judgement, source: &Source) {
        let status = match judgement.verdict {
            Verdict::Pass => TestCaseStatus::success(),
            Verdict::Inconclusive => {
                let found = findings(judgement, Verdict::Inconclusive);
                let first = found.first().cloned().unwrap_or_else(|| "nothing to look at".into());
                unsuccessful(NonSuccessKind::Error, "inconclusive", &first, &found.join("\n"))
            }
            Verdict::Fail => failure(judgement),
        };
        let mut case = case(scenario, source, status);
        if let Some(seconds) = first_detection_s(scenario, judgement) {
            case.add_property(Property::new("first_detection_s", format!("{seconds:.1}")));
        }
        self.add(scenario, case);
    }

    /// Takes a scenario that could not be judged: its run could not be done, or its recording not read.
    pub fn not_judged(&mut self, scenario: &Scenario, source: &Source, why: &str) {
        let status = unsuccessful(NonSuccessKind::Error, "environment", why, why);
        self.add(scenario, case(scenario, source, status));
    }

    /// Takes what stood in the way of every scenario.
    pub fn nothing_judged(&mut self, what: &str, why: &str) {
        let status = unsuccessful(NonSuccessKind::Error, what, why, why);
        let mut case = TestCase::new(what, status);
        case.set_classname("relapse");
        self.put("relapse", (String::new(), 0), case);
    }

    /// Writes the file, and the folders above it where they are missing.
    pub fn write(&self, file: &Path) -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut report = Report::new("relapse");
        for (feature, cases) in &self.cases {
            let mut suite = TestSuite::new(feature.as_str());
            suite.add_test_cases(cases.values().flatten().cloned());
            report.add_test_suite(suite);
        }
        let mut to = BufWriter::new(File::create(file)?);
        report.serialize(&mut to).map_err(std::io::Error::other)?;
        to.flush()
    }

    fn add(&mut self, scenario: &Scenario, case: TestCase) {
        let place = (scenario.place.file.clone(), scenario.place.line);
        self.put(&scenario.feature, place, case);
    }

    fn put(&mut self, feature: &str, place: (String, usize), case: TestCase) {
        let suite = self.cases.entry(feature.to_owned()).or_default();
        suite.entry(place).or_default().push(case);
    }
}

fn case(scenario: &Scenario, source: &Source, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(scenario.title(), status);
    case.set_classname(scenario.feature.as_str());
    case.extra.insert("file".into(), scenario.place.file.as_str().into());
    case.extra.insert("line".into(), scenario.place.line.to_string().into());
    let known = [
        ("seed", source.seed.map(|seed| seed.to_string())),
        ("commit", source.commit.clone()),
        ("run", source.hash.clone()),
    ];
    for (name, value) in known {
        case.add_properties(value.map(|value| Property::new(name, value)));
    }
    if let Some(time) = source.wall_s.and_then(|s| Duration::try_from_secs_f64(s).ok()) {
        case.set_time(time);
    }
    case
}

fn unsuccessful(kind: NonSuccessKind, what: &str, why: &str, all: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(what).set_message(why).set_description(all);
    status
}

/// The rows that do not hold and what else was found, a line each.
fn failure(judgement: &Judgement) -> TestCaseStatus {
    let failing = |judged: &&Judged| judged.verdict == Verdict::Fail;
    let rows: Vec<&Judged> = judgement.expectations.iter().filter(failing).collect();
    let found = findings(judgement, Verdict::Fail);
    let checks = rows.iter().flat_map(|judged| {
        let failing = judged.checks.iter().filter(|check| check.verdict == Verdict::Fail);
        failing.map(|check| line(judged, check))
    });
    let all: Vec<String> = checks.chain(found.iter().cloned()).collect();
    let titles: Vec<&str> = rows.iter().map(|judged| judged.title.as_str()).collect();
    let message = match titles.as_slice() {
        [] => found.first().cloned().unwrap_or_default(),
        [title] => format!("{title} does not hold"),
        _ => format!("{} do not hold", titles.join(", ")),
    };
    unsuccessful(NonSuccessKind::Failure, "expectation", &message, &all.join("\n"))
}

fn line(judged: &Judged, check: &JudgedCheck) -> String {
    let (bound, replayed) = (bound(&check.bound, check.unit), replayed(check));
    format!("{} | {} | bound {bound} | replayed {replayed}", judged.title, check.label)
}

fn findings(judgement: &Judgement, verdict: Verdict) -> Vec<String> {
    let of_it = judgement.findings.iter().filter(|finding| finding.verdict == verdict);
    of_it.map(|finding| finding.text.clone()).collect()
}

/// How soon the first of the alerts that were expected fired.
fn first_detection_s(scenario: &Scenario, judgement: &Judgement) -> Option<f64> {
    let expected = scenario.expectations.iter().flat_map(|expectation| &expectation.checks);
    let judged = judgement.expectations.iter().flat_map(|judged| &judged.checks);
    expected
        .zip(judged)
        .filter(|(check, _)| matches!(check.measure, Measure::SecondsToAlert { .. }))
        .filter_map(|(_, judged)| judged.value)
        .min_by(f64::total_cmp)
}
