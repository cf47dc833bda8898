//! A store that speaks the plain protocol. The only file of this room with HTTP in it.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use kv_store::plain;

use super::object_store::{ObjectStore, StoreError, StoredObject, Written};
use crate::config::STORE_TIMEOUT;
use crate::env::{BoxFuture, Listener, NodeEnv};
use crate::ids::{Peer, Version};
use crate::telemetry::TraceContext;
use crate::telemetry::trace::TRACEPARENT;

/// A client of one store.
#[derive(Clone, Debug)]
pub struct PlainStore {
    peer: Peer,
    env: NodeEnv,
}

impl PlainStore {
    /// A client of the store at `peer`.
    pub fn new(peer: Peer, env: NodeEnv) -> Self {
        Self { peer, env }
    }

    fn call(
        &self,
        request: Result<Request<Bytes>, http::Error>,
    ) -> impl Future<Output = Result<Response<Bytes>, StoreError>> + Send + use<> {
        let env = self.env.clone();
        let call = request.map(|request| env.network.call(&self.peer, Listener::Store, request));
        async move {
            let call = call.map_err(|_| StoreError::Malformed)?;
            match env.timeout(STORE_TIMEOUT, call).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(_)) => Err(StoreError::Unreachable),
                Err(_) => Err(StoreError::TimedOut),
            }
        }
    }
}

fn request(method: Method, path: String) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}

fn traced(
    request: Result<Request<Bytes>, http::Error>,
    trace: TraceContext,
) -> Result<Request<Bytes>, http::Error> {
    let mut request = request?;
    if let Some(context) = trace.header() {
        request.headers_mut().insert(TRACEPARENT, context);
    }
    Ok(request)
}

impl ObjectStore for PlainStore {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn get(
        &self,
        object: &str,
        trace: TraceContext,
    ) -> BoxFuture<Result<Option<StoredObject>, StoreError>> {
        let get = request(Method::GET, plain::object_path(object)).body(Bytes::new());
        let call = self.call(traced(get, trace));
        Box::pin(async move {
            let response = call.await?;
            match response.status() {
                StatusCode::NOT_FOUND => Ok(None),
                StatusCode::OK => {
                    let header =
                        |name| response.headers().get(name).and_then(|value| value.to_str().ok());
                    let version = header(plain::VERSION).and_then(Version::decode);
                    let (Some(version), Some(meta)) = (version, header(plain::META)) else {
                        return Err(StoreError::Malformed);
                    };
                    let meta = meta.to_owned();
                    Ok(Some(StoredObject { version, meta, body: response.into_body() }))
                }
                _ => Err(StoreError::Failed),
            }
        })
    }

    fn put(
        &self,
        object: &str,
        content: StoredObject,
        trace: TraceContext,
    ) -> BoxFuture<Result<Written, StoreError>> {
        let put = request(Method::PUT, plain::object_path(object))
            .header(plain::VERSION, content.version.encode())
            .header(plain::META, content.meta)
            .body(content.body);
        let call = self.call(traced(put, trace));
        Box::pin(async move {
            match call.await?.status() {
                StatusCode::OK => Ok(Written::Stored),
                StatusCode::PRECONDITION_FAILED => Ok(Written::NotNewer),
                _ => Err(StoreError::Failed),
            }
        })
    }

    fn delete(&self, object: &str, up_to: Version) -> BoxFuture<Result<(), StoreError>> {
        let delete = request(Method::DELETE, plain::object_path(object))
            .header(plain::VERSION, up_to.encode())
            .body(Bytes::new());
        let call = self.call(delete);
        Box::pin(async move {
            match call.await?.status() {
                StatusCode::OK | StatusCode::PRECONDITION_FAILED => Ok(()),
                _ => Err(StoreError::Failed),
            }
        })
    }

    fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> BoxFuture<Result<Vec<String>, StoreError>> {
        let path = plain::list_path(prefix, after, limit);
        let call = self.call(request(Method::GET, path).body(Bytes::new()));
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        Box::pin(async move {
            let response = call.await?;
            if response.status() != StatusCode::OK {
                return Err(StoreError::Failed);
            }
            let body = std::str::from_utf8(response.body()).map_err(|_| StoreError::Malformed)?;
            // Lines of something else, such as a proxy's page, must not pass for a listing without the wanted names.
            let asked_for = |name: &String| name.starts_with(&prefix) && *name > after;
            let name = |line| plain::decode(line).filter(asked_for).ok_or(StoreError::Malformed);
            body.lines().map(name).collect()
        })
    }
}
