//! One cached key, and the map that holds many.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use quick_cache::sync::{Cache as QuickCache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use rustc_hash::FxBuildHasher;

use crate::config::Namespaces;
use crate::env::Timestamp;
use crate::ids::{Name, Version};
use crate::storage::Found;

/// What an entry costs beside its bytes: key, map slot, bookkeeping.
const ENTRY_OVERHEAD_BYTES: usize = 256;

/// A key as a cache knows it.
#[derive(Debug)]
pub(super) struct Entry {
    /// What is known.
    pub found: Found,
    /// Whether one store alone said so ([`super::Known::alone`]).
    pub alone: bool,
    /// When that was last asked for further up.
    pub fetched_at: Timestamp,
    /// When it stops being served without asking, in microseconds.
    expires_us: AtomicU64,
    /// When a refresh was last begun, in microseconds.
    attempted_us: AtomicU64,
}

impl Entry {
    pub(super) fn new(found: Found, now: Timestamp, expires: Timestamp) -> Self {
        Self {
            found,
            alone: false,
            fetched_at: now,
            expires_us: expires.0.into(),
            attempted_us: now.0.into(),
        }
    }

    /// The same, of what one store alone may have said.
    pub(super) fn said_alone(self, alone: bool) -> Self {
        Self { alone, ..self }
    }

    pub(super) fn expires(&self) -> Timestamp {
        Timestamp(self.expires_us.load(Ordering::Relaxed))
    }

    pub(super) fn extend(&self, until: Timestamp) {
        self.expires_us.fetch_max(until.0, Ordering::Relaxed);
    }

    pub(super) fn attempted(&self) -> Timestamp {
        Timestamp(self.attempted_us.load(Ordering::Relaxed))
    }

    pub(super) fn attempt(&self, now: Timestamp) {
        self.attempted_us.store(now.0, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Name, Arc<Entry>> for Bytes {
    fn weight(&self, name: &Name, entry: &Arc<Entry>) -> u64 {
        (name.key.len() + entry.found.bytes() + ENTRY_OVERHEAD_BYTES) as u64
    }
}

type Map = QuickCache<Name, Arc<Entry>, Bytes, FxBuildHasher, DefaultLifecycle<Name, Arc<Entry>>>;

/// Entries up to a weight. One shard and a fixed hasher: what is evicted does not depend on the machine.
pub(super) struct Entries {
    map: Map,
    namespaces: Arc<Namespaces>,
    // Makes "replace unless newer" one step; every other access needs no lock of ours.
    replacing: Mutex<()>,
}

impl Entries {
    pub(super) fn new(bytes_max: u64, namespaces: Arc<Namespaces>) -> Self {
        // With fewer than about a thousand items the policy has too little to go by; the number need not be exact.
        let items = usize::try_from(bytes_max / 1024).unwrap_or(usize::MAX).clamp(1_000, 20_000);
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(bytes_max)
            .estimated_items_capacity(items)
            .build();
        let map = match options {
            Ok(options) => {
                Map::with_options(options, Bytes, FxBuildHasher, DefaultLifecycle::default())
            }
            // Only a missing value makes `build` fail, and all are given.
            Err(_) => {
                Map::with(items, bytes_max, Bytes, FxBuildHasher, DefaultLifecycle::default())
            }
        };
        Self { map, namespaces, replacing: Mutex::new(()) }
    }

    pub(super) fn get(&self, name: &Name) -> Option<Arc<Entry>> {
        self.map.get(name)
    }

    /// The same, without counting as a use.
    pub(super) fn peek(&self, name: &Name) -> Option<Arc<Entry>> {
        self.map.peek(name)
    }

    /// Puts an entry there unless a newer version is; returns what is there then.
    pub(super) fn put(&self, name: &Name, entry: Entry) -> Arc<Entry> {
        let _one_at_a_time = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = self.map.peek(name)
            && present.found.version() > entry.found.version()
        {
            return present;
        }
        let entry = Arc::new(entry);
        self.map.insert(self.namespaces.sharing(name), entry.clone());
        entry
    }

    /// Removes what is older than a version.
    pub(super) fn remove_older(&self, name: &Name, version: Version) {
        let _one_at_a_time = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.map.peek(name).is_some_and(|present| present.found.version() < version) {
            self.map.remove(name);
        }
    }

    pub(super) fn keep(&self, wanted: impl Fn(&Name) -> bool) {
        self.map.retain(|name, _| wanted(name));
    }
}
