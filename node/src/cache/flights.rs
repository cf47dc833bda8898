//! Coalescing: of many who miss the same key or page at once, one asks and all are told.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::oneshot;

use crate::env::{BoxFuture, NodeEnv};
use crate::safeguards::Safeguard;
use crate::worker::Ctx;

type Waiting<K, T> = IndexMap<K, Vec<oneshot::Sender<T>>, FxBuildHasher>;

/// Fetches under way, by what is fetched.
pub(super) struct Flights<K, T> {
    waiting: Arc<Mutex<Waiting<K, T>>>,
}

/// Ends a fetch, also one that panicked: those who wait are told, or left to find out.
struct Landing<K: Hash + Eq, T> {
    waiting: Arc<Mutex<Waiting<K, T>>>,
    name: K,
    landed: bool,
}

impl<K: Hash + Eq, T> Landing<K, T> {
    fn take(&mut self) -> Vec<oneshot::Sender<T>> {
        self.landed = true;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.swap_remove(&self.name).unwrap_or_default()
    }
}

impl<K: Hash + Eq, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        if !self.landed {
            drop(self.take());
        }
    }
}

/// As it was in June 2025: everybody who misses asks.
async fn fetch_alone<T, F: FnOnce() -> BoxFuture<T>>(ctx: &Arc<Ctx>, fetch: F) -> Option<T> {
    ctx.catch(fetch()).await
}

impl<K: Hash + Eq + Clone + Send + 'static, T: Clone + Send + 'static> Flights<K, T> {
    pub(super) fn new() -> Self {
        Self { waiting: Arc::default() }
    }

    /// Joins the fetch that is under way, or begins one.
    ///
    /// The fetch runs beside the requests that wait for it, so that it does not end with the first of them. `None`: the
    /// fetch threw, or the node ended first.
    pub(super) async fn join<F>(
        &self,
        ctx: &Arc<Ctx>,
        env: &NodeEnv,
        name: &K,
        fetch: F,
    ) -> Option<T>
    where
        F: FnOnce() -> BoxFuture<T>,
    {
        if ctx.build.has(Safeguard::CoalescedFills) {
            self.join_others(ctx, env, name, fetch).await
        } else {
            fetch_alone(ctx, fetch).await
        }
    }

    async fn join_others<F>(&self, ctx: &Arc<Ctx>, env: &NodeEnv, name: &K, fetch: F) -> Option<T>
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
    pub(super) fn under_way(&self, name: &K) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }
}
