//! Whatever somebody may send: strategies for requests that are right, nearly right, or nothing at all.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use kv_node::api::encode_segment;
use kv_node::env::Listener;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::bench::BEGIN_S;

/// Segments that have once led somewhere: encodings that are none, that are doubled, overlong or cut, and dots.
const SEGMENTS: [&str; 34] = [
    "",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    "%",
    "%2",
    "%zz",
    "%00",
    "%2F",
    "%252F",
    "%c0%af",
    "%e0%80%af",
    "%ed%a0%80",
    "%ff",
    "%F0%9F%98%80",
    "é",
    "+",
    "a",
    "k",
    "ns",
    "theirs",
    "values",
    "metadata",
    "keys",
    "bulk",
    "get",
    "delete",
    "relapse-namespaces",
    "*",
    "a;b",
    "a=b&c",
    "%0d%0a",
    "~",
];

const PARAMETERS: [&str; 18] = [
    "cursor",
    "limit",
    "prefix",
    "expiration",
    "expiration_ttl",
    "cache_ttl",
    "urlencoded",
    "key_count_limit",
    "page",
    "per_page",
    "order",
    "direction",
    "%6cimit",
    "LIMIT",
    "",
    "x",
    "expiration%5Fttl",
    "prefix%00",
];

/// Numbers at the limits and beyond what any type of number holds, and what is none.
const NUMBERS: [&str; 26] = [
    "",
    "0",
    "1",
    "9",
    "10",
    "29",
    "30",
    "59",
    "60",
    "1000",
    "1001",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    "-0",
    "+5",
    "%2B5",
    "1e3",
    "0x10",
    "NaN",
    "Infinity",
    "1_000",
    "%ff",
    "٣",
];

const HEADERS: [&str; 34] = [
    "authorization",
    "x-auth-key",
    "x-auth-email",
    "content-type",
    "content-length",
    "transfer-encoding",
    "content-encoding",
    "expect",
    "host",
    "range",
    "cookie",
    "cf-kv-namespace",
    "cf-kv-metadata",
    "cf-kv-flprod-405",
    "cf-expiration",
    "cf-cache-status",
    "traceparent",
    "tracestate",
    "x-relapse-auth",
    "x-relapse-tier",
    "x-relapse-batch",
    "x-relapse-later",
    "x-version",
    "x-meta",
    "x-amz-meta-version",
    "x-amz-meta-meta",
    "x-amz-copy-source",
    "x-amz-date",
    "x-amz-content-sha256",
    "if-match",
    "if-none-match",
    "x-http-method-override",
    "x-forwarded-for",
    "x-original-url",
];

const VALUES: [&[u8]; 24] = [
    b"",
    b" ",
    b"ns",
    b"theirs",
    b"relapse-namespaces",
    b"Bearer x",
    b"text/plain",
    b"chunked",
    b"multipart/form-data",
    b"multipart/form-data; boundary=b",
    b"multipart/form-data; boundary=",
    b"MULTIPART/Form-Data; charset=\"; boundary=\"b\"",
    b"0",
    b"18446744073709551616",
    b"regional;R;1",
    b"upper;R;1",
    b"t;;",
    b"v;;",
    b"*",
    b"\"\xff\"",
    b"[1]",
    b"{\"m\":\"\xc3\xa9\"}",
    b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"00-0-0-0",
];

/// What a part of a form may hold: metadata that is JSON, that is nearly, and the beginnings of other parts.
const CONTENTS: [&[u8]; 11] = [
    b"v",
    b"",
    b"{\"m\":1}",
    b"{",
    b"null",
    b"\"\xff\"",
    b"{\n\"m\":\"\xc3\xa9\"}",
    b"\"\x7f\"",
    b"\n1e400",
    b"--b\r\n",
    b"\r\n--c--\r\n",
];

const USUAL: [Method; 4] = [Method::GET, Method::PUT, Method::POST, Method::DELETE];
const UNUSUAL: [Method; 5] =
    [Method::HEAD, Method::OPTIONS, Method::TRACE, Method::CONNECT, Method::PATCH];

