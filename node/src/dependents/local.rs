//! What products keep of what they read.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::kv::{Kv, Unavailable};
use crate::env::{NodeEnv, Timestamp};

/// What a purge knows of a zone holds so long: zones rarely change.
pub(super) const ZONE_FRESH: Duration = Duration::from_hours(6);
/// What a waiting room knows of itself: its owners want to see their changes.
pub(super) const ROOM_FRESH: Duration = Duration::from_secs(20);
/// After a failure nothing is asked for so long.
const PAUSE: Duration = Duration::from_secs(20);
/// Answers of the origin hold so long.
const QUERY_FRESH: Duration = Duration::from_mins(5);

/// Configurations, kept beside the code that reads them.
pub(super) struct Local {
    fresh: Duration,
    kept: Mutex<BTreeMap<String, (Timestamp, Option<Bytes>)>>,
}

impl Local {
    pub(super) fn new(fresh: Duration) -> Self {
        Self { fresh, kept: Mutex::default() }
    }

    /// A configuration: what is kept of it or, where that is old, what the node says.
    pub(super) async fn read(
        &self,
        (kv, env): (&Kv, &NodeEnv),
        product: &'static str,
        key: &str,
    ) -> Result<Bytes, Unavailable> {
        let now = env.clock.now();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        match kept {
            Some((at, Some(value))) if now.since(at) < self.fresh => return Ok(value),
            Some((at, None)) if now.since(at) < PAUSE => return Err(Unavailable),
            _ => {}
        }
        let read = kv.get(product, key).await.ok().flatten();
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key.to_owned(), (env.clock.now(), read.clone()));
        read.ok_or(Unavailable)
    }
}

/// Answers of an origin, each under the tag that it had.
#[derive(Default)]
pub(super) struct QueryCache(Mutex<BTreeMap<String, (Timestamp, Bytes)>>);

impl QueryCache {
    /// Whether an answer is kept that has this tag and is not old.
    pub(super) fn holds(&self, query: &str, tag: &Bytes, now: Timestamp) -> bool {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(query).is_some_and(|(at, known)| known == tag && now.since(*at) < QUERY_FRESH)
    }

    pub(super) fn keep(&self, query: &str, tag: Bytes, now: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(query.to_owned(), (now, tag));
    }
}
