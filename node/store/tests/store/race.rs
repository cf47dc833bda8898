//! Conditional writes of many at once have one winner.

use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http::HeaderValue;
use kv_store::{Condition, DirectoryStore, Etag, Held, MemoryStore, Object, Objects, Outcome};

const THREADS: u8 = 8;
const ROUNDS: u8 = 20;

/// How many of eight threads, each putting a body of its own, win.
fn winners(store: &Arc<dyn Objects>, name: &str, version: &str, only: &Condition) -> usize {
    let put = |number: u8| {
        let (store, name, only) = (store.clone(), name.to_owned(), only.clone());
        let meta = HeaderValue::from_static("");
        let body = Bytes::from(vec![number; 100]);
        let object = Object { version: version.to_owned(), meta, body };
        thread::spawn(move || store.put(&name, Held { object, stamp: None }, only).unwrap())
    };
    let threads: Vec<_> = (0..THREADS).map(put).collect();
    threads.into_iter().filter_map(|t| (t.join().unwrap() == Outcome::Done).then_some(())).count()
}

fn check(store: &Arc<dyn Objects>) {
    for round in 0..ROUNDS {
        let name = format!("name {round}");
        assert_eq!(winners(store, &name, "1", &Condition::Absent), 1);
        assert_eq!(winners(store, &name, "2", &Condition::OlderThan("2".to_owned())), 1);
        assert_eq!(winners(store, &name, "3", &Condition::UpTo("2".to_owned())), 1);
        let etag = store.get(&name).unwrap().unwrap().stamp().etag;
        // Whoever puts the body that is there leaves the condition true for one more.
        let won = winners(store, &name, "4", &Condition::Etag(etag));
        assert!((1..=2).contains(&won), "{won} winners");
        assert_eq!(winners(store, &name, "5", &Condition::Etag(Etag::of(b"none"))), 0);
    }
}

#[test]
fn in_memory() {
    check(&(Arc::new(MemoryStore::new()) as Arc<dyn Objects>));
}

#[test]
fn in_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    check(&(Arc::new(DirectoryStore::open(folder.path()).unwrap()) as Arc<dyn Objects>));
}
