//! Pages of lists, as an edge keeps them: at most a minute, as the documented service does (lists are "not write-aware").
//! What is written here is in a list here at once: a write in this data center makes its pages of the namespace old.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use quick_cache::sync::{Cache as QuickCache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use rustc_hash::FxBuildHasher;

use super::{Cache, CacheError, CacheResult};
use crate::env::Timestamp;
use crate::ids::{Name, Namespace};
use crate::storage::{ListRange, Page};
use crate::worker::Ctx;

/// How long a page is served without asking the stores.
const PAGE_TTL: Duration = Duration::from_mins(1);
/// Weight of all pages of an edge.
const PAGES_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What a key of a page costs beside its bytes.
const KEY_OVERHEAD_BYTES: usize = 96;
/// Namespaces whose writes are followed; with more than these all pages are forgotten.
const NAMESPACES_MAX: usize = 10_000;

struct Held {
    page: Arc<Page>,
    asked_at: Timestamp,
    writes: u64,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<ListRange, Arc<Held>> for Bytes {
    fn weight(&self, range: &ListRange, held: &Arc<Held>) -> u64 {
        let of = |key: &crate::storage::Listed| {
            let metadata = key.metadata.as_ref().map_or(0, |(_, metadata)| metadata.len());
            key.key.len() + metadata + KEY_OVERHEAD_BYTES
        };
        let keys: usize = held.page.keys.iter().map(of).sum();
        (keys + range.prefix.len() + range.after.len() + 256) as u64
    }
}

type Pages =
    QuickCache<ListRange, Arc<Held>, Bytes, FxBuildHasher, DefaultLifecycle<ListRange, Arc<Held>>>;

/// Pages of lists by what was asked.
pub(super) struct Lists {
    pages: Pages,
    /// Writes seen here since pages of a namespace are kept.
    writes: Mutex<IndexMap<Namespace, u64, FxBuildHasher>>,
}

impl Lists {
    pub(super) fn new() -> Self {
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(PAGES_BYTES_MAX)
            .estimated_items_capacity(1_000)
            .build();
        let pages = match options {
            Ok(options) => {
                Pages::with_options(options, Bytes, FxBuildHasher, DefaultLifecycle::default())
            }
            // Only a missing value makes `build` fail, and all are given.
            Err(_) => Pages::with(
                1_000,
                PAGES_BYTES_MAX,
                Bytes,
                FxBuildHasher,
                DefaultLifecycle::default(),
            ),
        };
        Self { pages, writes: Mutex::default() }
    }

    /// Takes note of a write of this data center.
    pub(super) fn wrote(&self, namespace: &Namespace) {
        if let Some(writes) = self.lock().get_mut(namespace) {
            *writes += 1;
        }
    }

    fn writes(&self, namespace: &Namespace) -> u64 {
        let mut all = self.lock();
        if let Some(writes) = all.get(namespace) {
            return *writes;
        }
        if all.len() >= NAMESPACES_MAX {
            all.clear();
            self.pages.clear();
        }
        all.insert(namespace.clone(), 0);
        0
    }

    fn lock(&self) -> MutexGuard<'_, IndexMap<Namespace, u64, FxBuildHasher>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// Lists keys for a customer of this data center.
    ///
    /// [`CacheError::Unavailable`] where no store could answer.
    pub async fn list(
        &self,
        ctx: &Arc<Ctx>,
        range: &ListRange,
    ) -> Result<(Arc<Page>, CacheResult), CacheError> {
        let _stage = ctx.trace.stage("cache.edge.list");
        let asked_at = self.env.clock.now();
        let writes = self.lists.writes(&range.namespace);
        if let Some(held) = self.lists.pages.get(range)
            && held.writes == writes
            && asked_at.since(held.asked_at) < PAGE_TTL
        {
            ctx.note(|notes| notes.cache = Some(CacheResult::Hit));
            return Ok((held.page.clone(), CacheResult::Hit));
        }
        ctx.note(|notes| notes.cache = Some(CacheResult::Miss));
        let page = Arc::new(self.list_fresh(ctx, range).await?);
        let held = Held { page: page.clone(), asked_at, writes };
        self.lists.pages.insert(range.clone(), Arc::new(held));
        Ok((page, CacheResult::Miss))
    }

    /// Lists keys past the cache.
    pub async fn list_fresh(&self, ctx: &Arc<Ctx>, range: &ListRange) -> Result<Page, CacheError> {
        let stage = ctx.trace.stage("storage.list");
        let now_s = self.env.clock.now().unix_s();
        let page = self.storage.list(range, now_s, &stage).await;
        let mut page = stage.ended(page)?;
        // A deletion is acknowledged before its index objects are gone: what this data center deleted it does not list.
        page.keys.retain(|listed| {
            let name = Name { namespace: range.namespace.clone(), key: listed.key.clone() };
            !self.edge.deleted(&name)
        });
        Ok(page)
    }
}
