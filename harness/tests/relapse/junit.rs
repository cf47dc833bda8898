//! Verdicts as JUnit XML.

use insta::assert_snapshot;

use crate::repo::Copy;

const FEATURE: &str = "Feature: x

  Scenario: it holds
    Given the topology \"small\" with its traffic and without noise
    And the replay starts at 2023-07-11 12:00
    When 2 minutes pass
    Then no request fails

  Scenario: it does not
    Given the topology \"small\" with its traffic and without noise
    And the replay starts at 2023-07-11 12:00
    When 2 minutes pass
    Then at least 1000000 requests were sent
    And no request fails

  Scenario: it cannot be said
    Given the topology \"small\" with its traffic and without noise
    And the replay starts at 2023-07-11 12:00
    When these faults act for 2 minutes:
      | fault        | from    | to       | amount    | share |
      | strip header | clients | SYD:rest | x-nowhere | 100 % |
    And 2 minutes pass
    Then no request fails
";

#[test]
fn a_report_tells_what_holds_what_fails_and_what_cannot_be_said() {
    let copy = Copy::new();
    copy.feature("x.feature", FEATURE);
    let said = copy.relapse(&["run", "x", "--out", "out", "--junit", "reports/run.xml"]);
    assert_eq!(said.exit, 1, "{}{}", said.stdout, said.stderr);
    let read = |file: &str| std::fs::read_to_string(copy.path().join(file)).unwrap();
    let of_run = read("reports/run.xml");
    assert_snapshot!(redacted(&of_run));

    // Judged again, it is the same report.
    assert_eq!(copy.relapse(&["judge", "out", "--junit", "judged.xml"]).exit, 1);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = redacted(text).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let judged = sorted(&read("judged.xml"));
    for line in sorted(&of_run).iter().filter(|line| line.contains("<testcase")) {
        assert!(judged.contains(line), "{line}");
    }
}

#[test]
fn a_report_is_written_where_nothing_could_be_judged() {
    let copy = Copy::new();
    copy.feature("x.feature", "Feature: x\n  Scenario: y\n    Given nonsense\n");
    assert_eq!(copy.relapse(&["run", "--junit", "run.xml"]).exit, 2);
    assert_eq!(copy.relapse(&["judge", "features", "--junit", "judged.xml"]).exit, 3);
    for (file, what) in [("run.xml", "specification"), ("judged.xml", "environment")] {
        let text = std::fs::read_to_string(copy.path().join(file)).unwrap();
        assert!(text.contains(&format!("type=\"{what}\"")), "{text}");
        assert!(text.contains("errors=\"1\""), "{text}");
    }
}

/// What differs from machine to machine or commit to commit, as tokens.
fn redacted(text: &str) -> String {
    let mut text = text.to_owned();
    let values =
        ["time=\"", "name=\"commit\" value=\"", "name=\"run\" value=\""].map(str::to_owned);
    for before in values {
        let mut parts = text.split(&before);
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.map(|part| part.split_once('"').unwrap().1);
        text = std::iter::once(first.as_str())
            .chain(rest)
            .collect::<Vec<_>>()
            .join(&format!("{before}[…]\""));
    }
    text
}
