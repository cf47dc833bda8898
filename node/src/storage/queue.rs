//! Keys that a store is behind with: what it missed is brought to it when it is back.
//!
//! The queue holds names, each once, not what was written: when its turn comes, the newest state that the stores hold counts.
//! So it stays small through an hour's outage, and an old write never comes late. It is the memory of one node; what a
//! node that ended still had in it the crawler finds.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

use super::replicated::Storage;
use crate::env::Stream;
use crate::ids::{Name, Namespace};
use crate::telemetry::TraceContext;

/// Keys that wait for one store; what comes on top is left to the crawler and to reads.
const NAMES_MAX: usize = 10_000;
/// Keys that are worked on at once.
const AT_ONCE: usize = 16;
/// The pause before the first try, doubled while the store stays away.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// The keys that one store is behind with.
pub(super) struct Behind {
    waiting: Mutex<Waiting>,
    jitter: Stream,
}

#[derive(Default)]
struct Waiting {
    names: IndexSet<Name, FxBuildHasher>,
    worked_on: bool,
}

impl Behind {
    pub(super) fn new(jitter: Stream) -> Self {
        Self { waiting: Mutex::default(), jitter }
    }

    /// Whether a store is known to be behind with a key.
    pub(super) fn holds(&self, name: &Name) -> bool {
        let waiting = self.lock();
        !waiting.names.is_empty() && waiting.names.contains(name)
    }

    /// Whether a store is known to be behind with any key of a namespace.
    pub(super) fn holds_any_of(&self, namespace: &Namespace) -> bool {
        self.lock().names.iter().any(|name| name.namespace == *namespace)
    }

    /// How many keys wait.
    fn len(&self) -> usize {
        self.lock().names.len()
    }

    /// Takes a key in; `false` where there is no place. The second: whether the caller is to begin the work.
    fn add(&self, name: &Name) -> (bool, bool) {
        let mut waiting = self.lock();
        let taken = waiting.names.len() < NAMES_MAX || waiting.names.contains(name);
        if taken {
            waiting.names.insert(name.clone());
        }
        let begins = taken && !waiting.worked_on;
        waiting.worked_on |= taken;
        (taken, begins)
    }

    /// The next keys, oldest first; they stay until they are [`Self::done`]. Without any, the work has ended.
    fn next(&self) -> Vec<Name> {
        let mut waiting = self.lock();
        let names: Vec<Name> = waiting.names.iter().take(AT_ONCE).cloned().collect();
        waiting.worked_on = !names.is_empty();
        names
    }

    fn done(&self, names: &[Name], level: &[bool]) {
        let mut waiting = self.lock();
        for (name, level) in names.iter().zip(level) {
            waiting.names.shift_remove(name);
            // What could not be brought level goes to the end: one bad key must not hold up the others.
            if !level {
                waiting.names.insert(name.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage {
    /// Sees to it that a store gets what it missed of a key. Ends when nothing waits for that store any more, or at once
    /// where somebody else is at work already.
    pub(super) async fn catch_up(&self, store: usize, name: &Name) {
        let (taken, begins) = self.behind(store).add(name);
        self.metrics.writes_waiting(store, self.behind(store).len());
        if !taken {
            self.metrics.writes_given_up.inc();
        }
        if !begins {
            return;
        }
        let mut pause = RETRY_FIRST;
        loop {
            let jitter = self.behind(store).jitter.jitter(pause / 4);
            self.env.clock.sleep(pause + jitter).await;
            let names = self.behind(store).next();
            if names.is_empty() {
                return;
            }
            let level = join_all(names.iter().map(|name| self.bring_level(name))).await;
            self.behind(store).done(&names, &level);
            self.metrics.writes_waiting(store, self.behind(store).len());
            if level.iter().all(|level| *level) {
                pause = Duration::ZERO;
            } else {
                pause = (pause * 2).clamp(RETRY_FIRST, RETRY_MAX);
            }
        }
    }

    /// Writes the newest state of a key to the store that has an older one; whether both have the same then.
    async fn bring_level(&self, name: &Name) -> bool {
        match self.copies(name, TraceContext::NONE).await {
            Some(copies) => self.level_out(name, &copies, TraceContext::NONE).await.is_some(),
            None => false,
        }
    }
}
