//! A store that takes conditions on writes and does not keep them, as some that speak S3 do. A lab must find that out before
//! anything is lost: `liar ADDRESS BUCKET ACCESS_KEY SECRET_KEY`.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a process of its own")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kv_store::{MemoryStore, S3Store};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, bucket, key, secret] = arguments.try_into().map_err(|_| "four arguments")?;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let store = S3Store::new(Arc::new(MemoryStore::new()), (key, secret), &bucket, now);
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let store = store.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| forgets(store.clone(), request));
            // Whoever calls may go at any moment.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn forgets(
    store: S3Store,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(IF_MATCH);
    parts.headers.remove(IF_NONE_MATCH);
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok(store.serve(Request::from_parts(parts, body)).await.map(Full::new))
}
