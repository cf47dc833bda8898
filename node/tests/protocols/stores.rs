//! Two stores that come to the same, whatever happens to one of them.

use bytes::Bytes;
use http::{HeaderValue, Method};
use kv_node::config::Limits;
use kv_store::Object;
use serde_json::json;

use crate::bench::{BEGIN_S, Bench};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

fn crawling() -> Bench {
    Bench::with(Limits { crawl_keys_per_s: 100, ..Limits::default() }, Vec::new())
}

fn version(at_s: u64) -> String {
    format!("{:016x}{:08x}", at_s * 1_000_000, 1)
}

fn tombstone(at_s: u64) -> Object {
    Object { version: version(at_s), meta: HeaderValue::from_static("t;;"), body: Bytes::new() }
}

/// Names of objects in a store under a prefix.
fn objects(bench: &Bench, store: usize, prefix: &str) -> Vec<String> {
    let path = kv_store::plain::list_path(prefix, "", 1_000);
    let request = http::Request::get(path).body(Bytes::new()).unwrap();
    let body = bench.store(store).serve(request).into_body();
    let lines = std::str::from_utf8(&body).unwrap().lines();
    lines.map(|line| kv_store::plain::decode(line).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_away_gets_what_it_missed_each_key_once() {
    let bench = Bench::new();
    bench.rest(PUT, "/ns/values/gone", "v").await.result();
    bench.wait(1).await;
    bench.set_down(1, true);
    for turn in 0..50 {
        bench.rest(PUT, "/ns/values/often", turn.to_string()).await.result();
        bench.rest(PUT, &format!("/ns/values/{turn:02}"), "v").await.result();
    }
    bench.rest(DELETE, "/ns/values/gone", "").await.result();
    bench.wait(3_600).await;
    assert_eq!(objects(&bench, 1, "v/"), ["v/ns/gone"]);
    let puts = bench.requests(1, &PUT);
    bench.set_down(1, false);
    bench.wait(30).await;
    assert_eq!(objects(&bench, 1, "v/"), objects(&bench, 0, "v/"));
    assert_eq!(objects(&bench, 1, "i/"), objects(&bench, 0, "i/"));
    assert_eq!(bench.store(1).object("v/ns/often"), bench.store(0).object("v/ns/often"));
    assert!(bench.store(1).object("v/ns/gone").unwrap().meta.as_bytes().starts_with(b"t;"));
    // 51 values with an index object each, and a tombstone.
    assert_eq!(bench.requests(1, &PUT) - puts, 2 * 51 + 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_missed_is_never_read_from_it() {
    let bench = Bench::new();
    bench.rest(PUT, "/ns/values/k", "old").await.result();
    bench.wait(1).await;
    bench.set_down(1, true);
    bench.rest(PUT, "/ns/values/k", "new").await.result();
    bench.wait(61).await;
    // It is back, and it answers alone, before it has been brought level.
    bench.set_down(1, false);
    bench.set_down(0, true);
    let read = bench.rest(GET, "/ns/values/k", "").await;
    assert!(read.body != "old", "{}", read.text());
}

#[tokio::test(start_paused = true)]
async fn the_crawler_finds_what_nobody_reads() {
    let bench = crawling();
    for key in ["a", "b", "c"] {
        bench.rest(PUT, &format!("/ns/values/{key}"), "v").await.result();
    }
    bench.wait(1).await;
    let newer = bench.store(0).object("v/ns/a").unwrap();
    // One store lost a key and never heard of the deletion of another.
    bench.store(1).take("v/ns/a");
    bench.store(1).take("i/ns/a\x00\x000000000000000000-");
    bench.store(0).seed("v/ns/b", tombstone(BEGIN_S + 1));
    // A key lost its index, and one that never was has one.
    bench.store(0).take("i/ns/c\x00\x000000000000000000-");
    let phantom = Object { body: Bytes::new(), ..tombstone(BEGIN_S - 3_600) };
    bench.store(1).seed("i/ns/c\x00\x000000000000000007m", phantom);
    bench.wait(10).await;
    assert_eq!(bench.store(1).object("v/ns/a"), Some(newer));
    for store in [0, 1] {
        let indexed = ["i/ns/a\x00\x000000000000000000-", "i/ns/c\x00\x000000000000000000-"];
        assert_eq!(objects(&bench, store, "i/"), indexed, "{store}");
    }
    bench.wait(61).await;
    let names = bench.rest(GET, "/ns/keys", "").await.result();
    assert_eq!(names, json!([{"name": "a"}, {"name": "c"}]));
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_goes_once_both_stores_hold_it_and_it_is_old() {
    let bench = crawling();
    bench.rest(PUT, "/ns/values/k", "v").await.result();
    bench.rest(PUT, "/ns/values/ends?expiration_ttl=60", "v").await.result();
    bench.set_down(1, true);
    bench.rest(DELETE, "/ns/values/k", "").await.result();
    bench.wait(3_600).await;
    // The other store still has the value: without the tombstone it would come back.
    assert!(bench.store(0).object("v/ns/k").is_some());
    bench.set_down(1, false);
    bench.wait(30).await;
    for store in [0, 1] {
        assert_eq!(objects(&bench, store, ""), Vec::<String>::new(), "{store}");
    }
    assert_eq!(bench.rest(GET, "/ns/values/k", "").await.code(), 10009);
    bench.rest(PUT, "/ns/values/young", "v").await.result();
    bench.rest(DELETE, "/ns/values/young", "").await.result();
    bench.wait(590).await;
    assert_eq!(objects(&bench, 0, ""), ["v/ns/young"]);
    bench.wait(20).await;
    assert_eq!(objects(&bench, 0, ""), Vec::<String>::new());
}
