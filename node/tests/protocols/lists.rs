//! Lists of several data centers: whom they ask, and how old a page may be.

use http::Method;
use kv_node::env::Listener;

use crate::bench::NAMESPACE;
use crate::plan::Plan;
use crate::several::{Place, World};
use crate::wires::{Fault, Sent};

/// The keys that a data center lists under a prefix.
async fn listed(place: Place<'_>, prefix: &str) -> Vec<String> {
    let path = format!("/{NAMESPACE}/keys?prefix={prefix}");
    let result = place.rest(Method::GET, &path, "").await.result();
    let names = result.as_array().unwrap().iter();
    names.map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

fn lists_of_tiers(sent: &[Sent]) -> Vec<(&str, &str)> {
    let lists =
        sent.iter().filter(|sent| sent.listener == Listener::Tier && sent.path == "/tier/v1/list");
    lists.map(|sent| (sent.from.as_str(), sent.to.as_str())).collect()
}

fn lists_of_stores(sent: &[Sent]) -> usize {
    let list = |sent: &&Sent| sent.listener == Listener::Store && sent.path.contains("prefix=i");
    sent.iter().filter(list).count()
}

#[tokio::test(start_paused = true)]
async fn the_owner_of_a_prefix_asks_the_stores_once_for_every_edge_of_its_region() {
    let world = World::settled(&Plan::several()).await;
    for key in ["a1", "a2", "b1"] {
        world.at("EUE").put(key, "v").await;
    }
    world.wait(61).await;
    world.forget();
    let owner = world.regional("OC", "a");
    for edge in ["EDGE1", "EDGE2", "EDGE3", "EDGE1"] {
        assert_eq!(listed(world.at(edge), "a").await, ["a1", "a2"]);
    }
    let asked = world.sent();
    let to_owner = ["EDGE1", "EDGE2", "EDGE3"].map(|edge| (edge, owner.as_str()));
    assert_eq!(lists_of_tiers(&asked), to_owner);
    assert_eq!(lists_of_stores(&asked), 2, "each store once");
}

#[tokio::test(start_paused = true)]
async fn no_page_is_older_than_a_minute_wherever_it_was_kept() {
    let world = World::settled(&Plan::several()).await;
    world.at("EUE").put("a1", "v").await;
    world.wait(61).await;
    assert_eq!(listed(world.at("EDGE1"), "a").await, ["a1"]);
    world.at("EUE").put("a2", "v").await;
    world.wait(50).await;
    // This page has been with the owner for 50 seconds: it is good for ten more.
    assert_eq!(listed(world.at("EDGE2"), "a").await, ["a1"]);
    world.wait(11).await;
    assert_eq!(listed(world.at("EDGE2"), "a").await, ["a1", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_here_is_in_a_list_here_at_once_whatever_the_owner_keeps() {
    let world = World::settled(&Plan::several()).await;
    world.at("EUE").put("a1", "v").await;
    world.wait(61).await;
    assert_eq!(listed(world.at("EDGE1"), "a").await, ["a1"]);
    let here = world.at("EDGE2");
    here.put("a2", "v").await;
    assert_eq!(listed(here, "a").await, ["a1", "a2"]);
    here.delete("a1").await;
    assert_eq!(listed(here, "a").await, ["a2"]);
    assert_eq!(listed(world.at("EDGE1"), "a").await, ["a1"], "elsewhere within a minute");
    world.wait(60).await;
    assert_eq!(listed(world.at("EDGE1"), "a").await, ["a2"]);
}

#[tokio::test(start_paused = true)]
async fn metadata_and_pages_come_through_an_owner_as_they_are() {
    let world = World::settled(&Plan::several()).await;
    let path = format!("/{NAMESPACE}/bulk");
    let keys: Vec<_> = (0..25)
        .map(|at| serde_json::json!({"key": format!("k{at:02}"), "value": "v", "metadata": {"at": at}}))
        .collect();
    world.at("EUE").rest(Method::PUT, &path, serde_json::to_vec(&keys).unwrap()).await.result();
    world.wait(61).await;
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let path = format!("/{NAMESPACE}/keys?limit=10&cursor={cursor}");
        let answer = world.at("EDGE1").rest(Method::GET, &path, "").await;
        let page = answer.json();
        for key in page["result"].as_array().unwrap() {
            seen.push((
                key["name"].as_str().unwrap().to_owned(),
                key["metadata"]["at"].as_u64().unwrap(),
            ));
        }
        page["result_info"]["cursor"].as_str().unwrap().clone_into(&mut cursor);
        if cursor.is_empty() {
            break;
        }
    }
    let all: Vec<_> = (0..25).map(|at| (format!("k{at:02}"), at)).collect();
    assert_eq!(seen, all);
}

#[tokio::test(start_paused = true)]
async fn where_an_owner_is_gone_the_stores_are_asked() {
    let world = World::settled(&Plan::several()).await;
    world.at("EUE").put("a1", "v").await;
    world.wait(61).await;
    world.fault(Fault::down(&world.regional("OC", "a")));
    world.forget();
    assert_eq!(listed(world.at("EDGE1"), "a").await, ["a1"]);
    assert_eq!(lists_of_stores(&world.sent()), 2, "each store once");
    for store in ["store-a", "store-b"] {
        world.fault(Fault::down(store));
    }
    world.wait(61).await;
    let path = format!("/{NAMESPACE}/keys?prefix=a");
    let answer = world.at("EDGE1").rest(Method::GET, &path, "").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, 10001), "as for a value");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_deleted_here_and_written_elsewhere_is_listed_again() {
    let world = World::settled(&Plan::several()).await;
    let owner = world.regional("OC", "a");
    for here in ["EDGE1", owner.as_str()] {
        world.at("EUE").put("a1", "v").await;
        world.wait(61).await;
        world.at(here).delete("a1").await;
        world.wait(1).await;
        world.at("EUE").put("a1", "v").await;
        world.wait(61).await;
        for reader in [here, "EDGE2"] {
            assert_eq!(listed(world.at(reader), "a").await, ["a1"], "{reader}, after {here}");
        }
    }
}
