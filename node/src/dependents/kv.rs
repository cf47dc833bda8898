//! The node as products see it: a Worker's binding.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};

use super::Counts;
use super::data::NAMESPACE;
use crate::env::{Listener, NodeEnv};
use crate::ids::Peer;
use crate::telemetry::catalogue;

/// How long a product waits for the node.
const PATIENCE: Duration = Duration::from_secs(5);

/// The node did not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unavailable;

pub(super) struct Kv {
    node: Peer,
    env: NodeEnv,
    counts: Arc<Counts>,
}

impl Kv {
    pub(super) fn new(node: Peer, env: NodeEnv, counts: Arc<Counts>) -> Self {
        Self { node, env, counts }
    }

    /// A key's value; `None` where there is none.
    pub(super) async fn get(
        &self,
        product: &'static str,
        key: &str,
    ) -> Result<Option<Bytes>, Unavailable> {
        match self.ask(product, Method::GET, key, Bytes::new()).await? {
            (StatusCode::OK, value) => Ok(Some(value)),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            _ => Err(Unavailable),
        }
    }

    /// Writes a key.
    pub(super) async fn put(
        &self,
        product: &'static str,
        key: &str,
        value: &str,
    ) -> Result<(), Unavailable> {
        let value = Bytes::from(value.to_owned());
        match self.ask(product, Method::PUT, key, value).await? {
            (StatusCode::OK, _) => Ok(()),
            _ => Err(Unavailable),
        }
    }

    async fn ask(
        &self,
        product: &'static str,
        method: Method,
        key: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Unavailable> {
        let path = format!("/{}?urlencoded=true", key.replace('/', "%2F"));
        let request = Request::builder().method(method).uri(path);
        let request = request.header("cf-kv-namespace", NAMESPACE).body(body);
        let request = request.map_err(|_| Unavailable)?;
        let call = self.env.network.call(&self.node, Listener::Binding, request);
        let answer = self.env.timeout(PATIENCE, call).await;
        let answer = answer.ok().and_then(Result::ok);
        let result = match answer.as_ref().map(|answer| answer.status().as_u16()) {
            Some(200 | 404) => "answered",
            Some(400..=499) => "refused",
            Some(_) => "failed",
            None => "unanswered",
        };
        self.counts.inc(&catalogue::PRODUCT_KV_REQUESTS, &[product, result]);
        let answer = answer.ok_or(Unavailable)?;
        Ok((answer.status(), answer.into_body()))
    }
}
