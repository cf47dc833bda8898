//! An origin of bounded capacity: it works on few requests at once, some wait, the rest is turned away.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::lock::Mutex;
use http::{Request, Response, StatusCode};

use super::Counts;
use crate::api::admin::METRICS;
use crate::api::status::bare;
use crate::env::NodeEnv;
use crate::telemetry::catalogue;

/// What one request takes it. It works on one at a time, so it carries five a second.
const WORK: Duration = Duration::from_millis(200);
/// So many may wait: the last of them for six seconds.
const WAITING_MAX: usize = 30;

/// The origin behind a product.
pub struct Origin {
    env: NodeEnv,
    waiting: AtomicUsize,
    turn: Mutex<()>,
    counts: Counts,
}

impl Origin {
    /// Starts it.
    pub fn start(env: NodeEnv) -> Arc<Self> {
        let (waiting, turn) = (AtomicUsize::new(0), Mutex::new(()));
        Arc::new(Self { env, waiting, turn, counts: Counts::default() })
    }

    /// Answers one request: 200 once it is its turn, 429 where too many wait.
    pub async fn serve(&self, request: &Request<Bytes>) -> Response<Bytes> {
        if request.uri().path() == METRICS {
            return Response::new(Bytes::from(self.counts.registry.text()));
        }
        if self.waiting.load(Ordering::Relaxed) >= WAITING_MAX {
            self.counts.inc(&catalogue::PRODUCT_ORIGIN_REQUESTS, &["graphql", "turned-away"]);
            return bare(StatusCode::TOO_MANY_REQUESTS);
        }
        self.counts.inc(&catalogue::PRODUCT_ORIGIN_REQUESTS, &["graphql", "taken"]);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        {
            let _turn = self.turn.lock().await;
            self.env.clock.sleep(WORK).await;
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        bare(StatusCode::OK)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origin")
    }
}
