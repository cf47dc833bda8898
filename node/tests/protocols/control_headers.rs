//! Stores that are reached by name: what a lower tier tells an upper one, and what comes of it where that is lost.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use kv_node::env::Listener;
use kv_node::resolver::StoreHosts;
use kv_node::safeguards::{Build, Safeguard};

use crate::plan::Plan;
use crate::several::World;

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;

/// Several data centers whose stores have a name, with a build that lacks some safeguards.
fn named(lacks: &[Safeguard]) -> Plan {
    let hosts =
        StoreHosts { default: "stores.internal".parse().unwrap(), namespaces: BTreeMap::new() };
    let build = Build { lacks: lacks.iter().copied().collect(), ..Build::current() };
    Plan { store_hosts: Some(hosts), build, ..Plan::several() }
}

/// A counter of a data center, over all series whose labels have a text; 0 where there is none.
async fn counted(world: &World, dc: &str, name: &str, label: &str) -> u64 {
    let request = Request::get("/metrics").body(Bytes::new()).unwrap();
    let told = world.at(dc).ask(Listener::Admin, request).await;
    let series = told.text().lines().filter(|line| line.starts_with(name) && line.contains(label));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test(start_paused = true)]
async fn an_upper_tier_resolves_what_it_is_told_and_nobody_else_does() {
    let world = World::settled(&named(&[])).await;
    let upper = world.upper("NA", "k");
    world.at("EDGE1").put("k", "v").await;
    assert!(world.at("EDGE2").get("k").await.is("v"));
    let queries = "node_resolver_queries_total";
    assert_eq!(counted(&world, &upper, queries, "result=\"ok\"").await, 2);
    assert_eq!(counted(&world, &upper, "node_tier_control_hosts_total", "upper").await, 2);
    let regional = world.regional("OC", "k");
    assert_eq!(counted(&world, &regional, queries, "").await, 0);
}

#[tokio::test(start_paused = true)]
async fn where_the_wrapper_clears_it_customers_are_told_530_over_rest_and_binding() {
    let lacks = [Safeguard::ControlHeadersKept, Safeguard::ContextRequired];
    let world = World::settled(&named(&lacks)).await;
    let path = "/ns/values/k";
    for (method, body) in [(GET, ""), (PUT, "v")] {
        let answer = world.at("EDGE1").rest(method, path, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (530, 1016), "{}", answer.text());
    }
    let answer = world.at("EDGE1").binding(GET, "/k", "").await;
    assert_eq!(answer.status.as_u16(), 530);
    let upper = world.upper("NA", "k");
    let nameless = counted(&world, &upper, "node_resolver_queries_total", "no-name").await;
    assert_eq!(nameless, 3);
    // Where nothing has a name nobody needs one.
    let unnamed = Plan { store_hosts: None, ..named(&lacks) };
    World::settled(&unnamed).await.at("EDGE1").put("k", "v").await;
}

#[tokio::test(start_paused = true)]
async fn where_it_is_required_its_loss_is_refused_and_counted_and_the_stores_are_asked_directly() {
    let world = World::settled(&named(&[Safeguard::ControlHeadersKept])).await;
    world.at("EDGE1").put("k", "v").await;
    assert!(world.at("EDGE2").get("k").await.is("v"));
    let upper = world.upper("NA", "k");
    let missing = "node_missing_control_context_total";
    let labels = "role=\"upper\",script=\"supercache\",build=\"current\"";
    assert!(counted(&world, &upper, missing, labels).await > 0);
    assert_eq!(counted(&world, &upper, "node_resolver_queries_total", "").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_there_is_not_leads_nowhere() {
    let world = World::settled(&named(&[Safeguard::ContextRequired])).await;
    // Asked by somebody who does not know about names.
    let status = world.ask_tier("UP1", "k", "upper;NA;1").await;
    assert_eq!(status.as_u16(), 530);
    let status = world.ask_tier("UP1", "k", "regional;NA;1").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
