//! Two accounts: whatever one of them asks for, it neither sees nor changes anything of the other's.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use kv_node::config::{Limits, Token};
use kv_node::env::Listener;
use kv_store::Object;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

use crate::bench::{Answer, Bench};
use crate::fuzz::in_virtual_time;

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

/// All operations of the public API: method, what follows the namespace (`None`: there is none), body.
const OPERATIONS: [(Method, Option<&str>, &str); 14] = [
    (GET, None, ""),
    (POST, None, r#"{"title":"secret title"}"#),
    (GET, Some(""), ""),
    (PUT, Some(""), r#"{"title":"taken over"}"#),
    (DELETE, Some(""), ""),
    (GET, Some("/values/"), ""),
    (PUT, Some("/values/"), "overwritten"),
    (DELETE, Some("/values/"), ""),
    (GET, Some("/metadata/"), ""),
    (GET, Some("/keys"), ""),
    (PUT, Some("/bulk"), r#"[{"key":"secret key","value":"overwritten"}]"#),
    (DELETE, Some("/bulk"), r#"["secret key"]"#),
    (POST, Some("/bulk/delete"), r#"["secret key"]"#),
    (POST, Some("/bulk/get"), r#"{"keys":["secret key"],"withMetadata":true}"#),
];

/// A way to write an id, or around it.
#[derive(Clone, Debug)]
enum Spelling {
    Plain,
    Upper,
    Encoded(Vec<Index>),
    EncodedTwice(Index),
    With(&'static str, &'static str),
}

fn spelling() -> impl Strategy<Value = Spelling> {
    let around = select(
        &[
            ("", "%00"),
            ("", "%20"),
            ("", "%2F"),
            ("", "%2F.."),
            ("", "/"),
            ("", "/."),
            ("", ";a"),
            ("%20", ""),
            ("../", ""),
            ("x/../", ""),
            ("%2e%2e%2F", ""),
            ("a%2F", ""),
            ("@%2F", ""),
            ("@/", ""),
            ("v/", ""),
            ("", "%ef%bb%bf"),
            ("", "#"),
            ("", "%C2%A0"),
            ("", "%0d%0a"),
            ("a/storage/kv/namespaces/", ""),
            ("", "/storage/kv/namespaces"),
        ][..],
    );
    prop_oneof![
        2 => Just(Spelling::Plain),
        1 => Just(Spelling::Upper),
        2 => vec(any::<Index>(), 1..4).prop_map(Spelling::Encoded),
        1 => any::<Index>().prop_map(Spelling::EncodedTwice),
        4 => around.prop_map(|(before, after)| Spelling::With(before, after)),
    ]
}

impl Spelling {
    fn write(&self, id: &str) -> String {
        let encode = |index: &Index, mark: &str| {
            let at = index.index(id.len());
            let byte = id.as_bytes()[at];
            format!("{}{mark}{byte:02x}{}", &id[..at], &id[at + 1..])
        };
        match self {
            Self::Plain => id.to_owned(),
            Self::Upper => id.to_uppercase(),
            Self::Encoded(at) => {
                let places: Vec<usize> = at.iter().map(|index| index.index(id.len())).collect();
                let one = |(place, byte): (usize, u8)| {
                    if places.contains(&place) {
                        format!("%{byte:02X}")
                    } else {
                        char::from(byte).to_string()
                    }
                };
                id.bytes().enumerate().map(one).collect()
            }
            Self::EncodedTwice(at) => encode(at, "%25"),
            Self::With(before, after) => format!("{before}{id}{after}"),
        }
    }
}

/// What somebody tries.
#[derive(Clone, Debug)]
struct Attempt {
    operation: usize,
    /// Whether it goes to the other account's path, or to the own one.
    theirs: bool,
    account: Spelling,
    /// Created, configured, or the namespace where namespaces are kept.
    namespace: usize,
    id: Spelling,
    key: &'static str,
    alias: bool,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let key = select(&["secret%20key", "other%2F", "@%2F", ".", "%2E%2E%2Fsecret%20key"][..]);
    (0..OPERATIONS.len(), any::<bool>(), spelling(), 0..3usize, spelling(), key, any::<bool>())
        .prop_map(|(operation, theirs, account, namespace, id, key, alias)| Attempt {
            operation,
            theirs,
            account,
            namespace,
            id,
            key,
            alias,
        })
}

/// A data center with two accounts, `a` and `other`, and what `other` has in it.
struct Tenants {
    bench: Bench,
    created: String,
}

fn authorized(token: &str, method: Method, path: &str, body: &str) -> Option<Request<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", format!("Bearer {token}"));
    request.body(Bytes::from(body.to_owned())).ok()
}

impl Tenants {
    async fn new() -> Self {
        let token = |token: &str, account: &str| Token::new(token, vec![account.into()]);
        let tokens = vec![token("token of a", "a"), token("token of other", "other")];
        let bench = Bench::with(Limits::default(), tokens);
        let tenants = Self { bench, created: String::new() };
        let base = "/client/v4/accounts/other/storage/kv/namespaces";
        let title = r#"{"title":"secret title"}"#;
        let made = tenants.ask("token of other", POST, base, title).await.unwrap().result();
        let created = made["id"].as_str().unwrap().to_owned();
        let item = json!([{"key": "secret key", "value": "secret", "metadata": "secret"}]);
        for id in [&created, "theirs"] {
            let path = format!("{base}/{id}/bulk");
            let put = tenants.ask("token of other", PUT, &path, &item.to_string()).await;
            put.unwrap().result();
        }
        Self { created, ..tenants }
    }

    /// `None` where the path is none that HTTP knows.
    async fn ask(&self, token: &str, method: Method, path: &str, body: &str) -> Option<Answer> {
        let request = authorized(token, method, path, body)?;
        Some(self.bench.ask(Listener::Rest, request).await)
    }

    /// Everything in both stores.
    fn stored(&self) -> [BTreeMap<String, Object>; 2] {
        [0, 1].map(|store| {
            let list = Request::get("/list").body(Bytes::new()).unwrap();
            let listed = self.bench.store(store).serve(list).into_body();
            let names = std::str::from_utf8(&listed).unwrap().lines();
            names
                .map(|name| kv_store::plain::decode(name).unwrap())
                .map(|name| (name.clone(), self.bench.store(store).object(&name).unwrap()))
                .collect()
        })
    }

    /// Does what is tried, as `a`. Whether that was a success.
    async fn attempt(&self, attempt: &Attempt) -> bool {
        let (method, tail, body) = OPERATIONS[attempt.operation].clone();
        let namespace = ["theirs", &self.created, "relapse-namespaces"][attempt.namespace];
        let account = if attempt.theirs { attempt.account.write("other") } else { "a".to_owned() };
        let kv = if attempt.alias { "workers" } else { "storage/kv" };
        let id = tail.map(|tail| {
            let key = if tail.len() > 1 && tail.ends_with('/') { attempt.key } else { "" };
            format!("/{}{tail}{key}", attempt.id.write(namespace))
        });
        let id = id.unwrap_or_default();
        let path = format!("/client/v4/accounts/{account}/{kv}/namespaces{id}");
        let Some(answer) = self.ask("token of a", method.clone(), &path, body).await else {
            return false;
        };
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        let own = format!("{path} {body}");
        // What it said itself it may hear again.
        for secret in ["secret", "of other"] {
            assert!(!said.contains(secret) || own.contains(secret), "{method} {path}: {said}");
        }
        answer.status.is_success()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_operation_with_the_token_of_one_account_reaches_anything_of_another(
        attempts in vec(attempt(), 1..12),
    ) {
        in_virtual_time(async {
            let tenants = Tenants::new().await;
            let before = tenants.stored();
            for attempt in attempts {
                let own = OPERATIONS[attempt.operation].1.is_none() && !attempt.theirs;
                if own {
                    // An account creates and lists namespaces of its own; that the list is its own, the attempt asserts.
                    if OPERATIONS[attempt.operation].0 == GET {
                        assert!(tenants.attempt(&attempt).await);
                    }
                    continue;
                }
                assert!(!tenants.attempt(&attempt).await, "{attempt:?}");
            }
            tenants.bench.wait(1).await;
            assert!(tenants.stored() == before, "something was stored or removed");
        });
    }

    #[test]
    fn no_binding_with_the_token_of_one_account_reaches_anything_of_another(
        (namespace, spelling) in (0..3usize, spelling()),
        (method, path) in select(vec![
            (GET, "/secret%20key?urlencoded=true"), (GET, "/"), (PUT, "/secret%20key?urlencoded=true"),
            (DELETE, "/secret%20key?urlencoded=true"), (POST, "/bulk/get"),
        ]),
        authorized: bool,
    ) {
        in_virtual_time(async {
            let tenants = Tenants::new().await;
            let before = tenants.stored();
            let id = ["theirs", &tenants.created, "relapse-namespaces"][namespace];
            let token = if authorized { "token of a" } else { "guess" };
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("authorization", format!("Bearer {token}"))
                .header("cf-kv-namespace", spelling.write(id))
                .header("cf-kv-namespace", "ns")
                .body(Bytes::from(r#"{"keys":["secret key"]}"#));
            let refused = tenants.bench.ask(Listener::Binding, request.unwrap()).await;
            assert!(refused.status.is_client_error(), "{}", refused.status);
            assert_ne!(refused.status, StatusCode::NOT_FOUND, "to a Worker that is a missing key");
            assert!(refused.body.is_empty());
            tenants.bench.wait(1).await;
            assert!(tenants.stored() == before, "something was stored or removed");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn anothers_namespace_looks_like_one_that_was_never_there() {
    let tenants = Tenants::new().await;
    let told = async |id: &str, (method, tail, body): (Method, Option<&str>, &str)| {
        let key = if tail.is_some_and(|tail| tail.ends_with('/')) { "k" } else { "" };
        let tail = tail.unwrap_or_default();
        let path = format!("/client/v4/accounts/a/storage/kv/namespaces/{id}{tail}{key}");
        let answer = tenants.ask("token of a", method, &path, body).await.unwrap();
        (answer.status, answer.body)
    };
    let never = "0f2ac74b498b48028cb68387c421e279";
    for operation in OPERATIONS.into_iter().filter(|(_, tail, _)| tail.is_some()) {
        let theirs = told(&tenants.created, operation.clone()).await;
        assert_eq!(theirs, told(never, operation.clone()).await, "{operation:?}");
        assert_eq!(theirs.0, StatusCode::NOT_FOUND, "{operation:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_owner_may_do_all_of_it() {
    for (method, tail, body) in OPERATIONS {
        let tenants = Tenants::new().await;
        let before = tenants.stored();
        let key = if tail.is_some_and(|tail| tail.len() > 1 && tail.ends_with('/')) {
            "secret%20key"
        } else {
            ""
        };
        let id = tail.map(|tail| format!("/{}{tail}{key}", tenants.created)).unwrap_or_default();
        let path = format!("/client/v4/accounts/other/storage/kv/namespaces{id}");
        let body = body.replace("secret title", "second");
        let done = tenants.ask("token of other", method.clone(), &path, &body).await.unwrap();
        assert_eq!(done.status, StatusCode::OK, "{method} {path}");
        tenants.bench.wait(1).await;
        let read = method == GET || path.ends_with("/get");
        assert_eq!(tenants.stored() == before, read, "{method} {path}");
    }
}
