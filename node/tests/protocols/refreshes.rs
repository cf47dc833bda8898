//! How an edge learns of newer values, in both ways: neither serves what was fetched more than a minute ago.

use http::Method;
use kv_node::config::Refresh;
use kv_node::env::Listener;

use crate::plan::Plan;
use crate::several::World;

const BOTH: [Refresh; 2] = [Refresh::Behind, Refresh::Foreground];

fn plan(refresh: Refresh) -> Plan {
    Plan::several().limited(|limits| limits.refresh = refresh)
}

/// How the edge cache answered reads ten minutes apart.
async fn each_ten_minutes(world: &World, cache_ttl_s: u64) -> Vec<String> {
    let mut results = Vec::new();
    for _ in 0..7 {
        let got = world.at("EDGE1").get_for("k", cache_ttl_s).await;
        assert!(got.is("v"));
        results.push(got.cache);
        world.wait(600).await;
    }
    results
}

#[tokio::test(start_paused = true)]
async fn a_longer_ttl_makes_hits_of_reads_of_an_idle_key() {
    for refresh in BOTH {
        let world = World::settled(&plan(refresh)).await;
        world.at("EUE").put("k", "v").await;
        assert_eq!(each_ten_minutes(&world, 60).await, ["MISS"; 7]);
        let mut results = each_ten_minutes(&world, 3_600).await;
        assert_eq!(results.remove(0), "MISS");
        assert_eq!(results, ["REVALIDATED"; 6], "what has not changed is not fetched again");
    }
}

#[tokio::test(start_paused = true)]
async fn and_does_not_delay_a_write() {
    for refresh in BOTH {
        let world = World::settled(&plan(refresh)).await;
        world.at("EUE").put("k", "old").await;
        world.wait(61).await;
        assert!(world.at("EDGE1").get_for("k", 3_600).await.is("old"));
        world.wait(599).await;
        world.at("EUE").put("k", "new").await;
        world.wait(1).await;
        let got = world.at("EDGE1").get_for("k", 3_600).await;
        assert!(got.is("new") && got.cache == "MISS", "{got:?}");
        world.at("EUE").delete("k").await;
        world.wait(61).await;
        assert_eq!(world.at("EDGE1").get_for("k", 3_600).await.value, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_key_is_never_older_than_a_minute_either_way() {
    for refresh in BOTH {
        for offset_s in [0, 20, 49, 55, 59] {
            let world = World::settled(&plan(refresh)).await;
            world.at("EUE").put("k", "old").await;
            world.wait(61).await;
            assert!(world.at("EDGE1").get_for("k", 3_600).await.is("old"));
            world.wait(offset_s).await;
            world.at("EUE").put("k", "new").await;
            let written_ms = world.now_ms();
            while world.at("EDGE1").get_for("k", 3_600).await.is("old") {
                world.wait(1).await;
                assert!(world.now_ms() - written_ms <= 61_000, "{refresh:?}, after {offset_s} s");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_nothing_is_asked_that_nobody_waits_for() {
    let world = World::settled(&plan(Refresh::Foreground)).await;
    world.at("EUE").put("k", "v").await;
    world.wait(61).await;
    let mut results = Vec::new();
    world.forget();
    for _ in 0..61 {
        results.push(world.at("EDGE1").get_for("k", 3_600).await.cache);
        world.wait(1).await;
    }
    assert_eq!((results[0].as_str(), results[60].as_str()), ("MISS", "REVALIDATED"));
    assert!(results[1..60].iter().all(|result| result == "HIT"));
    let asked = world.sent();
    let of_edge = asked.iter().filter(|sent| {
        sent.from == "EDGE1" && sent.listener == Listener::Tier && sent.method == Method::GET
    });
    assert_eq!(of_edge.count(), 2);
}
