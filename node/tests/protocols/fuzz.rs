//! Whatever is sent, a node says what is wrong with it, and goes on.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use kv_node::api::encode_segment;
use kv_node::config::Limits;
use kv_node::env::Listener;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, Speaks};
use crate::wild::{self, Change, changed};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;

/// Runs a case in virtual time.
pub(crate) fn in_virtual_time(case: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(case);
}

/// A data center with a few keys.
async fn inhabited(over_s3: bool) -> Bench {
    let speaks = if over_s3 { Speaks::S3 } else { Speaks::Plain };
    let limits = Limits { cache_ttl_min_s: 30, ..Limits::default() };
    let bench = Bench::over(speaks, limits, Vec::new());
    let keys = json!([
        {"key": "k", "value": "v", "metadata": {"m": 1}},
        {"key": "a", "value": "x", "expiration_ttl": 60},
        {"key": "j", "value": "{}"},
    ]);
    bench.rest(PUT, "/ns/bulk", keys.to_string()).await.result();
    bench
}

/// An answer as the documented service has them: no failure of the node, and on REST an envelope around every error.
fn assert_well_formed(listener: Listener, answer: &Answer, about: &dyn std::fmt::Debug) {
    let status = answer.status;
    assert!(status.is_success() || status.is_client_error(), "{status} to {about:?}");
    if listener == Listener::Rest && !status.is_success() {
        let told = answer.json();
        assert_eq!((&told["success"], &told["result"]), (&json!(false), &Value::Null), "{about:?}");
        assert!(told["messages"].is_array(), "{about:?}");
        let errors = told["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{about:?}");
        assert!(errors[0]["code"].as_u64().unwrap() >= 1_000, "{about:?}");
        assert!(!errors[0]["message"].as_str().unwrap().is_empty(), "{about:?}");
    }
    if listener == Listener::Binding && !status.is_success() {
        assert!(answer.body.is_empty(), "a Worker sees the reason alone, {about:?}");
        assert!(answer.reason.as_ref().is_some_and(|reason| !reason.is_empty()), "{about:?}");
    }
}

/// Metadata as it was given: not every JSON is a value of whoever reads it.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
    #[serde(default, deserialize_with = "as_given")]
    metadata: Option<String>,
}

fn as_given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let raw = Box::<RawValue>::deserialize(from)?;
    Ok((raw.get() != "null").then(|| raw.get().to_owned()))
}

/// What an envelope is around.
#[derive(Deserialize)]
struct Around<T> {
    result: T,
}

#[derive(Deserialize)]
struct Values {
    values: BTreeMap<String, Row>,
}

fn read<T: DeserializeOwned>(answer: &Answer) -> T {
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {:?}", answer.body))
}

/// Goes round everything that a customer can read. What was stored does not keep anybody from reading it, and it is the same
/// over all roads.
async fn assert_all_is_readable(bench: &Bench) {
    let rows: Around<Vec<Row>> = read(&bench.rest(GET, "/ns/keys", "").await);
    let bound = bench.binding(GET, "/", "").await;
    assert_eq!(bound.json()["keys"].as_array().unwrap().len(), rows.result.len());
    for Row { name, metadata, .. } in rows.result {
        let segment = encode_segment(&name);
        let got = bench.rest(GET, &format!("/ns/values/{segment}"), "").await;
        assert_eq!(got.status, StatusCode::OK, "{name:?}");
        let alone = bench.rest(GET, &format!("/ns/metadata/{segment}"), "").await;
        let alone: Around<Box<RawValue>> = read(&alone);
        assert_eq!(alone.result.get(), metadata.as_deref().unwrap_or("null"), "{name:?}");
        let bound = bench.binding(GET, &format!("/{segment}?urlencoded=true"), "").await;
        assert_eq!(bound.body, got.body, "{name:?}");
        let told = bound.headers.get("cf-kv-metadata").map(HeaderValue::as_bytes);
        // A header has no line breaks, and nothing that deletes.
        let fit = |json: &String| json.replace(['\r', '\n'], " ").replace('\x7f', "\\u007f");
        assert_eq!(told, metadata.as_ref().map(fit).as_ref().map(String::as_bytes), "{name:?}");

        let ask = json!({"keys": [&name], "withMetadata": true}).to_string();
        let many = bench.rest(POST, "/ns/bulk/get", ask.clone()).await;
        let bound = bench.binding(POST, "/bulk/get", ask).await;
        if std::str::from_utf8(&got.body).is_ok() {
            let rest: Around<Values> = read(&many);
            let bound: BTreeMap<String, Row> = read(&bound);
            for row in [&rest.result.values[&name], &bound[&name]] {
                assert_eq!(
                    (row.value.as_str(), &row.metadata),
                    (got.text(), &metadata),
                    "{name:?}"
                );
            }
        } else {
            // Many values at once are text.
            assert_eq!((many.status, many.code()), (StatusCode::BAD_REQUEST, 10012), "{name:?}");
            assert_eq!(bound.status, StatusCode::BAD_REQUEST, "{name:?}");
        }
    }
    assert!(bench.rest(GET, "", "").await.result().is_array());
}

