//! Whoever breaks the mechanism, the fault, the client or the recording never sees green.

use std::path::PathBuf;
use std::time::Duration;

use kv_node::safeguards::Safeguard;
use kv_node::telemetry::log::ResponseLine;
use kv_node::telemetry::ship::HAND_OVER;
use relapse::judge::{Judgement, Verdict, judge};
use relapse::lab::{drive, sim};
use relapse::recording::{Journal, Outcome, Recording, RecordingWriter, Series};
use relapse::spec::fault::{Fault, FaultKind, Who};
use relapse::spec::peers::PROBE_NAMESPACE;
use relapse::spec::time::IncidentTime;
use relapse::spec::topology::TelemetryAbout;
use relapse::spec::{Action, Planned, Scenario};

use crate::repo::{Copy, scenarios};

const SEED: u64 = 1;

fn lab(scenario: &Scenario) -> RecordingWriter {
    drive(sim::lab(SEED), &scenario.spec, |_| {}).unwrap()
}

/// Writes a recording, reads it back and judges it.
fn judged(scenario: &Scenario, recording: &RecordingWriter, folder: &Copy) -> Judgement {
    let path = folder.path().join("recording");
    recording.write(&path, &scenario.spec, SEED).unwrap();
    judge(scenario, &Recording::read(&path).unwrap())
}

/// July as it happened, with few requests: enough to see errors or none.
fn july() -> Scenario {
    with_few_requests(scenarios("2023-07-17").remove(0))
}

fn with_few_requests(mut scenario: Scenario) -> Scenario {
    scenario.spec.rates.clear();
    scenario.spec.topology.traffic.requests_per_s = 6.0;
    scenario
}

/// A scenario in which nothing is wrong.
fn quiet() -> Scenario {
    scenarios("faults").remove(0)
}

/// A data center that comes back unfit and throws, with everything that tells of it.
fn throwing() -> Scenario {
    named("signals", "a request that fails is traced")
}

/// The one scenario of a feature whose name has these words.
fn named(feature: &str, words: &str) -> Scenario {
    scenarios(feature).into_iter().find(|scenario| scenario.name.contains(words)).unwrap()
}

/// From a moment on until after the end nothing gets from one peer to another.
fn cut_off(scenario: &mut Scenario, (from, to): (&str, &str), at: IncidentTime) {
    let fault = Fault {
        kind: FaultKind::Partition,
        from: Who::Peer(from.into()),
        to: Who::Peer(to.into()),
        listener: None,
        probability: 1.0,
        bursts_ms: None,
    };
    scenario.spec.timeline.push(Planned { at, action: Action::Fault { fault, for_s: 600 } });
}

fn found(judgement: &Judgement, text: &str) {
    assert_eq!(judgement.verdict, Verdict::Fail, "{:?}", judgement.findings);
    let found = judgement.findings.iter().any(|finding| finding.text.contains(text));
    assert!(found, "{text}: {:?}", judgement.findings);
}

fn row(judgement: &Judgement, title: &str) -> Verdict {
    judgement.expectations.iter().find(|judged| judged.title == title).unwrap().verdict
}

#[test]
fn an_env_that_does_not_leak_replays_nothing() {
    let folder = Copy::new();
    let mut scenario = july();
    scenario.spec.build.lacks.remove(&Safeguard::RequestScopedEnv);
    let judgement = judged(&scenario, &lab(&scenario), &folder);
    assert_eq!(judgement.verdict, Verdict::Fail);
    for title in ["R1-1", "R1-2", "R1-3", "R1-5", "R1-10"] {
        assert_eq!(row(&judgement, title), Verdict::Fail, "{title}");
    }

    // And with the leak in, under the same few requests, they fail: it is the env that makes the difference.
    let scenario = july();
    let judgement = judged(&scenario, &lab(&scenario), &folder);
    assert_eq!(row(&judgement, "R1-5"), Verdict::Pass);
}

#[test]
fn a_fault_that_never_acts_is_inconclusive() {
    let copy = Copy::new();
    copy.feature(
        "x.feature",
        "Feature: x
  Scenario: a header that no request carries
    Given the topology \"small\" with its traffic and without noise
    And the replay starts at 2023-07-11 12:00
    When these faults act for 2 minutes:
      | fault        | from    | to       | amount    | share |
      | strip header | clients | SYD:rest | x-nowhere | 100 % |
    And 2 minutes pass
    Then no request fails
",
    );
    let said = copy.relapse(&["run", "x"]);
    assert_eq!(said.exit, 4, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("never acted"), "{}", said.stdout);
}

#[test]
fn a_client_that_counts_failures_as_answers_is_found_out() {
    let folder = Copy::new();
    // Without a safeguard the data centers fail, and a client that lies makes every hardened row hold.
    let hardened = named("2023-07-17", "with every safeguard the return goes unnoticed");
    let mut scenario = with_few_requests(hardened);
    scenario.spec.build = july().spec.build;
    let mut recording = lab(&scenario);
    for truth in &mut recording.truth {
        if truth.outcome.failed() {
            truth.outcome = Outcome::Status(200);
        }
    }
    recording.requests.retain(|request| !request.outcome.failed());
    let judgement = judged(&scenario, &recording, &folder);
    assert_eq!(judgement.verdict, Verdict::Fail);
    let found = judgement.findings.iter().any(|finding| finding.text.contains("its customers say"));
    assert!(found, "{:?}", judgement.findings);
}

