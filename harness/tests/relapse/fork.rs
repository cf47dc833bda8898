//! The same history with another action.

use insta::assert_snapshot;

use crate::repo::{Copy, Said};

/// Six minutes of the malformed pipeline, which is taken back at 23:52.
const SLICE: &str = "2023-07-20-2346:a twentieth";
const ROLLBACK: &str = "\"an engineer\" releases:\n\"\"\"\nenvironment = \"production\"\nrollback = \"gateway\"\n\"\"\"";

fn fork(id: &str, at: &str, then: &str) -> Said {
    Copy::new().relapse(&["fork", id, "--at", at, "--then", then, "--seed", "1"])
}

#[test]
fn an_earlier_rollback_saves_minutes_and_requests() {
    let said = fork(SLICE, "23:48", ROLLBACK);
    assert_eq!(said.exit, 0, "{}", said.stderr);
    assert_snapshot!(said.stdout);
}

#[test]
fn the_same_action_again_saves_nothing() {
    let said = fork(SLICE, "23:52", ROLLBACK);
    assert_eq!(said.exit, 0, "{}", said.stderr);
    assert!(said.stdout.contains("relapse: 0 minutes and 0 failed requests saved"), "{said:?}");
}

#[test]
fn both_histories_can_end_earlier() {
    let copy = Copy::new();
    let until = ["--until", "23:50"];
    let said = copy
        .relapse(&[&["fork", SLICE, "--at", "23:48", "--then", ROLLBACK][..], &until[..]].concat());
    assert_eq!(said.exit, 0, "{}", said.stderr);
    assert!(said.stdout.contains("2 minutes and"), "{}", said.stdout);
}

#[test]
fn what_is_wrong_is_told_with_what_to_write_instead() {
    let wrong = [
        (SLICE, "23:48", "the new backend is switchd off everywhere"),
        (SLICE, "23:48", "no request fails"),
        (SLICE, "23:48", "data center \"MELL\" crashes"),
        (SLICE, "23:48", "data center \"MEL\" crashes\nThen no request fails"),
        (SLICE, "23:48", "it is 23:58"),
        (SLICE, "23:59", ROLLBACK),
        (SLICE, "noon", ROLLBACK),
        ("2023-07-20", "23:48", ROLLBACK),
        ("2023-07-20-2346:nothing of it", "23:48", ROLLBACK),
        ("crash", "12:03", "data center \"MEL\" crashes"),
    ];
    let said = wrong.map(|(id, at, then)| {
        let said = fork(id, at, then);
        assert_eq!((said.exit, said.stdout.as_str()), (2, ""), "{said:?}");
        format!("{id} {at} {}\n{}", then.replace('\n', " "), said.stderr)
    });
    assert_snapshot!(said.join("\n"));
}
