//! The S3 protocol, asked by another implementation of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use kv_store::{DirectoryStore, Etag, MemoryStore, Objects, S3Store};
use rusty_s3::actions::{DeleteObjects, ListObjectsV2, ListObjectsV2Response, ObjectIdentifier};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

/// A Monday in 2023: no wall clock is near it.
const NOW_S: u64 = 1_689_585_300;
const VALID: Duration = Duration::from_mins(1);
const NAMES: [&str; 9] = [
    "a/b\0c",
    "plus+and space",
    "percent%2F%00",
    "//slashes//",
    "ünï\u{1f980}",
    "&<>\"'=?#",
    "\t\n\r\u{7f}",
    "~tilde-_.",
    "v/ns/key",
];

struct Client {
    store: S3Store,
    bucket: Bucket,
    credentials: Credentials,
    now_s: u64,
}

impl Client {
    fn new(objects: Arc<dyn Objects>) -> Self {
        let credentials = ("key".to_owned(), "secret".to_owned());
        let store = S3Store::new(objects, credentials, "kv-objects", || NOW_S);
        let endpoint = "http://store.test:9000".parse().unwrap();
        let bucket = Bucket::new(endpoint, UrlStyle::Path, "kv-objects", "us-east-1").unwrap();
        Self { store, bucket, credentials: Credentials::new("key", "secret"), now_s: NOW_S }
    }

    fn memory() -> Self {
        Self::new(Arc::new(MemoryStore::new()))
    }

    /// What the URL of an action is, and its method and headers.
    fn sign<'a>(
        &self,
        mut action: impl S3Action<'a>,
        headers: &[(&'a str, &'a str)],
    ) -> Request<Bytes> {
        for (name, value) in headers {
            action.headers_mut().insert(*name, *value);
        }
        let time = Timestamp::from_second(i64::try_from(self.now_s).unwrap()).unwrap();
        let url = action.sign_with_time(VALID, &time);
        let mut request = Request::builder().method(method(&action)).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Bytes::new()).unwrap()
    }

    fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(self.store.serve(request))
    }

    fn ask<'a>(
        &self,
        action: impl S3Action<'a>,
        headers: &[(&'a str, &'a str)],
    ) -> Response<Bytes> {
        self.send(self.sign(action, headers))
    }

    fn put(&self, name: &str, body: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let action = self.bucket.put_object(Some(&self.credentials), name);
        let mut request = self.sign(action, headers);
        *request.body_mut() = Bytes::copy_from_slice(body.as_bytes());
        self.send(request)
    }

    fn get(&self, name: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        self.ask(self.bucket.get_object(Some(&self.credentials), name), headers)
    }

    fn delete(&self, name: &str, headers: &[(&str, &str)]) -> StatusCode {
        let action = self.bucket.delete_object(Some(&self.credentials), name);
        self.ask(action, headers).status()
    }

    fn list(&self, change: impl FnOnce(&mut ListObjectsV2<'_>)) -> ListObjectsV2Response {
        let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
        change(&mut action);
        let response = self.ask(action, &[]);
        assert_eq!(response.status(), StatusCode::OK);
        ListObjectsV2::parse_response(str::from_utf8(response.body()).unwrap()).unwrap()
    }
}

fn method<'a, A: S3Action<'a>>(_: &A) -> Method {
    Method::from_bytes(A::METHOD.to_str().as_bytes()).unwrap()
}

fn text(response: &Response<Bytes>) -> &str {
    str::from_utf8(response.body()).unwrap()
}

#[test]
fn an_object_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let directory = DirectoryStore::open(folder.path()).unwrap();
    for client in [Client::memory(), Client::new(Arc::new(directory))] {
        for name in NAMES {
            let user = [("x-amz-meta-meta", "v;12;ab"), ("x-amz-meta-version", "0007")];
            let put = client.put(name, name, &user);
            assert_eq!(put.status(), StatusCode::OK, "{}", text(&put));
            let etag = format!("\"{}\"", Etag::of(name.as_bytes()));
            assert_eq!(put.headers()["etag"], etag);
            let head = client.bucket.head_object(Some(&client.credentials), name);
            for answer in [client.get(name, &[]), client.ask(head, &[])] {
                assert_eq!(answer.status(), StatusCode::OK);
                assert_eq!(answer.headers()["etag"], etag);
                assert_eq!(answer.headers()["x-amz-meta-version"], "0007");
                assert_eq!(answer.headers()["x-amz-meta-meta"], "v;12;ab");
                assert_eq!(answer.headers()["content-length"], name.len().to_string());
                assert_eq!(answer.headers()["last-modified"], "Mon, 17 Jul 2023 09:15:00 GMT");
                assert!(answer.body().is_empty() || answer.body() == name.as_bytes());
            }
            assert_eq!(client.get(name, &[]).body(), name.as_bytes());
            // To the last header in the same order: a replay compares bytes.
            let answer = || format!("{:?}", client.get(name, &[]));
            assert_eq!(answer(), answer());
        }
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        let listed = client.list(|_| {}).contents;
        assert_eq!(listed.iter().map(|line| &*line.key).collect::<Vec<_>>(), names);
        assert_eq!(listed[0].size, Some(names[0].len() as u64));
        let etag = format!("\"{}\"", Etag::of(names[0].as_bytes()));
        assert_eq!(listed[0].etag.as_deref(), Some(&*etag));
        for name in NAMES {
            assert_eq!(client.delete(name, &[]), StatusCode::NO_CONTENT);
            assert_eq!(client.get(name, &[]).status(), StatusCode::NOT_FOUND);
        }
    }
}

