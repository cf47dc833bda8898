//! Two stores that come to the same, whatever happens to one of them.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use kv_node::config::Limits;
use kv_store::Object;
use serde_json::json;

use crate::bench::{BEGIN_S, Bench, Speaks};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

const BOTH: [Speaks; 2] = [Speaks::Plain, Speaks::S3];

fn crawling(speaks: Speaks) -> Bench {
    Bench::over(speaks, Limits { crawl_keys_per_s: 100, ..Limits::default() }, Vec::new())
}

fn plain(speaks: Speaks) -> Bench {
    Bench::over(speaks, Limits::default(), Vec::new())
}

fn version(at_s: u64) -> String {
    format!("{:016x}{:08x}", at_s * 1_000_000, 1)
}

fn tombstone(speaks: Speaks, at_s: u64) -> Object {
    let version = version(at_s);
    // Over S3 every body begins with its version.
    let body = match speaks {
        Speaks::Plain => Bytes::new(),
        Speaks::S3 => Bytes::copy_from_slice(version.as_bytes()),
    };
    Object { meta: HeaderValue::from_static("t;;"), body, version }
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
    for speaks in BOTH {
        catches_up(&plain(speaks)).await;
    }
}

async fn catches_up(bench: &Bench) {
    bench.rest(PUT, "/ns/values/gone", "v").await.result();
    bench.wait(1).await;
    bench.set_down(1, true);
    for turn in 0..50 {
        bench.rest(PUT, "/ns/values/often", turn.to_string()).await.result();
        bench.rest(PUT, &format!("/ns/values/{turn:02}"), "v").await.result();
    }
    bench.rest(DELETE, "/ns/values/gone", "").await.result();
    bench.wait(3_600).await;
    assert_eq!(objects(bench, 1, "v/"), ["v/ns/gone"]);
    let puts = bench.requests(1, &PUT);
    bench.set_down(1, false);
    bench.wait(30).await;
    assert_eq!(objects(bench, 1, "v/"), objects(bench, 0, "v/"));
    assert_eq!(objects(bench, 1, "i/"), objects(bench, 0, "i/"));
    assert_eq!(bench.store(1).object("v/ns/often"), bench.store(0).object("v/ns/often"));
    assert!(bench.store(1).object("v/ns/gone").unwrap().meta.as_bytes().starts_with(b"t;"));
    // 51 values with an index object each, and a tombstone.
    assert_eq!(bench.requests(1, &PUT) - puts, 2 * 51 + 1);
}

#[tokio::test(start_paused = true)]
async fn stores_that_everybody_reads_from_at_once_take_writes_and_what_they_missed() {
    for speaks in BOTH {
        takes_in_a_rush(plain(speaks)).await;
    }
}

async fn takes_in_a_rush(mut bench: Bench) {
    for key in 0..400 {
        bench.rest(PUT, &format!("/ns/values/{key}"), "v").await.result();
    }
    // A node with empty caches, long enough ago to believe one store alone.
    bench.restart();
    bench.wait(61).await;
    let mut unread = 0..400;
    let mut read = async |bench: &Bench| {
        let mut answered = 0;
        for key in unread.by_ref().take(10) {
            let read = bench.rest(GET, &format!("/ns/values/{key}"), "").await;
            answered += usize::from(read.status == StatusCode::OK);
        }
        answered
    };
    bench.set_down(0, true);
    bench.set_down(1, true);
    for _ in 0..90 {
        bench.rest(GET, "/ns/values/none", "").await;
        bench.wait(1).await;
    }
    bench.set_down(0, false);
    assert!((1..5).contains(&read(&bench).await), "reads are paced");

    for key in 400..420 {
        bench.rest(PUT, &format!("/ns/values/{key}"), "v").await.result();
    }
    bench.set_down(1, false);
    for _ in 0..30 {
        read(&bench).await;
        bench.wait(1).await;
    }
    for store in [0, 1] {
        assert_eq!(objects(&bench, store, "v/").len(), 420, "{store}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_store_missed_is_never_read_from_it() {
    for speaks in BOTH {
        is_never_read(&plain(speaks)).await;
    }
}

async fn is_never_read(bench: &Bench) {
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
    for speaks in BOTH {
        finds_it(&crawling(speaks), speaks).await;
    }
}

async fn finds_it(bench: &Bench, speaks: Speaks) {
    for key in ["a", "b", "c"] {
        bench.rest(PUT, &format!("/ns/values/{key}"), "v").await.result();
    }
    bench.wait(1).await;
    let newer = bench.store(0).object("v/ns/a").unwrap();
    // One store lost a key and never heard of the deletion of another.
    bench.store(1).take("v/ns/a");
    bench.store(1).take("i/ns/a\x00\x000000000000000000-");
    bench.store(0).seed("v/ns/b", tombstone(speaks, BEGIN_S + 1));
    // A key lost its index, and one that never was has one.
    bench.store(0).take("i/ns/c\x00\x000000000000000000-");
    let phantom = tombstone(speaks, BEGIN_S - 3_600);
    bench.store(1).seed("i/ns/c\x00\x000000000000000007m", phantom);
    bench.wait(10).await;
    assert_eq!(bench.store(1).object("v/ns/a"), Some(newer));
    for store in [0, 1] {
        let indexed = ["i/ns/a\x00\x000000000000000000-", "i/ns/c\x00\x000000000000000000-"];
        assert_eq!(objects(bench, store, "i/"), indexed, "{store}");
    }
    bench.wait(61).await;
    let names = bench.rest(GET, "/ns/keys", "").await.result();
    assert_eq!(names, json!([{"name": "a"}, {"name": "c"}]));
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_goes_once_both_stores_hold_it_and_it_is_old() {
    for speaks in BOTH {
        tombstones_go(&crawling(speaks)).await;
    }
}

async fn tombstones_go(bench: &Bench) {
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
        assert_eq!(objects(bench, store, ""), Vec::<String>::new(), "{store}");
    }
    assert_eq!(bench.rest(GET, "/ns/values/k", "").await.code(), 10009);
    bench.rest(PUT, "/ns/values/young", "v").await.result();
    bench.rest(DELETE, "/ns/values/young", "").await.result();
    bench.wait(590).await;
    assert_eq!(objects(bench, 0, ""), ["v/ns/young"]);
    bench.wait(20).await;
    assert_eq!(objects(bench, 0, ""), Vec::<String>::new());
}
