//! What customers say stays what customers say: no request of theirs is taken for one of a node, and no node is believed
//! that cannot prove to be one.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use kv_node::api::auth::Secret;
use kv_node::env::{Listener, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use serde_json::json;

use crate::bench::{BEGIN_S, Bench, DC, SECRET, Sent};
use crate::fuzz::in_virtual_time;
use crate::wild;

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const CONFIG: &str = r#"{"revision":9,"new_backend":false,"dcs":{},"enrolled":[]}"#;
const PURGES: &str = r#"{"sender":"TWO","life":1,"first":1,"entries":[{"namespace":"ns","key":"k","version":{"at_us":1,"tie":0}}]}"#;

/// What nodes, stores and proxies tell each other in headers, with what they might say.
const CONTROL: [(&str, &str); 22] = [
    ("x-relapse-auth", "1700000000000000.00"),
    ("x-relapse-tier", "upper;R;99"),
    ("x-relapse-tier", "regional;ELSEWHERE;1"),
    ("x-relapse-batch", "1"),
    ("x-relapse-namespace", "theirs"),
    ("x-version", "ffffffffffffffffffffffff"),
    ("x-version", "000000000000000000000000"),
    ("x-meta", "t;;"),
    ("x-meta", "v;1;"),
    ("x-amz-meta-version", "ffffffffffffffffffffffff"),
    ("x-amz-meta-meta", "t;;"),
    ("x-amz-copy-source", "/kv/v/theirs/k"),
    ("if-match", "*"),
    ("if-none-match", "*"),
    ("cf-expiration", "1"),
    ("cf-cache-status", "HIT"),
    ("expiration", "1"),
    ("range", "bytes=0-0"),
    ("x-http-method-override", "DELETE"),
    ("x-forwarded-host", "TWO"),
    ("host", "TWO"),
    ("traceparent", TRACE),
];

/// An operation of a customer.
#[derive(Clone, Debug)]
struct Operation {
    listener: Listener,
    method: Method,
    path: String,
    body: String,
}

impl Operation {
    fn request(&self, more: &[(&'static str, &'static str)]) -> Request<Bytes> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header("cf-kv-namespace", "ns")
            .header("cf-kv-metadata", r#"{"m":1}"#)
            .body(Bytes::from(self.body.clone()))
            .unwrap();
        for (name, value) in more {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    let rest = |path: &str| format!("/client/v4/accounts/a/storage/kv/namespaces{path}");
    let of = |listener, method, path, body: &str| Operation {
        listener,
        method,
        path,
        body: body.to_owned(),
    };
    let (public, bound) = (Listener::Rest, Listener::Binding);
    let items = r#"[{"key":"k","value":"many","metadata":1},{"key":"l","value":"x"}]"#;
    let keys = r#"{"keys":["k","l"],"withMetadata":true}"#;
    select(vec![
        of(public, PUT, rest("/ns/values/k"), "of rest"),
        of(public, PUT, rest("/ns/values/k?expiration_ttl=60"), "ends"),
        of(public, GET, rest("/ns/values/k"), ""),
        of(public, DELETE, rest("/ns/values/k"), ""),
        of(public, GET, rest("/ns/metadata/k"), ""),
        of(public, GET, rest("/ns/keys"), ""),
        of(public, PUT, rest("/ns/bulk"), items),
        of(public, POST, rest("/ns/bulk/delete"), r#"["l"]"#),
        of(public, POST, rest("/ns/bulk/get"), keys),
        of(public, POST, rest(""), r#"{"title":"mine"}"#),
        of(public, GET, rest(""), ""),
        of(bound, PUT, "/k?urlencoded=true".to_owned(), "bound"),
        of(bound, GET, "/k?urlencoded=true".to_owned(), ""),
        of(bound, DELETE, "/k?urlencoded=true".to_owned(), ""),
        of(bound, GET, "/".to_owned(), ""),
        of(bound, POST, "/bulk/get".to_owned(), keys),
    ])
}

/// What was sent, but for the trace that a request may say it belongs to. A tier's signature is over nothing else that could
/// differ, so it is compared as well.
fn untraced(mut sent: Vec<Sent>) -> Vec<Sent> {
    for sent in &mut sent {
        sent.headers.remove("traceparent");
    }
    sent
}

/// One of our own paths, with some of its characters encoded, and with detours.
fn path_of_nodes() -> impl Strategy<Value = String> {
    let path = select(
        &[
            "/tier/v1",
            "/tier/v1/ns/k",
            "/admin/v1/config",
            "/admin/v1/isolates/restart",
            "/metrics",
            "/o/v%2Fns%2Fk",
            "/list",
            "/control/v1/config",
        ][..],
    );
    let before = select(&["", "/", "/.", "/client/v4/..", "/client/v4/accounts/a/..", "//h"][..]);
    (path, before, vec(any::<Index>(), 0..3)).prop_map(|(path, before, encoded)| {
        let mut path = path.to_owned();
        for index in encoded {
            let at = 1 + index.index(path.len() - 1);
            let byte = path.as_bytes()[at];
            path.replace_range(at..=at, &format!("%{byte:02x}"));
        }
        format!("{before}{path}")
    })
}

/// A request that a node would carry out, signed for it.
fn signed(method: Method, path: &str, body: &'static str) -> Request<Bytes> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("x-relapse-tier", "regional;R;1")
        .header("x-version", "0006000000000000ffffffff")
        .header("x-meta", "t;;")
        .header("cf-kv-namespace", "ns")
        .body(Bytes::from_static(body.as_bytes()))
        .unwrap();
    Secret::new(SECRET).sign(&mut request, &DC.into(), now());
    request
}

fn now() -> Timestamp {
    Timestamp::from_unix_s(BEGIN_S)
}

async fn revision(bench: &Bench) -> String {
    let metrics = Request::get("/metrics").body(Bytes::new()).unwrap();
    let metrics = bench.ask(Listener::Admin, metrics).await;
    let line = metrics.text().lines().find(|line| line.starts_with("node_config_revision"));
    line.unwrap().split(' ').next_back().unwrap().to_owned()
}

/// What makes a signed request one that is not believed.
#[derive(Clone, Debug)]
enum Forgery {
    Unsigned,
    OtherSecret,
    OtherPeer,
    OtherPath,
    OtherQuery,
    OtherMethod,
    OtherBody,
    OtherHeader(&'static str),
    WithoutHeader(&'static str),
    Old(u64),
    Ahead(u64),
    Changed(Vec<wild::Change>),
    Redated,
}

fn forgery() -> impl Strategy<Value = Forgery> {
    let header = || select(&["x-relapse-tier", "x-version", "x-meta"][..]);
    prop_oneof![
        Just(Forgery::Unsigned),
        Just(Forgery::OtherSecret),
        Just(Forgery::OtherPeer),
        Just(Forgery::OtherPath),
        Just(Forgery::OtherQuery),
        Just(Forgery::OtherMethod),
        Just(Forgery::OtherBody),
        Just(Forgery::Redated),
        header().prop_map(Forgery::OtherHeader),
        header().prop_map(Forgery::WithoutHeader),
        (60_000_001u64..1_000_000_000_000).prop_map(Forgery::Old),
        (60_000_001u64..1_000_000_000_000).prop_map(Forgery::Ahead),
        vec(wild::change(), 1..4).prop_map(Forgery::Changed),
    ]
}

fn forge(request: &mut Request<Bytes>, forgery: &Forgery) {
    let auth = HeaderName::from_static("x-relapse-auth");
    let sign = |request: &mut Request<Bytes>, secret: &[u8], peer: &str, at: Timestamp| {
        Secret::new(secret).sign(request, &peer.into(), at);
    };
    let path = request.uri().path().to_owned();
    match forgery {
        Forgery::Unsigned => {
            request.headers_mut().remove(&auth);
        }
        Forgery::OtherSecret => sign(request, b"guess", DC, now()),
        Forgery::OtherPeer => sign(request, SECRET, "TWO", now()),
        Forgery::OtherPath => *request.uri_mut() = format!("{path}x").parse().unwrap(),
        Forgery::OtherQuery => *request.uri_mut() = format!("{path}?x").parse().unwrap(),
        Forgery::OtherMethod => *request.method_mut() = Method::PATCH,
        Forgery::OtherBody => {
            *request.body_mut() = [&request.body()[..], b" "].concat().into();
        }
        Forgery::OtherHeader(name) => {
            request.headers_mut().insert(*name, HeaderValue::from_static("upper;R;2"));
        }
        Forgery::WithoutHeader(name) => {
            request.headers_mut().remove(*name);
        }
        Forgery::Old(by_us) => {
            sign(request, SECRET, DC, now().before(Duration::from_micros(*by_us)));
        }
        Forgery::Ahead(by_us) => {
            sign(request, SECRET, DC, now().after(Duration::from_micros(*by_us)));
        }
        Forgery::Changed(changes) => {
            let value = request.headers()[&auth].as_bytes().to_vec();
            let (value, before) = (wild::changed(value.clone(), changes), value);
            let value = if value == before { b"0.".to_vec() } else { value };
            let value = HeaderValue::from_bytes(&value);
            request.headers_mut().insert(auth, value.unwrap_or(HeaderValue::from_static("")));
        }
        Forgery::Redated => {
            let text = request.headers()[&auth].to_str().unwrap();
            let (_, mac) = text.split_once('.').unwrap();
            let value = format!("{}.{mac}", now().0 + 1);
            request.headers_mut().insert(auth, value.parse().unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_header_of_a_customer_changes_what_is_answered_or_what_stores_and_tiers_are_sent(
        operations in vec((operation(), subsequence(CONTROL.to_vec(), 0..CONTROL.len())), 1..8),
        tiered: bool,
    ) {
        in_virtual_time(async {
            let [with, without] = [(); 2].map(|()| if tiered { Bench::tiered() } else { Bench::new() });
            for (operation, more) in operations {
                let told = with.ask(operation.listener, operation.request(&more)).await;
                let plain = without.ask(operation.listener, operation.request(&[])).await;
                let [told, plain] =
                    [told, plain].map(|answer| (answer.status, answer.headers, answer.body));
                assert_eq!(told, plain, "{operation:?} with {more:?}");
                with.wait(1).await;
                without.wait(1).await;
            }
            assert_eq!(untraced(with.sent()), untraced(without.sent()));
        });
    }

    #[test]
    fn no_path_leads_from_a_customer_to_the_protocols_of_nodes(
        path in path_of_nodes(),
        (method, body) in select(vec![
            (GET, ""), (PUT, CONFIG), (PUT, "v"), (POST, PURGES), (POST, ""), (DELETE, ""),
        ]),
    ) {
        in_virtual_time(async {
            let bench = Bench::tiered();
            bench.rest(PUT, "/ns/values/k", "kept").await.result();
            let sent = bench.sent();
            // Even with a signature that the other listeners would believe.
            let request = || signed(method.clone(), &path, body);
            let refused = bench.ask(Listener::Rest, request()).await;
            assert_eq!((refused.status, refused.code()), (StatusCode::NOT_FOUND, 7003), "{path}");
            assert_eq!(bench.sent(), sent, "{path}");

            let mut unbound = request();
            unbound.headers_mut().remove("cf-kv-namespace");
            let refused = bench.ask(Listener::Binding, unbound).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
            assert_eq!(bench.sent(), sent, "{path}");

            // To a Worker any path is a key.
            let bound = bench.ask(Listener::Binding, request()).await;
            let expected = match method {
                GET => StatusCode::NOT_FOUND,
                POST => StatusCode::METHOD_NOT_ALLOWED,
                _ => StatusCode::OK,
            };
            assert_eq!(bound.status, expected, "{path}");
            assert_eq!(bench.rest(GET, "/ns/values/k", "").await.body, "kept", "{path}");
            assert_eq!(revision(&bench).await, "1", "{path}");
        });
    }

    #[test]
    fn no_node_is_believed_without_a_signature_for_just_this_request(forgery in forgery()) {
        in_virtual_time(no_node_is_believed(forgery));
    }
}

async fn no_node_is_believed(forgery: Forgery) {
    for (listener, method, path, body) in [
        (Listener::Tier, GET, "/tier/v1/ns/k", ""),
        (Listener::Tier, PUT, "/tier/v1/ns/k", "forged"),
        (Listener::Tier, POST, "/tier/v1", PURGES),
        (Listener::Admin, PUT, "/admin/v1/config", CONFIG),
        (Listener::Admin, POST, "/admin/v1/isolates/restart", ""),
    ] {
        let bench = Bench::tiered();
        bench.rest(PUT, "/ns/values/k", "kept").await.result();
        let sent = bench.sent();
        let mut request = signed(method.clone(), path, body);
        forge(&mut request, &forgery);
        let refused = bench.ask(listener, request).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert!(refused.body.is_empty(), "{method} {path}");
        assert_eq!(bench.sent(), sent, "{method} {path}");
        assert_eq!(revision(&bench).await, "1");
        // The tier has not lost or changed it either: an edge without an entry of its own asks that.
        bench.wait(61).await;
        assert_eq!(bench.rest(GET, "/ns/values/k", "").await.body, "kept");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_signed_for_this_request_is_believed_for_a_minute() {
    let requests = [
        (Listener::Tier, GET, "/tier/v1/ns/k", ""),
        (Listener::Tier, PUT, "/tier/v1/ns/k", ""),
        (Listener::Tier, POST, "/tier/v1", PURGES),
        (Listener::Admin, PUT, "/admin/v1/config", CONFIG),
        (Listener::Admin, POST, "/admin/v1/isolates/restart", ""),
    ];
    let bench = Bench::tiered();
    bench.rest(PUT, "/ns/values/k", "kept").await.result();
    bench.wait(60).await;
    for (listener, method, path, body) in requests.clone() {
        let answer = bench.ask(listener, signed(method.clone(), path, body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{method} {path}");
    }
    assert_eq!(revision(&bench).await, "9");
    bench.wait(1).await;
    for (listener, method, path, body) in requests {
        let answer = bench.ask(listener, signed(method.clone(), path, body)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    assert_eq!(bench.rest(GET, "/ns/keys", "").await.result(), json!([{"name": "k"}]));
}