/// JSON that is right for one operation or another, to be sent to any.
fn json() -> impl Strategy<Value = Vec<u8>> {
    let many = |count: usize| format!("[{}]", vec!["\"k\""; count].join(","));
    let texts = [
        r#"[{"key":"k","value":"v","expiration":null,"metadata":{"m":[1,"\u00e9"]}}]"#.to_owned(),
        r#"[{"key":"b","value":"AP8=","base64":true,"expiration_ttl":60}]"#.to_owned(),
        r#"[{"key":"b","value":"","metadata":"\ud800"},{"key":"b","value":"2"}]"#.to_owned(),
        r#"{"keys":["k","a","none"],"withMetadata":true,"type":"json","cacheTtl":"30"}"#.to_owned(),
        r#"{"keys":["k","k"],"type":"text"}"#.to_owned(),
        r#"["k","a","k",""]"#.to_owned(),
        r#"{"title":"mine","jurisdiction":"eu"}"#.to_owned(),
        r#"{"title":"\u0000\uffff","title":"twice"}"#.to_owned(),
        r#"[{"key":"k","value":"v","expiration_ttl":1e400}]"#.to_owned(),
        r#"[{"key":"k","value":"v","metadata":1e400}]"#.to_owned(),
        r#"{"revision":9,"new_backend":true,"dcs":{},"enrolled":["ns"]}"#.to_owned(),
        "[".repeat(5_000),
        format!(
            r#"[{{"key":"k","value":"v","metadata":{}1{}}}]"#,
            "[".repeat(400),
            "]".repeat(400)
        ),
        format!(r#"{{"keys":{}}}"#, many(101)),
        many(10_001),
        String::new(),
        "null".to_owned(),
    ];
    select(texts.to_vec()).prop_map(String::into_bytes)
}

/// A change to bytes at a drawn place.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Cut(Index),
    Put(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Double(Index, Index),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let byte = || prop_oneof![any::<u8>(), select(b"\"\\{}[],:%/&=;-\r\n\0".to_vec())];
    prop_oneof![
        any::<Index>().prop_map(Change::Cut),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Change::Put(at, byte)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<Index>().prop_map(Change::Remove),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Change::Double(one, other)),
    ]
}

pub(crate) fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let at = |index: &Index| index.index(bytes.len() + 1);
        match change {
            Change::Cut(index) => bytes.truncate(at(index)),
            Change::Put(index, byte) if !bytes.is_empty() => {
                let at = index.index(bytes.len());
                bytes[at] = *byte;
            }
            Change::Insert(index, byte) => bytes.insert(at(index), *byte),
            Change::Remove(index) if !bytes.is_empty() => {
                bytes.remove(index.index(bytes.len()));
            }
            Change::Double(one, other) => {
                let (one, other) = (at(one), at(other));
                let piece = bytes[one.min(other)..one.max(other)].to_vec();
                bytes.splice(one..one, piece);
            }
            Change::Put(..) | Change::Remove(_) => {}
        }
    }
    bytes
}

fn mutated(whole: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (whole, vec(change(), 0..4)).prop_map(|(whole, changes)| changed(whole, &changes))
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(&SEGMENTS[..]).prop_map(str::to_owned),
        2 => any::<String>().prop_map(|text| encode_segment(&text)),
        1 => "[!$-.0-;=@-~é]{0,20}",
        1 => (select(&["k", "%00", "%01", "é", "%c3%a9"][..]), 500usize..520)
            .prop_map(|(one, times)| one.repeat(times)),
    ]
}

/// A key, as it stands in a path: among them the longest, and those that storing makes longer.
pub(crate) fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(&["k", "a", "b", "none", "j"][..]).prop_map(str::to_owned),
        2 => segment(),
        1 => select(vec!["%00".repeat(512), "k".repeat(512), "é".repeat(256)]),
    ]
}

