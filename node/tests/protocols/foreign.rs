//! What a store must not say: no status of a store reaches anybody.

use http::{Method, StatusCode};
use serde_json::json;

use crate::bench::{Answer, Speaks};
use crate::plan::Plan;
use crate::several::{Place, World};
use crate::wires::Fault;

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

/// What a store may answer that no store should, as long as it is no success.
const FOREIGN: [u16; 8] = [302, 400, 401, 403, 418, 429, 500, 502];

/// An error of this node's own, with nothing of the store's in it.
fn assert_own(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
    assert!(answer.header("location").is_none(), "{what}");
    assert!(!String::from_utf8_lossy(&answer.body).contains("html"), "{what}");
}

async fn reads_fail(place: Place<'_>, status: u16) {
    for path in ["/ns/values/k", "/ns/metadata/k", "/ns/keys"] {
        let what = format!("{path} while stores answer {status}");
        let answer = place.rest(GET, path, "").await;
        assert_own(&answer, &what);
        assert_eq!(answer.code(), 10001, "{what}");
    }
    let many = json!({"keys": ["k"]}).to_string();
    let got = place.rest(POST, "/ns/bulk/get", many.clone()).await;
    assert_own(&got, "many at once");
    for path in ["/k?urlencoded=true", "/"] {
        let what = format!("a binding's {path} while stores answer {status}");
        assert_own(&place.binding(GET, path, "").await, &what);
    }
    assert_own(&place.binding(POST, "/bulk/get", many).await, "a binding's many at once");
}

async fn writes_fail(place: Place<'_>, status: u16) {
    for method in [PUT, DELETE] {
        let what = format!("{method} while stores answer {status}");
        let answer = place.rest(method.clone(), "/ns/values/k", "w").await;
        assert_own(&answer, &what);
        assert_eq!(answer.code(), 10001, "{what}");
        assert_own(&place.binding(method, "/k?urlencoded=true", "w").await, &what);
    }
    let none = json!({"successful_key_count": 0, "unsuccessful_keys": ["k"]});
    let items = json!([{"key": "k", "value": "w"}]).to_string();
    assert_eq!(place.rest(PUT, "/ns/bulk", items).await.result(), none);
    assert_eq!(place.rest(DELETE, "/ns/bulk", json!(["k"]).to_string()).await.result(), none);
}

async fn all_is_well(place: Place<'_>, value: &str) {
    assert!(place.get("k").await.is(value), "no write that failed came after all");
    assert_eq!(place.rest(GET, "/ns/keys", "").await.result(), json!([{"name": "k"}]));
    place.put("k", "v").await;
    assert!(place.get("k").await.is("v"));
    place.wait(61).await;
}

#[tokio::test(start_paused = true)]
async fn no_status_of_a_store_reaches_anybody() {
    for speaks in [Speaks::Plain, Speaks::S3] {
        let world = World::settled(&Plan::one().speaking(speaks)).await;
        let place = world.at("ONE");
        place.put("k", "v").await;
        place.wait(61).await;
        for status in FOREIGN {
            for store in ["store-a", "store-b"] {
                world.fault(Fault::status(store, status));
            }
            reads_fail(place, status).await;
            writes_fail(place, status).await;
            world.mend();
            all_is_well(place, "v").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_that_is_no_stores_is_no_value_and_no_list() {
    for speaks in [Speaks::Plain, Speaks::S3] {
        let world = World::settled(&Plan::one().speaking(speaks)).await;
        let place = world.at("ONE");
        place.put("k", "v").await;
        place.wait(61).await;
        for status in [200, 204, 206] {
            for store in ["store-a", "store-b"] {
                // Whoever says that it has stored something is believed; what it says that it has is looked at.
                world.fault(Fault::status(store, status).only(GET, usize::MAX));
            }
            reads_fail(place, status).await;
            world.mend();
            all_is_well(place, "v").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_stores_one_may_answer_what_it_likes() {
    for speaks in [Speaks::Plain, Speaks::S3] {
        for (foreign, status) in [("store-a", 401), ("store-b", 418), ("store-a", 302)] {
            let world = World::settled(&Plan::one().speaking(speaks)).await;
            let place = world.at("ONE");
            place.put("k", "v").await;
            place.wait(61).await;
            world.fault(Fault::status(foreign, status));
            assert!(place.get("k").await.is("v"), "{foreign} {status}");
            let names = place.rest(GET, "/ns/keys", "").await.result();
            assert_eq!(names, json!([{"name": "k"}]), "{foreign} {status}");
            place.put("k", "w").await;
            place.wait(61).await;
            assert!(place.get("k").await.is("w"), "{foreign} {status}");
        }
    }
}
