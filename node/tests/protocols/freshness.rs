//! How old what is read may be, in every data center and whatever happens between them.

use futures_util::future::join_all;
use http::Method;
use kv_node::env::Listener;
use kv_node::safeguards::Safeguard;

use crate::plan::{DCS, Plan};
use crate::several::World;
use crate::wires::{BETWEEN_MS, Fault};

/// How long a purge is under way once a write is acknowledged: it leaves when the first store has the write, and goes one way
/// between two regions.
const PURGE_MS: u64 = BETWEEN_MS;
/// No reader sees anything that was overwritten longer ago than a minute and a purge's way.
const BOUND_MS: u64 = 60_000 + PURGE_MS;

#[tokio::test(start_paused = true)]
async fn a_busy_key_never_waits() {
    let builds = [Plan::several(), Plan::several().lacking(Safeguard::BoundedStaleness)];
    for (number, plan) in builds.into_iter().enumerate() {
        let world = World::settled(&plan).await;
        world.at("EUE").put("k", "v").await;
        world.wait(1).await;
        assert_eq!(world.at("EDGE1").get("k").await.cache, "MISS");
        for turn in 0..4 * 3_600 / 3 {
            world.wait(3).await;
            let got = world.at("EDGE1").get("k").await;
            assert!(got.is("v"));
            let waited = got.took_ms > 0 || got.cache == "MISS";
            assert!(!waited, "build {number}, read {turn}: {got:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_read_is_checked_every_minute_whatever_its_ttl() {
    for (ttl_s, every_s) in [(60, 1), (300, 1), (3_600, 1), (3_600, 3), (3_600, 7), (86_400, 9)] {
        let world = World::settled(&Plan::several()).await;
        world.at("EUE").put("k", "v").await;
        world.wait(1).await;
        world.forget();
        for _ in 0..3_600 / every_s {
            world.at("EDGE1").get_for("k", ttl_s).await;
            world.wait(every_s).await;
        }
        let sent = world.sent();
        let checks = sent.iter().filter(|s| s.listener == Listener::Tier && s.from == "EDGE1");
        let checks: Vec<u64> = checks.map(|s| s.at_ms).collect();
        assert!(checks.len() >= 58, "{} checks in an hour", checks.len());
        for pair in checks.windows(2) {
            let apart_ms = pair[1] - pair[0];
            // Ten seconds ahead of the minute, so that no reader waits for it.
            assert!((50_000..=60_000).contains(&apart_ms), "ttl {ttl_s} s: {apart_ms} ms apart");
        }
    }
}

/// A reader comes every so often, a writer now and then: what the reader saw, and how old what it missed was.
async fn seen(ttl_s: u64, every_s: u64, writes_every_s: u64) -> Vec<String> {
    let world = World::settled(&Plan::several()).await;
    let (mut reads, mut value, mut written_ms) = (Vec::new(), 0, 0);
    for second in 0..4 * 3_600 {
        if second % writes_every_s == 0 {
            value += 1;
            world.at("EUE").put("k", &value.to_string()).await;
            written_ms = world.now_ms();
            world.wait_ms(1_000 - world.now_ms() % 1_000).await;
        } else {
            world.wait(1).await;
        }
        if second % every_s == 0 {
            let late_ms = world.now_ms().saturating_sub(written_ms);
            let got = world.at("EDGE1").get_for("k", ttl_s).await.value.unwrap();
            if late_ms >= BOUND_MS {
                assert_eq!(got, value.to_string(), "{late_ms} ms after it was written");
            }
            reads.push(got);
        }
    }
    reads
}

#[tokio::test(start_paused = true)]
async fn a_longer_ttl_delays_no_write() {
    // Seldom read and often; writes come at every distance from a read.
    for (every_s, writes_every_s) in [(600, 703), (600, 631), (20, 97), (75, 131)] {
        let short = seen(60, every_s, writes_every_s).await;
        let long = seen(3_600, every_s, writes_every_s).await;
        assert_eq!(short, long, "read every {every_s} s");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_a_minute_is_not_served_unasked() {
    for (ttl_s, idle_s) in [(60, 60), (60, 3_600), (3_600, 60), (3_600, 3_599)] {
        let world = World::settled(&Plan::several()).await;
        world.at("EUE").put("k", "v").await;
        world.wait(1).await;
        world.at("EDGE1").get_for("k", ttl_s).await;
        world.wait(idle_s).await;
        world.forget();
        let got = world.at("EDGE1").get_for("k", ttl_s).await;
        assert!(got.took_ms > 0, "answered without having asked: {got:?}");
        assert_eq!(world.sent()[0].to, world.regional("OC", "k"));
    }
}

/// Reads a key every so often and until a value is seen; milliseconds until then.
async fn until_seen(world: &World, dc: &str, key: &str, (ttl_s, every_ms): (u64, u64)) -> u64 {
    let since_ms = world.now_ms();
    loop {
        let begun_ms = world.now_ms();
        if world.at(dc).get_for(key, ttl_s).await.is("new") {
            return begun_ms - since_ms;
        }
        world.wait_ms(every_ms).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_is_seen_within_a_minute_whenever_it_comes() {
    let world = World::settled(&Plan::several()).await;
    let world = &world;
    // One key for each second of a minute after a reader's fetch, for a reader that goes on and for one that rests.
    let rounds = (0..60).flat_map(|offset_s| [(offset_s, true), (offset_s, false)]);
    join_all(rounds.map(|(offset_s, busy)| async move {
        let key = &format!("k{offset_s}-{busy}");
        // Elsewhere, so that neither reader reads what it wrote.
        let (writer, reader) = if offset_s % 2 == 0 { ("EUE", "EDGE1") } else { ("EDGE2", "EUE") };
        world.at(writer).put(key, "old").await;
        world.wait(1).await;
        assert!(world.at(reader).get_for(key, 300).await.is("old"));
        for _ in 0..offset_s {
            world.wait(1).await;
            if busy {
                world.at(reader).get_for(key, 300).await;
            }
        }
        world.at(writer).put(key, "new").await;
        if busy {
            let after_ms = until_seen(world, reader, key, (300, 500)).await;
            assert!(after_ms <= BOUND_MS, "{offset_s} s: {after_ms} ms");
        } else {
            world.wait_ms(BOUND_MS).await;
            assert!(world.at(reader).get_for(key, 300).await.is("new"), "{offset_s} s");
        }
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_revoked_is_gone_within_a_minute() {
    let world = World::settled(&Plan::several()).await;
    let world = &world;
    let ways = [60, 300, 3_600].into_iter().flat_map(|ttl_s| [(ttl_s, true), (ttl_s, false)]);
    join_all(ways.map(|(ttl_s, overwritten)| async move {
        let key = &format!("token-{ttl_s}-{overwritten}");
        world.at("EUE").put(key, "valid").await;
        world.wait(1).await;
        let (before, just_before) = DCS.split_at(8);
        for _ in 0..30 {
            join_all(before.iter().map(|dc| world.at(dc).get_for(key, ttl_s))).await;
            world.wait(7).await;
        }
        join_all(just_before.iter().map(|dc| world.at(dc).get_for(key, ttl_s))).await;
        if overwritten {
            world.at("EUE").put(key, "revoked").await;
        } else {
            world.at("EUE").delete(key).await;
        }
        let revoked_ms = world.now_ms();
        world.wait_ms(PURGE_MS).await;
        for second in 0..400 {
            // Some read it all the time, some now and then, some again when a minute is over.
            let every_s = |number: usize| [1, 3, 7].get(number / 3).copied().unwrap_or(60);
            let reads = DCS.iter().enumerate().filter(|(n, _)| second % every_s(*n) == 0);
            let got = join_all(reads.map(|(_, dc)| async move {
                let at_ms = world.now_ms();
                (dc, at_ms, world.at(dc).get_for(key, ttl_s).await)
            }));
            for (dc, at_ms, got) in got.await {
                let after_ms = at_ms - revoked_ms;
                assert!(after_ms < BOUND_MS || !got.is("valid"), "{dc} after {after_ms} ms, {key}");
            }
            world.wait(1).await;
        }
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_data_center_reads_and_writes() {
    let world = World::settled(&Plan::several()).await;
    for writer in DCS {
        world.at(writer).put(writer, writer).await;
        assert!(world.at(writer).get(writer).await.is(writer), "its own write, at once");
    }
    world.wait_ms(PURGE_MS).await;
    for reader in DCS {
        for writer in DCS {
            let got = world.at(reader).get(writer).await;
            assert!(got.is(writer), "{reader} reads of {writer} {got:?}");
        }
    }
    for writer in DCS {
        world.at(writer).delete(writer).await;
    }
    world.wait_ms(BOUND_MS).await;
    for reader in DCS {
        for writer in DCS {
            assert_eq!(world.at(reader).get(writer).await.value, None, "{reader}, of {writer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn both_sides_of_a_partition_take_writes_and_end_alike() {
    let world = World::settled(&Plan::several()).await;
    for key in ["west", "east", "only-west", "only-east"] {
        world.at("EUE").put(key, "before").await;
    }
    world.wait(1).await;
    let (west, east) = DCS.split_at(7);
    for one in west.iter().chain(&["store-a"]) {
        for other in east.iter().chain(&["store-b"]) {
            world.cut(one, other);
        }
    }
    world.wait(61).await;
    // On each side somebody writes; each key has the side named that writes it last.
    world.at("EDGE1").put("east", "of the west").await;
    world.at("EUE").put("west", "of the east").await;
    world.wait(1).await;
    world.at("EDGE1").put("west", "of the west").await;
    world.at("EUE").put("east", "of the east").await;
    world.at("EDGE2").put("only-west", "of the west").await;
    world.at("EUU1").delete("only-east").await;
    for minute in 0..10 {
        world.wait_ms(if minute == 0 { BOUND_MS } else { 60_000 }).await;
        for (side, own) in [(west, "of the west"), (east, "of the east")] {
            for dc in side {
                for key in ["west", "east"] {
                    assert!(world.at(dc).get(key).await.is(own), "{dc}, {key}, minute {minute}");
                }
            }
        }
    }
    world.mend();
    // A purge that waits goes out within two minutes, an edge asks again within one.
    world.wait(4 * 60).await;
    for dc in DCS {
        for (key, last) in [
            ("west", Some("of the west")),
            ("east", Some("of the east")),
            ("only-west", Some("of the west")),
            ("only-east", None),
        ] {
            let got = world.at(dc).get(key).await;
            assert_eq!(got.value.as_deref(), last, "{dc}, {key}");
        }
    }
    for key in ["west", "east", "only-west", "only-east"] {
        let object = format!("v/ns/{key}");
        assert_eq!(world.store(0).object(&object), world.store(1).object(&object), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_read_is_current() {
    let world = World::settled(&Plan::several()).await;
    for (writer, reader) in [("EUE", "EDGE2"), ("EDGE1", "EUE"), ("UP1", "EDGE3"), ("EUT", "REG1")]
    {
        let key = format!("{writer}-{reader}");
        world.at(writer).put(&key, "old").await;
        world.wait(1).await;
        // Tiers and other edges hold it.
        for dc in DCS.iter().filter(|dc| **dc != reader) {
            world.at(dc).get(&key).await;
        }
        world.at(writer).put(&key, "new").await;
        world.wait_ms(PURGE_MS).await;
        let got = world.at(reader).get(&key).await;
        assert!(got.is("new"), "{reader}: {got:?}");
        // No longer than a way to the tiers and to the nearer store takes.
        assert!(got.took_ms <= 2 * (10 + 100 + 10), "{reader}: {got:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn not_found_is_corrected_within_a_minute() {
    let world = World::settled(&Plan::several()).await;
    let world = &world;
    join_all((0..60).flat_map(|offset_s| [(offset_s, true), (offset_s, false)]).map(
        |(offset_s, busy)| async move {
            let key = &format!("k{offset_s}-{busy}");
            for dc in ["EDGE1", "EUE"] {
                assert_eq!(world.at(dc).get_for(key, 3_600).await.value, None);
            }
            world.wait(offset_s).await;
            world.at("EDGE2").put(key, "new").await;
            for dc in ["EDGE1", "EUE"] {
                if busy {
                    let after_ms = until_seen(world, dc, key, (3_600, 500)).await;
                    assert!(after_ms <= BOUND_MS, "{dc}, {offset_s} s: {after_ms} ms");
                }
            }
            if !busy {
                world.wait_ms(BOUND_MS).await;
                for dc in ["EDGE1", "EUE"] {
                    assert!(world.at(dc).get_for(key, 3_600).await.is("new"), "{dc}, {offset_s} s");
                }
            }
        },
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_one_store_missed_is_read_nowhere_a_minute_after_it_is_level() {
    for reader in ["EUT", "EDGE1"] {
        let world = World::settled(&Plan::several()).await;
        world.at("EUE").put("k", "old").await;
        world.wait(61).await;
        // One store does not take the write; then it is the only one that answers.
        world.fault(Fault::status("store-b", 500).only(Method::PUT, usize::MAX));
        world.at("EUE").put("k", "new").await;
        world.wait(40).await;
        world.fault(Fault::down("store-a"));
        world.wait(1).await;
        // Whoever knows better refuses, whoever does not answers what there is.
        world.at(reader).rest(Method::GET, "/ns/values/k", "").await;
        world.wait(10).await;
        world.mend();
        // What a store missed is tried again every 19 seconds at the latest.
        world.wait(19).await;
        assert_eq!(world.store(0).object("v/ns/k"), world.store(1).object("v/ns/k"));
        world.wait_ms(BOUND_MS).await;
        assert!(world.at(reader).get("k").await.is("new"), "{reader}");
    }
}