fn rest_path() -> impl Strategy<Value = String> {
    let id = prop_oneof![6 => Just("ns".to_owned()), 1 => segment()];
    let tail = prop_oneof![
        4 => key().prop_map(|key| format!("/values/{key}")),
        1 => key().prop_map(|key| format!("/metadata/{key}")),
        2 => select(&["/keys", "/bulk", "/bulk/delete", "/bulk/get", "", "/"][..])
            .prop_map(str::to_owned),
        1 => vec(segment(), 0..4).prop_map(|segments| format!("/{}", segments.join("/"))),
    ];
    let base = prop_oneof![
        8 => Just("/client/v4/accounts/a/storage/kv/namespaces".to_owned()),
        1 => Just("/client/v4/accounts/a/workers/namespaces".to_owned()),
        1 => segment().prop_map(|account| {
            format!("/client/v4/accounts/{account}/storage/kv/namespaces")
        }),
    ];
    prop_oneof![
        8 => (base, id, tail).prop_map(|(base, id, tail)| format!("{base}/{id}{tail}")),
        1 => Just("/client/v4/accounts/a/storage/kv/namespaces".to_owned()),
    ]
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let any_path = prop_oneof![
        6 => rest_path(),
        4 => key().prop_map(|key| format!("/{key}")),
        1 => select(&[
            "/", "*", "//", "/bulk/get", "/metrics", "/tier/v1", "/tier/v1/ns/k", "/admin/v1/config",
            "/admin/v1/isolates/restart", "/o/v%2Fns%2Fk", "/list", "http://h/k", "h:1",
        ][..]).prop_map(str::to_owned),
        1 => vec(segment(), 0..6).prop_map(|segments| format!("/{}", segments.join("/"))),
    ]
    .prop_map(String::into_bytes);
    prop_oneof![4 => any_path.boxed(), 1 => mutated(rest_path().prop_map(String::into_bytes)).boxed()]
}

fn argument() -> impl Strategy<Value = String> {
    let cursor = |bytes: Vec<u8>| encode_segment(&BASE64.encode(bytes));
    prop_oneof![
        4 => select(&NUMBERS[..]).prop_map(str::to_owned),
        1 => (0u64..200).prop_map(|ahead| (BEGIN_S + ahead).to_string()),
        1 => vec(any::<u8>(), 0..40).prop_map(cursor),
        // As long as a path can be.
        1 => (any::<u8>(), 500usize..40_000).prop_map(move |(byte, long)| cursor(vec![byte; long])),
        1 => segment(),
        1 => select(&["true", "false", "id", "title", "asc", "desc"][..]).prop_map(str::to_owned),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let pair = (select(&PARAMETERS[..]), argument(), prop::bool::weighted(0.9))
        .prop_map(|(name, value, equals)| if equals { format!("{name}={value}") } else { value });
    vec(pair, 0..5).prop_map(|pairs| {
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    })
}

/// What `http` takes for an address; most of what is drawn.
fn uri() -> impl Strategy<Value = Uri> {
    (path(), query()).prop_filter_map("no address", |(path, query)| {
        Uri::from_maybe_shared(Bytes::from([path, query.into_bytes()].concat())).ok()
    })
}

fn headers() -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    let name = prop_oneof![
        8 => select(&HEADERS[..]).prop_map(HeaderName::from_static),
        1 => "[a-z][a-z0-9-]{0,12}".prop_map(|name| HeaderName::try_from(name).unwrap()),
    ];
    let metadata = mutated(json()).prop_map(|mut json| {
        json.truncate(1_100);
        json
    });
    let value = prop_oneof![
        4 => select(&VALUES[..]).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..40),
        1 => metadata,
    ];
    let value = value.prop_filter_map("no value", |bytes| HeaderValue::from_bytes(&bytes).ok());
    vec((name, value), 0..6)
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => select(&CONTENTS[..]).prop_map(<[u8]>::to_vec),
        1 => mutated(select(&CONTENTS[..]).prop_map(<[u8]>::to_vec)),
        1 => mutated(json()),
    ]
}

/// Parts of a form: usual names and metadata, but also many, none, twice, in any order.
fn form() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        4 => select(&["value", "metadata"][..]).prop_map(str::to_owned),
        1 => select(&["metadata[m]", "Value", "", "value\"; name=\"metadata", "é"][..])
            .prop_map(str::to_owned),
        1 => (1_000usize..100_000).prop_map(|long| "n".repeat(long)),
    ];
    let kind = select(
        &[
            "",
            "Content-Type: application/json\r\n",
            "Content-Type: multipart/mixed; boundary=c\r\n",
            "Content-Transfer-Encoding: base64\r\n",
            "Content-Disposition: attachment\r\n",
        ][..],
    );
    let part = (name, kind, content()).prop_map(|(name, kind, content)| {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{kind}\r\n");
        [head.as_bytes(), &content, b"\r\n"].concat()
    });
    vec(part, 0..5).prop_map(|parts| [parts.concat(), b"--b--\r\n".to_vec()].concat())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => vec(any::<u8>(), 0..200),
        4 => mutated(json()),
        2 => mutated(form()),
    ]
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![
        12 => select(&USUAL[..]),
        1 => select(&UNUSUAL[..]),
        1 => Just(Method::from_bytes(b"PROPFIND").unwrap()),
    ]
}