#[test]
fn a_client_that_forgets_requests_is_found_out() {
    let folder = Copy::new();
    let scenario = quiet();
    let mut recording = lab(&scenario);
    recording.truth.truncate(recording.truth.len() / 2);
    let judgement = judged(&scenario, &recording, &folder);
    assert_eq!(judgement.verdict, Verdict::Fail, "{:?}", judgement.findings);
}

#[test]
fn a_recording_cut_short_is_no_recording() {
    let folder = Copy::new();
    let scenario = quiet();
    let recording = lab(&scenario);
    assert_eq!(judged(&scenario, &recording, &folder).verdict, Verdict::Pass);

    let path: PathBuf = folder.path().join("recording");
    let truth = path.join("truth.columns");
    let bytes = std::fs::read(&truth).unwrap();
    std::fs::write(&truth, &bytes[..bytes.len() / 2]).unwrap();
    let said = folder.relapse(&["judge", "."]);
    assert_eq!(said.exit, 3, "{said:?}");
    assert!(said.stderr.contains("truth.columns is damaged"), "{}", said.stderr);

    std::fs::write(&truth, &bytes).unwrap();
    std::fs::remove_file(path.join("index.json")).unwrap();
    assert_eq!(folder.relapse(&["judge", "."]).exit, 3);
}

#[test]
fn a_run_cut_short_is_inconclusive() {
    let folder = Copy::new();
    let scenario = quiet();
    let mut recording = lab(&scenario);
    recording.journal.retain(|(_, entry)| *entry != Journal::End);
    assert_eq!(judged(&scenario, &recording, &folder).verdict, Verdict::Inconclusive);

    let mut longer = quiet();
    longer.spec.end = longer.spec.end.after(Duration::from_mins(10));
    let recording = lab(&scenario);
    let path = folder.path().join("shorter");
    recording.write(&path, &scenario.spec, SEED).unwrap();
    let judgement = judge(&longer, &Recording::read(&path).unwrap());
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
}

#[test]
fn an_expectation_that_looked_at_nothing_fails() {
    let folder = Copy::new();
    let mut scenario = quiet();
    let recording = lab(&scenario);
    for expectation in &mut scenario.expectations {
        for check in &mut expectation.checks {
            check.window.from = scenario.spec.end;
            check.window.to = scenario.spec.end.after(Duration::from_mins(5));
        }
    }
    assert_eq!(judged(&scenario, &recording, &folder).verdict, Verdict::Fail);
}

#[test]
fn a_node_that_swallows_exceptions_is_found_out() {
    let folder = Copy::new();
    let scenario = throwing();
    let mut recording = lab(&scenario);
    assert_eq!(judged(&scenario, &recording, &folder).verdict, Verdict::Pass);

    let last = recording.exceptions.pop();
    assert!(last.is_some());
    found(&judged(&scenario, &recording, &folder), "exceptions left SYD");

    // Nor may it tell one twice to make up for another.
    let mut recording = lab(&scenario);
    recording.exceptions[1] = recording.exceptions[0].clone();
    found(&judged(&scenario, &recording, &folder), "is reported twice");
}

#[test]
fn what_nodes_could_not_hand_over_before_the_end_was_not_swallowed() {
    let mut scenario = throwing();
    let at = scenario.spec.end.before(Duration::from_mins(4));
    cut_off(&mut scenario, ("SYD", "intake-reports"), at);
    let mut recording = lab(&scenario);
    let told = recording.exceptions.iter().filter(|told| told.at > at).count();
    let thrown = recording.answers.iter().filter(|row| row.bare && row.status == 500);
    let thrown: u64 = thrown.map(|row| row.count).sum();
    assert!(told < 5 && thrown > 100, "{told} {thrown}");
    let accused = |recording: &RecordingWriter| {
        let findings = judged(&scenario, recording, &Copy::new()).findings;
        findings.into_iter().any(|finding| finding.text.contains("exceptions left SYD"))
    };
    assert!(!accused(&recording));

    // But one that is neither told nor waits was.
    let told = recording.exceptions.pop();
    assert!(accused(&recording));
    recording.exceptions.extend(told);

    // And where nothing keeps it from the intake, what waits is swallowed.
    scenario.spec.timeline.pop();
    let findings = judged(&scenario, &recording, &Copy::new()).findings;
    assert!(findings.iter().any(|f| f.text.contains("exceptions left SYD")));
}

#[test]
fn a_sampler_that_drops_every_500_is_found_out() {
    let folder = Copy::new();
    let scenario = throwing();
    let mut recording = lab(&scenario);
    recording.lines.retain(|line| line.status != 500);
    found(&judged(&scenario, &recording, &folder), "requests with 500, and no line says so");
}

