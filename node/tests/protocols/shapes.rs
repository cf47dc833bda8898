//! What suits the service: sizes, lifetimes in caches, lists instead of many gets, packed keys and parts.

use futures_util::stream::{self, StreamExt};
use http::{Method, StatusCode};
use kv_node::config::Limits;
use serde_json::json;

use crate::plan::Plan;
use crate::several::{Place, World};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;

/// As many requests as a browser has under way to one host.
const AT_ONCE: usize = 6;

#[tokio::test(start_paused = true)]
async fn the_least_cache_ttl_is_configured_and_one_minute_is_the_default() {
    assert_eq!(Limits::default().cache_ttl_min_s, 60);
    for least_s in [30, 60] {
        let plan = Plan::one().limited(|limits| limits.cache_ttl_min_s = least_s);
        let world = World::settled(&plan).await;
        let place = world.at("ONE");
        place.put("k", "v").await;
        for (ttl_s, status) in [(least_s - 1, StatusCode::BAD_REQUEST), (least_s, StatusCode::OK)] {
            let rest = place.rest(GET, &format!("/ns/values/k?cache_ttl={ttl_s}"), "").await;
            assert_eq!(rest.status, status, "{ttl_s} s");
            let path = format!("/k?urlencoded=true&cache_ttl={ttl_s}");
            assert_eq!(place.binding(GET, &path, "").await.status, status, "{ttl_s} s");
            let many = json!({"keys": ["k"], "cacheTtl": ttl_s.to_string()}).to_string();
            assert_eq!(place.binding(POST, "/bulk/get", many).await.status, status, "{ttl_s} s");
        }
    }
}

/// Seconds from a read until the edge no longer answers another reader, who comes once, from what it holds.
async fn kept_s(query: &str) -> u64 {
    for seconds in (10..1_000).step_by(10) {
        let world = World::settled(&Plan::one()).await;
        let place = world.at("ONE");
        place.put("k", "v").await;
        place.wait(61).await;
        let read = format!("/ns/values/k{query}");
        assert_eq!(place.rest(GET, &read, "").await.header("cf-cache-status"), Some("MISS"));
        place.wait(seconds).await;
        world.forget();
        let again = place.rest(GET, &read, "").await;
        // What is asked behind an answer is asked later.
        if again.header("cf-cache-status") != Some("HIT") {
            assert_eq!(world.sent().len(), 2, "both stores are asked before it is answered");
            return seconds;
        }
    }
    panic!("kept for good");
}

#[tokio::test(start_paused = true)]
async fn an_edge_keeps_a_value_as_long_as_its_reader_allows() {
    assert_eq!(kept_s("").await, 60);
    assert_eq!(kept_s("?cache_ttl=60").await, 60);
    assert_eq!(kept_s("?cache_ttl=300").await, 300);
}

#[tokio::test(start_paused = true)]
async fn the_largest_value_is_configured() {
    for megabytes in [1, 10] {
        let most = megabytes * 1_000_000;
        let plan = Plan::one().limited(|limits| limits.value_bytes_max = most);
        let world = World::settled(&plan).await;
        let place = world.at("ONE");
        assert_eq!(place.rest(PUT, "/ns/values/k", vec![7; most]).await.status, StatusCode::OK);
        assert_eq!(place.rest(GET, "/ns/values/k", "").await.body.len(), most);
        let larger = place.rest(PUT, "/ns/values/k", vec![7; most + 1]).await;
        assert_eq!(larger.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

async fn world_of_far_stores() -> World {
    let world = World::settled(&Plan::one()).await;
    for store in [0, 1] {
        world.set_delay(store, 20);
    }
    world
}

/// How long some work takes and how many bytes went to stores and came from them.
async fn cost(place: Place<'_>, work: impl Future<Output = ()>) -> (u64, u64) {
    place.world.forget();
    let before = place.world.now_ms();
    work.await;
    let took = place.world.now_ms() - before;
    // The slower store is not waited for, and counts nevertheless.
    place.wait(1).await;
    (took, place.world.store_bytes())
}

async fn each<F: Future<Output = ()>>(keys: &[String], work: impl Fn(String) -> F) {
    stream::iter(keys).map(|key| work(key.clone())).buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_is_much_quicker_than_a_hundred_gets() {
    let world = world_of_far_stores().await;
    let place = world.at("ONE");
    let keys: Vec<String> = (0..100).map(|number| format!("user-{number:02}")).collect();
    for key in keys.iter().chain(&["other".to_owned()]) {
        place.put(key, "v").await;
    }
    place.wait(61).await;
    let (listed, _) = cost(place, async {
        let names = place.rest(GET, "/ns/keys?prefix=user-", "").await.result();
        let names = names.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), keys);
    })
    .await;
    let (got, _) =
        cost(place, each(&keys, async |key| assert!(place.get(&key).await.is("v")))).await;
    assert!(got >= 5 * listed, "a list {listed} ms, gets {got} ms");
}

#[tokio::test(start_paused = true)]
async fn what_changes_together_is_better_packed_and_what_is_large_better_in_parts() {
    let world = world_of_far_stores().await;
    let place = world.at("ONE");
    // Fifty settings that are read and changed together.
    let keys: Vec<String> = (0..50).map(|number| format!("setting-{number}")).collect();
    let many = cost(place, each(&keys, async |key| place.put(&key, "on").await)).await;
    let packed_value = json!(keys).to_string();
    let packed = cost(place, place.put("settings", &packed_value)).await;
    assert!(many.0 >= 5 * packed.0, "written: many {many:?}, packed {packed:?}");
    place.wait(61).await;
    let many = cost(place, each(&keys, async |key| assert!(place.get(&key).await.is("on")))).await;
    let packed =
        cost(place, async { assert!(place.get("settings").await.is(&packed_value)) }).await;
    assert!(many.0 >= 5 * packed.0, "read: many {many:?}, packed {packed:?}");

    // Ten documents of 100 kB, of which one changes.
    let document = "d".repeat(100_000);
    let whole = document.repeat(10);
    for number in 0..10 {
        place.put(&format!("document-{number}"), &document).await;
    }
    place.put("documents", &whole).await;
    place.wait(61).await;
    let (_, in_parts) = cost(place, place.put("document-3", &document)).await;
    let (_, packed) = cost(place, async {
        // To change a part of it one has to have it.
        assert!(place.get("documents").await.is(&whole));
        place.put("documents", &whole).await;
    })
    .await;
    assert!(packed >= 5 * in_parts, "{packed} bytes packed, {in_parts} in parts");
}
