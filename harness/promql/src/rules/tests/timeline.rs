use super::{Input, MINUTE, Server};
use crate::rules::State;

/// One group with one rule that looks at `errors`.
fn rule(more: &str) -> Server {
    Server::new(&format!("groups: [{{name: g, rules: [{{alert: A, expr: errors > 0{more}}}]}}]"))
}

const ERRORS: &[(&str, &str)] = &[("__name__", "errors"), ("dc", "fra1")];
const A: &str = "{alertname=\"A\", dc=\"fra1\"}";

fn lines(changes: &[(u32, &str)]) -> Vec<String> {
    changes.iter().map(|(minute, change)| format!("{minute} {A} {change}")).collect()
}

#[test]
fn without_for_an_alert_fires_at_once() {
    assert_eq!(
        rule("").changes(&[(ERRORS, "0 0 1 1 0 0")]),
        lines(&[(2, "inactive→firing"), (4, "firing→inactive")])
    );
}

#[test]
fn with_for_it_fires_at_the_minute_and_not_one_before() {
    let mut server = rule(", for: 5m");
    assert_eq!(server.changes(&[(ERRORS, "0 1x5")]), lines(&[(1, "inactive→pending")]));
    assert_eq!(server.alerts.active().next().unwrap().state, State::Pending);
    assert_eq!(server.changes(&[(ERRORS, "1")]), lines(&[(6, "pending→firing")]));
    let alert = server.alerts.active().next().unwrap();
    assert_eq!((alert.active_at, alert.fired_at), (MINUTE, Some(6 * MINUTE)));
}

#[test]
fn a_gap_while_pending_starts_again() {
    assert_eq!(
        rule(", for: 3m").changes(&[(ERRORS, "1 1 1 0 1 1 1 1 0")]),
        lines(&[
            (0, "inactive→pending"),
            (3, "pending→inactive"),
            (4, "inactive→pending"),
            (7, "pending→firing"),
            (8, "firing→inactive"),
        ])
    );
}

#[test]
fn keep_firing_for_bridges_gaps_shorter_than_it() {
    // Gone at minute 3, back at 5; gone at 6 for good: 6 + 3 minutes.
    assert_eq!(
        rule(", for: 1m, keep_firing_for: 3m").changes(&[(ERRORS, "0 1 1 0 0 1 0x6")]),
        lines(&[(1, "inactive→pending"), (2, "pending→firing"), (9, "firing→inactive")])
    );
}

#[test]
fn keep_firing_for_does_not_keep_pending_alerts() {
    assert_eq!(
        rule(", for: 5m, keep_firing_for: 10m").changes(&[(ERRORS, "1 1 0 0")]),
        lines(&[(0, "inactive→pending"), (2, "pending→inactive")])
    );
}

#[test]
fn a_resolved_alert_that_comes_back_is_new() {
    let mut server = rule(", for: 1m");
    assert_eq!(server.changes(&[(ERRORS, "1 1 0 1 1")]).len(), 5);
    assert_eq!(server.alerts.active().next().unwrap().active_at, 3 * MINUTE);
}

#[test]
fn a_series_that_ends_ends_its_alert_and_one_that_is_only_missing_does_so_after_lookback() {
    assert_eq!(
        rule("").changes(&[(ERRORS, "1 1 stale _")]),
        lines(&[(0, "inactive→firing"), (2, "firing→inactive")])
    );
    // The last sample is of minute 1; lookback is five minutes and does not include its start.
    assert_eq!(
        rule("").changes(&[(ERRORS, "1 1 _x8")]),
        lines(&[(0, "inactive→firing"), (6, "firing→inactive")])
    );
}

#[test]
fn alerts_of_one_rule_change_each_for_itself_and_in_the_order_of_labels() {
    let other: Input<'_> = (&[("__name__", "errors"), ("dc", "ams1")], "0 1 1");
    assert_eq!(
        rule(", for: 1m").changes(&[(ERRORS, "0 1 0"), other]),
        [
            r#"1 {alertname="A", dc="ams1"} inactive→pending"#,
            r#"1 {alertname="A", dc="fra1"} inactive→pending"#,
            r#"2 {alertname="A", dc="ams1"} pending→firing"#,
            r#"2 {alertname="A", dc="fra1"} pending→inactive"#,
        ]
    );
}