#[test]
fn an_object_of_a_foreign_client_has_no_version_and_is_older_than_any() {
    let objects = Arc::new(MemoryStore::new());
    let client = Client::new(objects.clone());
    client.put("a", "theirs", &[]);
    let held = objects.get("a").unwrap().unwrap();
    assert_eq!((&*held.object.version, held.object.meta.as_bytes()), ("", &b""[..]));
    let object = kv_store::Object { version: "0".to_owned(), ..held.object };
    assert_eq!(objects.put_if_newer("a", object).unwrap(), kv_store::Outcome::Done);
    // What would be lost is refused.
    let refused = client.put("a", "", &[("x-amz-meta-mtime", "1")]);
    assert_eq!(refused.status(), StatusCode::NOT_IMPLEMENTED);
}

#[test]
fn conditions_hold() {
    let client = Client::memory();
    let status = |answer: Response<Bytes>| answer.status();
    let etag = |body: &str| format!("\"{}\"", Etag::of(body.as_bytes()));
    let (one, two) = (etag("one"), etag("two"));
    assert_eq!(status(client.put("a", "", &[("if-match", &one)])), StatusCode::NOT_FOUND);
    assert_eq!(status(client.put("a", "one", &[("if-none-match", "*")])), StatusCode::OK);
    let again = client.put("a", "two", &[("if-none-match", "*")]);
    assert_eq!(again.status(), StatusCode::PRECONDITION_FAILED);
    assert!(text(&again).contains("<Code>PreconditionFailed</Code>"), "{}", text(&again));
    let stale = client.put("a", "two", &[("if-match", &two)]);
    assert_eq!(stale.status(), StatusCode::PRECONDITION_FAILED);
    let odd = client.put("a", "two", &[("if-match", "\"none of ours\"")]);
    assert_eq!(odd.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(client.get("a", &[]).body(), "one");
    assert_eq!(status(client.put("a", "two", &[("if-match", &one)])), StatusCode::OK);
    assert_eq!(status(client.get("a", &[("if-match", &one)])), StatusCode::PRECONDITION_FAILED);
    let same = client.get("a", &[("if-none-match", &two)]);
    assert_eq!((same.status(), same.body().len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(client.delete("a", &[("if-match", &one)]), StatusCode::PRECONDITION_FAILED);
    assert_eq!(client.delete("a", &[("if-match", &two)]), StatusCode::NO_CONTENT);
    assert_eq!(client.get("a", &[]).status(), StatusCode::NOT_FOUND);
    assert_eq!(client.delete("a", &[("if-match", &two)]), StatusCode::NO_CONTENT);
}

#[test]
fn of_eight_that_make_an_object_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let directory = DirectoryStore::open(folder.path()).unwrap();
    for client in [Client::memory(), Client::new(Arc::new(directory))] {
        for round in 0..20 {
            let name = format!("round {round}");
            let race = |headers: &[(&str, &str)]| {
                let put = |number| client.put(&name, &format!("{number}"), headers).status();
                let answers: Vec<_> = std::thread::scope(|scope| {
                    let put = &put;
                    let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || put(n))).collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
                });
                answers.iter().filter(|status| **status == StatusCode::OK).count()
            };
            assert_eq!(race(&[("if-none-match", "*")]), 1);
            // One that nobody puts again, so that the first winner ends the condition.
            client.put(&name, "old", &[]);
            let old = format!("\"{}\"", Etag::of(b"old"));
            assert_eq!(race(&[("if-match", &old)]), 1);
        }
    }
}

