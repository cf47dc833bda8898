//! Several data centers: who is asked for a key, and who hears of a write.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{join, join_all};
use http::{Method, StatusCode};
use kv_node::env::Listener;
use kv_node::safeguards::Safeguard;
use kv_store::Object;

use crate::plan::{DCS, EDGES, Plan};
use crate::several::{SETTLED_S, World};
use crate::wires::{Fault, Sent};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;

fn route(sent: &[Sent]) -> Vec<(&str, &str, Option<&str>)> {
    sent.iter().map(|s| (s.from.as_str(), s.to.as_str(), s.tier.as_deref())).collect()
}

fn tier_reads(sent: &[Sent]) -> Vec<&Sent> {
    sent.iter().filter(|s| s.listener == Listener::Tier && s.method == GET).collect()
}

#[tokio::test(start_paused = true)]
async fn a_hit_asks_nobody_and_takes_no_time() {
    let world = World::settled(&Plan::several()).await;
    world.at("EUE").put("k", "v").await;
    assert_eq!(world.at("EDGE1").get("k").await.cache, "MISS");
    world.wait(5).await;
    world.forget();
    for _ in 0..40 {
        let got = world.at("EDGE1").get("k").await;
        assert!(got.is("v"));
        assert_eq!((got.cache.as_str(), got.took_ms), ("HIT", 0));
        world.wait(1).await;
    }
    assert_eq!(world.sent(), []);
}

#[tokio::test(start_paused = true)]
async fn a_miss_climbs_each_tier_once() {
    let world = World::settled(&Plan::several()).await;
    for number in 0..30 {
        let key = format!("k{number}");
        world.at("EUE").put(&key, "v").await;
        world.wait(1).await;
        world.forget();
        let (regional, upper) = (world.regional("OC", &key), world.upper("NA", &key));
        let got = world.at("EDGE1").get(&key).await;
        // There and back: to the regional tier, to the upper one, and to the store beside it.
        assert_eq!((got.cache.as_str(), got.took_ms), ("MISS", 2 * (10 + 100 + 10)));
        world.wait(5).await;
        let climb = [
            ("EDGE1", regional.as_str(), Some("regional;NA;1")),
            (regional.as_str(), upper.as_str(), Some("upper;NA;1")),
            (upper.as_str(), "store-a", None),
            (upper.as_str(), "store-b", None),
        ];
        assert_eq!(route(&world.sent()), climb, "{key}");
        // The next edge of the region ends at the first tier that knows.
        world.forget();
        assert_eq!(world.at("EDGE2").get(&key).await.took_ms, 2 * 10);
        assert_eq!(route(&world.sent()), [("EDGE2", regional.as_str(), Some("regional;NA;1"))]);
    }
}

#[tokio::test(start_paused = true)]
async fn every_edge_asks_the_same_owner() {
    let world = World::settled(&Plan::several()).await;
    let mut owners: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..100 {
        let key = format!("k{number}");
        let owner = world.regional("OC", &key);
        world.forget();
        for edge in ["EDGE1", "EDGE2", "EDGE3"] {
            world.at(edge).get(&key).await;
        }
        let sent = world.sent();
        let asked = tier_reads(&sent).into_iter().filter(|s| s.from.starts_with("EDGE"));
        let asked: Vec<_> = asked.map(|s| (s.from.as_str(), s.to.as_str())).collect();
        assert_eq!(asked, ["EDGE1", "EDGE2", "EDGE3"].map(|edge| (edge, owner.as_str())), "{key}");
        *owners.entry(owner).or_default() += 1;
    }
    assert!(owners.len() == 2 && owners.values().all(|keys| *keys >= 30), "{owners:?}");
}

#[tokio::test(start_paused = true)]
async fn the_edge_decides_the_origin_and_its_tier_goes_there() {
    let world = World::settled(&Plan::several()).await;
    for (edge, region, origin) in [("EDGE1", "OC", "NA"), ("EUE", "EU", "EU")] {
        world.forget();
        world.at(edge).get("k").await;
        let (regional, upper) = (world.regional(region, "k"), world.upper(origin, "k"));
        let sent = world.sent();
        let asked: Vec<_> =
            tier_reads(&sent).into_iter().map(|s| (&s.from[..], &s.to[..])).collect();
        assert_eq!(asked, [(edge, &regional[..]), (&regional[..], &upper[..])]);
    }
    // A regional tier follows what it is told, not where it stands itself.
    for origin in ["NA", "EU"] {
        let (key, regional) = (format!("told-{origin}"), world.regional("OC", "told"));
        world.forget();
        let control = format!("regional;{origin};1");
        assert_eq!(world.ask_tier(&regional, &key, &control).await, StatusCode::NOT_FOUND);
        let (sent, upper) = (world.sent(), world.upper(origin, &key));
        let passed_on = (&regional[..], &upper[..], Some(&*format!("upper;{origin};1")));
        assert_eq!(route(&sent)[0], passed_on);
    }
}

