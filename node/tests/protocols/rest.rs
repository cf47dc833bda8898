//! The public API.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use kv_node::config::{Limits, Token};
use kv_node::env::Listener;
use serde_json::{Value, json};

use crate::bench::{BEGIN_S, Bench};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

fn form(parts: &[(&str, &str)]) -> String {
    let part = |(name, text): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    };
    parts.iter().map(part).collect::<String>() + "--b--\r\n"
}

async fn put_form(bench: &Bench, path: &str, parts: &[(&str, &str)]) -> crate::bench::Answer {
    let request = Request::put(format!("/client/v4/accounts/a/storage/kv/namespaces{path}"))
        .header("content-type", "multipart/form-data; boundary=b")
        .body(Bytes::from(form(parts)));
    bench.ask(Listener::Rest, request.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_value_comes_back_as_raw_bytes_and_everything_else_in_an_envelope() {
    let bench = Bench::new();
    let put = bench.rest(PUT, "/ns/values/a%2Fb?expiration_ttl=60", "\0\u{ff}").await;
    assert_eq!(put.json(), json!({"success": true, "errors": [], "messages": [], "result": null}));
    let got = bench.rest(GET, "/ns/values/a%2fb", "").await;
    assert_eq!((got.status, got.body), (StatusCode::OK, Bytes::from("\0\u{ff}")));
    assert_eq!(got.headers["content-type"], "application/octet-stream");
    assert_eq!(got.headers["expiration"], (BEGIN_S + 60).to_string());
    assert_eq!(got.headers["cf-cache-status"], "HIT");
    assert_eq!(bench.rest(DELETE, "/ns/values/a%2Fb", "").await.result(), Value::Null);
    let gone = bench.rest(GET, "/ns/values/a%2Fb", "").await;
    assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, 10009));
    assert_eq!(gone.json()["errors"][0]["message"], "get: 'key not found'");
    // What does not exist is deleted.
    assert_eq!(bench.rest(DELETE, "/ns/values/never", "").await.result(), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn metadata_comes_with_a_form_and_goes_with_the_next_write() {
    let bench = Bench::new();
    let metadata = r#"{"z": 1, "a": [null]}"#;
    put_form(&bench, "/ns/values/k", &[("metadata", metadata), ("value", "v")]).await.result();
    let read = bench.rest(GET, "/ns/metadata/k", "").await;
    assert!(read.text().contains(metadata), "as it was given, {}", read.text());
    put_form(&bench, "/ns/values/falsy", &[("value", "v"), ("metadata", "0")]).await.result();
    assert_eq!(bench.rest(GET, "/ns/metadata/falsy", "").await.result(), json!(0));
    bench.rest(PUT, "/ns/values/k", "w").await.result();
    assert_eq!(bench.rest(GET, "/ns/metadata/k", "").await.result(), Value::Null);
    let missing = bench.rest(GET, "/ns/metadata/none", "").await;
    assert_eq!((missing.status, missing.code()), (StatusCode::NOT_FOUND, 10009));

    let not_json = put_form(&bench, "/ns/values/k", &[("value", "v"), ("metadata", "{")]).await;
    assert_eq!((not_json.status, not_json.code()), (StatusCode::BAD_REQUEST, 10147));
    let long = format!("\"{}\"", "m".repeat(1_023));
    let long = put_form(&bench, "/ns/values/k", &[("value", "v"), ("metadata", &long)]).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
    let fits = format!("\"{}\"", "m".repeat(1_022));
    put_form(&bench, "/ns/values/k", &[("value", "v"), ("metadata", &fits)]).await.result();
    assert_eq!(bench.rest(GET, "/ns/values/k", "").await.body, "v");
}

#[tokio::test(start_paused = true)]
async fn expiration_beats_every_cache() {
    let bench = Bench::new();
    bench.rest(PUT, "/ns/values/k?expiration_ttl=90&expiration=1", "v").await.result();
    bench.wait(89).await;
    assert_eq!(bench.rest(GET, "/ns/values/k?cache_ttl=3600", "").await.body, "v");
    assert_eq!(bench.rest(GET, "/ns/keys", "").await.result()[0]["expiration"], BEGIN_S + 90);
    bench.wait(1).await;
    assert_eq!(bench.rest(GET, "/ns/values/k?cache_ttl=3600", "").await.code(), 10009);
    assert_eq!(bench.rest(GET, "/ns/keys", "").await.result(), json!([]));
    assert_eq!(bench.rest(GET, "/ns/metadata/k", "").await.code(), 10009);

    for (query, code) in
        [("expiration_ttl=59", 10034), ("expiration=60", 10033), ("expiration_ttl=soon", 10034)]
    {
        let path = format!("/ns/values/k?{query}");
        let refused = bench.rest(PUT, &path, "v").await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, code), "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_where_its_page_ended() {
    let bench = Bench::new();
    let keys: Vec<String> = (0..25).map(|number| format!("p {number:02}")).collect();
    for key in keys.iter().rev() {
        let path = format!("/ns/values/{}", key.replace(' ', "%20"));
        bench.rest(PUT, &path, "v").await.result();
    }
    bench.rest(PUT, "/ns/values/q", "v").await.result();
    let (mut listed, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("/ns/keys?limit=10&prefix=p+&cursor={cursor}");
        let page = bench.rest(GET, &path, "").await;
        let names = page.result();
        let names = names.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap());
        let before = listed.len();
        listed.extend(names.map(str::to_owned));
        let info = &page.json()["result_info"];
        assert_eq!(info["count"], listed.len() - before);
        pages += 1;
        cursor = info["cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!((listed, pages), (keys, 3));
    for query in ["limit=9", "limit=1001", "limit=x", "limit=%2B10", "cursor=!", "prefix=%ff"] {
        let refused = bench.rest(GET, &format!("/ns/keys?{query}"), "").await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, 10012), "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_written_read_and_deleted_at_once() {
    let bench = Bench::new();
    let items = json!([
        {"key": "text", "value": "v", "metadata": {"m": 1}, "expiration_ttl": 60},
        {"key": "bytes", "value": "AP8=", "base64": true},
        {"key": "json", "value": "{\"n\": [1]}"},
        {"key": "twice", "value": "first"},
        {"key": "twice", "value": "second"},
    ]);
    let done = bench.rest(PUT, "/ns/bulk", items.to_string()).await.result();
    assert_eq!(done, json!({"successful_key_count": 5, "unsuccessful_keys": []}));
    assert_eq!(bench.rest(GET, "/ns/values/bytes", "").await.body, &[0, 255][..]);
    assert_eq!(bench.rest(GET, "/ns/values/twice", "").await.body, "second");

    let ask = json!({"keys": ["text", "none"], "withMetadata": true}).to_string();
    let got = bench.rest(POST, "/ns/bulk/get", ask).await.result();
    let text = json!({"value": "v", "metadata": {"m": 1}, "expiration": BEGIN_S + 60});
    assert_eq!(got, json!({"values": {"text": text, "none": null}}));
    let ask = json!({"keys": ["json"], "type": "json"}).to_string();
    let got = bench.rest(POST, "/ns/bulk/get", ask).await.result();
    assert_eq!(got, json!({"values": {"json": {"n": [1]}}}));
    for (body, code) in [
        (json!({"keys": []}), 10029),
        (json!({"keys": vec!["k"; 101]}), 10012),
        (json!({"keys": ["text"], "type": "json"}), 10012),
        (json!({"keys": ["text"], "type": "xml"}), 10012),
        (json!(["text"]), 10012),
    ] {
        assert_eq!(bench.rest(POST, "/ns/bulk/get", body.to_string()).await.code(), code, "{body}");
    }

    let both = json!(["text", "never"]).to_string();
    let done = json!({"successful_key_count": 2, "unsuccessful_keys": []});
    assert_eq!(bench.rest(DELETE, "/ns/bulk", both).await.result(), done);
    let rest = json!(["bytes", "json", "twice"]).to_string();
    bench.rest(POST, "/ns/bulk/delete", rest).await.result();
    assert_eq!(bench.rest(GET, "/ns/keys", "").await.result(), json!([]));
    let none = json!({"successful_key_count": 0, "unsuccessful_keys": []});
    assert_eq!(bench.rest(PUT, "/ns/bulk", "[]").await.result(), none);
}

#[tokio::test(start_paused = true)]
async fn one_key_that_may_not_be_written_refuses_all() {
    let bench = Bench::new();
    for (bad, code) in [
        (json!({"key": "..", "value": "v"}), 10030),
        (json!({"key": "k".repeat(513), "value": "v"}), 10030),
        (json!({"key": "k", "value": "v", "expiration_ttl": 1}), 10034),
        (json!({"key": "k", "value": "%", "base64": true}), 10012),
        (json!({"key": "k"}), 10012),
        (json!({"key": "k", "value": 1}), 10012),
    ] {
        let items = json!([{"key": "good", "value": "v"}, bad]).to_string();
        assert_eq!(bench.rest(PUT, "/ns/bulk", items).await.code(), code, "{bad}");
    }
    let many = vec![json!({"key": "k", "value": ""}); 10_001];
    assert_eq!(bench.rest(PUT, "/ns/bulk", json!(many).to_string()).await.code(), 10012);
    assert_eq!(bench.rest(GET, "/ns/keys", "").await.result(), json!([]));
}

#[tokio::test(start_paused = true)]
async fn an_array_is_no_object() {
    let bench = Bench::new();
    for (method, path, body) in [
        (POST, "", json!(["a title"])),
        (PUT, "/ns", json!(["a title"])),
        (PUT, "/ns/bulk", json!([["k", "v"]])),
        (POST, "/ns/bulk/get", json!([["k"]])),
    ] {
        let refused = bench.rest(method, path, body.to_string()).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, 10012), "{body}");
    }
    assert_eq!(bench.rest(GET, "/ns/keys", "").await.result(), json!([]));
}

#[tokio::test(start_paused = true)]
async fn where_one_write_a_second_is_the_limit_the_second_is_named() {
    let limits = Limits { one_write_per_key_and_second: true, ..Limits::default() };
    let bench = Bench::with(limits, Vec::new());
    let items = json!([{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]).to_string();
    let done = bench.rest(PUT, "/ns/bulk", items).await.result();
    assert_eq!(done, json!({"successful_key_count": 1, "unsuccessful_keys": ["k"]}));
    let refused = bench.rest(PUT, "/ns/values/k", "3").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    bench.wait(1).await;
    bench.rest(PUT, "/ns/values/k", "3").await.result();
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_created_renamed_listed_and_deleted() {
    let bench = Bench::new();
    let create = |title: &str| json!({"title": title, "jurisdiction": "eu"}).to_string();
    let made = bench.rest(POST, "", create("mine")).await.result();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 32);
    let shown =
        json!({"id": id, "title": "mine", "supports_url_encoding": true, "jurisdiction": "eu"});
    assert_eq!(made, shown);
    assert_eq!(bench.rest(GET, &format!("/{id}"), "").await.result(), shown);
    bench.rest(PUT, &format!("/{id}/values/k"), "v").await.result();
    assert_eq!(bench.rest(GET, &format!("/{id}/values/k"), "").await.body, "v");
    assert_eq!(bench.rest(POST, "", create("mine")).await.code(), 10014);
    assert_eq!(bench.rest(POST, "", create("of ")).await.code(), 10014, "a configured title");
    assert_eq!(bench.rest(POST, "", create("")).await.code(), 10019);
    assert_eq!(bench.rest(POST, "", "{}").await.code(), 10012);

    bench.rest(POST, "", json!({"title": "a"}).to_string()).await.result();
    let titles = |answer: Value| -> Vec<String> {
        let rows = answer.as_array().unwrap();
        rows.iter().map(|row| row["title"].as_str().unwrap().to_owned()).collect()
    };
    let by_title = bench.rest(GET, "?order=title&direction=desc", "").await;
    assert_eq!(titles(by_title.result()), ["of ", "mine", "a"]);
    let second = bench.rest(GET, "?order=title&per_page=1&page=2", "").await;
    assert_eq!(titles(second.result()), ["mine"]);
    let info = json!({"page": 2, "per_page": 1, "count": 1, "total_count": 3});
    assert_eq!(second.json()["result_info"], info);
    assert_eq!(bench.rest(GET, "?page=9", "").await.result(), json!([]));

    let renamed = json!({"title": "ours"}).to_string();
    let renamed = bench.rest(PUT, &format!("/{id}"), renamed).await.result();
    assert_eq!(
        (renamed["title"].as_str(), renamed["jurisdiction"].as_str()),
        (Some("ours"), Some("eu"))
    );
    bench.rest(POST, "", create("mine")).await.result();
    assert_eq!(bench.rest(DELETE, &format!("/{id}"), "").await.result(), Value::Null);
    let gone = bench.rest(GET, &format!("/{id}/values/k"), "").await;
    assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, 10013));
    assert_eq!(bench.rest(DELETE, &format!("/{id}"), "").await.code(), 10013);
    assert_eq!(bench.rest(DELETE, "/ns", "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn nobody_reaches_anothers_namespace_or_the_one_where_they_are_kept() {
    let bench = Bench::new();
    let made = bench.rest(POST, "", json!({"title": "mine"}).to_string()).await.result();
    let id = made["id"].as_str().unwrap();
    let as_other = |id: &str| {
        let path = format!("/client/v4/accounts/b/storage/kv/namespaces/{id}/values/k");
        Request::get(path).body(Bytes::new()).unwrap()
    };
    assert_eq!(bench.ask(Listener::Rest, as_other(id)).await.code(), 10013);
    assert_eq!(bench.rest(GET, "/theirs/values/k", "").await.code(), 10013);
    for id in ["relapse-namespaces", "ns%2F..", "00", "0F2AC74B498B48028CB68387C421E279"] {
        let refused = bench.rest(GET, &format!("/{id}/values/k"), "").await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, 10011), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_opens_its_account() {
    let tokens = vec![Token::new("secret", vec!["a".into()])];
    let bench = Bench::with(Limits::default(), tokens);
    let path = "/client/v4/accounts/a/storage/kv/namespaces/ns/values/k";
    let ask = |path: &str, token: &str| {
        let request = Request::put(path).header("authorization", format!("Bearer {token}"));
        request.body(Bytes::from("v")).unwrap()
    };
    assert_eq!(bench.rest(PUT, "/ns/values/k", "v").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bench.ask(Listener::Rest, ask(path, "guess")).await.code(), 10000);
    assert_eq!(bench.ask(Listener::Rest, ask(path, "secret")).await.result(), Value::Null);
    let other = path.replace("/a/", "/b/");
    assert_eq!(bench.ask(Listener::Rest, ask(&other, "secret")).await.code(), 10000);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_operation_is_told_so() {
    let bench = Bench::new();
    for (method, path, allowed) in [
        (DELETE, "", "GET, POST"),
        (POST, "/ns", "GET, PUT, DELETE"),
        (POST, "/ns/values/k", "GET, PUT, DELETE"),
        (Method::HEAD, "/ns/values/k", "GET, PUT, DELETE"),
        (PUT, "/ns/metadata/k", "GET"),
        (PUT, "/ns/keys", "GET"),
        (GET, "/ns/bulk", "PUT, DELETE"),
        (GET, "/ns/bulk/delete", "POST"),
        (GET, "/ns/bulk/get", "POST"),
    ] {
        let answer = bench.rest(method.clone(), path, "").await;
        let told = (answer.status, answer.code(), answer.header("allow"));
        let expected = (StatusCode::METHOD_NOT_ALLOWED, 10405, Some(allowed));
        assert_eq!(told, expected, "{method} {path}");
    }
    for (method, path, status, code) in [
        (GET, "/ns/values/", StatusCode::NOT_FOUND, 7003),
        (GET, "/ns/values/a/b", StatusCode::NOT_FOUND, 7003),
        (GET, "/ns/values/%ff", StatusCode::NOT_FOUND, 7003),
        (PUT, "/ns/values/.", StatusCode::BAD_REQUEST, 10030),
    ] {
        let answer = bench.rest(method.clone(), path, "").await;
        assert_eq!((answer.status, answer.code()), (status, code), "{method} {path}");
    }
    let long = format!("/ns/values/{}", "k".repeat(513));
    assert_eq!(bench.rest(PUT, &long, "").await.status, StatusCode::URI_TOO_LONG);
    let large = vec![0; 25 * 1024 * 1024];
    bench.rest(PUT, "/ns/values/large", large.clone()).await.result();
    assert_eq!(bench.rest(GET, "/ns/values/large", "").await.body.len(), large.len());
    let larger = bench.rest(PUT, "/ns/values/large", [large, vec![0]].concat()).await;
    assert_eq!(larger.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_right_while_one_store_is_away_and_after_it_came_back() {
    let bench = Bench::new();
    bench.rest(PUT, "/ns/values/before", "v").await.result();
    bench.wait(61).await;
    bench.set_down(1, true);
    bench.rest(PUT, "/ns/values/during", "v").await.result();
    bench.rest(DELETE, "/ns/values/before", "").await.result();
    assert_eq!(names(&bench).await, ["during"]);
    bench.set_down(1, false);
    // Whichever of the two is asked: the newer state counts.
    bench.wait(61).await;
    assert_eq!(names(&bench).await, ["during"]);
    bench.wait(61).await;
    bench.set_down(0, true);
    assert_eq!(names(&bench).await, ["during"]);
}

async fn names(bench: &Bench) -> Vec<String> {
    let rows = bench.rest(GET, "/ns/keys", "").await.result();
    rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_flipped_byte_in_any_stored_object_is_an_error_and_never_another_value() {
    for (metadata, object) in [(false, "v/ns/k"), (true, "v/ns/k")] {
        let bench = Bench::new();
        put_form(&bench, "/ns/values/k", &[("value", "secret"), ("metadata", "1")]).await.result();
        bench.wait(61).await;
        for store in [0, 1] {
            let mut held = bench.store(store).object(object).unwrap();
            if metadata {
                let mut text = held.meta.as_bytes().to_vec();
                let last = text.len() - 3;
                text[last] = if text[last] == b'A' { b'B' } else { b'A' };
                held.meta = http::HeaderValue::from_bytes(&text).unwrap();
            } else {
                let mut body = held.body.to_vec();
                body[2] ^= 1;
                held.body = body.into();
            }
            bench.store(store).seed(object, held);
        }
        let read = bench.rest(GET, "/ns/values/k", "").await;
        assert_eq!((read.status, read.code()), (StatusCode::INTERNAL_SERVER_ERROR, 10001));
        assert!(!read.text().contains("secret"));
    }
}