#[test]
fn who_does_not_sign_rightly_is_refused() {
    let mut client = Client::memory();
    client.put("a", "secret", &[]);
    let code = |answer: Response<Bytes>| {
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{}", text(&answer));
        let code = text(&answer).split_once("<Code>").unwrap().1;
        code.split_once('<').unwrap().0.to_owned()
    };
    let unsigned = client.bucket.get_object(None, "a");
    assert_eq!(code(client.ask(unsigned, &[])), "AccessDenied");
    for (key, secret, expected) in
        [("key", "guess", "SignatureDoesNotMatch"), ("who", "secret", "InvalidAccessKeyId")]
    {
        let credentials = Credentials::new(key, secret);
        let action = client.bucket.get_object(Some(&credentials), "a");
        assert_eq!(code(client.ask(action, &[])), expected);
    }
    let good = || client.sign(client.bucket.get_object(Some(&client.credentials), "a"), &[]);
    let changed = |change: &dyn Fn(&str) -> String| {
        let mut request = good();
        *request.uri_mut() = change(&request.uri().to_string()).parse().unwrap();
        client.send(request)
    };
    assert_eq!(changed(&str::to_owned).status(), StatusCode::OK);
    let other = |uri: &str| uri.replace("/a?", "/b?");
    assert_eq!(code(changed(&other)), "SignatureDoesNotMatch");
    let more = |uri: &str| uri.to_owned() + "&prefix=b";
    assert_eq!(code(changed(&more)), "SignatureDoesNotMatch");
    let longer = |uri: &str| uri.replace("Expires=60", "Expires=600000");
    assert_eq!(code(changed(&longer)), "SignatureDoesNotMatch");
    let mut request = good();
    *request.method_mut() = Method::DELETE;
    assert_eq!(code(client.send(request)), "SignatureDoesNotMatch");
    let mut request = good();
    request.headers_mut().insert("x-amz-meta-version", "9".parse().unwrap());
    assert_eq!(code(client.send(request)), "AccessDenied");
    let action = client.bucket.put_object(Some(&client.credentials), "a");
    let mut request = client.sign(action, &[("if-none-match", "*")]);
    request.headers_mut().remove("if-none-match");
    assert_eq!(code(client.send(request)), "AccessDenied");
    let old = Request::get("/kv-objects/a").header("authorization", "AWS key:c2lnbmF0dXJl");
    assert_eq!(code(client.send(old.body(Bytes::new()).unwrap())), "AccessDenied");
    let expired = client.sign(client.bucket.get_object(Some(&client.credentials), "a"), &[]);
    for (now_s, expected) in [
        (NOW_S - 60, StatusCode::OK),
        (NOW_S - 61, StatusCode::FORBIDDEN),
        (NOW_S + 900, StatusCode::OK),
        (NOW_S + 901, StatusCode::FORBIDDEN),
    ] {
        client.now_s = now_s;
        assert_eq!(client.get("a", &[]).status(), expected, "{now_s}");
    }
    assert_eq!(client.send(expired).status(), StatusCode::OK);
    assert_eq!(client.get("a", &[]).status(), StatusCode::FORBIDDEN);
}

#[test]
fn a_listing_comes_in_pages_and_rolls_folders_into_lines() {
    let client = Client::memory();
    for name in ["a", "b/1", "b/2", "b0", "c/\0/1", "c/\0/2", "d", "e/1"] {
        client.put(name, "", &[]);
    }
    let pages = |delimiter: &str, prefix: &str| {
        let (mut lines, mut token) = (Vec::new(), None::<String>);
        loop {
            let page = client.list(|list| {
                list.with_max_keys(2);
                list.with_prefix(prefix.to_owned());
                if !delimiter.is_empty() {
                    list.with_delimiter(delimiter.to_owned());
                }
                if let Some(token) = token.take() {
                    list.with_continuation_token(token);
                }
            });
            let names = page.contents.into_iter().map(|line| line.key);
            lines.push(names.chain(page.common_prefixes.into_iter().map(|p| p.prefix)).collect());
            token = page.next_continuation_token;
            if token.is_none() {
                return lines as Vec<Vec<String>>;
            }
        }
    };
    assert_eq!(pages("/", ""), [vec!["a", "b/"], vec!["b0", "c/"], vec!["d", "e/"]]);
    assert_eq!(pages("", "b"), [vec!["b/1", "b/2"], vec!["b0"]]);
    assert_eq!(pages("/", "c/"), [["c/\0/"]]);
    assert_eq!(pages("", "c/\0/"), [["c/\0/1", "c/\0/2"]]);
    let after = client.list(|list| list.with_start_after("c/\0/1"));
    let names: Vec<_> = after.contents.iter().map(|line| &*line.key).collect();
    assert_eq!(names, ["c/\0/2", "d", "e/1"]);
    assert_eq!(client.list(|list| list.with_max_keys(0)).contents.len(), 0);
    // XML cannot hold one of these names as it is.
    let mut raw = client.bucket.list_objects_v2(Some(&client.credentials));
    raw.query_mut().remove("encoding-type");
    assert_eq!(client.ask(raw, &[]).status(), StatusCode::BAD_REQUEST);
    // And by the first version of the operation.
    let mut old = client.bucket.list_objects_v2(Some(&client.credentials));
    old.query_mut().remove("list-type");
    for (name, value) in [("delimiter", "/"), ("marker", "b/"), ("max-keys", "1")] {
        old.query_mut().insert(name, value);
    }
    let page = client.ask(old, &[]);
    assert!(text(&page).contains("<Key>b0</Key>"), "{}", text(&page));
    assert!(text(&page).contains("<NextMarker>b0</NextMarker>"), "{}", text(&page));
}

