//! The plain protocol over each backend.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use kv_store::{
    BODY_BYTES_MAX, DirectoryStore, MemoryStore, Objects, PlainStore, plain, serve_plain,
};
use proptest::prelude::*;

fn ask(store: &dyn Objects, request: http::request::Builder) -> Response<Bytes> {
    serve_plain(store, request.body(Bytes::new()).unwrap())
}

fn put(store: &dyn Objects, name: &str, version: &str, body: &str) -> StatusCode {
    let request = Request::put(plain::object_path(name)).header(plain::VERSION, version);
    let body = Bytes::copy_from_slice(body.as_bytes());
    serve_plain(store, request.body(body).unwrap()).status()
}

fn get(store: &dyn Objects, name: &str) -> Option<String> {
    let response = ask(store, Request::get(plain::object_path(name)));
    (response.status() == StatusCode::OK)
        .then(|| String::from_utf8(response.into_body().to_vec()).unwrap())
}

fn delete(store: &dyn Objects, name: &str, version: &str) -> Response<Bytes> {
    ask(store, Request::delete(plain::object_path(name)).header(plain::VERSION, version))
}

fn list(store: &dyn Objects, prefix: &str, after: &str, limit: usize) -> Vec<String> {
    let body = ask(store, Request::get(plain::list_path(prefix, after, limit))).into_body();
    let text = String::from_utf8(body.to_vec()).unwrap();
    text.lines().map(|line| plain::decode(line).unwrap()).collect()
}

#[test]
fn a_write_that_is_not_newer_is_refused_and_changes_nothing() {
    let store = MemoryStore::new();
    assert_eq!(put(&store, "a", "2", "two"), StatusCode::OK);
    assert_eq!(put(&store, "a", "1", "one"), StatusCode::PRECONDITION_FAILED);
    assert_eq!(put(&store, "a", "2", "again"), StatusCode::PRECONDITION_FAILED);
    assert_eq!(get(&store, "a").as_deref(), Some("two"));
    assert_eq!(put(&store, "a", "3", "three"), StatusCode::OK);
    assert_eq!(get(&store, "a").as_deref(), Some("three"));
}

#[test]
fn a_delete_with_a_version_removes_only_that_version() {
    let store = MemoryStore::new();
    put(&store, "a", "2", "two");
    let refused = delete(&store, "a", "1");
    assert_eq!(refused.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(refused.headers()[plain::VERSION], "2");
    assert_eq!(get(&store, "a").as_deref(), Some("two"));
    assert_eq!(delete(&store, "a", "2").status(), StatusCode::OK);
    assert_eq!(get(&store, "a"), None);
    assert_eq!(delete(&store, "a", "2").status(), StatusCode::OK);
    put(&store, "a", "1", "one");
    assert_eq!(ask(&store, Request::delete("/o/a")).status(), StatusCode::OK);
    assert_eq!(get(&store, "a"), None);
}

#[test]
fn a_listing_continues_after_a_name() {
    let store = MemoryStore::new();
    for name in ["p/", "p/a", "p/b", "p/c", "q/a"] {
        put(&store, name, "1", "");
    }
    assert_eq!(list(&store, "p/", "", 3), ["p/", "p/a", "p/b"]);
    assert_eq!(list(&store, "p/", "p/", 1), ["p/a"]);
    assert_eq!(list(&store, "p/", "p/b", 2), ["p/c"]);
    assert_eq!(list(&store, "p/", "q", 2), [""; 0]);
}

#[test]
fn a_listing_is_cut_at_a_thousand_names() {
    let store = MemoryStore::new();
    for number in 0..1001 {
        put(&store, &format!("{number:04}"), "1", "");
    }
    assert_eq!(list(&store, "", "", 5000).len(), 1000);
    assert_eq!(list(&store, "", "0999", 5000), ["1000"]);
}

#[test]
fn what_the_protocol_does_not_know_is_refused() {
    let store = MemoryStore::new();
    let status = |request| ask(&store, request).status();
    assert_eq!(status(Request::get("/elsewhere")), StatusCode::NOT_FOUND);
    assert_eq!(status(Request::post("/o/a")), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(status(Request::put("/o/a")), StatusCode::BAD_REQUEST);
    assert_eq!(status(Request::get("/o/%ff")), StatusCode::BAD_REQUEST);
    assert_eq!(status(Request::get("/o/")), StatusCode::BAD_REQUEST);
    assert_eq!(status(Request::get("/list?limit=many")), StatusCode::BAD_REQUEST);
    let unreadable = Request::delete("/o/a").header(plain::VERSION, &b"\xff"[..]);
    assert_eq!(status(unreadable), StatusCode::BAD_REQUEST);
}

#[test]
fn what_is_too_long_is_refused() {
    let store = MemoryStore::new();
    assert_eq!(put(&store, &"n".repeat(2048), "1", ""), StatusCode::OK);
    assert_eq!(put(&store, &"n".repeat(2049), "1", ""), StatusCode::BAD_REQUEST);
    assert_eq!(put(&store, "n", &"1".repeat(2049), ""), StatusCode::BAD_REQUEST);
    let longest = "b".repeat(BODY_BYTES_MAX);
    assert_eq!(put(&store, "b", "1", &longest), StatusCode::OK);
    assert_eq!(put(&store, "b", "2", &(longest + "b")), StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn both_backends_are_served_from_a_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Arc::new(DirectoryStore::open(folder.path()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for objects in [Arc::new(MemoryStore::new()) as Arc<dyn Objects>, directory] {
        let served = PlainStore::new(objects.clone());
        let request = Request::put("/o/a").header(plain::VERSION, "1").body("one".into());
        let answer = runtime.block_on(served.serve(request.unwrap()));
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(get(&*objects, "a").as_deref(), Some("one"));
    }
}

proptest! {
    #[test]
    fn any_name_is_found_again(name in "\\PC{1,40}|[\\x00-\\x7f]{1,40}") {
        let store = MemoryStore::new();
        prop_assert_eq!(put(&store, &name, "1", "x"), StatusCode::OK);
        prop_assert_eq!(get(&store, &name), Some("x".to_owned()));
        prop_assert_eq!(list(&store, &name, "", 10), [name.clone()]);
    }
}
