//! Both backends against the simplest thing that does the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderValue;
use kv_store::{
    Condition, DirectoryStore, Etag, Held, MemoryStore, Object, Objects, Outcome, Stamp,
};
use proptest::prelude::*;

const NAMES: [&str; 8] = ["a", "a\0", "a/", "a/b", "../a", "ä\u{1f980}", " +%", "b"];

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8, Vec<u8>, Only),
    Remove(usize, Only),
    List(usize, usize, usize),
    Reopen,
}

#[derive(Clone, Debug)]
enum Only {
    Always,
    Absent,
    Present,
    Newer,
    UpTo(u8),
    Body(Vec<u8>),
}

impl Only {
    fn condition(&self, version: u8) -> Condition {
        match self {
            Self::Always => Condition::Always,
            Self::Absent => Condition::Absent,
            Self::Present => Condition::Present,
            Self::Newer => Condition::OlderThan(version.to_string()),
            Self::UpTo(version) => Condition::UpTo(version.to_string()),
            Self::Body(body) => Condition::Etag(Etag::of(body)),
        }
    }

    fn holds(&self, version: u8, held: Option<&(u8, Vec<u8>)>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => held.is_none(),
            Self::Present => held.is_some(),
            Self::Newer => held.is_none_or(|held| held.0 < version),
            Self::UpTo(version) => held.is_none_or(|held| held.0 <= *version),
            Self::Body(body) => held.is_some_and(|held| held.1 == *body),
        }
    }
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(0..3u8, 0..2), prop::collection::vec(any::<u8>(), 0..2000)]
}

fn onlys() -> impl Strategy<Value = Only> {
    prop_oneof![
        Just(Only::Always),
        Just(Only::Absent),
        Just(Only::Present),
        Just(Only::Newer),
        (0..5u8).prop_map(Only::UpTo),
        bodies().prop_map(Only::Body),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..NAMES.len();
    let step = prop_oneof![
        6 => (name.clone(), 0..5u8, bodies(), onlys()).prop_map(|(n, v, b, o)| Step::Put(n, v, b, o)),
        3 => (name.clone(), onlys()).prop_map(|(n, o)| Step::Remove(n, o)),
        1 => (name.clone(), name, 0..5usize).prop_map(|(p, a, l)| Step::List(p, a, l)),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

fn object(version: u8, body: &[u8]) -> Object {
    Object {
        version: version.to_string(),
        meta: HeaderValue::from_bytes(&[b'm', 0xe4, b'0' + version]).unwrap(),
        body: Bytes::copy_from_slice(body),
    }
}

/// Runs the steps. `reopen` gives the store back as a crash or a restart would leave it.
fn check<S: Objects>(mut store: S, steps: Vec<Step>, mut reopen: impl FnMut(S) -> S) {
    let mut model = BTreeMap::<&str, (u8, Vec<u8>)>::new();
    for step in steps {
        match step {
            Step::Put(name, version, body, only) => {
                let held = model.get(NAMES[name]);
                let stamp = Some(Stamp { etag: Etag::of(&body), modified_s: u64::from(version) });
                let put = Held { object: object(version, &body), stamp };
                let outcome = store.put(NAMES[name], put, only.condition(version)).unwrap();
                if only.holds(version, held) {
                    assert_eq!(outcome, Outcome::Done);
                    model.insert(NAMES[name], (version, body));
                } else {
                    assert_eq!(outcome, Outcome::Refused(held.map(|held| held.0.to_string())));
                }
            }
            Step::Remove(name, only) => {
                let held = model.get(NAMES[name]);
                let outcome = store.remove(NAMES[name], only.condition(2)).unwrap();
                if held.is_none() || only.holds(2, held) {
                    assert_eq!(outcome, Outcome::Done);
                    model.remove(NAMES[name]);
                } else {
                    assert_eq!(outcome, Outcome::Refused(held.map(|held| held.0.to_string())));
                }
            }
            Step::List(prefix, after, limit) => {
                let (prefix, after) = (NAMES[prefix], NAMES[after]);
                let names = model.keys().filter(|n| n.starts_with(prefix) && **n > after);
                let names: Vec<_> = names.take(limit).copied().collect();
                let found = store.list(prefix, after, limit).unwrap();
                assert_eq!(found.iter().map(|n| &**n).collect::<Vec<_>>(), names);
            }
            Step::Reopen => store = reopen(store),
        }
        for name in NAMES {
            let held = store.get(name).unwrap();
            let stat = store.stat(name).unwrap();
            let Some((version, body)) = model.get(name) else {
                assert_eq!((held, stat), (None, None));
                continue;
            };
            let (held, stat) = (held.unwrap(), stat.unwrap());
            assert_eq!(held.stamp(), stat.stamp);
            assert_eq!(stat.stamp.etag, Etag::of(body));
            assert_eq!(stat.stamp.modified_s, u64::from(*version));
            assert_eq!(held.object, object(*version, body));
            assert_eq!((stat.version, stat.meta), (held.object.version, held.object.meta));
            assert_eq!(stat.body_bytes, body.len() as u64);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn memory_does_as_the_model(steps in steps()) {
        check(MemoryStore::new(), steps, |store| store);
    }

    #[test]
    fn a_directory_does_as_the_model(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let open = || DirectoryStore::open(folder.path()).unwrap();
        check(open(), steps, |store| {
            drop(store);
            open()
        });
    }
}
