//! What answers behind a container's published port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
    /// How long a call may take; without it as long as it takes.
    patience: Option<Duration>,
}

impl Remote {
    pub(in crate::lab) fn new() -> Arc<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Arc::new(Self { client, addresses: Mutex::default(), patience: None })
    }

    /// A client whose calls end after a time, answered or not.
    pub(in crate::lab) fn patient(patience: Duration) -> Arc<Self> {
        let mut remote = Self::new();
        if let Some(remote) = Arc::get_mut(&mut remote) {
            remote.patience = Some(patience);
        }
        remote
    }

    pub(super) fn publish(&self, listener: Listener, address: SocketAddr) {
        self.publish_at(listener, &address.to_string());
    }

    /// The same, where it is known by a name: `host:port`.
    pub(in crate::lab) fn publish_at(&self, listener: Listener, host: &str) {
        if let Ok(authority) = host.parse() {
            lock(&self.addresses).insert(listener, authority);
        }
    }

    /// Sends a request and waits for all of the answer.
    pub(in crate::lab) async fn call(
        &self,
        listener: Listener,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, NetworkError> {
        let call = self.call_now(listener, request);
        match self.patience {
            None => call.await,
            Some(patience) => {
                tokio::time::timeout(patience, call).await.unwrap_or(Err(NetworkError::Reset))
            }
        }
    }

    async fn call_now(
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
