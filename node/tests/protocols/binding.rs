//! The protocol of a Worker's binding.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use kv_node::env::Listener;
use serde_json::{Value, json};

use crate::bench::{BEGIN_S, Bench};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

async fn put_with(bench: &Bench, path: &str, metadata: &str) -> crate::bench::Answer {
    let request = Request::put(path)
        .header("cf-kv-namespace", "ns")
        .header("cf-kv-metadata", metadata)
        .body(Bytes::from("v"));
    bench.ask(Listener::Binding, request.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_worker_reads_what_it_wrote_with_its_metadata() {
    let bench = Bench::new();
    let path = "/dir%2Fmy%20key%3A%C3%A9?urlencoded=true";
    let put = put_with(&bench, &format!("{path}&expiration_ttl=60"), r#"{"m":"x"}"#).await;
    assert_eq!((put.status, put.body.len()), (StatusCode::OK, 0));
    let got = bench.binding(GET, path, "").await;
    assert_eq!((got.status, got.text()), (StatusCode::OK, "v"));
    assert_eq!(got.header("cf-kv-metadata"), Some(r#"{"m":"x"}"#));
    assert_eq!(got.header("cf-expiration"), Some((BEGIN_S + 60).to_string().as_str()));
    assert_eq!(got.header("cf-cache-status"), Some("HIT"));
    let rest = bench.rest(GET, "/ns/values/dir%2Fmy%20key:%C3%A9", "").await;
    assert_eq!(rest.text(), "v", "both protocols reach one key");
    assert_eq!(bench.binding(DELETE, path, "").await.status, StatusCode::OK);
    let gone = bench.binding(GET, path, "").await;
    assert_eq!((gone.status, gone.body.len()), (StatusCode::NOT_FOUND, 0));
}

#[tokio::test(start_paused = true)]
async fn a_list_has_metadata_as_strings_and_a_cursor() {
    let bench = Bench::new();
    put_with(&bench, "/a?urlencoded=true", "[1]").await;
    for key in ["b", "c"] {
        bench.binding(PUT, &format!("/{key}?urlencoded=true"), "v").await;
    }
    let first = bench.binding(GET, "/?key_count_limit=2", "").await.json();
    assert_eq!(first["keys"], json!([{"name": "a", "metadata": "[1]"}, {"name": "b"}]));
    assert_eq!(first["list_complete"], false);
    let cursor = first["cursor"].as_str().unwrap();
    let second = bench.binding(GET, &format!("/?key_count_limit=2&cursor={cursor}"), "").await;
    assert_eq!(second.json(), json!({"keys": [{"name": "c"}], "list_complete": true}));
    let prefixed = bench.binding(GET, "/?prefix=b", "").await.json();
    assert_eq!(prefixed["keys"], json!([{"name": "b"}]));
}

#[tokio::test(start_paused = true)]
async fn many_keys_come_at_once() {
    let bench = Bench::new();
    put_with(&bench, "/k?urlencoded=true", "{}").await;
    let ask = json!({"keys": ["k", "none"], "cacheTtl": "30"}).to_string();
    let got = bench.binding(POST, "/bulk/get", ask).await.json();
    assert_eq!(got, json!({"k": "v", "none": null}));
    let ask = json!({"keys": ["k", "none"], "withMetadata": true}).to_string();
    let got = bench.binding(POST, "/bulk/get", ask).await.json();
    assert_eq!(got, json!({"k": {"value": "v", "metadata": {}}, "none": null}));
}

#[tokio::test(start_paused = true)]
async fn errors_speak_in_the_reason_phrase() {
    let bench = Bench::new();
    bench.binding(PUT, "/k?urlencoded=true", "v").await;
    let keys = |keys: Value, kind: &str| json!({"keys": keys, "type": kind}).to_string();
    for (method, path, body, status, reason) in [
        (
            GET,
            "/k?urlencoded=true&cache_ttl=10",
            String::new(),
            400,
            "Invalid cache_ttl of 10. Cache TTL must be at least 30.",
        ),
        (
            PUT,
            "/k?urlencoded=true&expiration_ttl=30",
            String::new(),
            400,
            "Invalid expiration_ttl of 30. Expiration TTL must be at least 60.",
        ),
        (
            PUT,
            "/k?urlencoded=true&expiration=5",
            String::new(),
            400,
            "Invalid expiration of 5. Expiration times must be at least 60 seconds in the future.",
        ),
        (
            GET,
            "/?key_count_limit=1001",
            String::new(),
            400,
            "Invalid key_count_limit of 1001. Please specify an integer less than 1000.",
        ),
        (
            POST,
            "/bulk/get",
            keys(json!(vec!["k"; 101]), "text"),
            400,
            "You can request a maximum of 100 keys",
        ),
        (POST, "/bulk/get", keys(json!([]), "text"), 400, "You must request a minimum of 1 key"),
        (
            POST,
            "/bulk/get",
            keys(json!(["k"]), "invalid"),
            400,
            "\"invalid\" is not a valid type. Use \"json\" or \"text\"",
        ),
        (
            POST,
            "/bulk/get",
            keys(json!(["k"]), "json"),
            400,
            "At least one of the requested keys corresponds to a non-json value",
        ),
    ] {
        let answer = bench.binding(method, path, body).await;
        assert_eq!((answer.status.as_u16(), answer.reason.as_deref()), (status, Some(reason)));
        assert_eq!(answer.body.len(), 0);
    }
    let long = bench.binding(PUT, &format!("/{}?urlencoded=true", "k".repeat(513)), "v").await;
    let reason = "UTF-8 encoded length of 513 exceeds key length limit of 512.";
    assert_eq!((long.status.as_u16(), long.reason.as_deref()), (414, Some(reason)));
    let metadata =
        put_with(&bench, "/k?urlencoded=true", &format!("\"{}\"", "m".repeat(1_023))).await;
    let reason = "Metadata length of 1025 exceeds limit of 1024.";
    assert_eq!((metadata.status.as_u16(), metadata.reason.as_deref()), (413, Some(reason)));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_operation_is_told_so() {
    let bench = Bench::new();
    for (method, path, allowed) in [
        (POST, "/", "GET"),
        (POST, "/k?urlencoded=true", "GET, PUT, DELETE"),
        (Method::HEAD, "/bulk/get", "GET, POST, PUT, DELETE"),
    ] {
        let answer = bench.binding(method, path, "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("allow")),
            (405, Some(allowed)),
            "{path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_does_not_exist_is_not_a_missing_key() {
    let bench = Bench::new();
    let ask = |id: Option<&str>| {
        let mut request = Request::get("/k?urlencoded=true");
        if let Some(id) = id {
            request = request.header("cf-kv-namespace", id);
        }
        request.body(Bytes::new()).unwrap()
    };
    for id in [None, Some("other"), Some("0f2ac74b498b48028cb68387c421e279")] {
        let answer = bench.ask(Listener::Binding, ask(id)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{id:?}");
    }
    let made = bench.rest(POST, "", json!({"title": "mine"}).to_string()).await.result();
    let answer = bench.ask(Listener::Binding, ask(made["id"].as_str())).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
