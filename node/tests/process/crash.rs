//! Killed at any moment: nothing that was acknowledged is lost.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nix::sys::signal::Signal;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::client::{ask, try_connect, try_read, value_path};
use crate::process::dev;

const CRASHES: u64 = 200;
const WRITERS: u64 = 4;
const KEYS: u64 = 6;

/// What a writer knows of a key: the last number that was acknowledged, and the last that was sent.
type Known = BTreeMap<String, (u64, u64)>;

/// Writes growing numbers until the connection breaks.
fn write(to: SocketAddr, writer: u64, known: &mut Known, acknowledged: &AtomicU64) {
    // It may be dead before a writer gets to it.
    let Some(mut stream) = try_connect(to) else { return };
    for turn in 0.. {
        let key = format!("w{writer}-{}", turn % KEYS);
        let entry = known.entry(key.clone()).or_default();
        entry.1 += 1;
        let body = entry.1.to_string();
        let request = format!(
            "PUT {} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n{body}",
            value_path(&key),
            body.len()
        );
        if stream.write_all(request.as_bytes()).is_err() {
            return;
        }
        let Some(answer) = try_read(&mut stream) else { return };
        assert_eq!(answer.status, 200, "{}", answer.head);
        entry.0 = entry.1;
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn nothing_acknowledged_is_lost_at_any_of_two_hundred_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let data = ["--data", folder.path().to_str().unwrap()];
    let mut moments = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut known: Vec<Known> = (0..WRITERS).map(|_| Known::new()).collect();
    for crash in 0..=CRASHES {
        let mut node = dev(&data);
        let rest = node.address("rest");
        for (key, (acknowledged, sent)) in known.iter().flatten() {
            let answer = ask(rest, "GET", &value_path(key), b"");
            let held = match answer.status {
                200 => answer.text().parse().unwrap(),
                404 => 0,
                other => panic!("{other} after crash {crash}: {}", answer.text()),
            };
            assert!(
                (*acknowledged..=*sent).contains(&held),
                "{key} holds {held}, of {acknowledged} acknowledged and {sent} sent, after crash {crash}"
            );
        }
        // A write that was not acknowledged has happened or not: from here on it is known which.
        let count = AtomicU64::new(0);
        let after = moments.next_u64() % 100;
        thread::scope(|scope| {
            for (writer, known) in (0..).zip(&mut known) {
                let count = &count;
                scope.spawn(move || write(rest, writer, known, count));
            }
            while count.load(Ordering::Relaxed) < after {
                thread::yield_now();
            }
            node.signal(Signal::SIGKILL);
        });
        assert_eq!(node.wait(), None);
    }
    let written: u64 = known.iter().flatten().map(|(_, (acknowledged, _))| acknowledged).sum();
    assert!(written > CRASHES * 20, "only {written} writes");
}
