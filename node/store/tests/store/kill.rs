//! A process that is killed while it writes.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use kv_store::{DirectoryStore, Object, Objects, Outcome};

const DIRECTORY: &str = "KV_STORE_TEST_DIRECTORY";
const ROUND: &str = "KV_STORE_TEST_ROUND";
const THREADS: u32 = 8;

/// Puts one name after the other, and says so once each is acknowledged. Run by the other test only, in a process of its own.
#[test]
#[ignore = "runs until it is killed"]
#[expect(clippy::print_stdout, reason = "its parent listens")]
fn write_until_killed() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let round = env::var(ROUND).unwrap();
    let store = Arc::new(DirectoryStore::open(directory).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, round) = (&store, &round);
            scope.spawn(move || {
                for number in 0u32.. {
                    let (version, meta) = ("1".to_owned(), HeaderValue::from_static(""));
                    let body = Bytes::from(vec![7; (number % 5000) as usize]);
                    let name = format!("{round} {thread} {number}");
                    let outcome = store.put_if_newer(&name, Object { version, meta, body });
                    assert_eq!(outcome.unwrap(), Outcome::Done);
                    println!("put {name}");
                }
            });
        }
    });
}

#[test]
fn a_killed_process_leaves_all_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 1..=5 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "kill::write_until_killed", "--ignored", "--nocapture"])
            .env(DIRECTORY, folder.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = |line: String| line.split_once("put ").map(|(_, name)| name.to_owned());
        let first = lines.by_ref().map_while(Result::ok).filter_map(said).take(100 * round);
        let before = acknowledged.len();
        acknowledged.extend(first);
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest: Vec<_> = lines.map_while(Result::ok).collect();
        // The last line may be half of one.
        rest.pop();
        acknowledged.extend(rest.into_iter().filter_map(said));
        assert!(acknowledged.len() >= before + 100 * round);
        let store = DirectoryStore::open(folder.path()).unwrap();
        for name in &acknowledged {
            let held = store.get(name).unwrap().unwrap();
            let number: usize = name.rsplit_once(' ').unwrap().1.parse().unwrap();
            assert_eq!(held.object.body, vec![7; number % 5000]);
        }
    }
}