/// Everybody reads a key, somebody writes it, and nobody reads for some minutes: the batches of purges that were sent.
async fn purges_of_a_write(world: &World, writer: &str, key: &str) -> Vec<(String, String)> {
    world.at("EUE").put(key, "old").await;
    world.wait(1).await;
    join_all(DCS.map(|dc| world.at(dc).get(key))).await;
    world.wait(60).await;
    world.forget();
    world.at(writer).put(key, "new").await;
    world.wait(300).await;
    let sent = world.sent();
    for request in &sent {
        // What an edge is sent after a write would be here; what stores are sent is their own matter.
        assert!(!EDGES.contains(&request.to.as_str()), "an edge heard of it: {request:?}");
    }
    let purges = sent.iter().filter(|s| s.purges());
    purges.map(|s| (s.from.clone(), s.to.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn no_edge_hears_of_a_write() {
    let world = World::settled(&Plan::several()).await;
    for (writer, origin) in [("EUE", "EU"), ("EDGE1", "NA"), ("UP1", "NA")] {
        let key = format!("by-{writer}");
        let purges = purges_of_a_write(&world, writer, &key).await;
        // Who puts it into the stores tells every other holder, once.
        let by = world.upper(origin, &key);
        let told = world.holders(&key).into_iter().filter(|holder| *holder != by);
        let told: BTreeSet<_> = told.map(|holder| (by.clone(), holder)).collect();
        assert_eq!(purges.len(), told.len(), "{purges:?}");
        assert_eq!(purges.into_iter().collect::<BTreeSet<_>>(), told);
    }
}

#[tokio::test(start_paused = true)]
async fn without_tiers_nobody_hears_of_a_write() {
    let world = World::settled(&Plan { enrolled: false, ..Plan::several() }).await;
    world.at("EUE").put("k", "old").await;
    world.wait(1).await;
    join_all(DCS.map(|dc| world.at(dc).get("k"))).await;
    world.wait(61).await;
    world.forget();
    world.at("EDGE1").put("k", "new").await;
    world.wait(300).await;
    let sent = world.sent();
    assert!(sent.iter().all(|s| s.from == "EDGE1" && s.to.starts_with("store-")), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_purge_arrives_within_seconds_also_after_one_lost_delivery() {
    for lost in [false, true] {
        let world = World::settled(&Plan::several()).await;
        world.at("EUE").put("k", "old").await;
        world.wait(1).await;
        join(world.at("EDGE1").get("k"), world.at("UP2").get("k")).await;
        world.forget();
        if lost {
            for holder in world.holders("k") {
                world.fault(Fault::down(&holder).only(POST, 1));
            }
        }
        world.at("EUE").put("k", "new").await;
        let written_ms = world.now_ms();
        world.wait(5).await;
        // Who never read it asks tiers that held the old value five seconds ago.
        assert!(world.at("EDGE2").get("k").await.is("new"), "lost: {lost}");
        let sent = world.sent();
        let (mut delivered, mut refused) = (BTreeSet::new(), 0);
        for purge in sent.iter().filter(|s| s.purges()) {
            if purge.arrived {
                let bound_ms = if lost { 3_000 } else { 0 };
                assert!(purge.at_ms <= written_ms + bound_ms, "{purge:?}");
                delivered.insert(purge.to.clone());
            } else {
                refused += 1;
            }
        }
        assert_eq!((delivered.len(), refused), (3, if lost { 3 } else { 0 }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_tier_keeps_a_value_past_its_ttl_until_it_is_purged() {
    let world = World::settled(&Plan::several()).await;
    let (regional, upper) = (world.regional("OC", "k"), world.upper("NA", "k"));
    world.at("EUE").put("k", "old").await;
    world.wait(1).await;
    world.at("EDGE1").get_for("k", 60).await;
    for (edge, wait_s, asked) in [
        // The regional tier answers for minutes, then the upper one does, and neither asks the stores.
        ("EDGE2", 120, vec![&regional]),
        ("EDGE3", 150, vec![&regional]),
        ("EDGE1", 120, vec![&regional, &upper]),
    ] {
        world.wait(wait_s).await;
        world.forget();
        assert!(world.at(edge).get_for("k", 60).await.is("old"));
        assert_eq!(world.sent().iter().map(|s| &s.to).collect::<Vec<_>>(), asked, "{edge}");
    }
    world.at("EUE").put("k", "new").await;
    world.wait(61).await;
    world.forget();
    assert!(world.at("EDGE1").get_for("k", 60).await.is("new"));
    assert_eq!(world.sent().iter().filter(|s| s.to == upper).count(), 1, "purged at both");
    assert_eq!(world.sent().iter().filter(|s| s.to.starts_with("store-")).count(), 2);
}

/// The objects of both stores, by name.
fn objects(world: &World, store: usize) -> BTreeMap<String, Object> {
    ["v/ns/k", "i/ns/k\0\x000000000000000000-"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), world.store(store).object(name)?)))
        .collect()
}

/// A key that was written twice, a minute ago; one store has only the first of the two.
async fn one_store_missed_a_write(world: &World, store: usize) {
    world.at("EUE").put("k", "old").await;
    world.wait(1).await;
    let old = objects(world, store);
    world.at("EUE").put("k", "new").await;
    world.wait(SETTLED_S).await;
    for (name, object) in old {
        world.store(store).seed(&name, object);
    }
    world.forget();
}

#[tokio::test(start_paused = true)]
async fn what_the_slower_store_knows_better_is_purged() {
    let world = World::settled(&Plan::several()).await;
    // The store in NA answers NA's upper tiers first.
    one_store_missed_a_write(&world, 0).await;
    assert!(world.at("EDGE1").get("k").await.is("old"), "the quicker store answers");
    world.wait(2).await;
    let sent = world.sent();
    let purged: BTreeSet<_> = sent.iter().filter(|s| s.purges()).map(|s| s.to.clone()).collect();
    let mut holders = world.holders("k");
    assert!(holders.remove(&world.upper("NA", "k")), "it found out itself");
    assert_eq!(purged, holders);
    assert_eq!(objects(&world, 0), objects(&world, 1));
    // Who asks now is told the newer at once, who asked before within its refresh.
    assert!(world.at("EDGE2").get("k").await.is("new"));
    let mut left_ms = 60_000;
    while !world.at("EDGE1").get("k").await.is("new") {
        left_ms -= 1_000;
        assert!(left_ms > 0, "not within a refresh");
        world.wait(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_slower_store_lacks_is_given_to_it_and_nobody_is_purged() {
    let world = World::settled(&Plan::several()).await;
    one_store_missed_a_write(&world, 1).await;
    assert!(world.at("EDGE1").get("k").await.is("new"));
    world.wait(60).await;
    assert_eq!(world.sent().iter().filter(|s| s.purges()).count(), 0);
    assert_eq!(objects(&world, 0), objects(&world, 1));
}

#[tokio::test(start_paused = true)]
async fn no_status_of_an_owner_reaches_anybody() {
    for build in [Plan::several(), Plan::several().lacking(Safeguard::OwnerFallback)] {
        let falls_back = build.build.has(Safeguard::OwnerFallback);
        let world = World::settled(&build).await;
        world.at("EUE").put("k", "v").await;
        world.wait(1).await;
        for status in [200, 204, 302, 401, 404, 418, 429] {
            let owner = world.regional("OC", "k");
            world.fault(Fault::status(&owner, status).only(GET, usize::MAX));
            let read = world.at("EDGE1").rest(GET, "/ns/values/k", "").await;
            if falls_back {
                assert_eq!((read.status, read.text()), (StatusCode::OK, "v"), "{status}");
            } else {
                assert_eq!((read.status.as_u16(), read.code()), (500, 10001), "{status}");
            }
            for tier in ["REG1", "REG2", "UP1", "UP2"] {
                world.fault(Fault::status(tier, status).only(GET, usize::MAX));
            }
            world.wait(61).await;
            let read = world.at("EDGE2").rest(GET, "/ns/values/k", "").await;
            assert_eq!((read.status.as_u16(), read.code()), (500, 10001), "{status}");
            assert!(read.header("location").is_none() && !read.text().contains("html"));
            world.mend();
            assert!(world.at("EDGE3").get("k").await.is("v"), "nothing of it was kept");
            world.wait(61).await;
        }
        // A write that an owner refuses in any words is not acknowledged.
        for status in [302, 401, 404, 418, 429] {
            for tier in ["REG1", "REG2", "UP1", "UP2"] {
                world.fault(Fault::status(tier, status).only(PUT, usize::MAX));
            }
            let put = world.at("EDGE1").rest(PUT, "/ns/values/k", "w").await;
            assert_eq!((put.status.as_u16(), put.code()), (500, 10001), "{status}");
            world.mend();
        }
    }
}
