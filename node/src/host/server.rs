//! Sockets that take requests: one listener for each kind, all within the same bounds.
//!
//! A connection is bounded in number, in how long it may be silent, in its heads and in its bodies; see
//! [`super::limits`]. What a client must not say to a node is taken out here, before the node sees it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{CONNECTION, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kv_node::api::auth::{AUTH, TIER};
use kv_node::env::Listener;
use kv_node::telemetry::ship::BATCH;
use kv_store::plain::{META, VERSION};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Service;
use super::body::{Held, Refused, Room, Whole, collect, linger};
use super::exit::Failure;
use super::limits::{ACCEPT_PAUSE, BACKLOG, HEAD_BYTES_MAX, ServerLimits, body_bytes_max};
use super::paced::{Paced, Turn};

/// What nodes tell each other in headers. A customer who sends one of them is not heard.
const CONTROL: [&str; 5] = [AUTH, TIER, BATCH, VERSION, META];

/// How a connection too many is answered.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// All sockets of a process.
pub(super) struct Server {
    limits: Arc<ServerLimits>,
    bodies: Room,
    answers: Room,
    customers: Arc<Semaphore>,
    peers: Arc<Semaphore>,
    /// Whoever holds a receiver is not finished yet.
    closing: watch::Sender<bool>,
}

/// What stands behind one listener.
struct Door {
    kind: Listener,
    service: Service,
    limits: Arc<ServerLimits>,
    bodies: Room,
    answers: Room,
}

/// Opens a listener's socket. Exit code 2 where that is not possible, such as where the port is taken.
pub(super) async fn bind(name: &str, address: &str) -> Result<TcpListener, Failure> {
    listen(address).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "\n    another process listens there: stop it, or give this listener another port"
            }
            _ => "",
        };
        Failure::refused(format!("cannot open the {name} listener on {address}: {error}{hint}"))
    })
}

