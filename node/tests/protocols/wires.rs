//! What lies between data centers and stores: ways that take their time, faults, and a log of who sent what to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use kv_node::Node;
use kv_node::api::auth::TIER;
use kv_node::env::{BoxFuture, Chance, Listener, Network, NetworkError, Stream};
use kv_node::ids::Peer;
use kv_store::{MemoryStore, S3Store};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use tokio::sync::Semaphore;

/// One way between two peers of a region.
const WITHIN: Duration = Duration::from_millis(10);
/// One way between two regions.
pub(crate) const BETWEEN_MS: u64 = 100;

/// A request that one peer sent to another, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Since the beginning.
    pub(crate) at_ms: u64,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) listener: Listener,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The control data of a tier request: role, origin region, revision.
    pub(crate) tier: Option<String>,
    /// Whether nothing stood in its way.
    pub(crate) arrived: bool,
}

impl Sent {
    /// Whether it is a batch of purges.
    pub(crate) fn purges(&self) -> bool {
        self.listener == Listener::Tier && self.path == "/tier/v1"
    }
}

/// What happens to requests to a peer.
#[derive(Clone)]
pub(crate) struct Fault {
    pub(crate) to: String,
    /// Only requests of this method.
    pub(crate) method: Option<Method>,
    /// So many requests.
    pub(crate) times: usize,
    /// The status that they get, with a body that no client of the peer's protocol makes sense of; without one they are
    /// refused.
    pub(crate) status: Option<u16>,
}

impl Fault {
    /// Every request to a peer is answered with a status, carried out by nobody.
    pub(crate) fn status(to: &str, status: u16) -> Self {
        Self { to: to.to_owned(), method: None, times: usize::MAX, status: Some(status) }
    }

    /// Nobody reaches a peer.
    pub(crate) fn down(to: &str) -> Self {
        Self { to: to.to_owned(), method: None, times: usize::MAX, status: None }
    }

    /// Only of a method, and only so many.
    pub(crate) fn only(self, method: Method, times: usize) -> Self {
        Self { method: Some(method), times, ..self }
    }
}

/// What lies between the peers.
pub(crate) struct Wires {
    pub(crate) begin: tokio::time::Instant,
    pub(crate) regions: BTreeMap<String, String>,
    pub(crate) nodes: OnceLock<BTreeMap<String, Weak<Node>>>,
    pub(crate) stores: BTreeMap<String, (Arc<MemoryStore>, Option<S3Store>)>,
    pub(crate) sent: Mutex<Vec<Sent>>,
    pub(crate) faults: Mutex<Vec<Fault>>,
    pub(crate) cuts: Mutex<BTreeSet<(String, String)>>,
    /// What a store takes for a request, both ways, whoever asks.
    pub(crate) delays: Mutex<BTreeMap<String, Duration>>,
    /// What a store serves at once, and what it takes for each; others wait for their turn as they come.
    pub(crate) places: Mutex<BTreeMap<String, (Arc<Semaphore>, Duration)>>,
    /// Bytes of all bodies that went to stores and came from them.
    pub(crate) store_bytes: AtomicU64,
}

/// The network door of one node.
pub(crate) struct Door {
    pub(crate) from: String,
    pub(crate) wires: Arc<Wires>,
}

impl Network for Door {
    fn call(
        &self,
        to: &Peer,
        listener: Listener,
        request: Request<Bytes>,
    ) -> BoxFuture<Result<Response<Bytes>, NetworkError>> {
        let (wires, from, to) = (self.wires.clone(), self.from.clone(), to.as_str().to_owned());
        let cut = wires.cuts.lock().unwrap().contains(&(from.clone(), to.clone()));
        let fault = wires.meets(&to, request.method());
        wires.sent.lock().unwrap().push(Sent {
            at_ms: u64::try_from(wires.begin.elapsed().as_millis()).unwrap(),
            from: from.clone(),
            to: to.clone(),
            listener,
            method: request.method().clone(),
            path: request.uri().to_string(),
            tier: request.headers().get(TIER).map(|tier| tier.to_str().unwrap().to_owned()),
            arrived: !cut && fault.is_none(),
        });
        let way = wires.way(&from, &to);
        Box::pin(async move {
            if cut || fault.as_ref().is_some_and(|fault| fault.status.is_none()) {
                return Err(NetworkError::Refused);
            }
            pass(way).await;
            let answer = match fault.and_then(|fault| fault.status) {
                Some(status) => foreign(status),
                None => wires.carry_out(&to, listener, request).await,
            };
            pass(way).await;
            Ok(answer)
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "virtual time")]
pub(crate) async fn pass(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// An answer that nobody foresaw.
fn foreign(status: u16) -> Response<Bytes> {
    let answer = Response::builder().status(status).header("location", "https://elsewhere.example");
    answer.body(Bytes::from_static(b"<html>not for you</html>")).unwrap()
}

impl Wires {
    fn way(&self, from: &str, to: &str) -> Duration {
        if let Some(delay) = self.delays.lock().unwrap().get(to) {
            return *delay / 2;
        }
        if from == to {
            Duration::ZERO
        } else if self.regions[from] == self.regions[to] {
            WITHIN
        } else {
            Duration::from_millis(BETWEEN_MS)
        }
    }

    fn meets(&self, to: &str, method: &Method) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let fault = faults.iter_mut().find(|fault| {
            fault.to == to && fault.times > 0 && fault.method.as_ref().is_none_or(|m| m == method)
        })?;
        fault.times -= 1;
        Some(fault.clone())
    }

    async fn carry_out(
        &self,
        to: &str,
        listener: Listener,
        request: Request<Bytes>,
    ) -> Response<Bytes> {
        let Some((memory, over_s3)) = self.stores.get(to) else {
            let node = self.nodes.get().unwrap()[to].upgrade().unwrap();
            return node.serve(listener, request).await;
        };
        let places = self.places.lock().unwrap().get(to).cloned();
        let _place = match places {
            Some((places, takes)) => {
                let place = places.acquire_owned().await.unwrap();
                pass(takes).await;
                Some(place)
            }
            None => None,
        };
        let bytes = request.body().len();
        let answer = match over_s3 {
            Some(store) => store.serve(request).await,
            None => memory.serve(request),
        };
        let bytes = (bytes + answer.body().len()) as u64;
        self.store_bytes.fetch_add(bytes, Ordering::Relaxed);
        answer
    }
}

/// Streams by data center and name: no two nodes draw the same.
pub(crate) struct Drawn(pub(crate) String);

impl Chance for Drawn {
    fn stream(&self, name: &str) -> Stream {
        let bytes = self.0.bytes().chain([0]).chain(name.bytes());
        let seed = bytes.fold(7, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
        Stream::new(Xoshiro256PlusPlus::seed_from_u64(seed))
    }
}
