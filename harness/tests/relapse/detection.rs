//! Who sees an incident first, and who names its cause: from a recording alone.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use relapse::judge::detection::{Detection, Named};
use relapse::judge::{Verdict, judge};
use relapse::recording::{AlertRow, AlertState, Recording};
use relapse::spec::Scenario;
use relapse::spec::cause::Cause;
use relapse::spec::time;

use crate::export::only_run;
use crate::repo::Copy;

/// A data center comes back unfit, and nothing but reports and alerts answers it.
const FEATURE: &str = "@incident:2023-07-11
Feature: A small return
  Rule: with nothing but the report
    Scenario: an alert names the cause
      Given the topology \"small\" with its traffic
      And every data center runs the current build without \"request-scoped-env\", \"return-gate\", \"owner-quarantine\" and \"owner-fallback\"
      And data center \"SYD\" goes down for maintenance at 12:05 and returns at 12:08
      When it is 12:16
      Then R9-1 holds
";

const TRUTH: &str = "incident = \"2023-07-11\"
title = \"A small return\"
[sources]
A = \"made up\"
[moments]
start = { at = \"2023-07-11 12:00\", basis = \"assumed\", source = \"A\" }
down = { at = \"2023-07-11 12:05\", basis = \"assumed\", source = \"A\" }
back = { at = \"2023-07-11 12:08\", basis = \"assumed\", source = \"A\" }
end = { at = \"2023-07-11 12:16\", basis = \"assumed\", source = \"A\" }
[cause]
says = \"isolates came back as they were\"
basis = \"assumed\"
source = \"A\"
at = \"back\"
baseline = [\"start\", \"down\"]
outcomes = [\"500\"]
lacks = [\"return-gate\"]
names = { script = \"supercache\", dc = \"SYD\" }
[[decoys]]
says = \"the region's other data center\"
basis = \"assumed\"
source = \"A\"
names = { owner = \"MEL\" }
[rows.R9-1]
says = \"diagnosis\"
source = \"A\"
window = [\"back\", \"end\"]
checks = [{ of = { measure = \"seconds-to-diagnosis\" }, max = 120.0, basis = \"assumed\" }]
";

struct Replayed {
    table: String,
    recording: Recording,
    scenario: Scenario,
    cause: Cause,
}

fn replayed() -> Replayed {
    let copy = Copy::new();
    copy.feature("small-return.feature", FEATURE);
    let folder = copy.path().join("incidents/2023-07-11-small-return");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("truth.toml"), TRUTH).unwrap();
    let said = copy.relapse(&["detectors", "2023-07-11"]);
    assert_eq!(said.exit, 0, "{}{}", said.stdout, said.stderr);
    // What was run for the table is not run again.
    let run = copy.relapse(&["run", "2023-07-11", "--out", "out"]);
    assert_eq!(run.exit, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("known"), "{}", run.stderr);
    let library = relapse::feature::Library::read(copy.path());
    assert_eq!(library.problems, []);
    let of_incident = |(about, _): &&(relapse::feature::compile::FeatureAbout, Vec<Scenario>)| {
        about.id == "2023-07-11"
    };
    let scenario = library.features.iter().find(of_incident).unwrap().1[0].clone();
    let cause = library.catalog.incidents["2023-07-11"].cause.clone().unwrap();
    let folder = only_run(&copy.path().join("out")).join("recording");
    let recording = Recording::read(&folder).unwrap();
    Replayed { table: said.stdout, recording, scenario, cause }
}

/// A page that begins to fire.
fn page(at: &str, alert: &str, labels: &[(&str, &str)]) -> AlertRow {
    let labels = labels.iter().chain([&("severity", "page")]);
    AlertRow {
        at: time::parse(at).unwrap(),
        alert: alert.to_owned(),
        labels: labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        from: AlertState::Inactive,
        to: AlertState::Firing,
        value: 1.0,
        annotations: BTreeMap::new(),
    }
}

fn of(replayed: &Replayed, recording: &Recording) -> Detection {
    Detection::of(recording, &replayed.cause, &recording.spec.rules)
}

/// What becomes of the row about diagnosis, with what its table says.
fn diagnosed(replayed: &Replayed) -> (Verdict, String) {
    let judgement = judge(&replayed.scenario, &replayed.recording);
    let check = &judgement.expectations[0].checks[0];
    (check.verdict, check.note.clone().unwrap_or_default())
}

#[test]
fn a_table_tells_who_saw_it_first_and_what_was_named() {
    assert_snapshot!(replayed().table);
}

#[test]
fn what_nobody_names_is_not_diagnosed() {
    let mut replayed = replayed();
    let before = of(&replayed, &replayed.recording);
    assert_eq!(diagnosed(&replayed).0, Verdict::Pass);
    let by = |named: Option<Named>| named.unwrap().by;
    assert_eq!(by(before.diagnosis.then), "report", "that day's rules know no script");

    // Without reports, and without the alerts that carry a script, on-call learns where and not why.
    replayed.recording.exceptions.clear();
    replayed.recording.alerts.retain(|row| !row.labels.contains_key("script"));
    let after = of(&replayed, &replayed.recording);
    assert_eq!(after.diagnosis.now, None);
    assert!(after.paged.now.is_some(), "somebody is paged all the same");
    let seen = after.seen.iter().find(|seen| seen.detector == "D3").unwrap();
    assert!(seen.whole.is_none() && seen.first.as_ref().unwrap().names["dc"] == "SYD", "{seen:?}");
    assert_eq!(diagnosed(&replayed), (Verdict::Fail, "nothing named it".to_owned()));
}

#[test]
fn a_page_that_names_a_decoy_first_is_a_wrong_diagnosis() {
    let blames = |labels: &[(&str, &str)]| {
        let mut replayed = replayed();
        replayed.recording.alerts.insert(0, page("2023-07-11 12:08:01", "OwnerFailing", labels));
        let detection = of(&replayed, &replayed.recording);
        (detection.wrong.len(), diagnosed(&replayed))
    };
    // What is declared, and the topology's noise.
    for (owner, decoy) in [("MEL", "the region's other data center"), ("VIE", "slow host VIE")] {
        let (wrong, (verdict, says)) = blames(&[("owner", owner)]);
        assert_eq!((wrong, verdict), (1, Verdict::Fail), "{owner}");
        assert_eq!(says, format!("OwnerFailing named a decoy: {decoy}"));
    }
    // Who names the cause is right.
    let (wrong, (verdict, _)) = blames(&[("owner", "SYD")]);
    assert_eq!((wrong, verdict), (0, Verdict::Pass));
    // Where customers fail because of the cause a page may say so, whatever else goes on there.
    let (wrong, (verdict, _)) = blames(&[("dc", "MEL")]);
    assert_eq!((wrong, verdict), (0, Verdict::Pass));
}

#[test]
fn the_first_customer_is_the_first_who_fails_because_of_it() {
    let mut replayed = replayed();
    let customers = of(&replayed, &replayed.recording).customers.unwrap();
    let requests = &mut replayed.recording.requests;
    let failed = |row: &&relapse::recording::RequestRow| {
        row.outcome == relapse::recording::Outcome::Status(500)
    };
    let first = requests.iter().filter(failed).map(|row| row.at).min().unwrap();
    assert_eq!(customers.first, first);

    // Were such failures as frequent before, they would be no news.
    let moved: Vec<_> = requests
        .iter()
        .filter(failed)
        .map(|row| {
            let mut row = row.clone();
            row.at = replayed.cause.baseline.from;
            row
        })
        .collect();
    requests.extend(moved);
    assert_eq!(of(&replayed, &replayed.recording).customers, None);
}
