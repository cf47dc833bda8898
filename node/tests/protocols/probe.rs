//! Stores of others, which keep less of S3 than this node needs.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use kv_node::env::{BoxFuture, Listener, Network, NetworkError};
use kv_node::ids::Peer;
use kv_node::storage::{S3Access, S3Client, StoreError, probe};
use kv_store::s3::{ANY_REGION, Credentials};
use kv_store::{MemoryStore, S3Store};

use crate::bench::{BEGIN_S, env};

/// A store that overlooks some headers of some requests, or some that refuses all of them.
struct Foreign {
    store: S3Store,
    overlooks: Vec<(Method, HeaderName)>,
    refuses: Option<(Method, StatusCode)>,
}

impl Network for Foreign {
    fn call(
        &self,
        _: &Peer,
        _: Listener,
        mut request: Request<Bytes>,
    ) -> BoxFuture<Result<Response<Bytes>, NetworkError>> {
        if let Some((method, status)) = &self.refuses
            && method == request.method()
        {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = *status;
            return Box::pin(std::future::ready(Ok(response)));
        }
        for (method, header) in &self.overlooks {
            if method == request.method() {
                request.headers_mut().remove(header);
            }
        }
        let store = self.store.clone();
        Box::pin(async move { Ok(store.serve(request).await) })
    }
}

fn access() -> S3Access {
    let (key, secret) = ("key".to_owned(), "secret".to_owned());
    let credentials = Credentials { key, secret, region: ANY_REGION.to_owned() };
    S3Access { host: "store".to_owned(), bucket: "kv".to_owned(), credentials }
}

/// What is said of a store, and what it holds afterwards.
async fn said_of(
    overlooks: &[(Method, HeaderName)],
    refuses: Option<(Method, StatusCode)>,
) -> (Result<Vec<String>, StoreError>, usize) {
    let memory = Arc::new(MemoryStore::new());
    let signer = ("key".to_owned(), "secret".to_owned());
    let store = S3Store::new(memory.clone(), signer, "kv", || BEGIN_S);
    let foreign = Foreign { store, overlooks: overlooks.to_vec(), refuses };
    let client = S3Client::new(Peer::from("store"), access(), env(Arc::new(foreign)));
    let lacks = probe(&client, 7).await;
    let said = lacks.map(|lacks| {
        let line = |lack: &kv_node::storage::Lack| {
            format!("{}{}", if lack.loses_writes { "loses: " } else { "" }, lack.what)
        };
        lacks.iter().map(line).collect()
    });
    let list = kv_store::plain::list_path("", "", 10);
    let left = memory.serve(Request::get(list).body(Bytes::new()).unwrap()).into_body();
    (said, std::str::from_utf8(&left).unwrap().lines().count())
}

#[tokio::test(start_paused = true)]
async fn of_a_store_that_keeps_everything_nothing_is_said_and_nothing_is_left_in_it() {
    assert_eq!(said_of(&[], None).await, (Ok(Vec::new()), 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_store_overlooks_is_told_with_what_follows_from_it() {
    let cases = [
        (
            (Method::PUT, IF_NONE_MATCH),
            "loses: PUT with If-None-Match: * replaces what is there: of two first writes the older may win",
        ),
        (
            (Method::PUT, IF_MATCH),
            "loses: PUT with If-Match replaces another object too: of two writes the older may win",
        ),
        (
            (Method::DELETE, IF_MATCH),
            "loses: DELETE with If-Match removes another object too: tidying up may remove a newer write",
        ),
    ];
    for (overlooks, said) in cases {
        assert_eq!(said_of(&[overlooks], None).await, (Ok(vec![said.to_owned()]), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_know_conditions_on_deletions_can_be_used() {
    let refuses = Some((Method::DELETE, StatusCode::NOT_IMPLEMENTED));
    let (said, _) = said_of(&[], refuses).await;
    let told = "DELETE with If-Match is not known: what was deleted is never tidied up";
    assert_eq!(said, Ok(vec![told.to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_everything_cannot_be_tried() {
    let refuses = Some((Method::PUT, StatusCode::FORBIDDEN));
    assert_eq!(said_of(&[], refuses).await.0, Err(StoreError::Failed));
}
