//! Coalescing: of many who miss the same key at once, one asks and all are told.

use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::oneshot;

use crate::env::{BoxFuture, NodeEnv};
use crate::ids::Name;
use crate::worker::Ctx;

type Waiting<T> = IndexMap<Name, Vec<oneshot::Sender<T>>, FxBuildHasher>;

/// Fetches under way.
pub(super) struct Flights<T> {
    waiting: Arc<Mutex<Waiting<T>>>,
}

/// Ends a fetch, also one that panicked: those who wait are told, or left to find out.
struct Landing<T> {
    waiting: Arc<Mutex<Waiting<T>>>,
    name: Name,
    landed: bool,
}

impl<T> Landing<T> {
    fn take(&mut self) -> Vec<oneshot::Sender<T>> {
        self.landed = true;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.swap_remove(&self.name).unwrap_or_default()
    }
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        if !self.landed {
            drop(self.take());
        }
    }
}

impl<T: Clone + Send + 'static> Flights<T> {
    pub(super) fn new() -> Self {
        Self { waiting: Arc::default() }
    }

    /// Joins the fetch of a key that is under way, or begins one.
    ///
    /// The fetch runs beside the requests that wait for it, so that it does not end with the first of them. `None`: the
    /// fetch threw, or the node ended first.
    pub(super) async fn join<F>(
        &self,
        ctx: &Arc<Ctx>,
        env: &NodeEnv,
        name: &Name,
        fetch: F,
    ) -> Option<T>
    where
        F: FnOnce() -> BoxFuture<T>,
    {
        let (tell, told) = oneshot::channel();
        let begins = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let others = waiting.entry(name.clone()).or_default();
            others.push(tell);
            others.len() == 1
        };
        if begins {
            let (waiting, name, fetch) = (self.waiting.clone(), name.clone(), fetch());
            let work = Box::pin(async move {
                let mut landing = Landing { waiting, name, landed: false };
                let value = fetch.await;
                for tell in landing.take() {
                    // Who no longer waits need not be told.
                    let _ = tell.send(value.clone());
                }
            });
            ctx.spawn_beside(env.tasks.as_ref(), work);
        }
        told.await.ok()
    }

    /// Whether a fetch of a key is under way.
    pub(super) fn under_way(&self, name: &Name) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }
}
