//! What goes on behind the lab's back: containers that end, what nodes write of their lives, a machine that gives no time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use kv_node::env::Timestamp;
use kv_node::telemetry::Lifecycle;
use serde::Deserialize;
use tokio::time::Instant;

use super::super::doors::{Recorder, TaskSet};
use super::super::lock;
use super::engine::{ContainerId, Ended, Engine};

/// How often this process looks whether its machine gives it time.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Containers that ended though nobody ended them.
#[derive(Default)]
pub(super) struct Trouble {
    pub(super) expected: Mutex<Vec<ContainerId>>,
    pub(super) ended: Mutex<Vec<Ended>>,
}

/// How long this process got no time from its machine, at the most.
#[derive(Default)]
pub(super) struct Stood(AtomicU64);

impl Stood {
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            let before = Instant::now();
            tokio::time::sleep(LOOK_EVERY).await;
            let late = before.elapsed().saturating_sub(LOOK_EVERY);
            self.0
                .fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    pub(super) fn longest(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Takes down which containers end, but for those that were ended on purpose.
pub(super) fn watch_ends(engine: &Engine, tasks: &Arc<TaskSet>, trouble: &Arc<Trouble>) {
    let (ends, trouble) = (engine.ends(), trouble.clone());
    tasks.run(async move {
        let mut ends = Box::pin(ends);
        while let Some(ended) = ends.next().await {
            if !lock(&trouble.expected).contains(&ended.container) {
                lock(&trouble.ended).push(ended);
            }
        }
    });
}

/// What a node writes on stderr of its life.
pub(super) struct Lives {
    pub(super) recorder: Arc<Recorder>,
    /// The beginning of a line whose end has not come yet.
    pub(super) rest: String,
}

#[derive(Deserialize)]
struct Line {
    signal: String,
    at: Option<Timestamp>,
}

impl Lives {
    pub(super) fn take(&mut self, text: &str) {
        self.rest.push_str(text);
        while let Some((line, rest)) = self.rest.split_once('\n') {
            if let Ok(Line { signal, at: Some(at) }) = serde_json::from_str(line)
                && signal == "lifecycle"
                && let Ok(event) = serde_json::from_str::<Lifecycle>(line)
            {
                self.recorder.lifecycle(at, event);
            }
            self.rest = rest.to_owned();
        }
    }
}
