//! What a crash or a bad disk leaves behind, and what opening makes of it.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::HeaderValue;
use kv_store::{DirectoryStore, Object, Objects, OpenError, Outcome};

fn put(store: &DirectoryStore, name: &str, version: u32) {
    let body = Bytes::from(vec![u8::try_from(version % 256).unwrap(); 16]);
    let meta = HeaderValue::from_static("meta");
    let object = Object { version: format!("{version:04}"), meta, body };
    assert_eq!(store.put_if_newer(name, object).unwrap(), Outcome::Done);
}

fn versions(store: &DirectoryStore) -> Vec<(String, String)> {
    let names = store.list("", "", 1000).unwrap();
    let version = |name: &str| store.get(name).unwrap().unwrap().object.version;
    names.iter().map(|name| (name.to_string(), version(name))).collect()
}

/// A store with six changes, one after the other: its log as a crash would leave it now, and after each change how long
/// the log was and what was held.
struct Past {
    log: Vec<u8>,
    states: Vec<(usize, Vec<(String, String)>)>,
    /// The log once the store was closed.
    closed: Vec<u8>,
}

fn past() -> Past {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    let read = || fs::read(folder.path().join("objects.log")).unwrap();
    let mut states = vec![(read().len(), Vec::new())];
    for version in 1..=6 {
        match version {
            5 => drop(store.remove("b", kv_store::Condition::Always).unwrap()),
            _ => put(&store, ["a", "b\0/..", "b"][version as usize % 3], version),
        }
        states.push((read().len(), versions(&store)));
    }
    let log = read();
    drop(store);
    Past { log, states, closed: read() }
}

fn open(folder: &Path, log: &[u8]) -> Result<DirectoryStore, OpenError> {
    fs::write(folder.join("objects.log"), log).unwrap();
    DirectoryStore::open(folder)
}

#[test]
fn a_log_cut_anywhere_has_all_that_was_acknowledged_by_then() {
    let past = past();
    let folder = tempfile::tempdir().unwrap();
    for cut in past.states[0].0..=past.log.len() {
        let store = open(folder.path(), &past.log[..cut]).unwrap();
        let acknowledged = past.states.iter().rev().find(|state| state.0 <= cut).unwrap();
        assert_eq!(versions(&store), acknowledged.1, "cut at {cut}");
        // And it goes on from there; not asked everywhere, since each fsync takes its time.
        if cut % 16 != 0 {
            continue;
        }
        put(&store, "after", 9999);
        let expected = versions(&store);
        drop(store);
        assert_eq!(versions(&DirectoryStore::open(folder.path()).unwrap()), expected);
    }
}

#[test]
fn an_end_that_never_reached_the_disk_is_discarded() {
    let past = past();
    let folder = tempfile::tempdir().unwrap();
    let (end, before) = &past.states[past.states.len() - 2];
    for from in *end..past.log.len() {
        // The system made the file longer, and lost what it had of it.
        let mut log = past.log.clone();
        log[from..].fill(0);
        assert_eq!(&versions(&open(folder.path(), &log).unwrap()), before, "zeros from {from}");
        // It wrote the end, and lost the beginning.
        let mut log = past.log.clone();
        log[*end..=from].fill(0);
        assert_eq!(&versions(&open(folder.path(), &log).unwrap()), before, "zeros up to {from}");
    }
}

#[test]
fn a_flipped_bit_in_the_middle_is_named_and_nothing_is_dropped() {
    let past = past();
    let folder = tempfile::tempdir().unwrap();
    let last_batch = past.closed.len() - 28;
    for at in 0..last_batch {
        let mut log = past.closed.clone();
        log[at] ^= 1 << (at % 8);
        match open(folder.path(), &log).map(drop).unwrap_err() {
            OpenError::Damaged { path, offset } => {
                assert_eq!(path, folder.path().join("objects.log"));
                let offset = usize::try_from(offset).unwrap();
                assert!(offset <= at && at - offset < 150, "{at} is told as {offset}");
            }
            OpenError::Format { path } => {
                assert_eq!(path, folder.path().join("objects.log"));
                assert!(at < 16, "{at}");
            }
            other => panic!("{at}: {other}"),
        }
        assert_eq!(fs::read(folder.path().join("objects.log")).unwrap(), log);
    }
    // The last batch of a closed log is empty: nothing is lost with it.
    let mut log = past.closed.clone();
    log[last_batch] ^= 1;
    let last = &past.states[past.states.len() - 1].1;
    assert_eq!(&versions(&open(folder.path(), &log).unwrap()), last);
}

#[test]
fn damage_after_opening_is_an_error_of_the_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    put(&store, "a", 1);
    put(&store, "b", 2);
    let path = folder.path().join("objects.log");
    let mut log = fs::read(&path).unwrap();
    let at = log.windows(16).position(|body| body == [1; 16]).unwrap();
    log[at] = 7;
    fs::write(&path, log).unwrap();
    let error = store.get("a").unwrap_err().to_string();
    assert!(error.contains("objects.log: damaged at byte 72"), "{error}");
    assert!(store.get("b").unwrap().is_some());
}

#[test]
fn a_log_that_did_not_take_its_place_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    drop(DirectoryStore::open(folder.path()).unwrap());
    fs::write(folder.path().join("objects.new"), "half a log").unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    assert!(!folder.path().join("objects.new").exists());
    assert!(store.is_empty());
}

#[test]
fn a_directory_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    let error = DirectoryStore::open(folder.path()).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(store);
    DirectoryStore::open(folder.path()).unwrap();
}

#[test]
fn another_file_is_not_taken_for_a_log() {
    let folder = tempfile::tempdir().unwrap();
    for content in ["", "kv-store", "kv-store log 02\nand more"] {
        let error = open(folder.path(), content.as_bytes()).map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Format { .. }), "{error}");
    }
}
