//! A store that breaks a promise never ends green.

use std::time::Duration;

use relapse::judge::{Judgement, Verdict, judge};
use relapse::lab::{drive, sim};
use relapse::recording::{
    FIRST_VALUE, NO_VALUE, OperationRow, Outcome, Recording, RecordingWriter,
};
use relapse::spec::fault::{Fault, FaultKind, Who};
use relapse::spec::{Action, Planned, Scenario};

use crate::repo::{Copy, scenarios};

/// A scenario in which nothing is wrong, long enough that stores must have come level.
fn quiet() -> (Scenario, RecordingWriter) {
    let mut scenario = scenarios("faults").remove(0);
    scenario.spec.end = scenario.spec.start.after(Duration::from_mins(25));
    scenario.expectations.clear();
    let recording = drive(sim::lab(1), &scenario.spec, |_| {}).unwrap();
    (scenario, recording)
}

fn judged(scenario: &Scenario, recording: &RecordingWriter) -> Judgement {
    let folder = Copy::new();
    let path = folder.path().join("recording");
    recording.write(&path, &scenario.spec, 1).unwrap();
    judge(scenario, &Recording::read(&path).unwrap())
}

fn found(judgement: &Judgement, text: &str) {
    assert_eq!(judgement.verdict, Verdict::Fail, "{text}");
    let found = judgement.findings.iter().any(|finding| finding.text.contains(text));
    assert!(found, "{text}: {:?}", judgement.findings);
}

/// A write that was acknowledged in the first minutes, of a key that nobody writes again and whose reads are followed.
fn lonely_write(recording: &RecordingWriter) -> OperationRow {
    let writes = |row: &&OperationRow| &*row.operation == "put" && row.outcome.succeeded();
    let of_key = |row: &OperationRow| {
        let same = |other: &&OperationRow| other.namespace == row.namespace && other.key == row.key;
        recording.operations.iter().filter(same).filter(|row| &*row.operation != "get").count()
    };
    let lonely = |row: &&OperationRow| {
        relapse::recording::follows_reads(&row.key)
            && row.at < recording.operations[0].at.after(Duration::from_mins(5))
            && of_key(row) == 1
    };
    recording.operations.iter().filter(writes).find(lonely).unwrap().clone()
}

/// The same key, read long after.
fn read_of(write: &OperationRow, value: u64) -> OperationRow {
    let at = write.ended.after(Duration::from_mins(3));
    let outcome = Outcome::Status(if value == NO_VALUE { 404 } else { 200 });
    OperationRow {
        at,
        ended: at.after(Duration::from_millis(5)),
        operation: "get".into(),
        outcome,
        value,
        ..write.clone()
    }
}

#[test]
fn every_promise_that_is_broken_is_named() {
    let (scenario, recording) = quiet();
    let findings = judged(&scenario, &recording).findings;
    assert!(findings.is_empty(), "{findings:?}");
    let write = lonely_write(&recording);

    let with = |row: OperationRow| {
        let mut changed = quiet().1;
        changed.operations.push(row);
        judged(&scenario, &changed)
    };
    found(&with(read_of(&write, write.value + 1_000_000)), "read what was never written");
    found(&with(read_of(&write, FIRST_VALUE)), "read what is older than the bound");
    found(&with(read_of(&write, NO_VALUE)), "lost a write that was acknowledged");

    // The write becomes a deletion: a later read of what was before it brings that back.
    let mut changed = quiet().1;
    for row in &mut changed.operations {
        if row.value == write.value && &*row.operation == "put" {
            row.operation = "delete".into();
            row.value = NO_VALUE;
        }
    }
    changed.operations.retain(|row| row.value != write.value);
    changed.copies.retain(|copy| copy.value != write.value);
    changed.operations.push(read_of(&write, FIRST_VALUE));
    found(&judged(&scenario, &changed), "brought back what was deleted");

    // One store forgets a write, then both go back to what was before it.
    let mut changed = quiet().1;
    let mut copies = changed.copies.iter_mut().filter(|copy| copy.value == write.value);
    copies.next().unwrap().version = "".into();
    found(&judged(&scenario, &changed), "did not come to the same in both stores");
    let mut changed = quiet().1;
    for copy in changed.copies.iter_mut().filter(|copy| copy.value == write.value) {
        copy.value = FIRST_VALUE;
    }
    found(&judged(&scenario, &changed), "lost a write that was acknowledged");
}

