//! What answers behind a container's published port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kv_node::env::{BoxFuture, Listener, Network, NetworkError};
use kv_node::ids::Peer;

use super::super::lock;

/// A client of containers: their listeners by where they are published.
#[derive(Debug)]
pub(in crate::lab) struct Remote {
    client: Client<HttpConnector, Full<Bytes>>,
    /// A container that is started again is published elsewhere.
    addresses: Mutex<BTreeMap<Listener, Authority>>,
}

impl Remote {
    pub(super) fn new() -> Arc<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Arc::new(Self { client, addresses: Mutex::default() })
    }

    pub(super) fn publish(&self, listener: Listener, address: SocketAddr) {
        if let Ok(authority) = address.to_string().parse() {
            lock(&self.addresses).insert(listener, authority);
        }
    }

    /// Sends a request and waits for all of the answer.
    pub(in crate::lab) async fn call(
        &self,
        listener: Listener,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, NetworkError> {
        let authority = lock(&self.addresses).get(&listener).cloned();
        let authority = authority.ok_or(NetworkError::Refused)?;
        let (mut parts, body) = request.into_parts();
        let mut uri = parts.uri.into_parts();
        (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(authority));
        parts.uri = Uri::from_parts(uri).map_err(|_| NetworkError::Refused)?;
        let answer = self.client.request(Request::from_parts(parts, Full::new(body))).await;
        let answer = answer.map_err(|error| {
            if error.is_connect() { NetworkError::Refused } else { NetworkError::Reset }
        })?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|_| NetworkError::Reset)?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }
}

/// A network past the wire: for what is laid into the stores and read from them, which is no part of a replay.
#[derive(Debug)]
pub(super) struct PastTheWire(pub(super) BTreeMap<Peer, Arc<Remote>>);

impl Network for PastTheWire {
    fn call(
        &self,
        to: &Peer,
        listener: Listener,
        request: Request<Bytes>,
    ) -> BoxFuture<Result<Response<Bytes>, NetworkError>> {
        let remote = self.0.get(to).cloned();
        Box::pin(async move {
            match remote {
                Some(remote) => remote.call(listener, request).await,
                None => Err(NetworkError::Refused),
            }
        })
    }
}