async fn assert_it_still_serves(bench: &Bench) {
    bench.rest(PUT, "/ns/values/after%2Fall", "still here").await.result();
    assert_eq!(bench.rest(GET, "/ns/values/after%2Fall", "").await.body, "still here");
    let bound = bench.binding(GET, "/after%2Fall?urlencoded=true", "").await;
    assert_eq!(bound.text(), "still here");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_500))]

    #[test]
    fn whatever_a_customer_sends_is_answered_and_what_it_leaves_behind_is_readable(
        requests in vec(wild::of_a_customer(), 1..8),
        over_s3: bool,
    ) {
        in_virtual_time(async {
            let bench = inhabited(over_s3).await;
            for (listener, request) in requests {
                let about = (listener, request.method().clone(), request.uri().clone());
                let answer = bench.ask(listener, request).await;
                assert_well_formed(listener, &answer, &about);
            }
            assert_all_is_readable(&bench).await;
            assert_it_still_serves(&bench).await;
        });
    }

    #[test]
    fn whatever_is_sent_unsigned_to_the_listeners_of_nodes_is_401_and_leaves_nothing(
        requests in vec((any::<bool>(), wild::request()), 1..12),
    ) {
        in_virtual_time(async {
            let bench = inhabited(false).await;
            let sent = bench.sent();
            for (tier, request) in requests {
                let listener = if tier { Listener::Tier } else { Listener::Admin };
                let metrics = !tier && request.method() == GET && request.uri().path() == "/metrics";
                let expected = if metrics { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
                let about = format!("{} {}", request.method(), request.uri());
                assert_eq!(bench.ask(listener, request).await.status, expected, "{about}");
            }
            assert_eq!(bench.sent(), sent);
            assert_it_still_serves(&bench).await;
        });
    }

    #[test]
    fn any_cursor_is_refused_or_leads_to_keys_of_what_is_asked_for(
        changes in vec(wild::change(), 0..3),
        inside: bool,
        (namespace, prefix) in (0..2usize, "[a-c]{0,2}"),
    ) {
        in_virtual_time(any_cursor(&changes, inside, namespace, &prefix));
    }
}

/// A cursor of the keys `ab..` of one namespace, changed before or after its encoding, for another prefix or namespace.
async fn any_cursor(changes: &[Change], inside: bool, namespace: usize, prefix: &str) {
    let bench = Bench::new();
    let made = bench.rest(POST, "", r#"{"title":"mine"}"#).await.result();
    let namespaces = ["ns", made["id"].as_str().unwrap()];
    for (id, first) in namespaces.into_iter().zip(["a", "b"]) {
        let keys = (0..12).flat_map(|n| ["a", "b", "c"].map(|c| format!("{first}{c}{n:02}")));
        let items: Vec<Value> = keys.map(|key| json!({"key": key, "value": ""})).collect();
        bench.rest(PUT, &format!("/{id}/bulk"), json!(items).to_string()).await.result();
    }
    let page = bench.rest(GET, "/ns/keys?limit=10&prefix=ab", "").await.json();
    let cursor = page["result_info"]["cursor"].as_str().unwrap();
    let cursor = if inside {
        BASE64.encode(changed(BASE64.decode(cursor).unwrap(), changes))
    } else {
        String::from_utf8_lossy(&changed(cursor.into(), changes)).into_owned()
    };
    let (id, cursor) = (namespaces[namespace], encode_segment(&cursor));
    let path = format!("/{id}/keys?limit=10&prefix={prefix}&cursor={cursor}");
    let listed = bench.rest(GET, &path, "").await;
    assert_well_formed(Listener::Rest, &listed, &path);
    if listed.status.is_success() {
        let own = ["a", "b"][namespace];
        for row in listed.result().as_array().unwrap() {
            let name = row["name"].as_str().unwrap();
            assert!(name.starts_with(prefix) && name.starts_with(own), "{name} for {path}");
        }
    }
    let bound = Request::get(format!("/?prefix={prefix}&cursor={cursor}"))
        .header("cf-kv-namespace", id)
        .body(Bytes::new());
    let bound = bench.ask(Listener::Binding, bound.unwrap()).await;
    assert_eq!(bound.status, listed.status, "both protocols read cursors alike, {path}");
}

#[tokio::test(start_paused = true)]
async fn metadata_that_is_no_text_is_no_json() {
    let bench = Bench::new();
    let metadata = HeaderValue::from_bytes(b"\"\xff\"").unwrap();
    let put = Request::put("/k?urlencoded=true")
        .header("cf-kv-namespace", "ns")
        .header("cf-kv-metadata", metadata)
        .body(Bytes::from("v"));
    let refused = bench.ask(Listener::Binding, put.unwrap()).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(bench.rest(GET, "/ns/keys", "").await.result(), json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_told_metadata_that_no_header_could_hold() {
    let bench = Bench::new();
    let item = "[{\"key\":\"k\",\"value\":\"v\",\"metadata\":{\n\"m\":[\"\x7f\",1e400]}}]";
    bench.rest(PUT, "/ns/bulk", item).await.result();
    let got = bench.binding(GET, "/k?urlencoded=true", "").await;
    assert_eq!(got.header("cf-kv-metadata"), Some(r#"{ "m":["\u007f",1e400]}"#));
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_names_more_than_a_key_is_refused() {
    let bench = Bench::new();
    for (length, status) in [(512, StatusCode::OK), (513, StatusCode::BAD_REQUEST)] {
        let cursor = BASE64.encode("\0".repeat(length));
        let listed = bench.rest(GET, &format!("/ns/keys?cursor={cursor}"), "").await;
        assert_eq!(listed.status, status);
    }
}
