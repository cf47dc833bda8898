//! `relapse dashboards check` finds what on-call would not have seen.

use insta::assert_snapshot;

use crate::repo::Copy;

const OVERVIEW: &str = "dashboards/grafana/dashboards/overview.json";
const TIERS: &str = "dashboards/grafana/dashboards/tiers-and-ownership.json";
const NOW: &str = "dashboards/prometheus/rules/now.yml";

/// What is said of a change.
fn said_of(file: &str, from: &str, to: &str) -> String {
    let copy = Copy::new();
    copy.change(file, from, to);
    refused(&copy)
}

fn refused(copy: &Copy) -> String {
    let said = copy.relapse(&["dashboards", "check"]);
    assert_eq!((said.exit, said.stdout.as_str()), (2, ""), "{said:?}");
    said.stderr
}

#[test]
fn nothing_is_wrong_here() {
    let said = Copy::new().relapse(&["dashboards", "check"]);
    assert_eq!((said.exit, said.stderr.as_str()), (0, ""));
    assert!(said.stdout.ends_with(" rules: nothing is wrong\n"), "{}", said.stdout);
}

#[test]
fn a_panel_that_asks_for_another_metric() {
    assert_snapshot!(said_of(OVERVIEW, "sum(1 - node_serving{", "sum(1 - node_srving{"));
}

#[test]
fn a_panel_that_groups_by_a_label_that_is_not_there() {
    assert_snapshot!(said_of(TIERS, "sum by (owner, role)", "sum by (owner, roles)"));
}

#[test]
fn a_panel_that_names_another_variable() {
    assert_snapshot!(said_of(
        OVERVIEW,
        "sum(1 - node_serving{dc=~\\\"$dc\\\"})",
        "sum(1 - node_serving{dc=~\\\"$dcs\\\"})"
    ));
    assert_snapshot!(said_of(
        OVERVIEW,
        "sum(1 - node_serving{dc=~\\\"$dc\\\"})",
        "sum(1 - node_serving{dc=\\\"$dc\\\"})"
    ));
}

#[test]
fn a_panel_without_a_question() {
    assert_snapshot!(said_of(OVERVIEW, "How many nodes tell nothing?", "Nodes that tell nothing."));
}

#[test]
fn a_panel_over_another() {
    let from = "\"h\": 4,\n        \"w\": 4,\n        \"x\": 4,";
    assert_snapshot!(said_of(OVERVIEW, from, "\"h\": 4,\n        \"w\": 5,\n        \"x\": 4,"));
}

#[test]
fn two_panels_with_one_id() {
    assert_snapshot!(said_of(OVERVIEW, "\"id\": 2,", "\"id\": 1,"));
}

#[test]
fn two_dashboards_with_one_uid() {
    let said = said_of(OVERVIEW, "\"uid\": \"relapse-overview\"", "\"uid\": \"relapse-tiers\"");
    assert!(said.contains("the uid \"relapse-tiers\" is that of"), "{said}");
}

#[test]
fn a_datasource_that_only_one_server_has() {
    let said = said_of(OVERVIEW, "\"uid\": \"${datasource}\"", "\"uid\": \"prometheus\"");
    assert!(said.contains("the datasource is prometheus"), "{said}");
}

#[test]
fn a_file_that_is_no_json() {
    let said = said_of(OVERVIEW, "\"panels\": [", "\"panels\": [,");
    assert!(said.contains("overview.json:"), "{said}");
    assert!(said.contains("no JSON"), "{said}");
}

#[test]
fn a_rule_that_reads_another_metric() {
    assert_snapshot!(said_of(
        NOW,
        "sum by (dc, script) (node_isolates_env_changed)",
        "sum by (dc, script) (node_isolates_env_change)"
    ));
}

#[test]
fn a_rule_that_groups_by_a_label_that_is_not_there() {
    assert_snapshot!(said_of(
        NOW,
        "avg by (store) (node_store_up) < 0.5",
        "avg by (shop) (node_store_up) < 0.5"
    ));
}

#[test]
fn an_alert_without_what_on_call_needs() {
    let copy = Copy::new();
    copy.change(NOW, "severity: page", "severity: pager");
    copy.change(NOW, "summary: \"{{ $labels.owner }} fails", "summary: \"{{ $labels.ownr }} fails");
    std::fs::remove_file(copy.path().join("dashboards/runbooks/StaleReads.md")).unwrap();
    std::fs::write(copy.path().join("dashboards/runbooks/Other.md"), "# Other\n").unwrap();
    assert_snapshot!(refused(&copy));
}

#[test]
fn an_alert_that_is_a_detector_which_there_is_not() {
    assert_snapshot!(said_of(NOW, "detector: D3", "detector: D33"));
}

#[test]
fn a_panel_that_a_recording_has_nothing_for() {
    let copy = Copy::new();
    let run = copy.relapse(&["run", "crash", "--seed", "3", "--out", "out"]);
    assert_eq!(run.exit, 0, "{}", run.stderr);
    let run =
        std::fs::read_dir(copy.path().join("out")).unwrap().flatten().map(|entry| entry.path());
    let run = run.filter(|path| path.join("recording").is_dir()).min().unwrap();
    let check = ["dashboards", "check", "--recording", run.to_str().unwrap()];
    let said = copy.relapse(&check);
    assert_eq!(said.exit, 0, "{}", said.stderr);

    copy.change(OVERVIEW, "sum(1 - node_serving{", "sum(1 - node_serving{region=\\\"Atlantis\\\",");
    let said = copy.relapse(&check);
    assert_eq!((said.exit, said.stdout.as_str()), (2, ""));
    assert_snapshot!(said.stderr);

    // A folder without a recording.
    copy.change(OVERVIEW, "{region=\\\"Atlantis\\\",", "{");
    let said = copy.relapse(&["dashboards", "check", "--recording", "features"]);
    assert_eq!(said.exit, 3);
}
