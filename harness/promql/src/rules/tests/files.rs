use std::collections::BTreeMap;

use crate::rules::{Rule, RuleFile, Template};

/// The problems of a file, one a line.
fn problems(text: &str) -> String {
    match RuleFile::parse("rules.yml", text) {
        Ok(_) => "none".to_owned(),
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn a_file_with_everything_is_read() {
    let text = r#"
groups:
  - name: burn
    interval: 30s
    query_offset: 1m
    limit: 10
    labels:
      team: storage
      tier: 1
    rules:
      - record: dc:errors:rate5m
        expr: sum by (dc) (rate(errors_total[5m]))
        labels: {team: "", window: 5m}
      - alert: ErrorBurn
        expr: |
          dc:errors:rate5m
            > 0.1
        for: 1h30m
        keep_firing_for: 5m
        labels:
          severity: page
          enabled: true
        annotations:
          summary: "{{ $labels.dc }} fails {{ $value | humanizePercentage }}"
          runbook:
"#;
    let file = RuleFile::parse("rules.yml", text).unwrap();
    let group = &file.groups[0];
    assert_eq!(
        (group.name.as_str(), group.interval_ms, group.query_offset_ms),
        ("burn", Some(30_000), 60_000)
    );
    assert_eq!((group.limit, group.line), (10, 3));
    let Rule::Record(record) = &group.rules[0] else { panic!("a recording rule comes first") };
    assert_eq!((record.name.as_str(), record.line), ("dc:errors:rate5m", 11));
    insta::assert_debug_snapshot!(record.labels, @r#"
    {
        "team": "",
        "tier": "1",
        "window": "5m",
    }
    "#);
    let Rule::Alert(alert) = &group.rules[1] else { panic!("an alerting rule comes second") };
    assert_eq!((alert.for_ms, alert.keep_firing_for_ms), (5_400_000, 300_000));
    assert_eq!(alert.query.text(), "dc:errors:rate5m\n  > 0.1\n");
    let texts = |templates: &BTreeMap<String, Template>| {
        templates.iter().map(|(name, text)| format!("{name}={}", text.text())).collect::<Vec<_>>()
    };
    assert_eq!(texts(&alert.labels), ["enabled=true", "severity=page", "team=storage", "tier=1"]);
    let summary = "summary={{ $labels.dc }} fails {{ $value | humanizePercentage }}";
    assert_eq!(texts(&alert.annotations), ["runbook=", summary]);
}

#[test]
fn an_empty_file_has_no_groups() {
    for text in ["", "\n# nothing yet\n", "---\n", "groups:\n", "groups: []\n"] {
        assert_eq!(RuleFile::parse("rules.yml", text).unwrap().groups.len(), 0, "{text:?}");
    }
}

#[test]
fn unknown_keys_are_problems() {
    insta::assert_snapshot!(problems("
groups:
  - name: a
    intervall: 30s
    rules:
      - alert: A
        expr: up
        annotation: {}
group: []
"), @"
    rules.yml:4:5: groups[0].intervall: field intervall not found; known are: name, interval, query_offset, limit, labels, rules
    rules.yml:8:9: groups[0].rules[0].annotation: field annotation not found; known are: record, alert, expr, for, keep_firing_for, labels, annotations
    rules.yml:9:1: group: field group not found; known are: groups
    ");
}

#[test]
fn groups_and_rules_must_be_told_apart() {
    insta::assert_snapshot!(problems("
groups:
  - name: a
    rules:
      - {alert: A, expr: up, labels: {severity: page}}
      - {alert: A, expr: up == 0, labels: {severity: ticket}}
      - {alert: A, expr: up == 1, labels: {severity: page}}
      - {record: A, expr: up}
  - rules: []
  - name: a
"), @r#"
    rules.yml:9:5: groups[1]: Groupname must not be empty
    rules.yml:10:11: groups[2].name: groupname: "a" is repeated in the same file
    "#);
}

#[test]
fn a_rule_is_either_recording_or_alerting() {
    insta::assert_snapshot!(problems("
groups:
  - name: a
    rules:
      - alert: A
        record: a
        expr: up
      - expr: up
      - record: a:b
        expr: up
        for: 5m
        annotations: {summary: x}
      - record: a:c
        expr: up
        for: 0s
        keep_firing_for: 1m
      - record: sum(up)
        expr: up
      - alert: B
"), @"
    rules.yml:5:16: groups[0].rules[0].alert: only one of 'record' and 'alert' must be set
    rules.yml:8:9: groups[0].rules[1]: one of 'record' or 'alert' must be set
    rules.yml:11:14: groups[0].rules[2].for: invalid field 'for' in recording rule
    rules.yml:12:23: groups[0].rules[2].annotations: invalid field 'annotations' in recording rule
    rules.yml:16:26: groups[0].rules[3].keep_firing_for: invalid field 'keep_firing_for' in recording rule
    rules.yml:17:17: groups[0].rules[4].record: invalid recording rule name: sum(up)
    rules.yml:19:9: groups[0].rules[5].expr: field 'expr' must be set in rule
    ");
}

#[test]
fn names_and_durations_have_a_form() {
    insta::assert_snapshot!(problems("
groups:
  - name: a
    interval: 5
    limit: many
    labels: {__name__: x}
    rules:
      - alert: A
        expr: up
        for: 5 minutes
        labels: {se-verity: page, 0: x}
        annotations:
          run.book: x
"), @r#"
    rules.yml:4:15: groups[0].interval: not a valid duration string: "5"
    rules.yml:5:12: groups[0].limit: not a whole number: "many"
    rules.yml:6:14: groups[0].labels.__name__: invalid label name: __name__
    rules.yml:10:14: groups[0].rules[0].for: not a valid duration string: "5 minutes"
    rules.yml:11:18: groups[0].rules[0].labels.se-verity: invalid label name: se-verity
    rules.yml:11:35: groups[0].rules[0].labels.0: invalid label name: 0
    rules.yml:13:11: groups[0].rules[0].annotations.run.book: invalid annotation name: run.book
    "#);
}

#[test]
fn problems_of_templates_have_the_line_of_the_file() {
    insta::assert_snapshot!(problems("
groups:
  - name: a
    rules:
      - alert: A
        expr: up
        labels:
          dc: '{{ $labels.dc'
        annotations:
          summary: \"{{ nope }}\"
          description: |
            The first line is right,
            the second says {{ $valu }},
            and the third {{ $value }}.
"), @r#"
    rules.yml:8:29: groups[0].rules[0].labels.dc: label "dc": template: __alert_A:1: unclosed action
    rules.yml:10:24: groups[0].rules[0].annotations.summary: annotation "summary": template: __alert_A:1: function "nope" not defined
    rules.yml:13:32: groups[0].rules[0].annotations.description: annotation "description": template: __alert_A:2: undefined variable "$valu"
    "#);
}

#[test]
fn problems_of_queries_have_the_line_of_the_file() {
    let found = problems(
        "
groups:
  - name: a
    rules:
      - alert: Literal
        expr: |
          sum by (dc) (rate(errors_total[5m]))
            /
          sum by (dc) (rate(requests_total[5m)))
            > 0.1
",
    );
    // What the message says is the query's affair.
    let start = "rules.yml:9:46: groups[0].rules[0].expr: could not parse expression: ";
    assert!(found.starts_with(start), "{found}");
}

#[test]
fn what_is_not_yaml_is_a_problem() {
    insta::assert_snapshot!(problems("groups:\n  - name: a\n   rules: []\n"), @"rules.yml:3:4: while parsing a block collection, did not find expected '-' indicator");
    insta::assert_snapshot!(problems("groups:\n  - name: a\n    name: b\n"), @"rules.yml:3:5: duplicate mapping key `name` is not allowed here");
    insta::assert_snapshot!(problems("groups:\n  - name: [a]\n"), @"rules.yml:2:11: expected string scalar");
    insta::assert_snapshot!(problems("groups: 5\n"), @"rules.yml:1:9: expected sequence start");
    insta::assert_snapshot!(problems("groups: []\n---\ngroups: []\n"), @"rules.yml:3:1: only single YAML document expected but multiple found");
}
