//! What operators do, at a time of day or some time after an alert.

use insta::assert_snapshot;

use crate::repo::Copy;

const NAME: &str = "operators.feature";
const FILE: &str = "features/operators.feature";

/// A feature in which operators do what a table says.
fn feature(rows: &[(&str, &str)]) -> String {
    let mut text = "Feature: Operators\n  Scenario: three quiet minutes\n".to_owned();
    text += "    Given the topology \"small\" with its traffic and without noise\n";
    text += "    And the replay starts at 2023-07-11 12:00\n    When operators do:\n";
    text += "      | when | what |\n";
    for (when, what) in rows {
        text.push_str(&["      | ", when, " | ", what, " |\n"].concat());
    }
    text + "    And 3 minutes pass\n    Then no request fails\n"
}

#[test]
fn what_hangs_on_an_alert_that_never_fires_makes_a_scenario_inconclusive() {
    let copy = Copy::new();
    copy.feature(
        NAME,
        &feature(&[("1 minute after OwnerFailing", "the new backend is switched off everywhere")]),
    );
    let said = copy.relapse(&["run", FILE]);
    assert_eq!(said.exit, 4, "{}", said.stdout);
    assert!(said.stdout.contains("1 min after OwnerFailing"), "{}", said.stdout);
}

#[test]
fn what_is_wrong_in_the_table_is_told_with_its_line() {
    let copy = Copy::new();
    copy.feature(
        NAME,
        &feature(&[
            ("soon", "the new backend is switched off everywhere"),
            ("a while after OwnerFailing", "the new backend is switched off everywhere"),
            ("1 minute after OwnerFalling", "the new backend is switched off everywhere"),
            ("12:01", "the new backend is switched of everywhere"),
            ("12:01", "data center \"MELL\" crashes"),
            ("12:02", "2 minutes pass"),
        ]),
    );
    let said = copy.relapse(&["check", FILE]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert_snapshot!(said.stderr);
}
