//! Products that need the node: logins, hosted pages, purges, challenge pages and others. Whether one fails when the node does
//! follows from what its code reads there, and from what it keeps of that.
//!
//! They use the node by its protocol for Workers' bindings and by nothing else; no room of the node knows them. A data center
//! that has them runs all of them: [`Dependents`]. One of them has an origin of bounded capacity behind it: [`Origin`].
//!
//! `GET` or `POST /{product}/{operation}/{subject}`; [`OPERATIONS`] says which there are. 200 is a product's answer, 202 a place
//! in a queue, 403 a door that stays closed, 429 and 504 what an overloaded origin does, 500 a product that cannot go on.

mod data;
mod kv;
mod local;
mod origin;
mod products;
mod room;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode};

pub use data::{NAMESPACE, objects};
pub use origin::Origin;
pub use room::COOKIE;

use self::kv::Kv;
use self::local::{Local, QueryCache};
use self::room::Room;
use crate::api::admin::METRICS;
use crate::api::status::bare;
use crate::env::NodeEnv;
use crate::ids::{Dc, Peer};
use crate::telemetry::catalogue;
use crate::telemetry::registry::{Counter, Registry};

/// Where Access tells whether the release tool's session is one.
pub const VERIFY: &str = "/access/verify/release-tool";

/// Everything that a user can ask of a product.
pub const OPERATIONS: [(&str, &str); 24] = [
    ("access", "certs"),
    ("access", "login"),
    ("access", "posture"),
    ("access", "session"),
    ("access", "verify"),
    ("ai-gateway", "proxy"),
    ("challenge", "script"),
    ("dashboard", "flags"),
    ("dashboard", "home"),
    ("dashboard", "login"),
    ("graphql", "query"),
    ("images", "delivery"),
    ("images", "upload"),
    ("pages", "deploy"),
    ("pages", "view"),
    ("purge", "tag"),
    ("purge", "url"),
    ("waiting-room", "configure"),
    ("waiting-room", "visit"),
    ("warp", "connect"),
    ("warp", "posture"),
    ("warp", "register"),
    ("workers", "run"),
    ("workers", "upload"),
];

/// Under which name the products of a data center are called.
pub fn peer_of(dc: &Dc) -> Peer {
    Peer::from(format!("{dc}-products"))
}

/// The products of one data center.
pub struct Dependents {
    kv: Kv,
    env: NodeEnv,
    origin: Peer,
    /// What purges know of zones.
    zones: Local,
    /// What waiting rooms know of themselves.
    rooms: Local,
    room: Room,
    queries: QueryCache,
    counts: Arc<Counts>,
}

impl Dependents {
    /// Starts them beside a data center's node; `origin` stands behind one of them.
    pub fn start(dc: &Dc, origin: Peer, env: NodeEnv) -> Arc<Self> {
        let counts = Arc::new(Counts::default());
        Arc::new(Self {
            kv: Kv::new(dc.peer(), env.clone(), counts.clone()),
            origin,
            zones: Local::new(local::ZONE_FRESH),
            rooms: Local::new(local::ROOM_FRESH),
            room: Room::default(),
            queries: QueryCache::default(),
            counts,
            env,
        })
    }

    /// Answers one request. 404 where there is no such operation.
    pub async fn serve(&self, request: &Request<Bytes>) -> Response<Bytes> {
        if request.uri().path() == METRICS {
            return Response::new(Bytes::from(self.counts.registry.text()));
        }
        let mut parts = request.uri().path().trim_start_matches('/').splitn(3, '/');
        let (product, operation) =
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let known = OPERATIONS.iter().find(|known| **known == (product, operation));
        let Some((product, operation)) = known else { return bare(StatusCode::NOT_FOUND) };
        let subject = parts.next().unwrap_or_default();
        let response = self.answer(product, operation, subject, request).await;
        let status = response.status().as_u16().to_string();
        self.counts.inc(&catalogue::PRODUCT_RESPONSES, &[product, operation, &status]);
        response
    }
}

impl fmt::Debug for Dependents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dependents")
    }
}

/// Counters by their labels, which begin when something is counted.
#[derive(Default)]
struct Counts {
    registry: Registry,
    begun: Mutex<BTreeMap<(&'static str, String), Counter>>,
}

impl Counts {
    fn inc(&self, metric: &'static catalogue::Metric, labels: &[&str]) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (metric.name, labels.join("/"));
        begun.entry(key).or_insert_with(|| self.registry.counter(metric, labels)).inc();
    }
}
