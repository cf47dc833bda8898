//! `kv-node health`: whether a listener answers. For container engines: an image of one binary has no curl.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use kv_node::api::admin::METRICS;
use kv_node::env::{Listener, Network as _};
use kv_node::ids::Peer;

use super::exit::{DONE, Failure};
use super::network::HyperNetwork;

/// Whoever takes longer is not well.
const DEADLINE: Duration = Duration::from_secs(3);

/// Asks a listener for metrics. One that has none, such as a store's, answers that there are none, which will do.
pub(super) async fn ask(address: String) -> Result<u8, Failure> {
    let asked = Peer::from("asked");
    let mut network = HyperNetwork::default();
    network.remote(asked.clone(), Listener::Admin, &address);
    let request = Request::get(METRICS)
        .body(Bytes::new())
        .map_err(|error| Failure::failed(error.to_string()))?;
    let answer = network.call(&asked, Listener::Admin, request);
    let unwell = |why: &str| Err(Failure::failed(format!("{address}: {why}")));
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(Ok(answer)) if answer.status().is_server_error() => {
            unwell(&format!("answered {}", answer.status()))
        }
        Ok(Ok(_)) => Ok(DONE),
        Ok(Err(error)) => unwell(&error.to_string()),
        Err(_) => unwell(&format!("no answer within {} s", DEADLINE.as_secs())),
    }
}