/// Anything that a listener can be sent.
pub(crate) fn request() -> impl Strategy<Value = Request<Bytes>> {
    let form_kind = prop_oneof![
        Just(None),
        select(&["multipart/form-data; boundary=b", "multipart/form-data; boundary=\"c d\""][..])
            .prop_map(Some),
    ];
    (method(), uri(), headers(), body(), form_kind, prop::bool::weighted(0.9)).prop_map(
        |(method, uri, headers, body, form, bound)| {
            let mut request = Request::new(Bytes::from(body));
            *request.method_mut() = method;
            *request.uri_mut() = uri;
            if bound {
                request.headers_mut().append("cf-kv-namespace", HeaderValue::from_static("ns"));
            }
            if let Some(form) = form {
                request.headers_mut().append("content-type", HeaderValue::from_static(form));
            }
            for (name, value) in headers {
                request.headers_mut().append(name, value);
            }
            request
        },
    )
}

/// What is right but for one thing: a customer's list, write, read or form.
fn nearly_right() -> impl Strategy<Value = (Listener, Request<Bytes>)> {
    const ACCOUNT: &str = "/client/v4/accounts/a/storage/kv/namespaces";
    let of = |method: Method, uri: String| Request::builder().method(method).uri(uri);
    let list =
        (select(&["limit", "prefix", "cursor"][..]), argument()).prop_map(move |(name, value)| {
            of(Method::GET, format!("{ACCOUNT}/ns/keys?{name}={value}")).body(Vec::new())
        });
    let expiring = (select(&["expiration", "expiration_ttl"][..]), argument(), key()).prop_map(
        move |(name, value, key)| {
            of(Method::PUT, format!("{ACCOUNT}/ns/values/{key}?{name}={value}")).body(b"x".to_vec())
        },
    );
    let form = (key(), mutated(form())).prop_map(move |(key, form)| {
        of(Method::PUT, format!("{ACCOUNT}/ns/values/{key}"))
            .header("content-type", "multipart/form-data; boundary=b")
            .body(form)
    });
    let operations = ["PUT /bulk", "DELETE /bulk", "POST /bulk/delete", "POST /bulk/get"];
    let many = (select(operations.to_vec()), mutated(json())).prop_map(move |(operation, json)| {
        let (method, path) = operation.split_once(' ').unwrap();
        of(method.parse().unwrap(), format!("{ACCOUNT}/ns{path}")).body(json)
    });
    let bound_list = (select(&["key_count_limit", "prefix", "cursor"][..]), argument()).prop_map(
        move |(name, value)| of(Method::GET, format!("/?{name}={value}")).body(Vec::new()),
    );
    let bound_read = (key(), argument()).prop_map(move |(key, ttl)| {
        of(Method::GET, format!("/{key}?urlencoded=true&cache_ttl={ttl}")).body(Vec::new())
    });
    let bound_write = (key(), content()).prop_map(move |(key, metadata)| {
        of(Method::PUT, format!("/{key}?urlencoded=true"))
            .header("cf-kv-metadata", metadata)
            .body(b"x".to_vec())
    });
    let rest =
        prop_oneof![list, expiring, form, many].prop_map(|request| (Listener::Rest, request));
    let bound = prop_oneof![bound_list, bound_read, bound_write]
        .prop_map(|request| (Listener::Binding, request));
    prop_oneof![4 => rest, 3 => bound].prop_filter_map("no request", |(listener, request)| {
        let mut request = request.ok()?.map(Bytes::from);
        request.headers_mut().append("cf-kv-namespace", HeaderValue::from_static("ns"));
        Some((listener, request))
    })
}

/// Whatever a customer may send, and to which listener.
pub(crate) fn of_a_customer() -> impl Strategy<Value = (Listener, Request<Bytes>)> {
    let listener = select(&[Listener::Rest, Listener::Binding][..]);
    prop_oneof![1 => (listener, request()), 2 => nearly_right()]
}
