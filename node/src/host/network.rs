//! The network door on TCP: a few connections to each listener of each peer, kept open from one request to the next.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kv_node::Node;
use kv_node::env::{BoxFuture, Listener, Network, NetworkError};
use kv_node::ids::Peer;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Service;
use super::body::Whole;
use super::limits::{CALLS_PER_PEER_MAX, CONNECT, IDLE_PER_PEER_MAX, PEER_ANSWER_BYTES_MAX};

/// Peers by name and listener.
pub(super) struct HyperNetwork {
    connect: Duration,
    routes: BTreeMap<(Peer, Listener), Route>,
    /// The node itself, once it is there: what it owns of its own keys does not go through a socket.
    own: OnceLock<(Peer, Weak<Node>)>,
}

#[derive(Clone)]
enum Route {
    Remote(Arc<Remote>),
    Embedded(Service),
}

impl Default for HyperNetwork {
    fn default() -> Self {
        Self::hastened(1)
    }
}

impl HyperNetwork {
    /// A network that gives up connecting as many times as soon.
    pub(super) fn hastened(speed: u32) -> Self {
        Self { connect: CONNECT / speed, routes: BTreeMap::new(), own: OnceLock::new() }
    }

    /// A peer's listener at an address, `host:port`.
    pub(super) fn remote(&mut self, peer: Peer, listener: Listener, address: &str) {
        self.routes
            .insert((peer, listener), Route::Remote(Arc::new(Remote::new(address, self.connect))));
    }

    /// A peer's listener within this process.
    pub(super) fn embed(&mut self, peer: Peer, listener: Listener, service: Service) {
        self.routes.insert((peer, listener), Route::Embedded(service));
    }

    /// Open connections to a store that wait for its next request.
    #[cfg(test)]
    fn kept(&self, store: &Peer) -> usize {
        match self.routes.get(&(store.clone(), Listener::Store)) {
            Some(Route::Remote(remote)) => {
                remote.lock().iter().filter(|connection| !connection.is_closed()).count()
            }
            _ => 0,
        }
    }

    /// Calls that a node makes to itself come straight back to it, unless an address is known for them.
    pub(super) fn know(&self, name: Peer, node: &Arc<Node>) {
        // A process has one node.
        let _ = self.own.set((name, Arc::downgrade(node)));
    }
}

impl Network for HyperNetwork {
    fn call(
        &self,
        to: &Peer,
        listener: Listener,
        request: Request<Bytes>,
    ) -> BoxFuture<Result<Response<Bytes>, NetworkError>> {
        let route = self.routes.get(&(to.clone(), listener)).cloned();
        if let Some((own, node)) = self.own.get()
            && own == to
            && route.is_none()
        {
            let node = node.upgrade();
            return Box::pin(async move {
                let node = node.ok_or(NetworkError::Refused)?;
                Ok(node.serve(listener, request).await)
            });
        }
        match route {
            None => Box::pin(async { Err(NetworkError::Refused) }),
            Some(Route::Embedded(service)) => {
                Box::pin(async move { Ok(service.answer(request).await) })
            }
            Some(Route::Remote(remote)) => Box::pin(async move { remote.call(request).await }),
        }
    }
}

/// One listener of one peer.
struct Remote {
    address: Box<str>,
    connect: Duration,
    host: Option<HeaderValue>,
    idle: Mutex<Vec<SendRequest<Whole>>>,
    under_way: Semaphore,
}

impl Remote {
    fn new(address: &str, connect: Duration) -> Self {
        Self {
            connect,
            address: address.into(),
            host: HeaderValue::from_str(address).ok(),
            idle: Mutex::default(),
            under_way: Semaphore::new(CALLS_PER_PEER_MAX),
        }
    }

    async fn call(
        self: Arc<Self>,
        mut request: Request<Bytes>,
    ) -> Result<Response<Bytes>, NetworkError> {
        // The semaphore is never closed.
        let _turn = self.under_way.acquire().await.map_err(|_| NetworkError::Refused)?;
        // What is signed names its host.
        if let Some(host) = &self.host {
            request.headers_mut().entry(HOST).or_insert_with(|| host.clone());
        }
        let mut request = request.map(Whole::new);
        // A kept connection may have been closed by the peer in this moment. What was not sent is sent again.
        while let Some(mut connection) = self.kept() {
            match connection.try_send_request(request).await {
                Ok(response) => return self.read(response, connection).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(NetworkError::Reset),
                },
            }
        }
        let mut connection = self.connect().await?;
        let response = connection.send_request(request).await.map_err(|_| NetworkError::Reset)?;
        self.read(response, connection).await
    }

    /// The connection that was used last: those on top of need fall out of use and are closed by the peer.
    fn kept(&self) -> Option<SendRequest<Whole>> {
        let mut idle = self.lock();
        while let Some(connection) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<SendRequest<Whole>, NetworkError> {
        let stream = timeout(self.connect, TcpStream::connect(&*self.address)).await;
        let stream = stream.ok().and_then(Result::ok).ok_or(NetworkError::Refused)?;
        // A socket that cannot do it still works.
        let _ = stream.set_nodelay(true);
        let (send, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|_| NetworkError::Reset)?;
        // Ends when the sender is dropped or the peer closes; an error reaches whoever waits for an answer.
        tokio::spawn(connection);
        Ok(send)
    }

    async fn read(
        self: &Arc<Self>,
        response: Response<Incoming>,
        connection: SendRequest<Whole>,
    ) -> Result<Response<Bytes>, NetworkError> {
        let (parts, mut body) = response.into_parts();
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let Ok(data) = frame.map_err(|_| NetworkError::Reset)?.into_data() else { continue };
            if first.len() + rest.len() + data.len() > PEER_ANSWER_BYTES_MAX {
                return Err(NetworkError::Reset);
            }
            if first.is_empty() {
                first = data;
            } else {
                rest.extend_from_slice(&data);
            }
        }
        let bytes = if rest.is_empty() {
            // It is a piece of a buffer that is several times as long, and may stay in a cache.
            Bytes::copy_from_slice(&first)
        } else {
            let mut all = BytesMut::with_capacity(first.len() + rest.len());
            all.extend_from_slice(&first);
            all.extend_from_slice(&rest);
            all.freeze()
        };
        self.keep(connection);
        Ok(Response::from_parts(parts, bytes))
    }

    /// Keeps a connection for the next request.
    fn keep(self: &Arc<Self>, mut connection: SendRequest<Whole>) {
        if connection.is_ready() {
            return self.put_back(connection);
        }
        // The answer's end and the connection's readiness are two steps of another task; and where the peer answered before
        // it had read everything, the second may never come.
        let this = self.clone();
        tokio::spawn(async move {
            if let Ok(Ok(())) = timeout(CONNECT, connection.ready()).await {
                this.put_back(connection);
            }
        });
    }

    fn put_back(&self, connection: SendRequest<Whole>) {
        let mut idle = self.lock();
        idle.retain(|connection| !connection.is_closed());
        if idle.len() < IDLE_PER_PEER_MAX {
            idle.push(connection);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SendRequest<Whole>>> {
        // Nothing that can panic runs under the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
