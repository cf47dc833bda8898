//! Bad input ends with exit code 2, and says where and what to write instead, before any lab exists.

use insta::assert_snapshot;

use crate::repo::Copy;

const JULY: &str = "features/2023-07-17-returning-data-centers.feature";
const TOPOLOGY: &str = "features/topologies/kv-2023-07.toml";
const TRUTH: &str = "incidents/2023-07-17-returning-data-centers/truth.toml";

/// What `check` says of a change, and that `run` refuses it as well.
fn said_of(file: &str, from: &str, to: &str) -> String {
    let copy = Copy::new();
    copy.change(file, from, to);
    refused(&copy)
}

fn said_of_feature(text: &str) -> String {
    let copy = Copy::new();
    copy.feature("x.feature", text);
    refused(&copy)
}

fn refused(copy: &Copy) -> String {
    let said = copy.relapse(&["check"]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert_eq!(said.stdout, "");
    assert_eq!(copy.relapse(&["run"]).exit, 2);
    assert!(!copy.path().join(".relapse").exists(), "nothing was begun");
    said.stderr
}

fn scenario(steps: &str) -> String {
    let given = "Given the topology \"small\" with its traffic\n    And the replay starts at 2023-07-11 12:00";
    said_of_feature(&format!("Feature: x\n  Scenario: y\n    {given}\n{steps}"))
}

#[test]
fn a_misspelt_step() {
    assert_snapshot!(said_of(JULY, "When it is 00:09 the next day", "When its 00:09 the next day"));
}

#[test]
fn a_step_under_the_wrong_keyword() {
    assert_snapshot!(scenario("    When no request fails\n"));
}

#[test]
fn an_unknown_data_center() {
    assert_snapshot!(said_of(JULY, "\"MEL01\", \"VIE02\"", "\"MEL1\", \"VIE02\""));
}

#[test]
fn an_unknown_build() {
    assert_snapshot!(said_of(JULY, "build \"kv-2023-07\"", "build \"kv-2023-7\""));
}

#[test]
fn an_unknown_safeguard() {
    assert_snapshot!(said_of(
        JULY,
        "without \"request-scoped-env\"",
        "without \"request-scope-env\""
    ));
}

#[test]
fn an_unknown_row() {
    assert_snapshot!(said_of(JULY, "R1-1 and R1-2 hold", "R1-1 and R1-22 hold"));
}

#[test]
fn a_row_that_looks_further_than_the_scenario() {
    assert_snapshot!(said_of(JULY, "And it is 02:26", "And it is 00:30"));
}

#[test]
fn an_unknown_incident() {
    assert_snapshot!(said_of(JULY, "@incident:2023-07-17", "@incident:2023-07-71"));
}

#[test]
fn a_topology_that_is_no_toml() {
    assert_snapshot!(said_of(TOPOLOGY, "isolates = 4 ", "isolates = = 4 "));
}

#[test]
fn a_topology_with_an_unknown_key() {
    assert_snapshot!(said_of(TOPOLOGY, "isolates = 4 ", "isolate = 4 "));
}

#[test]
fn a_topology_with_an_unknown_region() {
    assert_snapshot!(said_of(TOPOLOGY, "SYD = { region = \"OC\"", "SYD = { region = \"OZ\""));
}

#[test]
fn weights_that_are_all_zero() {
    let copy = Copy::new();
    for (dc, tier) in [("JNB01", "2.0"), ("CPT", "1.0"), ("NBO", "1.0"), ("LOS", "1.0")] {
        let from = format!("{dc} = {{ region = \"AF\", tier = {tier}");
        copy.change(TOPOLOGY, &from, &format!("{dc} = {{ region = \"AF\", tier = 0.0"));
    }
    assert_snapshot!(refused(&copy));
}

#[test]
fn a_truth_file_with_an_unknown_measure() {
    assert_snapshot!(said_of(TRUTH, "measure = \"error-share\" }", "measure = \"error-shares\" }"));
}

#[test]
fn a_truth_file_with_an_unknown_moment() {
    assert_snapshot!(said_of(
        TRUTH,
        "window = [\"back\", \"mel01_off\"]",
        "window = [\"back\", \"mel01_of\"]"
    ));
}

#[test]
fn a_truth_file_with_a_date_that_is_none() {
    assert_snapshot!(said_of(TRUTH, "2023-07-17 21:52\"", "2023-07-37 21:52\""));
}

#[test]
fn a_bound_that_nothing_can_meet() {
    assert_snapshot!(said_of(TRUTH, "min = 0.002, max = 0.005", "min = 0.02, max = 0.005"));
}

#[test]
fn a_cause_that_nothing_could_name() {
    assert_snapshot!(said_of(TRUTH, "names = { script =", "names = { scrpt ="));
}

#[test]
fn a_cause_that_lacks_an_unknown_safeguard() {
    assert_snapshot!(said_of(
        TRUTH,
        "lacks = [\"request-scoped-env\"",
        "lacks = [\"request-scoped\""
    ));
}

#[test]
fn a_cause_without_a_time_before_it() {
    let from = "baseline = [\"warm\", \"down\"]\noutcomes";
    assert_snapshot!(said_of(TRUTH, from, "baseline = [\"warm\", \"mel01_off\"]\noutcomes"));
}

#[test]
fn a_cause_that_ends_requests_in_an_unknown_way() {
    assert_snapshot!(said_of(TRUTH, "outcomes = [\"500\"]", "outcomes = [\"200\"]"));
}

#[test]
fn two_whens_that_contradict() {
    assert_snapshot!(scenario(
        "    When the new backend is switched off in \"SYD\"
    And the new backend is switched on in \"SYD\"
    And 5 minutes pass
    Then no request fails
"
    ));
}

#[test]
fn a_return_without_a_maintenance() {
    assert_snapshot!(scenario(
        "    When data center \"SYD\" is started again
    And 5 minutes pass
    Then no request fails
"
    ));
}

#[test]
fn time_that_goes_backwards() {
    assert_snapshot!(scenario(
        "    When it is 2023-07-11 11:00
    Then no request fails
"
    ));
}

#[test]
fn a_scenario_that_expects_nothing() {
    assert_snapshot!(scenario("    When 5 minutes pass\n"));
}

#[test]
fn a_table_of_faults_with_mistakes() {
    assert_snapshot!(scenario(
        "    When these faults act for 5 minutes:
      | fault   | from    | to   | amount | share |
      | latncy  | clients | SYD  | 1 s    | 100 % |
      | latency | clients | SID  | 1 s    | 100 % |
      | latency | clients | SYD  | much   | 100 % |
      | loss    | clients | SYD  |        | 200 % |
    And 5 minutes pass
    Then no request fails
"
    ));
}

#[test]
fn a_line_that_is_no_gherkin() {
    assert_snapshot!(said_of(JULY, "  Rule: as it happened", "  Rul: as it happened"));
}

#[test]
fn an_id_that_nothing_matches() {
    let copy = Copy::new();
    let said = copy.relapse(&["run", "2023-07-71"]);
    assert_eq!(said.exit, 2);
    assert_snapshot!(said.stderr);
}

#[test]
fn tags_that_choose_nothing() {
    let copy = Copy::new();
    let said = copy.relapse(&["run", "--tags", "@nothing"]);
    assert_eq!(said.exit, 2);
    assert_snapshot!(said.stderr);
    assert_eq!(copy.relapse(&["run", "--tags", "and or"]).exit, 2);
}