async fn listen(address: &str) -> std::io::Result<TcpListener> {
    let unknown = || std::io::Error::new(std::io::ErrorKind::NotFound, "no such address");
    let address = tokio::net::lookup_host(address).await?.next().ok_or_else(unknown)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A node that is started again takes the port that its last connections still linger on.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Server {
    pub(super) fn new(limits: ServerLimits) -> Self {
        Self {
            bodies: Room::new(&limits),
            answers: Room::new(&limits),
            customers: Arc::new(Semaphore::new(limits.connections)),
            peers: Arc::new(Semaphore::new(limits.peer_connections)),
            closing: watch::Sender::new(false),
            limits: Arc::new(limits),
        }
    }

    /// Serves a socket until [`Self::close`].
    pub(super) fn serve(&self, kind: Listener, socket: TcpListener, service: Service) {
        let open = match kind {
            Listener::Rest | Listener::Binding => self.customers.clone(),
            _ => self.peers.clone(),
        };
        let door = Arc::new(Door {
            kind,
            service,
            limits: self.limits.clone(),
            bodies: self.bodies.clone(),
            answers: self.answers.clone(),
        });
        tokio::spawn(accept(socket, door, open, self.closing.subscribe()));
    }

    /// Takes no more connections and waits for the requests under way; whether all of them ended in time.
    pub(super) async fn close(&self) -> bool {
        // Nobody may be listening: then there is nothing to close.
        self.closing.send_replace(true);
        let limit = Duration::from_millis(self.limits.stop_ms);
        tokio::time::timeout(limit, self.closing.closed()).await.is_ok()
    }
}

/// The server closes. Nothing else is ever told.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error says that the server is gone, which comes to the same.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn accept(
    socket: TcpListener,
    door: Arc<Door>,
    open: Arc<Semaphore>,
    mut closing: watch::Receiver<bool>,
) {
    loop {
        let accepted = {
            let stop = std::pin::pin!(closed(&mut closing));
            match select(stop, std::pin::pin!(socket.accept())).await {
                Either::Left(_) => return,
                Either::Right((accepted, _)) => accepted,
            }
        };
        match accepted {
            Ok((stream, _)) => match open.clone().try_acquire_owned() {
                Ok(place) => {
                    tokio::spawn(connection(stream, door.clone(), place, closing.clone()));
                }
                Err(_) => {
                    // Said if it can be said at once.
                    let _ = stream.try_write(FULL);
                }
            },
            // Out of descriptors, or a connection that ended before it was taken.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(
    stream: TcpStream,
    door: Arc<Door>,
    place: OwnedSemaphorePermit,
    mut closing: watch::Receiver<bool>,
) {
    // An answer goes out in one piece: there is nothing to wait for. A socket that cannot do it still works.
    let _ = stream.set_nodelay(true);
    let stream = Paced::new(stream, &door.limits);
    // A request holds on to its connection's share alone: counters of what all connections share would go from core to core.
    let client = Arc::new(Client { door, turn: stream.turn(), under_way: closing.clone() });
    let service = service_fn(move |request| {
        client.turn.busy();
        let client = client.clone();
        async move { Ok::<_, Infallible>(client.answer(request).await) }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            // `Paced` does it.
            .header_read_timeout(None)
            .max_header_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    let told = closing.clone();
    let mut stop = std::pin::pin!(closed(&mut closing));
    let mut asked = false;
    let ended = poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        // Once asked it wakes this task. To ask again with every request would be a lock that all connections pass.
        if asked && !told.has_changed().unwrap_or(true) {
            return Poll::Pending;
        }
        asked = true;
        stop.as_mut().poll(cx).map(|()| false)
    });
    // How a connection ends is its client's affair: every answer has been counted where it was given.
    if !ended.await {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
    drop(place);
}

/// A connection of a door.
struct Client {
    door: Arc<Door>,
    turn: Turn,
    /// Whoever holds one is not finished yet.
    under_way: watch::Receiver<bool>,
}

impl Client {
    async fn answer(&self, request: Request<Incoming>) -> Response<Whole> {
        let (door, turn) = (&self.door, self.turn.clone());
        let (mut parts, mut body) = request.into_parts();
        let (most, pace) = (body_bytes_max(door.kind), door.limits.body_pace());
        // What is rare is boxed, as in the node: a future is moved about with every request, with all that it may have to hold.
        let held = if body.is_end_stream() {
            Ok(Held::nothing())
        } else {
            Box::pin(collect(&mut body, most, pace, &door.bodies)).await
        };
        let held = match held {
            Ok(held) => held,
            Err(refused) => {
                tokio::spawn(linger(body));
                return refuse(refused, turn);
            }
        };
        if matches!(door.kind, Listener::Rest | Listener::Binding) {
            strip(&mut parts.headers);
        }
        let changes = parts.method != Method::GET && parts.method != Method::HEAD;
        let request = Request::from_parts(parts, held.bytes);
        let answer = if changes {
            let (service, under_way) = (door.service.clone(), self.under_way.clone());
            // A write goes on when its client goes away: half of one would be left to repairs.
            tokio::spawn(async move {
                let answer = service.answer(request).await;
                drop(under_way);
                answer
            })
            .await
            .ok()
        } else {
            Some(door.service.answer(request).await)
        };
        drop(held.room);
        let Some(answer) = answer else {
            let mut response = Response::new(Whole::answer(Bytes::new(), None, turn));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        };
        let (parts, bytes) = answer.into_parts();
        match door.answers.take(bytes.len()).await {
            Ok(room) => Response::from_parts(parts, Whole::answer(bytes, room, turn)),
            Err(refused) => refuse(refused, turn),
        }
    }
}

fn strip(headers: &mut HeaderMap) {
    // Whatever comes to the prefix is between nodes as well.
    let ours = |name: &&HeaderName| {
        CONTROL.contains(&name.as_str()) || name.as_str().starts_with("x-relapse-")
    };
    let sent: Vec<HeaderName> = headers.keys().filter(ours).cloned().collect();
    for name in sent {
        headers.remove(name);
    }
}

fn refuse(refused: Refused, turn: Turn) -> Response<Whole> {
    let mut response = Response::new(Whole::answer(Bytes::new(), None, turn));
    *response.status_mut() = refused.status();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    if refused == Refused::NoRoom {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests;
