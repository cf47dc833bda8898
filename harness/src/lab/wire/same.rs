//! Each kind of fault does the same to a request on the wire and at the fault proxy, and both count it.

#![expect(clippy::disallowed_methods, reason = "real sockets, in real time")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kv_node::env::{Listener, NetworkError};
use kv_node::ids::{Peer, Region};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Remote, Service, Wire, clients_of};
use crate::lab::doors::{LabClock, Seeds};
use crate::proxy::Server;
use crate::runs::about::wall;
use crate::spec::fault::{Fault, FaultKind, Who};
use crate::spec::topology;

/// Whoever waits longer gets no answer.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// A delay that nothing else takes as long as.
const DELAY_MS: u64 = 400;
/// The header that requests carry and one of the faults takes away.
const MARK: &str = "x-mark";

/// What whoever sent a request saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Answered { status: u16, marked: bool, late: bool },
    Broken,
    Silence,
}

#[tokio::test]
async fn on_the_wire_and_at_the_proxy_each_kind_of_fault_does_the_same() {
    let answered = |status, marked, late| Seen::Answered { status, marked, late };
    let strip = FaultKind::StripHeader { name: MARK.to_owned() };
    let kinds = [
        (FaultKind::Latency { ms: DELAY_MS }, answered(200, true, true)),
        (FaultKind::Jitter { ms: 5 }, answered(200, true, false)),
        (FaultKind::Loss, Seen::Silence),
        (FaultKind::Reset, Seen::Broken),
        (FaultKind::Partition, Seen::Silence),
        (strip, answered(200, false, false)),
        (FaultKind::Status { status: 503 }, answered(503, false, false)),
    ];
    let upstream = upstream().await;
    for (kind, expected) in kinds {
        let fault = Fault {
            kind,
            from: Who::Clients,
            to: Who::Peer(Peer::from("IAD")),
            listener: None,
            probability: 1.0,
            bursts_ms: None,
        };
        assert_eq!(on_the_wire(&fault, upstream).await, (expected, 1), "on the wire: {fault}");
        assert_eq!(at_the_proxy(&fault, upstream).await, (expected, 1), "at the proxy: {fault}");
    }
}

/// Says whether a request was marked.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(async |request: Request<Incoming>| {
                let marked = request.headers().contains_key(MARK);
                let mut answer = Response::new(Full::new(Bytes::from_static(b"here")));
                if marked {
                    answer.headers_mut().insert(MARK, http::HeaderValue::from_static("seen"));
                }
                Ok::<_, Infallible>(answer)
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn seen(call: impl Future<Output = Result<Response<Bytes>, NetworkError>>) -> Seen {
    let since = Instant::now();
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Seen::Answered {
            status: answer.status().as_u16(),
            marked: answer.headers().contains_key(MARK),
            late: since.elapsed() >= Duration::from_millis(DELAY_MS),
        },
        Ok(Err(_)) => Seen::Broken,
        Err(_) => Seen::Silence,
    }
}

fn request() -> Request<Bytes> {
    Request::get("/asked").header(MARK, "sent").body(Bytes::new()).unwrap()
}

async fn on_the_wire(fault: &Fault, upstream: SocketAddr) -> (Seen, u64) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../features/topologies/small.toml");
    let topology = topology::read("small", &std::fs::read_to_string(file).unwrap()).unwrap();
    let clock = Arc::new(LabClock::new(wall()));
    let wire = Wire::new(&topology, clock.clone(), Seeds::new(1));
    let remote = Remote::new();
    remote.publish_at(Listener::Rest, &upstream.to_string());
    let (to, from) = (Peer::from("IAD"), clients_of(&Region::from("NA")));
    wire.serve(&to, Service::Remote(remote));
    let until = clock.timestamp().after(Duration::from_mins(1));
    let installed = wire.install(fault.clone(), until, "fault");
    let seen = seen(wire.door_of(&from).call(&to, Listener::Rest, request())).await;
    (seen, wire.acted(installed))
}

async fn at_the_proxy(fault: &Fault, upstream: SocketAddr) -> (Seen, u64) {
    let server = Server::bind("127.0.0.1:0", 1).await.unwrap();
    let link = json!([{
        "name": "link",
        "listen": "127.0.0.1:0",
        "upstream": upstream.to_string(),
        "enabled": true,
        "from": "clients/NA",
        "to": "IAD",
        "listener": "rest",
    }]);
    server.populate(link.to_string().as_bytes()).await.unwrap();
    let api = Remote::new();
    api.publish_at(Listener::Admin, &server.address().to_string());
    let serving = tokio::spawn(server.serve(std::future::pending()));
    let ask = async |request: Result<Request<Bytes>, http::Error>| -> Value {
        let answer = api.call(Listener::Admin, request.unwrap()).await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        serde_json::from_slice(answer.body()).unwrap()
    };
    let mut body = serde_json::to_value(fault).unwrap();
    body["name"] = json!("one");
    ask(Request::post("/faults").body(Bytes::from(body.to_string()))).await;
    let proxies = ask(Request::get("/proxies").body(Bytes::new())).await;
    let proxied = Remote::new();
    proxied.publish_at(Listener::Rest, proxies["link"]["listen"].as_str().unwrap());
    let seen = seen(proxied.call(Listener::Rest, request())).await;
    let told = ask(Request::get("/faults/one").body(Bytes::new())).await;
    serving.abort();
    (seen, told["acted"].as_u64().unwrap())
}
