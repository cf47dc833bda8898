//! The shipped rules over a recording, as `promtool test rules` has them.
//!
//! A server evaluates no alerts over the past; `promtool` does, on a regular grid that begins in 1970. Our evaluations come
//! 5 s after each scrape, every 15 s, so the samples lie on a grid of 5 s, each 5 s before an evaluation. At every
//! evaluation `promtool` is asked for `ALERTS`, and expects there what our engine says: it does the comparing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use promql::{Dialect, Settings};
use relapse::alerts::{self, Evaluation, PHASE_MS, RuleText};
use relapse::recording::{AlertRow, AlertState, Recording, Scrapes};
use relapse::runs::about::Stopwatch;

use super::{installed, promtool, say};
use crate::export::only_run;
use crate::repo::Copy;

/// Of a step of 15 s, samples lie at its end less 5 s.
const STEP_S: u32 = 15;

/// What makes alerts begin and end: an outage, a crash, a store that is gone, tier requests without signature.
const FEATURE: &str = "Feature: x
  Scenario: y
    Given the topology \"small\" with its traffic and without noise
    And the replay starts at 2023-07-11 12:00
    And every data center runs the current build without \"request-scoped-env\", \"return-gate\", \"owner-quarantine\" and \"owner-fallback\"
    And data center \"MEL\" goes down for maintenance at 12:12 and returns at 12:15
    When it is 12:18
    And data center \"MEL\" crashes
    And 1 minute passes
    And data center \"MEL\" is started again
    And data center \"SJC\" crashes
    And 4 minutes pass
    And data center \"SJC\" is started again
    And these faults act for 3 minutes:
      | fault     | from   | to      | amount | share |
      | partition | anyone | store-a |        | 100 % |
    And it is 12:29
    And these faults act for 4 minutes:
      | fault        | from   | to       | amount         | share |
      | strip header | anyone | VIE:tier | x-relapse-auth | 100 % |
    And it is 12:40
    Then at least 1000 requests were sent
";

/// The states of all alerts at one moment, by the labels of `ALERTS`.
type Active = BTreeSet<BTreeMap<String, String>>;

#[test]
fn alerts_over_a_recording_are_those_of_promtool() {
    if !installed() {
        return;
    }
    let copy = Copy::new();
    copy.feature("x.feature", FEATURE);
    let said = copy.relapse(&["run", "x", "--out", "out"]);
    assert_eq!(said.exit, 0, "{}{}", said.stdout, said.stderr);
    let run = only_run(&copy.path().join("out"));
    let recording = Recording::read(&run.join("recording")).unwrap();
    let rules: Vec<RuleText> = recording.spec.rules.iter().map(every_time).collect();
    let settings = Settings { dialect: Dialect::V2, ..alerts::settings() };
    let (rows, failures) = alerts::replay_as(&recording.metrics, &rules, settings);
    assert_eq!(failures, Vec::<String>::new());
    let ours = timeline(&recording.metrics, &rows);

    let folder = copy.path().join("rules");
    std::fs::create_dir(&folder).unwrap();
    for rule in &rules {
        std::fs::write(folder.join(file_name(rule)), &rule.text).unwrap();
    }
    let input = input(&recording.metrics, &rules);
    let watch = Stopwatch::start();
    let (equal, words) = check(&folder, &input, &ours);
    let took = watch.seconds();
    assert!(equal, "{}", words.chars().take(5_000).collect::<String>());

    let fired = rows.iter().filter(|row| row.to == AlertState::Firing);
    let names: BTreeSet<&str> = fired.clone().map(|row| row.alert.as_str()).collect();
    assert!(names.len() >= 5, "only {names:?} fired");
    say(&format!(
        "compared with promtool: {} changes of {} alerts at {} evaluations over {} series; fired: {} ({} times); \
         {took:.1} s there. promtool knows no interval of a group: groups that have one are evaluated every {STEP_S} s on \
         both sides",
        rows.len(),
        rows.iter().map(|row| (&row.alert, &row.labels)).collect::<BTreeSet<_>>().len(),
        ours.len(),
        input.matches("- series:").count(),
        names.into_iter().collect::<Vec<_>>().join(", "),
        fired.count(),
    ));

    // One alert that fires an evaluation earlier or later is found out.
    let begins = ours.windows(2).position(|pair| pair[0].len() < pair[1].len()).unwrap();
    let mut late = ours.clone();
    late[begins + 1] = late[begins].clone();
    let (equal, words) = check(&folder, &input, &late);
    assert!(!equal && words.contains("FAILED"), "{words}");
}