#[test]
fn labels_and_annotations_are_expanded_at_each_evaluation() {
    let mut server = Server::new(
        r#"
groups:
  - name: g
    labels: {team: storage, severity: ticket}
    rules:
      - alert: A
        expr: errors > 0
        labels: {severity: page, dc: "", where: "{{ $labels.dc | toUpper }} in {{ $externalLabels.cluster }}"}
        annotations: {summary: "{{ $value }} errors, {{ query `sum(errors) * 2` | first | value }} doubled"}
"#,
    );
    let steps = server.run(&[(ERRORS, "1 2 0")]);
    let fired = &steps[0].transitions[0];
    assert_eq!(
        fired.labels.to_string(),
        r#"{alertname="A", severity="page", team="storage", where="FRA1 in live"}"#
    );
    assert_eq!((fired.annotations["summary"].as_str(), fired.value), ("1 errors, 2 doubled", 1.0));
    assert_eq!(steps[1].transitions, []);
    let resolved = &steps[2].transitions[0];
    assert_eq!(
        (resolved.annotations["summary"].as_str(), resolved.value),
        ("2 errors, 4 doubled", 2.0)
    );
}

#[test]
fn alerts_that_cannot_be_told_apart_fail_the_rule_and_change_nothing() {
    let mut server = Server::new(
        "groups: [{name: g, rules: [{alert: A, expr: errors > 0, labels: {dc: all}}]}]",
    );
    let all = r#"{alertname="A", dc="all"}"#;
    assert_eq!(server.changes(&[(ERRORS, "1")]), [format!("0 {all} inactive→firing")]);
    let steps =
        server.run(&[(ERRORS, "1 0"), (&[("__name__", "errors"), ("dc", "ams1")], "1 stale")]);
    assert_eq!(
        steps[0].failures[0].to_string(),
        "group g, rule A: vector contains metrics with the same labelset after applying alert labels"
    );
    assert_eq!(steps[0].transitions, []);
    assert_eq!(steps[1].transitions[0].from, State::Firing);
}

#[test]
fn more_alerts_than_the_limit_are_all_forgotten() {
    let mut server =
        Server::new("groups: [{name: g, limit: 1, rules: [{alert: A, expr: errors > 0}]}]");
    let other: Input<'_> = (&[("__name__", "errors"), ("dc", "ams1")], "0 1 0");
    let steps = server.run(&[(ERRORS, "1 1 1"), other]);
    assert_eq!(steps[1].failures[0].message, "exceeded limit of 1 with 2 alerts");
    let ended: Vec<String> = steps[1]
        .transitions
        .iter()
        .map(|change| format!("{} {}→{}", change.labels, change.from, change.to))
        .collect();
    assert_eq!(ended, [format!("{A} firing→inactive")]);
    assert_eq!(steps[2].transitions[0].to, State::Firing);
}

#[test]
fn states_are_written_as_series_that_end_with_them() {
    let mut server = rule(", for: 2m, labels: {severity: page}");
    server.run(&[(ERRORS, "0 1 1 1 0")]);
    let series = r#"{alertname="A", alertstate="STATE", dc="fra1", severity="page"} 1"#;
    let state = |state: &str| vec![format!("ALERTS{}", series.replace("STATE", state))];
    assert_eq!(server.ask("ALERTS", 0), [""; 0]);
    assert_eq!(server.ask("ALERTS", 2), state("pending"));
    assert_eq!(server.ask("ALERTS", 3), state("firing"));
    assert_eq!(server.ask("ALERTS", 4), [""; 0]);
    assert_eq!(
        server.ask("ALERTS_FOR_STATE", 3),
        [r#"ALERTS_FOR_STATE{alertname="A", dc="fra1", severity="page"} 60"#]
    );
    assert_eq!(server.ask("ALERTS_FOR_STATE", 4), [""; 0]);
}

#[test]
fn rules_can_look_at_alerts_before_them() {
    let mut server = Server::new(
        r#"
groups:
  - name: g
    rules:
      - {alert: A, expr: errors > 0, for: 1m}
      - {alert: B, expr: 'sum by (dc) (ALERTS{alertname="A", alertstate="firing"})'}
"#,
    );
    let changes = server.changes(&[(ERRORS, "1 1 0")]);
    assert_eq!(changes[2], r#"1 {alertname="B", dc="fra1"} inactive→firing"#);
    assert_eq!(changes[4], r#"2 {alertname="B", dc="fra1"} firing→inactive"#);
}