#[test]
fn many_are_removed_at_once() {
    let client = Client::memory();
    let names = ["a", "b c", "ü/+"].map(|name| ObjectIdentifier::new(name.to_owned()));
    for name in &names {
        client.put(&name.key, "", &[]);
    }
    client.put("kept", "", &[]);
    let delete = |names: &[ObjectIdentifier]| {
        let action = DeleteObjects::new(&client.bucket, Some(&client.credentials), names.iter());
        let (body, md5) = action.clone().body_with_md5();
        let mut request = client.sign(action, &[("content-md5", &md5)]);
        *request.body_mut() = body.into();
        client.send(request)
    };
    let odd = ["a", "\0"].map(|name| ObjectIdentifier::new(name.to_owned()));
    assert_eq!(delete(&odd).status(), StatusCode::BAD_REQUEST);
    let answer = delete(&names);
    assert_eq!(answer.status(), StatusCode::OK, "{}", text(&answer));
    assert_eq!(text(&answer).matches("<Deleted>").count(), 3, "{}", text(&answer));
    assert_eq!(client.list(|_| {}).contents.len(), 1);
}

#[test]
fn parts_of_objects_and_the_bucket_itself_can_be_asked_for() {
    let client = Client::memory();
    client.put("a", "0123456789", &[]);
    for (range, expected, told) in
        [("bytes=2-4", "234", "bytes 2-4/10"), ("bytes=-3", "789", "bytes 7-9/10")]
    {
        let part = client.get("a", &[("range", range)]);
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(
            (text(&part), part.headers()["content-range"].to_str().unwrap()),
            (expected, told)
        );
    }
    let none = client.get("a", &[("range", "bytes=10-")]);
    assert_eq!(none.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let credentials = Some(&client.credentials);
    assert_eq!(client.ask(client.bucket.head_bucket(credentials), &[]).status(), StatusCode::OK);
    let made = client.ask(client.bucket.create_bucket(&client.credentials), &[]);
    assert_eq!(made.status(), StatusCode::OK);
    let mut location = client.bucket.list_objects_v2(credentials);
    location.query_mut().remove("list-type");
    location.query_mut().remove("encoding-type");
    location.query_mut().insert("location", "");
    let location = client.ask(location, &[]);
    assert!(text(&location).contains("LocationConstraint"), "{}", text(&location));
    let endpoint = "http://store.test".parse().unwrap();
    let other = Bucket::new(endpoint, UrlStyle::Path, "other", "us-east-1").unwrap();
    assert_eq!(client.ask(other.head_bucket(credentials), &[]).status(), StatusCode::NOT_FOUND);
    assert_eq!(client.ask(other.get_object(credentials, "a"), &[]).status(), StatusCode::NOT_FOUND);
}

#[test]
fn a_body_must_have_the_sums_that_come_with_it() {
    let client = Client::memory();
    for (name, right, wrong) in [
        ("content-md5", "XUFAKrxLKna5cZ2REBfFkg==", "XUFAKrxLKna5cZ2REBfFkQ=="),
        ("x-amz-checksum-crc32", "NhCmhg==", "NhCmhQ=="),
    ] {
        assert_eq!(client.put("a", "hello", &[(name, right)]).status(), StatusCode::OK);
        let refused = client.put("b", "hello", &[(name, wrong)]);
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert!(text(&refused).contains("BadDigest"), "{}", text(&refused));
        assert_eq!(client.get("b", &[]).status(), StatusCode::NOT_FOUND);
    }
}