/// Rules without intervals of their groups.
fn every_time(rule: &RuleText) -> RuleText {
    let kept = rule.text.lines().filter(|line| !line.starts_with("    interval:"));
    let text = kept.fold(String::new(), |text, line| text + line + "\n");
    RuleText { file: rule.file.clone(), text }
}

fn file_name(rule: &RuleText) -> &str {
    rule.file.rsplit('/').next().unwrap()
}

/// What is active after each evaluation, one evaluation a round.
fn timeline(scrapes: &Scrapes, rows: &[AlertRow]) -> Vec<Active> {
    let mut states: BTreeMap<(&str, &BTreeMap<String, String>), AlertState> = BTreeMap::new();
    let mut rows = rows.iter().peekable();
    let mut timeline = Vec::new();
    for round in 0..scrapes.rounds {
        let at = scrapes.round_at(round).0 + PHASE_MS * 1_000;
        while let Some(row) = rows.next_if(|row| row.at.0 <= at) {
            assert_eq!(row.at.0, at, "an evaluation follows each round");
            states.insert((&row.alert, &row.labels), row.to);
        }
        let active = states.iter().filter_map(|((alert, labels), state)| {
            let state = match state {
                AlertState::Inactive => return None,
                AlertState::Pending => "pending",
                AlertState::Firing => "firing",
            };
            let mut labels = (*labels).clone();
            labels.insert("alertname".to_owned(), (*alert).to_owned());
            labels.insert("alertstate".to_owned(), state.to_owned());
            Some(labels)
        });
        timeline.push(active.collect());
    }
    timeline
}

/// Everything but the expectations: rules in our order, and the samples that they look at.
fn input(scrapes: &Scrapes, rules: &[RuleText]) -> String {
    let mut out = String::from("rule_files:\n");
    for rule in rules {
        let _ = writeln!(out, "  - {}", file_name(rule));
    }
    let _ = writeln!(out, "evaluation_interval: {STEP_S}s\ngroup_eval_order:");
    for group in rules.iter().flat_map(|rule| rule.text.lines()) {
        if let Some(name) = group.strip_prefix("  - name: ") {
            let _ = writeln!(out, "  - {name}");
        }
    }
    out.push_str("tests:\n  - interval: 5s\n    input_series:\n");
    let evaluation = Evaluation::new(rules);
    for series in scrapes.series.iter().filter(|series| evaluation.wants(&series.labels)) {
        let labels = series.labels.to_string().replace('\'', "''");
        let (mut next, mut samples) = (0, series.samples().peekable());
        // Round 0 lies at 10 s: the third place on a grid of 5 s.
        let values = (0..scrapes.rounds).map(|round| match samples.next_if(|s| s.0 == round) {
            Some((_, value)) => {
                next = round + 1;
                format!("_ _ {value}")
            }
            None if next == round && round > 0 => "_ _ stale".to_owned(),
            None => "_ _ _".to_owned(),
        });
        let values: Vec<String> = values.collect();
        let _ = writeln!(out, "      - series: '{labels}'\n        values: '{}'", values.join(" "));
    }
    out
}

/// Whether promtool has the same alerts at every evaluation, and what it says.
fn check(folder: &Path, input: &str, timeline: &[Active]) -> (bool, String) {
    let mut test = format!("{input}    promql_expr_test:\n");
    for (round, active) in (1u32..).zip(timeline) {
        let at_s = round * STEP_S;
        let _ = writeln!(
            test,
            "      - expr: ALERTS\n        eval_time: {at_s}s\n        exp_samples:"
        );
        for labels in active {
            let pairs: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let _ = writeln!(test, "          - labels: 'ALERTS{{{}}}'", pairs.join(","));
            test.push_str("            value: 1\n");
        }
    }
    std::fs::write(folder.join("test.yml"), test).unwrap();
    promtool(folder, &["test", "rules", "test.yml"])
}
