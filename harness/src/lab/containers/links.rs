//! Links as sockets: for every listener that a node calls, a port of this machine which leads onto the wire. So a container's
//! requests meet the same faults, latencies and witnesses as those of a node within a simulated lab.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::poll_fn;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kv_node::env::{Listener, Network};
use kv_node::ids::Peer;
use tokio::net::{TcpListener, TcpStream};

use super::super::LabError;
use super::super::doors::TaskSet;
use super::super::stage::Stage;

/// A request's body is no longer than this: a value of 25 MiB and what goes with it.
const BODY_BYTES_MAX: usize = 32 << 20;

/// After an accept that failed the next one comes so much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The ports under which one container finds its peers.
pub(super) type Ports = BTreeMap<(Peer, Listener), SocketAddr>;

/// Where links are bound, and under which name containers find them there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side {
    bind: IpAddr,
}

impl Side {
    /// The network's gateway where that is an address of this machine, as it is on Linux. Elsewhere the engine runs in a
    /// virtual machine and brings what is sent to its gateway to loopback here.
    pub(super) async fn of(gateway: IpAddr) -> Self {
        let there = TcpListener::bind((gateway, 0)).await.is_ok();
        Self { bind: if there { gateway } else { Ipv4Addr::LOCALHOST.into() } }
    }

    /// The address of a port as a configuration file names it.
    pub(super) fn address(self, port: SocketAddr) -> String {
        if self.bind == Ipv4Addr::LOCALHOST {
            format!("host.docker.internal:{}", port.port())
        } else {
            port.to_string()
        }
    }
}

/// Opens the links of one member to the listeners that it calls.
pub(super) async fn open(
    stage: &Stage,
    side: Side,
    tasks: &Arc<TaskSet>,
    (from, to): (&Peer, &[(Peer, Listener)]),
) -> Result<Ports, LabError> {
    let mut ports = Ports::new();
    for (peer, listener) in to {
        let bound = TcpListener::bind((side.bind, 0)).await;
        let socket = bound.map_err(|error| {
            LabError::Link(format!("from {from} to {peer} at {}", side.bind), error)
        })?;
        let address = socket.local_addr();
        let address = address.map_err(|error| LabError::Link(format!("from {from}"), error))?;
        ports.insert((peer.clone(), *listener), address);
        let link = Arc::new(Link {
            network: stage.wire.door_of(from),
            to: peer.clone(),
            listener: *listener,
        });
        let each = tasks.clone();
        tasks.run(async move {
            // Descriptors may run out for a moment: whoever comes next is served again.
            loop {
                match socket.accept().await {
                    Ok((stream, _)) => {
                        each.run(link.clone().serve(stream));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            }
        });
    }
    Ok(ports)
}

struct Link {
    network: Arc<dyn Network>,
    to: Peer,
    listener: Listener,
}

impl Link {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        // A socket that cannot do it still works.
        let _ = stream.set_nodelay(true);
        let broken = Arc::new(AtomicBool::new(false));
        let breaks = broken.clone();
        let service = service_fn(move |request| {
            let (this, breaks) = (self.clone(), breaks.clone());
            Box::pin(async move { Ok::<_, Infallible>(this.carry(request, &breaks).await) })
        });
        let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // Whoever calls may go at any moment.
        let _ = poll_fn(|cx| {
            let polled = connection.poll_without_shutdown(cx);
            if broken.load(Ordering::Relaxed) { Poll::Ready(Ok(())) } else { polled }
        })
        .await;
        if broken.load(Ordering::Relaxed) {
            // So that the caller sees a reset, not an end.
            let _ = connection.into_parts().io.into_inner().set_zero_linger();
        }
    }

    async fn carry(
        &self,
        request: Request<Incoming>,
        broken: &AtomicBool,
    ) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
            let mut answer = Response::new(Full::default());
            *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            return answer;
        };
        let request = Request::from_parts(parts, body.to_bytes());
        match self.network.call(&self.to, self.listener, request).await {
            Ok(answer) => answer.map(Full::new),
            Err(_) => {
                broken.store(true, Ordering::Relaxed);
                std::future::pending().await
            }
        }
    }
}