#[test]
fn a_sampler_that_drops_every_500_is_found_out_though_some_lines_are_known_to_be_lost() {
    let mut scenario = throwing();
    scenario.spec.topology.telemetry =
        TelemetryAbout { records_per_s: 0.1, burst: 20.0, ..TelemetryAbout::default() };
    let mut recording = lab(&scenario);
    let dropped = |series: &&Series| {
        series.labels.metric() == Some("node_telemetry_dropped_total")
            && series.labels.get("signal") == Some("logs")
    };
    let dropped = recording.metrics.series.iter().filter(dropped);
    let dropped: f64 = dropped.filter_map(|series| series.samples().last()).map(|(_, n)| n).sum();
    assert!(dropped > 10.0, "{dropped} lines are lost");
    let folder = Copy::new();
    assert_eq!(judged(&scenario, &recording, &folder).findings, []);
    recording.lines.retain(|line| line.status != 500);
    found(&judged(&scenario, &recording, &folder), "requests with 500, and no line says so");
}

#[test]
fn lines_of_synthetic_requests_tell_nothing_of_customers_failures() {
    let folder = Copy::new();
    let scenario = named("2023-07-17", "with nothing but the report");
    let mut recording = lab(&scenario);
    assert_eq!(row(&judged(&scenario, &recording, &folder), "R1-h2l"), Verdict::Pass);

    let synthetic = |line: &ResponseLine| {
        let context = line.context.as_ref();
        context
            .and_then(|context| context.namespace.as_ref())
            .is_some_and(|namespace| namespace.as_str() == PROBE_NAMESPACE)
    };
    recording.lines.retain(|line| line.status < 500 || synthetic(line));
    assert!(recording.lines.iter().filter(|line| line.status == 500).count() > 100);
    assert_eq!(row(&judged(&scenario, &recording, &folder), "R1-h2l"), Verdict::Fail);
}

#[test]
fn the_last_scrapes_come_when_whoever_sends_telemetry_has_come_to_rest() {
    let scenario = quiet();
    let metrics = lab(&scenario).metrics;
    let waited = metrics.round_at(metrics.rounds - 2).since(scenario.spec.end);
    let timeout = Duration::from_secs_f64(scenario.spec.topology.traffic.timeout_s);
    assert!(waited >= timeout + HAND_OVER, "{waited:?} after the end");
}

#[test]
fn a_node_that_does_not_answer_the_last_scrapes_is_found_out_unless_it_is_kept_from_it() {
    let mut scenario = quiet();
    let at = scenario.spec.end.before(Duration::from_mins(1));
    cut_off(&mut scenario, ("monitor", "SYD"), at);
    let recording = lab(&scenario);
    let text = "SYD answers no scrape at the end";
    let folder = Copy::new();
    let findings = judged(&scenario, &recording, &folder).findings;
    assert!(!findings.iter().any(|finding| finding.text.contains(text)), "{findings:?}");
    scenario.spec.timeline.pop();
    found(&judged(&scenario, &recording, &folder), text);
}

#[test]
fn a_counter_that_stops_is_found_out() {
    let folder = Copy::new();
    let scenario = quiet();
    let mut recording = lab(&scenario);
    let series = recording
        .metrics
        .series
        .iter_mut()
        .find(|series| {
            series.labels.metric() == Some("node_responses_total")
                && series.labels.get("dc") == Some("SYD")
                && series.labels.get("status") == Some("200")
        })
        .unwrap();
    let mut stopped = Series::new(series.labels.clone());
    let mut last = 0.0;
    for (round, value) in series.samples() {
        last = if round < 5 { value } else { last };
        stopped.push(round, last);
    }
    *series = stopped;
    found(&judged(&scenario, &recording, &folder), "of SYD says it answered");
}

#[test]
fn an_alert_that_is_evaluated_one_interval_late_is_found_out() {
    let folder = Copy::new();
    let scenario = throwing();
    let mut recording = lab(&scenario);
    assert!(recording.alerts.len() > 3, "{:?}", recording.alerts);
    recording.alerts[2].at = recording.alerts[2].at.after(Duration::from_secs(15));
    found(
        &judged(&scenario, &recording, &folder),
        "the monitor's alerts are not those of the rules",
    );
}

#[test]
fn a_scraper_that_reads_around_a_partition_is_found_out() {
    let folder = Copy::new();
    let fits = |scenario: &Scenario| scenario.name.starts_with("a node that cannot be scraped");
    let scenario = scenarios("signals").into_iter().find(fits).unwrap();
    let mut recording = lab(&scenario);
    assert_eq!(judged(&scenario, &recording, &folder).verdict, Verdict::Pass);

    // It says that it reached the node throughout, and no alert tells otherwise.
    for series in &mut recording.metrics.series {
        if series.labels.metric() == Some("up") && series.labels.get("dc") == Some("SYD") {
            let mut up = Series::new(series.labels.clone());
            series.samples().for_each(|(round, _)| up.push(round, 1.0));
            *series = up;
        }
    }
    recording.alerts.clear();
    found(&judged(&scenario, &recording, &folder), "and fewer requests reached it");
}
