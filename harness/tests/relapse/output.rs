//! What the commands print.

use insta::assert_snapshot;

use crate::repo::Copy;

#[test]
fn list_shows_incidents_controls_and_behaviors() {
    assert_snapshot!(Copy::new().relapse(&["list"]).stdout);
}

#[test]
fn check_finds_nothing_wrong_here() {
    let said = Copy::new().relapse(&["check"]);
    assert_eq!((said.exit, said.stderr.as_str()), (0, ""));
}

#[test]
fn plan_shows_the_timeline_and_what_is_expected() {
    assert_snapshot!(Copy::new().relapse(&["plan", "2023-07-17"]).stdout);
}

#[test]
fn steps_shows_every_sentence() {
    assert_snapshot!(Copy::new().relapse(&["steps"]).stdout);
}

#[test]
fn a_run_says_what_held_and_how_to_do_it_again() {
    let copy = Copy::new();
    let said = copy.relapse(&["run", "crash", "--seed", "3", "--out", "out"]);
    assert_eq!(said.exit, 0, "{}", said.stderr);
    assert_snapshot!(redacted(&said.stdout));

    let judged = copy.relapse(&["judge", "out"]);
    assert_eq!(judged.exit, 0, "{}", judged.stderr);
    assert!(judged.stdout.contains("PASS  customers go elsewhere"), "{}", judged.stdout);

    // The second time nothing is run: the same words, at once.
    let again = copy.relapse(&["run", "crash", "--seed", "3"]);
    assert!(again.stderr.contains("known"), "{}", again.stderr);
    assert!(!again.stderr.contains("done"), "{}", again.stderr);
}

#[test]
fn an_expectation_that_does_not_hold_fails_with_the_number() {
    let copy = Copy::new();
    copy.change(
        "features/crash.feature",
        "stays below 0.5 %",
        "in data center \"MEL\" is above 5 %",
    );
    let said = copy.relapse(&["run", "crash", "--seed", "3", "--out", "out"]);
    assert_eq!(said.exit, 1);
    assert!(said.stdout.contains("FAIL  customers go elsewhere"), "{}", said.stdout);

    // Another Then, the same run: only the judging is done again.
    copy.change("features/crash.feature", "in data center \"MEL\" is above 5 %", "stays below 5 %");
    assert_eq!(copy.relapse(&["judge", "out"]).exit, 0);
}

/// What differs from machine to machine or commit to commit, as tokens.
fn redacted(text: &str) -> String {
    text.lines()
        .map(|line| {
            if let Some((_, rest)) = line.split_once("us a request, ") {
                let _ = rest;
                "run [hash]: [cost]".to_owned()
            } else if let Some((head, tail)) = line.split_once("commit ") {
                let again = tail.split_once(';').map_or("", |(_, again)| again);
                let head = head.split(" after ").next().unwrap_or(head);
                format!("{head} […] commit [commit];{again}")
            } else {
                line.to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}
