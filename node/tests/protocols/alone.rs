//! A store that may have missed something is not believed alone, for whatever reason the other one does not answer.

use http::{Method, StatusCode};
use serde_json::json;

use crate::bench::Bench;

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;

/// "new" is acknowledged by the first store alone; now only the second is there, which has "old".
async fn only_the_store_that_missed_it_is_there() -> Bench {
    let bench = Bench::new();
    let item = |value: &str| json!([{"key": "k", "value": value, "metadata": value}]).to_string();
    bench.rest(PUT, "/ns/bulk", item("old")).await.result();
    bench.wait(1).await;
    bench.set_down(1, true);
    bench.rest(PUT, "/ns/bulk", item("new")).await.result();
    bench.set_down(1, false);
    bench.set_down(0, true);
    bench
}

#[tokio::test(start_paused = true)]
async fn a_node_that_begins_does_not_read_from_one_store_what_the_other_may_have_newer() {
    let mut bench = only_the_store_that_missed_it_is_there().await;
    bench.restart();
    let read = bench.rest(GET, "/ns/values/k", "").await;
    assert_eq!(read.status, StatusCode::SERVICE_UNAVAILABLE, "{:?}", read.body);
    bench.set_down(0, false);
    bench.wait(10).await;
    assert_eq!(bench.rest(GET, "/ns/values/k", "").await.body, "new");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_knows_what_a_store_missed_does_not_list_it() {
    let bench = only_the_store_that_missed_it_is_there().await;
    let listed = bench.rest(GET, "/ns/keys", "").await;
    assert!(!listed.text().contains("old"), "{}", listed.text());
}
