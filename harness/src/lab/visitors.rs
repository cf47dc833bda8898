//! Users of the products that need the nodes: open-loop traffic to every product, and visitors of waiting rooms, who come back
//! with what they were given.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use kv_node::dependents::{COOKIE, peer_of};
use kv_node::env::{Chance, Listener, Network, Stream};
use kv_node::ids::Peer;

use super::doors::{LabClock, TaskSet};
use super::stage::Stage;
use super::truth::Truth;
use super::wire::clients_of;
use crate::recording::Outcome;

/// What users ask for, by weight, and of how many subjects. Visits of waiting rooms come on top.
const MIX: [(&str, &str, f64, u64); 22] = [
    ("access", "certs", 1.0, 1),
    ("access", "login", 1.0, 40),
    ("access", "posture", 1.0, 40),
    ("access", "session", 1.0, 40),
    ("ai-gateway", "proxy", 1.0, 40),
    ("challenge", "script", 1.0, 1),
    ("dashboard", "flags", 1.0, 1),
    ("dashboard", "home", 1.0, 1),
    ("dashboard", "login", 1.0, 40),
    ("graphql", "query", 15.0, 40),
    ("images", "delivery", 1.0, 40),
    ("images", "upload", 1.0, 40),
    ("pages", "deploy", 1.0, 40),
    ("pages", "view", 1.0, 40),
    ("purge", "tag", 1.0, 400),
    ("purge", "url", 1.0, 400),
    ("waiting-room", "configure", 0.5, 40),
    ("warp", "connect", 1.0, 40),
    ("warp", "posture", 1.0, 40),
    ("warp", "register", 1.0, 40),
    ("workers", "run", 1.0, 40),
    ("workers", "upload", 1.0, 40),
];
/// A visitor looks at so many pages, one a minute.
const PAGES: u32 = 10;
const BETWEEN_PAGES: Duration = Duration::from_mins(1);
/// A page of a waiting room loads itself again so often.
const AGAIN: Duration = Duration::from_secs(20);
/// Users wait so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The users of the products of one data center.
pub(super) struct Visitors {
    dc: Arc<str>,
    products: Peer,
    per_s: f64,
    visits_per_s: f64,
    streams: Streams,
    clock: Arc<LabClock>,
    network: Arc<dyn Network>,
    truth: Arc<Truth>,
    tasks: Arc<TaskSet>,
}

struct Streams {
    arrivals: Stream,
    wishes: Stream,
    visits: Stream,
}

impl Visitors {
    /// Lets the users of all products begin.
    #[expect(clippy::cast_precision_loss, reason = "a handful of data centers")]
    pub(super) fn start(stage: &Stage) {
        let topology = &stage.spec.topology;
        let Some(products) = &topology.products else { return };
        for dc in &products.dcs {
            let Some(about) = topology.dcs.get(dc) else { continue };
            let seeds = stage.seeds.below(&format!("visitors/{dc}"));
            let visitors = Arc::new(Self {
                dc: dc.as_str().into(),
                products: peer_of(dc),
                per_s: products.requests_per_s / products.dcs.len() as f64,
                visits_per_s: products.visitors_per_min / 60.0,
                streams: Streams {
                    arrivals: seeds.stream("arrivals"),
                    wishes: seeds.stream("wishes"),
                    visits: seeds.stream("visits"),
                },
                clock: stage.clock.clone(),
                network: stage.wire.door_of(&clients_of(&about.region)),
                truth: stage.truth.clone(),
                tasks: stage.customers.clone(),
            });
            let wishing = visitors.clone();
            stage.customers.run_arrivals(async move { wishing.wish().await });
            stage.customers.run_arrivals(async move { visitors.come().await });
        }
    }

    /// Sends requests to products for as long as the run lasts.
    async fn wish(self: Arc<Self>) {
        let sum: f64 = MIX.iter().map(|(_, _, weight, _)| weight).sum();
        loop {
            self.wait(&self.streams.arrivals, self.per_s).await;
            let mut drawn = self.streams.wishes.unit() * sum;
            let wish = MIX.iter().find(|(_, _, weight, _)| {
                drawn -= weight;
                drawn < 0.0
            });
            let (product, operation, _, subjects) = *wish.unwrap_or(&MIX[0]);
            let subject = skewed(&self.streams.wishes, subjects);
            let this = self.clone();
            self.tasks.run(async move {
                this.ask((product, operation), subject, false).await;
            });
        }
    }

    /// Lets visitors come for as long as the run lasts.
    async fn come(self: Arc<Self>) {
        loop {
            self.wait(&self.streams.visits, self.visits_per_s).await;
            let this = self.clone();
            self.tasks.run(async move { this.visit().await });
        }
    }

    /// One visitor: waits to be let in, and looks at pages.
    async fn visit(&self) {
        let mut is_in = false;
        let mut pages = 0;
        while pages < PAGES {
            let (outcome, cookie) = self.ask(("waiting-room", "visit"), 0, is_in).await;
            is_in |= cookie;
            if outcome == Outcome::Status(StatusCode::ACCEPTED.as_u16()) {
                self.clock.pause(AGAIN).await;
            } else {
                pages += 1;
                self.clock.pause(BETWEEN_PAGES).await;
            }
        }
    }

    async fn ask(
        &self,
        (product, operation): (&'static str, &'static str),
        subject: u64,
        is_in: bool,
    ) -> (Outcome, bool) {
        let sent = self.clock.timestamp();
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() =
            format!("/{product}/{operation}/{subject}").parse().unwrap_or_default();
        if is_in {
            request.headers_mut().insert(COOKIE, HeaderValue::from_static("in"));
        }
        let call = self.network.call(&self.products, Listener::Product, request);
        let (outcome, cookie) = match self.clock.timeout(PATIENCE, call).await {
            Ok(Ok(answer)) => {
                let cookie = answer.headers().contains_key(COOKIE);
                (Outcome::Status(answer.status().as_u16()), cookie)
            }
            Ok(Err(_)) => (Outcome::Broken, false),
            Err(_) => (Outcome::Timeout, false),
        };
        self.truth.product(sent, &self.dc, (product, operation), outcome);
        (outcome, cookie)
    }

    async fn wait(&self, draws: &Stream, per_s: f64) {
        let gap = -libm::log(1.0 - draws.unit()) / per_s;
        let next = self.clock.timestamp().after(Duration::from_secs_f64(gap));
        self.clock.sleep_until(next).await;
    }
}

/// One of so many subjects, the first ones more often.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most a few hundred"
)]
fn skewed(draws: &Stream, subjects: u64) -> u64 {
    let unit = draws.unit();
    (unit * unit * unit * subjects as f64) as u64
}
