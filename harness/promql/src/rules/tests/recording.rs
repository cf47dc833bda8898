use super::{Input, MINUTE, Server};

const REQUESTS: &[(&str, &str)] = &[("__name__", "requests"), ("dc", "fra1"), ("pod", "a")];
const MORE: &[(&str, &str)] = &[("__name__", "requests"), ("dc", "fra1"), ("pod", "b")];

#[test]
fn a_rule_writes_its_result_under_its_name_and_labels() {
    let mut server = Server::new(
        "
groups:
  - name: g
    labels: {team: storage}
    rules:
      - {record: 'dc:requests:sum', expr: sum by (dc) (requests), labels: {window: now}}
      - {record: 'all:requests:double', expr: sum(dc:requests:sum) * 2}
      - {record: one, expr: '1'}
",
    );
    let steps = server.run(&[(REQUESTS, "1 2"), (MORE, "10 20")]);
    assert_eq!(steps[0].failures, []);
    assert_eq!(
        server.ask("dc:requests:sum", 1),
        [r#"dc:requests:sum{dc="fra1", team="storage", window="now"} 22"#]
    );
    // It sees what the rule before it wrote at the same time.
    assert_eq!(server.ask("all:requests:double", 0), [r#"all:requests:double{team="storage"} 22"#]);
    assert_eq!(server.ask("one", 0), [r#"one{team="storage"} 1"#]);
}

#[test]
fn a_series_that_is_no_longer_in_the_result_ends() {
    let mut server =
        Server::new("groups: [{name: g, rules: [{record: busy, expr: requests > 5}]}]");
    server.run(&[(REQUESTS, "6 5"), (MORE, "6 6")]);
    assert_eq!(server.ask("busy", 0).len(), 2);
    assert_eq!(server.ask("busy", 1), [r#"busy{dc="fra1", pod="b"} 6"#]);
}

#[test]
fn series_that_cannot_be_told_apart_fail_the_rule_and_nothing_is_written() {
    let mut server =
        Server::new("groups: [{name: g, rules: [{record: r, expr: requests, labels: {pod: ''}}]}]");
    let steps = server.run(&[(REQUESTS, "1"), (MORE, "1")]);
    assert_eq!(
        steps[0].failures[0].to_string(),
        "group g, rule r: vector contains metrics with the same labelset after applying rule labels"
    );
    assert_eq!(server.ask("r", 0), [""; 0]);
}

#[test]
fn more_series_than_the_limit_fail_the_rule() {
    let mut server =
        Server::new("groups: [{name: g, limit: 1, rules: [{record: r, expr: requests}]}]");
    let steps = server.run(&[(REQUESTS, "1"), (MORE, "1")]);
    assert_eq!(steps[0].failures[0].message, "exceeded limit of 1 with 2 series");
}

#[test]
fn a_query_that_fails_leaves_everything_as_it_was() {
    let text = "groups: [{name: g, rules: [{record: r, expr: requests * on (dc) requests}, {alert: A, expr: requests > on (dc) requests}]}]";
    let mut server = Server::new(text);
    let steps = server.run(&[(REQUESTS, "1"), (MORE, "1")]);
    let rules: Vec<&str> = steps[0].failures.iter().map(|failure| failure.rule.as_str()).collect();
    assert_eq!(rules, ["r", "A"]);
}

#[test]
fn a_group_has_its_own_interval_and_offset() {
    let mut server = Server::new(
        "
groups:
  - {name: slow, interval: 3m, rules: [{record: slow, expr: requests}]}
  - {name: late, query_offset: 1m, rules: [{record: late, expr: requests}]}
",
    );
    assert!(
        server.alerts.due(0) && server.alerts.due(2 * MINUTE) && !server.alerts.due(MINUTE / 2)
    );
    assert_eq!(server.alerts.next_after(0), MINUTE);
    assert_eq!(server.alerts.next_after(MINUTE - 1), MINUTE);
    let values: Input<'_> = (REQUESTS, "1 2 3 4 5");
    server.run(&[values]);
    assert_eq!(server.ask("count_over_time(slow[10m])", 4), [r#"{dc="fra1", pod="a"} 2"#]);
    // What is evaluated at minute 4 is of minute 3, and is written there.
    assert_eq!(server.ask("timestamp(late)", 4), [r#"{dc="fra1", pod="a"} 180"#]);
    assert_eq!(server.ask("late", 4), [r#"late{dc="fra1", pod="a"} 4"#]);
}

#[test]
fn a_group_can_have_moments_of_its_own_and_no_other_is_moved() {
    let mut server = Server::new(
        "
groups:
  - {name: moved, interval: 3m, rules: [{record: moved, expr: requests}]}
  - {name: stays, interval: 3m, rules: [{record: stays, expr: requests}]}
",
    );
    // 28 minutes are one minute more than nine times three.
    server.alerts.shift("rules.yml", "moved", 28 * MINUTE);
    server.alerts.shift("other.yml", "stays", 28 * MINUTE);
    assert_eq!(server.alerts.next_after(0), MINUTE);
    assert_eq!(server.alerts.next_after(MINUTE), 3 * MINUTE);
    let values: Input<'_> = (REQUESTS, "1 2 3 4 5");
    server.run(&[values]);
    assert_eq!(server.ask("timestamp(moved)", 4), [r#"{dc="fra1", pod="a"} 240"#]);
    assert_eq!(server.ask("timestamp(stays)", 4), [r#"{dc="fra1", pod="a"} 180"#]);
}

#[test]
fn rules_say_which_metrics_must_be_stored() {
    let server = Server::new(
        r#"
groups:
  - name: g
    rules:
      - {record: 'a:b', expr: 'rate(requests[5m])'}
      - alert: A
        expr: a:b > 0 and ALERTS == 1
        annotations:
          x: '{{ with printf "up{dc=%q}" $labels.dc | query }}{{ . | first | value }}{{ end }}'
"#,
    );
    let metrics = server.alerts.metrics();
    assert_eq!(metrics.names.iter().map(String::as_str).collect::<Vec<_>>(), ["requests", "up"]);
    assert!(!metrics.any);
}

#[test]
fn what_rules_look_back_to_is_kept() {
    let mut server = Server::new(
        "groups: [{name: g, rules: [{record: r, expr: 'count_over_time(requests[1h])'}]}]",
    );
    server.alerts.prepare(&mut server.database);
    for _ in 0..6 {
        server.run(&[(REQUESTS, "1x20"), (MORE, "1x20")]);
        let now = server.now;
        server.database.forget_before(now);
    }
    assert_eq!(
        server.ask(r#"count_over_time(requests{pod="a"}[1h])"#, 119),
        [r#"{dc="fra1", pod="a"} 60"#]
    );
    // What nobody looks back to is not.
    assert_eq!(server.ask(r#"r{pod="a"}"#, 119), [""; 0]);
}

#[test]
fn the_same_inputs_give_the_same_steps() {
    let text = "groups: [{name: g, rules: [{record: r, expr: sum(requests)}, {alert: A, expr: requests > 1, for: 1m}]}]";
    let input: &[Input<'_>] = &[(REQUESTS, "1 2 3 0 5"), (MORE, "2 2 stale 1 1")];
    assert_eq!(Server::new(text).run(input), Server::new(text).run(input));
}
