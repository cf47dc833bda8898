//! Two stores as one: how long they take, what they fail, and how they find out that they differ.

use std::collections::BTreeMap;

use http::{HeaderValue, Method, StatusCode};
use kv_store::Object;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::bench::Speaks;
use crate::plan::Plan;
use crate::several::{Place, World};
use crate::wires::Fault;

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;

/// An edge forgets within it what it wrote itself.
const COLD_S: u64 = 61;

/// Requests of a method to each store.
fn asked(world: &World, method: &Method) -> [usize; 2] {
    let sent = world.sent();
    ["store-a", "store-b"]
        .map(|store| sent.iter().filter(|s| s.to == store && s.method == *method).count())
}

async fn write_took(place: Place<'_>, key: &str) -> u64 {
    let before = place.world.now_ms();
    place.put(key, "v").await;
    place.world.now_ms() - before
}

#[tokio::test(start_paused = true)]
async fn the_quicker_store_answers_and_both_are_asked() {
    for quicker in [0, 1] {
        let world = World::settled(&Plan::one()).await;
        let place = world.at("ONE");
        world.set_delay(quicker, 10);
        world.set_delay(1 - quicker, 200);
        assert_eq!(write_took(place, "k").await, 10);
        // The value and its index, to both.
        assert_eq!(asked(&world, &PUT), [2, 2]);
        assert!(world.store(quicker).object("v/ns/k").is_some());
        assert!(world.store(1 - quicker).object("v/ns/k").is_none(), "still on its way");
        place.wait(COLD_S).await;
        assert_eq!(world.store(0).object("v/ns/k"), world.store(1).object("v/ns/k"));
        world.forget();
        let got = place.get("k").await;
        assert!(got.is("v"));
        assert_eq!((got.cache.as_str(), got.took_ms), ("MISS", 10));
        assert_eq!(asked(&world, &GET), [1, 1]);

        // The quicker one fails: the first success counts, not the first answer.
        world.fault(Fault::status(["store-a", "store-b"][quicker], 500));
        place.wait(COLD_S).await;
        let got = place.get("k").await;
        assert!(got.is("v"));
        assert_eq!(got.took_ms, 200);
        assert_eq!(write_took(place, "k").await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn two_stores_are_as_near_as_the_nearer() {
    for speaks in [Speaks::Plain, Speaks::S3] {
        // Over S3 a write looks first.
        let steps = if speaks == Speaks::S3 { 2 } else { 1 };
        for (one_ms, other_ms) in [(10, 10), (10, 150), (150, 10), (80, 90)] {
            let world = World::settled(&Plan::one().speaking(speaks)).await;
            let place = world.at("ONE");
            world.set_delay(0, one_ms);
            world.set_delay(1, other_ms);
            let nearer_ms = one_ms.min(other_ms);
            assert_eq!(write_took(place, "k").await, steps * nearer_ms);
            place.wait(COLD_S).await;
            assert_eq!(place.get("k").await.took_ms, nearer_ms, "a cold read");
            place.wait(1).await;
            assert_eq!(place.get("k").await.took_ms, 0, "a hot one");
        }
    }
}

/// A thousand cold reads, each store as quick as drawn for it each time: milliseconds, sorted.
async fn cold_reads(plan: Plan) -> Vec<u64> {
    let world = World::settled(&plan).await;
    let place = world.at("ONE");
    let mut draws = Xoshiro256PlusPlus::seed_from_u64(14);
    for number in 0..1_000 {
        place.put(&number.to_string(), "v").await;
    }
    place.wait(COLD_S).await;
    let mut took = Vec::new();
    for number in 0..1_000 {
        // The draws for the first store are the same whether or not there is a second.
        for store in [0, 1] {
            let ms = 5 + draws.next_u64() % 46;
            if world.has_store(store) {
                world.set_delay(store, ms);
            }
        }
        let got = place.get(&number.to_string()).await;
        assert!(got.is("v") && got.cache == "MISS");
        took.push(got.took_ms);
    }
    took.sort_unstable();
    took
}

#[tokio::test(start_paused = true)]
async fn a_second_store_slows_no_read() {
    let one = cold_reads(Plan::one().with_one_store()).await;
    let two = cold_reads(Plan::one()).await;
    for (percentile, at) in [("p50", 500), ("p99", 990), ("the slowest", 999)] {
        assert!(two[at] <= one[at], "{percentile}: {} and {} ms", one[at], two[at]);
    }
}

/// Slots of a second in which stores fail: each in one of a hundred, and in 9 % of these both for the same reason.
fn failing_slots(count: usize) -> Vec<[bool; 2]> {
    let mut draws = Xoshiro256PlusPlus::seed_from_u64(11);
    let mut happens = |one_in_a_million: u64| draws.next_u64() % 1_000_000 < one_in_a_million;
    (0..count)
        .map(|_| {
            let both = happens(900);
            [both | happens(9_100), both | happens(9_100)]
        })
        .collect()
}

/// The share of reads and of writes that fail.
async fn failed(plan: Plan, slots: &[[bool; 2]]) -> [usize; 2] {
    let world = World::settled(&plan).await;
    let place = world.at("ONE");
    for number in 0..100 {
        place.put(&number.to_string(), "v").await;
    }
    place.wait(COLD_S).await;
    let mut failed = [0, 0];
    for (slot, fails) in slots.iter().enumerate() {
        world.mend();
        for (store, _) in fails.iter().enumerate().filter(|(_, fails)| **fails) {
            world.fault(Fault::down(["store-a", "store-b"][store]));
        }
        let begun_ms = world.now_ms();
        // Read a hundred seconds ago: the edge no longer has it.
        let read = place.rest(GET, &format!("/ns/values/{}", slot % 100), "").await;
        let write = place.rest(PUT, &format!("/ns/values/w{slot}"), "v").await;
        for (count, status) in failed.iter_mut().zip([read.status, write.status]) {
            assert!([StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(&status));
            *count += usize::from(status != StatusCode::OK);
        }
        if slot % 1_000 == 0 {
            world.forget();
        }
        world.wait_ms(1_000 - (world.now_ms() - begun_ms)).await;
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn two_stores_fail_a_tenth_as_often_as_one() {
    let slots = failing_slots(50_000);
    let of_one = slots.iter().filter(|[one, _]| *one).count();
    let one = failed(Plan::one().with_one_store(), &slots).await;
    assert_eq!(one, [of_one, of_one], "one store fails what it fails");
    let two = failed(Plan::one(), &slots).await;
    for (what, failed) in ["reads", "writes"].into_iter().zip(two) {
        assert!(failed * 8 <= of_one, "{failed} {what} failed, {of_one} with one store");
    }
}

/// Puts a key into both stores that nobody reads, so that the crawler has enough to look at.
fn seed(world: &World, name: &str) {
    let object = Object {
        version: format!("{:016x}{:08x}", 1_700_000_000_000_000_u64, 1),
        meta: HeaderValue::from_static("v;;"),
        body: bytes::Bytes::new(),
    };
    for store in [0, 1] {
        world.store(store).seed(&format!("v/ns/{name}"), object.clone());
        let index = Object { meta: HeaderValue::from_static(""), ..object.clone() };
        world.store(store).seed(&format!("i/ns/{name}\0\x000000000000000000-"), index);
    }
}

/// Seconds until both stores have the same of every tenth of many keys, which one of them lost.
async fn seconds_until_level(world: &World, reads: bool) -> Vec<u64> {
    let place = world.at("ONE");
    let differing: Vec<String> = (0..30).map(|number| format!("{:04}", number * 200)).collect();
    for number in 0..6_000 {
        seed(world, &format!("{number:04}"));
    }
    for key in &differing {
        place.put(key, "v").await;
    }
    place.wait(COLD_S).await;
    for key in &differing {
        // One after the other, so that the edge forgets them one after the other.
        if reads {
            assert!(place.get(key).await.is("v"));
        }
        place.wait(2).await;
    }
    for key in &differing {
        world.store(1).take(&format!("v/ns/{key}")).unwrap();
    }
    let mut level: BTreeMap<&String, u64> = BTreeMap::new();
    for second in 0..2_000 {
        for key in &differing {
            if reads {
                assert!(place.get(key).await.is("v"));
            }
            if world.store(1).object(&format!("v/ns/{key}")).is_some() {
                level.entry(key).or_insert(second);
            }
        }
        place.wait(1).await;
    }
    assert_eq!(level.len(), differing.len(), "all of them in the end");
    let mut seconds: Vec<u64> = level.into_values().collect();
    seconds.sort_unstable();
    seconds
}

#[tokio::test(start_paused = true)]
async fn what_reads_find_at_once_a_crawler_alone_finds_much_later() {
    // As much as a crawler that must not disturb anybody gets through: all keys in a quarter of an hour.
    let crawling = Plan::one().limited(|limits| limits.crawl_keys_per_s = 10);
    let crawled = seconds_until_level(&World::new(&crawling), false).await;
    let read = seconds_until_level(&World::new(&Plan::one()), true).await;
    let median = |seconds: &[u64]| seconds[seconds.len() / 2];
    assert!(
        median(&crawled) >= 5 * median(&read) && crawled.last() >= read.last(),
        "{crawled:?} by the crawler, {read:?} by reads"
    );
    // Whoever reads a key finds out within the time that the edge keeps it.
    assert!(read.iter().all(|seconds| *seconds <= 60), "{read:?}");
}
