//! The tasks door on tokio.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kv_node::env::{BoxFuture, Tasks};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// How often [`TokioTasks::drained`] looks.
const LOOK: Duration = Duration::from_millis(5);

/// Tasks that end with the node.
#[derive(Debug)]
pub(super) struct TokioTasks {
    runtime: Handle,
    running: Mutex<JoinSet<()>>,
}

impl TokioTasks {
    /// On the runtime of whoever calls.
    pub(super) fn new(runtime: Handle) -> Self {
        Self { runtime, running: Mutex::default() }
    }

    /// How many are not finished yet.
    pub(super) fn running(&self) -> usize {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        reap(&mut running);
        running.len()
    }

    /// Waits until no more than `lasting` are left, but no longer than `limit`: a retry against a peer that is gone may
    /// never end. Lasting are those that go on for as long as the node does, such as the crawler.
    pub(super) async fn drained(&self, lasting: usize, limit: Duration) {
        let look = async {
            while self.running() > lasting {
                tokio::time::sleep(LOOK).await;
            }
        };
        // Whatever is left by then is ended by the caller.
        let _ = tokio::time::timeout(limit, look).await;
    }

    /// Ends all of them.
    pub(super) fn end(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

/// Forgets those that ended: what a panic said went to stderr when it happened.
fn reap(running: &mut JoinSet<()>) {
    while running.try_join_next().is_some() {}
}

impl Tasks for TokioTasks {
    fn spawn(&self, future: BoxFuture<()>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        reap(&mut running);
        running.spawn_on(future, &self.runtime);
    }
}
