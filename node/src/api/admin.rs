//! The admin listener: what the control plane tells a node, and what a monitor asks it.
//!
//! | request | answer |
//! |---|---|
//! | `PUT /admin/v1/config` with a [`Snapshot`] | 200; also when the node has a newer one |
//! | `POST /admin/v1/isolates/restart` | 200 once every isolate of the supercache is fresh |
//! | `GET /metrics` | 200 in Prometheus' text format; the only one that needs no signature |

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

use super::auth::Secret;
use super::status::bare;
use crate::config::Snapshot;
use crate::env::{Listener, NodeEnv};
use crate::ids::Peer;

/// Path of the configuration.
pub const CONFIG: &str = "/admin/v1/config";
/// Path that restarts the supercache's isolates.
pub const RESTART_ISOLATES: &str = "/admin/v1/isolates/restart";
/// Path of the metrics.
pub const METRICS: &str = "/metrics";

/// What the listener needs of the node behind it.
pub trait Admin {
    /// Takes a configuration, if it is newer.
    fn configure(&self, snapshot: Snapshot);
    /// Restarts the supercache's isolates.
    fn restart_isolates(&self);
    /// The metrics as text.
    fn metrics(&self) -> String;
}

/// Answers one request; `signed` says whether it carries a signature for this node.
pub fn serve(node: &impl Admin, signed: bool, request: &Request<Bytes>) -> Response<Bytes> {
    if *request.method() == Method::GET && request.uri().path() == METRICS {
        return Response::new(Bytes::from(node.metrics()));
    }
    if !signed {
        return bare(StatusCode::UNAUTHORIZED);
    }
    match (request.method(), request.uri().path()) {
        (&Method::PUT, CONFIG) => match serde_json::from_slice(request.body()) {
            Ok(snapshot) => {
                node.configure(snapshot);
                bare(StatusCode::OK)
            }
            Err(_) => bare(StatusCode::BAD_REQUEST),
        },
        (&Method::POST, RESTART_ISOLATES) => {
            node.restart_isolates();
            bare(StatusCode::OK)
        }
        _ => bare(StatusCode::NOT_FOUND),
    }
}

/// Sends a signed request to a listener that demands one; the status, or `None` where there was no answer in time.
pub async fn call(
    env: &NodeEnv,
    secret: &Secret,
    to: &Peer,
    listener: Listener,
    mut request: Request<Bytes>,
) -> Option<Response<Bytes>> {
    secret.sign(&mut request, to, env.clock.now());
    let call = env.network.call(to, listener, request);
    env.timeout(crate::config::TIER_TIMEOUT, call).await.ok()?.ok()
}
