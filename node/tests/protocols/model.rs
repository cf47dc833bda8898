//! Any sequence of operations against a model.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use kv_node::env::Listener;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::bench::{BEGIN_S, Speaks};
use crate::plan::Plan;
use crate::several::{Place, World};

#[derive(Clone, Debug)]
enum Step {
    Put { key: String, value: String, ttl_s: Option<u64>, metadata: Option<u8> },
    Delete { key: String },
    PutMany { keys: Vec<String>, value: String },
    DeleteMany { keys: Vec<String> },
    Get { key: String },
    List { prefix: String, limit: usize },
    Wait { seconds: u64 },
}

/// Keys that have something in common, among them what separates things elsewhere.
fn key() -> impl Strategy<Value = String> {
    "[a\u{0}\u{1}/%.+ \u{e9}]{1,3}".prop_filter("no key", |key| key != "." && key != "..")
}

fn step() -> impl Strategy<Value = Step> {
    let keys = || proptest::collection::vec(key(), 1..4);
    prop_oneof![
        4 => (key(), "[a-z]{0,3}", proptest::option::of(60u64..200), proptest::option::of(any::<u8>()))
            .prop_map(|(key, value, ttl_s, metadata)| Step::Put { key, value, ttl_s, metadata }),
        2 => key().prop_map(|key| Step::Delete { key }),
        1 => (keys(), "[a-z]{1,3}").prop_map(|(keys, value)| Step::PutMany { keys, value }),
        1 => keys().prop_map(|keys| Step::DeleteMany { keys }),
        3 => key().prop_map(|key| Step::Get { key }),
        3 => ("[a\u{0}/]{0,2}", 1usize..4).prop_map(|(prefix, limit)| Step::List { prefix, limit }),
        2 => (1u64..100).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

#[derive(Default)]
struct Model {
    now_s: u64,
    keys: BTreeMap<String, (String, Option<u64>, Option<u8>)>,
}

fn encoded(text: &str) -> String {
    kv_node::api::encode_segment(text)
}

async fn carry_out(bench: Place<'_>, model: &mut Model, step: Step) {
    match step {
        Step::Put { key, value, ttl_s, metadata } => {
            let ttl = ttl_s.map_or(String::new(), |ttl_s| format!("&expiration_ttl={ttl_s}"));
            let mut request = Request::put(format!("/{}?urlencoded=true{ttl}", encoded(&key)))
                .header("cf-kv-namespace", "ns");
            if let Some(metadata) = metadata {
                request = request.header("cf-kv-metadata", metadata.to_string());
            }
            let request = request.body(Bytes::from(value.clone())).unwrap();
            assert_eq!(bench.ask(Listener::Binding, request).await.status, StatusCode::OK);
            let end = ttl_s.map(|ttl_s| model.now_s + ttl_s);
            model.keys.insert(key, (value, end, metadata));
        }
        Step::Delete { key } => {
            let path = format!("/ns/values/{}", encoded(&key));
            bench.rest(Method::DELETE, &path, "").await.result();
            model.keys.remove(&key);
        }
        Step::PutMany { keys, value } => {
            let items: Vec<Value> =
                keys.iter().map(|key| json!({"key": key, "value": value})).collect();
            let done = bench.rest(Method::PUT, "/ns/bulk", json!(items).to_string()).await.result();
            assert_eq!(done["unsuccessful_keys"], json!([]));
            for key in keys {
                model.keys.insert(key, (value.clone(), None, None));
            }
        }
        Step::DeleteMany { keys } => {
            let body = json!(keys).to_string();
            bench.rest(Method::POST, "/ns/bulk/delete", body).await.result();
            for key in &keys {
                model.keys.remove(key);
            }
        }
        Step::Get { key } => {
            let got = bench.rest(Method::GET, &format!("/ns/values/{}", encoded(&key)), "").await;
            match model.keys.get(&key) {
                Some((value, end, _)) => {
                    assert_eq!(
                        (got.status, got.text()),
                        (StatusCode::OK, value.as_str()),
                        "{key:?}"
                    );
                    let end = end.map(|end| end.to_string());
                    assert_eq!(got.header("expiration"), end.as_deref());
                }
                None => assert_eq!(got.code(), 10009, "{key:?}"),
            }
        }
        Step::List { prefix, limit } => assert_list(bench, model, &prefix, limit).await,
        Step::Wait { seconds } => {
            bench.wait(seconds).await;
            model.now_s += seconds;
        }
    }
    let now_s = model.now_s;
    model.keys.retain(|_, (_, end, _)| end.is_none_or(|end| end > now_s));
}

async fn assert_list(bench: Place<'_>, model: &Model, prefix: &str, limit: usize) {
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/?key_count_limit={limit}&prefix={}&cursor={cursor}", encoded(prefix));
        let page = bench.binding(Method::GET, &path, "").await.json();
        let keys = page["keys"].as_array().unwrap();
        assert!(keys.len() <= limit);
        listed.extend(keys.iter().cloned());
        if page["list_complete"] == true {
            break;
        }
        page["cursor"].as_str().unwrap().clone_into(&mut cursor);
    }
    let of = |(key, (_, end, metadata)): (&String, &(String, Option<u64>, Option<u8>))| {
        let mut row = json!({"name": key});
        if let Some(end) = end {
            row["expiration"] = json!(end);
        }
        if let Some(metadata) = metadata {
            row["metadata"] = json!(metadata.to_string());
        }
        row
    };
    let expected: Vec<Value> =
        model.keys.iter().filter(|(key, _)| key.starts_with(prefix)).map(of).collect();
    assert_eq!(listed, expected, "prefix {prefix:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_data_center_does_what_a_map_does(
            steps in proptest::collection::vec(step(), 1..30),
            over_s3: bool,
            // Whoever uses a namespace cannot tell whether tiers stand behind it.
            tiered: bool,
        ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let speaks = if over_s3 { Speaks::S3 } else { Speaks::Plain };
            let plan = if tiered { Plan::one_tiered() } else { Plan::one() };
            let world = World::new(&plan.speaking(speaks));
            for store in [0, 1] {
                world.set_delay(store, 0);
            }
            let mut model = Model { now_s: BEGIN_S, keys: BTreeMap::new() };
            for step in steps {
                carry_out(world.at("ONE"), &mut model, step).await;
            }
        });
    }
}
