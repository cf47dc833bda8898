//! What cannot be brought about from outside: batches of many, failing disks, a compaction at a given moment.

use std::fs::{self, File};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http::HeaderValue;

use super::queue::{Job, Slot, Turn};
use super::{DirectoryStore, compact, record};
use crate::backend::{Condition, Objects, Outcome, StoreError};
use crate::object::{Held, Object, Stat};

fn held(version: u32, body: &[u8]) -> Held {
    let (version, meta) = (format!("{version:06}"), HeaderValue::from_static(""));
    Held { object: Object { version, meta, body: Bytes::copy_from_slice(body) }, stamp: None }
}

fn put(store: &DirectoryStore, name: &str, version: u32, body: &[u8]) {
    let outcome = store.put(name, held(version, body), Condition::Always).unwrap();
    assert_eq!(outcome, Outcome::Done);
}

fn body(store: &DirectoryStore, name: &str) -> Option<Vec<u8>> {
    store.get(name).unwrap().map(|held| held.object.body.to_vec())
}

fn job(name: &str, version: u32, only: Condition) -> (Job, Arc<Slot>) {
    let (slot, held) = (Arc::new(Slot::default()), held(version, b"body"));
    let stamp = held.stamp();
    let record = record::encode_put(name, &held, stamp);
    let Object { version, meta, body } = held.object;
    let stat = Some(Stat { version, meta, body_bytes: body.len() as u64, stamp });
    (Job { name: name.into(), only, record, stat, slot: slot.clone() }, slot)
}

#[test]
fn the_writes_of_a_batch_see_each_other_and_are_torn_together() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    put(&store, "before", 1, b"");
    let start = usize::try_from(store.shared.log().bytes).unwrap();
    let jobs = [
        job("a", 1, Condition::Absent),
        job("a", 2, Condition::Absent),
        job("a", 3, Condition::UpTo("000001".to_owned())),
        job("b", 1, Condition::Absent),
    ];
    let (jobs, slots): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
    store.shared.log().commit(&store.shared.path, jobs, &store.shared.index);
    let answer = |slot: &Arc<Slot>| match slot.turn() {
        Turn::Answered(answer) => answer.unwrap(),
        other => panic!("{other:?}"),
    };
    let answers: Vec<_> = slots.iter().map(answer).collect();
    let refused = Outcome::Refused(Some("000001".to_owned()));
    assert_eq!(answers, [Outcome::Done, refused, Outcome::Done, Outcome::Done]);
    assert_eq!(store.get("a").unwrap().unwrap().object.version, "000003");
    let log = fs::read(&store.shared.path).unwrap();
    drop(store);
    for lost in start..log.len() {
        let mut torn = log.clone();
        torn[lost] ^= 0xff;
        fs::write(folder.path().join("objects.log"), torn).unwrap();
        let store = DirectoryStore::open(folder.path()).unwrap();
        assert_eq!(store.list("", "", 9).unwrap(), ["before".into()], "lost at {lost}");
    }
}

#[test]
fn a_failed_write_stops_all_writes_until_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    put(&store, "a", 1, b"one");
    let writable = store.shared.log().file.clone();
    store.shared.log().file = Arc::new(File::open(&store.shared.path).unwrap());
    let put_two = || store.put("a", held(2, b"two"), Condition::Always);
    assert!(matches!(put_two(), Err(StoreError::Stopped(_))));
    store.shared.log().file = writable;
    let error = put_two().unwrap_err().to_string();
    assert!(error.contains("objects.log"), "{error}");
    assert!(store.remove("a", Condition::Always).is_err());
    assert!(store.put("a", held(0, b""), Condition::Absent).is_err());
    assert_eq!(body(&store, "a").unwrap(), b"one");
    drop(store);
    let store = DirectoryStore::open(folder.path()).unwrap();
    assert_eq!(body(&store, "a").unwrap(), b"one");
    put(&store, "a", 2, b"two");
}

#[test]
fn a_compaction_keeps_what_is_live_while_it_is_read_and_written() {
    const ROUNDS: u32 = 300;
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(DirectoryStore::open(folder.path()).unwrap());
    for number in 0..50 {
        put(&store, &format!("kept {number}"), 1, &[number; 1000]);
        put(&store, "gone", 1, &[0; 1000]);
    }
    store.remove("gone", Condition::Always).unwrap();
    let writer = {
        let store = store.clone();
        thread::spawn(move || {
            for round in 1..=ROUNDS {
                put(&store, "changing", round, &round.to_le_bytes());
                put(&store, &format!("new {round}"), round, &round.to_le_bytes());
                if round % 3 == 0 {
                    store.remove(&format!("new {}", round - 1), Condition::Always).unwrap();
                }
            }
        })
    };
    let mut before = 0;
    while !writer.is_finished() {
        compact::compact(&store.shared);
        for number in 0..50 {
            assert_eq!(body(&store, &format!("kept {number}")).unwrap(), [number; 1000]);
        }
        let version = store.stat("changing").unwrap().map_or(0, |s| s.version.parse().unwrap());
        assert!(version >= before);
        before = version;
    }
    writer.join().unwrap();
    compact::compact(&store.shared);
    let check = |store: &DirectoryStore| {
        assert_eq!(body(store, "changing").unwrap(), ROUNDS.to_le_bytes());
        assert_eq!(body(store, "gone"), None);
        for round in 1..=ROUNDS {
            let expected = (round % 3 != 2).then(|| round.to_le_bytes().to_vec());
            assert_eq!(body(store, &format!("new {round}")), expected);
        }
        assert_eq!(store.len(), 50 + 1 + 200);
    };
    check(&store);
    let (live, bytes) = (store.shared.index().live_bytes, store.shared.log().bytes);
    assert!(bytes < live + 1000, "{live} of {bytes} bytes are live");
    drop(Arc::into_inner(store));
    check(&DirectoryStore::open(folder.path()).unwrap());
}

#[test]
fn disk_use_is_bounded_without_being_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    let large = vec![1; 1 << 20];
    let mut longest = 0;
    for round in 0..60 {
        put(&store, "a", round, &large);
        longest = longest.max(fs::metadata(&store.shared.path).unwrap().len());
    }
    assert!(longest < 40 << 20, "{longest} bytes with one MiB live");
    drop(store);
    assert_eq!(body(&DirectoryStore::open(folder.path()).unwrap(), "a"), Some(large));
}

#[test]
fn the_longest_of_everything_fits() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    let name = "\0/é ".repeat(409) + "123";
    assert_eq!(name.len(), crate::NAME_BYTES_MAX);
    let held = Held {
        object: Object {
            version: "v".repeat(crate::VERSION_BYTES_MAX),
            meta: HeaderValue::from_str(&"m".repeat(crate::META_BYTES_MAX)).unwrap(),
            body: vec![7; crate::BODY_BYTES_MAX].into(),
        },
        stamp: None,
    };
    assert_eq!(store.put(&name, held.clone(), Condition::Absent).unwrap(), Outcome::Done);
    drop(store);
    let store = DirectoryStore::open(folder.path()).unwrap();
    assert_eq!(store.get(&name).unwrap().unwrap().object, held.object);
    let longer = "n".repeat(crate::NAME_BYTES_MAX + 1);
    let refused = store.put(&longer, held, Condition::Always);
    assert!(matches!(refused, Err(StoreError::OutOfLimits { what: "name", .. })));
}
