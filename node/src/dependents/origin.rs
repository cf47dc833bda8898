//! An origin of bounded capacity: it works on few requests at once, some wait, the rest is turned away.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::Counts;
use crate::api::admin::METRICS;
use crate::api::status::bare;
use crate::env::NodeEnv;
use crate::telemetry::catalogue;

/// What one request takes it. It works on one at a time, so it carries five a second.
const WORK: Duration = Duration::from_millis(200);
/// So many it takes at once: the last of them has its answer after six seconds.
const PLACES: usize = 30;

/// The origin behind a product.
pub struct Origin {
    env: NodeEnv,
    /// Places of those that wait and of the one that is worked on.
    places: Semaphore,
    /// First come, first served.
    turn: Semaphore,
    counts: Counts,
}

impl Origin {
    /// Starts it.
    pub fn start(env: NodeEnv) -> Arc<Self> {
        let (places, turn) = (Semaphore::new(PLACES), Semaphore::new(1));
        Arc::new(Self { env, places, turn, counts: Counts::default() })
    }

    /// Answers one request: 200 once it is its turn, 429 where too many wait.
    pub async fn serve(&self, request: &Request<Bytes>) -> Response<Bytes> {
        if request.uri().path() == METRICS {
            return Response::new(Bytes::from(self.counts.registry.text()));
        }
        let Ok(_place) = self.places.try_acquire() else {
            self.counts.inc(&catalogue::PRODUCT_ORIGIN_REQUESTS, &["graphql", "turned-away"]);
            return bare(StatusCode::TOO_MANY_REQUESTS);
        };
        self.counts.inc(&catalogue::PRODUCT_ORIGIN_REQUESTS, &["graphql", "taken"]);
        // Nobody closes it.
        let _turn = self.turn.acquire().await;
        self.env.clock.sleep(WORK).await;
        bare(StatusCode::OK)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origin")
    }
}