/// For a minute from a write on, some are cut off from a store.
fn parted(scenario: &Scenario, write: &OperationRow, from: Who, to: Who) -> Scenario {
    let kind = FaultKind::Partition;
    let fault = Fault { kind, from, to, listener: None, probability: 1.0, bursts_ms: None };
    let mut parted = scenario.clone();
    let action = Action::Fault { fault, for_s: 60 };
    parted.spec.timeline = vec![Planned { at: write.at, action }];
    parted
}

#[test]
fn who_cannot_reach_a_store_writes_what_others_need_not_know_until_it_has_caught_up() {
    let (scenario, mut recording) = quiet();
    let write = lonely_write(&recording);
    let mut stores = scenario.spec.topology.stores.keys().cloned();
    let store = Who::Peer(stores.next().unwrap());
    let writer = Who::Peer(write.dc.as_ref().into());
    let other = scenario.spec.topology.dcs.keys().find(|dc| dc.as_str() != &*write.dc).unwrap();
    let other = Who::Peer(other.peer());
    let old = read_of(&write, FIRST_VALUE);
    recording.operations.push(old.clone());

    let holds = |from: &Who, to: &Who| {
        let parted = parted(&scenario, &write, from.clone(), to.clone());
        judged(&parted, &recording).findings.is_empty()
    };
    assert!(holds(&writer, &store) && holds(&store, &writer));
    assert!(!holds(&other, &store) && !holds(&Who::Anyone, &store));

    let late = |mut row: OperationRow| {
        row.at = row.at.after(Duration::from_mins(10));
        row.ended = row.ended.after(Duration::from_mins(10));
        row
    };
    recording.operations.push(late(old));
    let parted = parted(&scenario, &write, writer, store);
    found(&judged(&parted, &recording), "read what is older than the bound");
}

#[test]
fn who_is_cut_off_from_everybody_need_not_have_heard_of_a_write_and_who_is_from_some_must() {
    let (scenario, recording) = quiet();
    let write = lonely_write(&recording);
    let members = &scenario.spec.topology.dcs;
    let region_of = |dc: &str| &members.iter().find(|(id, _)| id.as_str() == dc).unwrap().1.region;
    let home = region_of(&write.dc);
    let reader = members.keys().find(|dc| region_of(dc.as_str()) != home).unwrap();
    let holds = |from: Who, to: Who, read_after_s: u64| {
        let mut changed = quiet().1;
        let mut read = read_of(&write, FIRST_VALUE);
        read.dc = reader.as_str().into();
        read.at = write.ended.after(Duration::from_secs(read_after_s));
        read.ended = read.at.after(Duration::from_millis(5));
        changed.operations.push(read);
        judged(&parted(&scenario, &write, from, to), &changed).findings.is_empty()
    };
    // The partition lasts a minute.
    assert!(holds(Who::Peer(reader.peer()), Who::Anyone, 110));
    assert!(holds(Who::Anyone, Who::Peer(write.dc.as_ref().into()), 110));
    assert!(
        !holds(Who::Peer(reader.peer()), Who::Anyone, 250),
        "it has been back for three minutes"
    );
    let home = Who::Region(home.clone());
    assert!(!holds(Who::Peer(reader.peer()), home, 110), "the third region reaches both");
    assert!(!holds(Who::Peer(write.dc.as_ref().into()), Who::Peer(reader.peer()), 110));
}
