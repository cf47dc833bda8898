//! An OpenTelemetry collector as an intake: what the shipper sends as records of ours goes on as OTLP in JSON over HTTP.
//!
//! It keeps nothing. What the collector did not take in time the shipper sends again, as it does with any intake.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use kv_node::env::{Clock as _, Listener, Network as _};
use kv_node::ids::{Peer, Region};
use kv_node::telemetry::otlp;
use kv_node::telemetry::ship::{BATCH, IntakeAnswer, PartialSuccess, Signal};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Service;
use super::clock::OsClock;
use super::network::HyperNetwork;

/// Answers for the collector at an address, of a node whose time passes so many times as fast.
pub(super) fn collector(address: &str, region: Option<Region>, speed: u32) -> Service {
    let peer = Peer::from("collector");
    let mut network = HyperNetwork::hastened(speed);
    network.remote(peer.clone(), Listener::Intake, address);
    let network = Arc::new(network);
    let clock = Arc::new(OsClock::new());
    Arc::new(move |request| {
        let (network, peer) = (network.clone(), peer.clone());
        let batch = Batch::of(&request, region.as_ref().map(Region::as_str), &clock);
        Box::pin(async move {
            let Some(batch) = batch else { return bare(StatusCode::BAD_REQUEST) };
            let Ok(request) = batch.request() else { return bare(StatusCode::BAD_REQUEST) };
            match network.call(&peer, Listener::Intake, request).await {
                Ok(answer) => batch.told(&answer),
                Err(_) => bare(StatusCode::BAD_GATEWAY),
            }
        })
    })
}

/// Records of one signal, and where OTLP has them.
struct Batch {
    path: &'static str,
    /// Sender and number: an intake of ours takes a batch that comes again once, any other passes over it.
    number: Option<HeaderValue>,
    body: Value,
    count: u64,
}

impl Batch {
    /// What a request of the shipper holds.
    fn of(request: &Request<Bytes>, region: Option<&str>, clock: &OsClock) -> Option<Self> {
        let signal = Signal::ALL.into_iter().find(|s| s.path() == request.uri().path())?;
        let body = request.body();
        let (path, field, requests) = match signal {
            Signal::Logs => {
                ("/v1/logs", "resourceLogs", all(body, |line| otlp::line(&line, region))?)
            }
            // OpenTelemetry has exceptions as log records.
            Signal::Exceptions => {
                let of = |report| otlp::exception(&report, clock.now(), region);
                ("/v1/logs", "resourceLogs", all(body, of)?)
            }
            Signal::Traces => {
                ("/v1/traces", "resourceSpans", all(body, |span| otlp::span(&span, region))?)
            }
        };
        let count = requests.len() as u64;
        let of_each = |mut request: Value| request[field].as_array_mut().map(std::mem::take);
        let records: Vec<Value> = requests.into_iter().filter_map(of_each).flatten().collect();
        let number = request.headers().get(BATCH).cloned();
        Some(Self { path, number, body: json!({ field: records }), count })
    }

    fn request(&self) -> Result<Request<Bytes>, http::Error> {
        let json = HeaderValue::from_static("application/json");
        let mut request = Request::post(self.path).header(CONTENT_TYPE, json);
        if let Some(number) = &self.number {
            request = request.header(BATCH, number);
        }
        request.body(Bytes::from(self.body.to_string()))
    }

    /// The collector's answer, as an intake would give it. What it will never take is refused, all else may be sent again.
    fn told(&self, answer: &Response<Bytes>) -> Response<Bytes> {
        let rejected = match answer.status() {
            status if status.is_success() => {
                serde_json::from_slice(answer.body()).map_or(0, |told: Value| rejected(&told))
            }
            status if may_be_sent_again(status) => return bare(StatusCode::BAD_GATEWAY),
            _ => self.count,
        };
        let told = IntakeAnswer { partial_success: PartialSuccess { rejected } };
        Response::new(Bytes::from(serde_json::to_vec(&told).unwrap_or_default()))
    }
}

/// By OTLP's specification these and no others.
fn may_be_sent_again(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// How many records a collector says that it did not take: a number, or text as protobuf's JSON has 64 bits.
fn rejected(told: &Value) -> u64 {
    let partial = &told["partialSuccess"];
    let of = |field: &str| {
        let value = &partial[field];
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    };
    of("rejectedLogRecords").or_else(|| of("rejectedSpans")).unwrap_or(0)
}

/// Every record of a body with one record a line.
fn all<T: DeserializeOwned>(body: &Bytes, of: impl Fn(T) -> Value) -> Option<Vec<Value>> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).ok().map(&of)).collect()
}

fn bare(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
