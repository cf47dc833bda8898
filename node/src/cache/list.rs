//! Pages of lists: at most a minute old, as the documented service has them (lists are "not write-aware"), wherever they are
//! kept. An edge asks the owner of namespace and prefix in its region, which keeps the page for others too.
//!
//! What is written here is in a list here at once: a write in this data center makes its pages of the namespace old, and for
//! a minute it goes past the owner, whose pages know nothing of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use quick_cache::sync::{Cache as QuickCache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use rustc_hash::FxBuildHasher;

use super::flights::Flights;
use super::{Cache, CacheError, CacheResult, TierAsk, TierError};
use crate::env::Timestamp;
use crate::ids::{Dc, Name, Namespace};
use crate::storage::{ListRange, ListedPage, Page};
use crate::worker::Ctx;

/// How long a page is served without asking the stores.
const PAGE_TTL: Duration = Duration::from_mins(1);
/// How long a page is kept that one store said while the other did not answer.
const ALONE_TTL: Duration = Duration::from_secs(5);
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

/// A page and how old it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The page.
    pub page: Arc<Page>,
    /// How long ago the stores were asked.
    pub age: Duration,
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
    /// Writes of this data center.
    writes: Mutex<Writes>,
    edge_flights: Flights<ListRange, Result<Listing, CacheError>>,
    tier_flights: Flights<ListRange, Result<Listing, CacheError>>,
}

#[derive(Default)]
struct Writes {
    /// How many there were of all namespaces.
    count: u64,
    /// The number and the time of a namespace's last one.
    seen: IndexMap<Namespace, (u64, Timestamp), FxBuildHasher>,
    /// The same of all that are no longer followed.
    forgotten: (u64, Timestamp),
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
        Self {
            pages,
            writes: Mutex::default(),
            edge_flights: Flights::new(),
            tier_flights: Flights::new(),
        }
    }

    /// Takes note of a write of this data center.
    pub(super) fn wrote(&self, namespace: &Namespace, now: Timestamp) {
        let mut writes = self.lock();
        writes.count += 1;
        let last = (writes.count, now);
        if let Some(seen) = writes.seen.get_mut(namespace) {
            *seen = last;
            return;
        }
        if writes.seen.len() >= NAMESPACES_MAX {
            writes.seen.clear();
            writes.forgotten = last;
            self.pages.clear();
        }
        writes.seen.insert(namespace.clone(), last);
    }

    /// The number of the last write of a namespace that this data center has seen, and whether it may have been a short time
    /// ago.
    fn writes(&self, namespace: &Namespace, now: Timestamp) -> (u64, bool) {
        let writes = self.lock();
        let (count, last) = writes.seen.get(namespace).copied().unwrap_or(writes.forgotten);
        (count, last != Timestamp::default() && now.since(last) < PAGE_TTL)
    }

    fn lock(&self) -> MutexGuard<'_, Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page that is still good, and its age.
    fn held(&self, range: &ListRange, writes: u64, now: Timestamp) -> Option<Listing> {
        let held = self.pages.get(range).filter(|held| held.writes == writes)?;
        let age = now.since(held.asked_at);
        (age < PAGE_TTL).then(|| Listing { page: held.page.clone(), age })
    }

    fn keep(&self, range: &ListRange, writes: u64, listing: &Listing, now: Timestamp) {
        let (page, asked_at) = (listing.page.clone(), now.before(listing.age));
        self.pages.insert(range.clone(), Arc::new(Held { page, asked_at, writes }));
    }
}

impl Cache {
    /// Lists keys for a customer of this data center.
    ///
    /// [`CacheError::Unavailable`] where no store could answer, or no owner and no store.
    pub async fn list(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        range: &ListRange,
    ) -> Result<(Arc<Page>, CacheResult), CacheError> {
        let _stage = ctx.trace.stage("cache.edge.list");
        let now = self.env.clock.now();
        let (writes, lately) = self.lists.writes(&range.namespace, now);
        if let Some(Listing { page, .. }) = self.lists.held(range, writes, now) {
            ctx.note(|notes| notes.cache = Some(CacheResult::Hit));
            return Ok((page, CacheResult::Hit));
        }
        ctx.note(|notes| notes.cache = Some(CacheResult::Miss));
        // What was begun before a write must not serve who asks after it: only readers share a fetch.
        if lately {
            let page = Arc::new(self.list_fresh(ctx, range).await?);
            self.lists.keep(
                range,
                writes,
                &Listing { page: page.clone(), age: Duration::ZERO },
                now,
            );
            return Ok((page, CacheResult::Miss));
        }
        let fetched = self
            .lists
            .edge_flights
            .join(ctx, &self.env, range, || {
                let (this, ctx, range) = (self.clone(), ctx.clone(), range.clone());
                Box::pin(async move {
                    let listing = this.list_by_owner(&ctx, &range).await?;
                    this.lists.keep(&range, writes, &listing, this.env.clock.now());
                    Ok(listing)
                })
            })
            .await;
        let listing = fetched.unwrap_or(Err(CacheError::Unavailable))?;
        Ok((listing.page, CacheResult::Miss))
    }

    /// Lists keys for another data center, as the owner of namespace and prefix.
    ///
    /// [`TierError::Storage`] where no store could answer.
    pub async fn serve_list(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        ask: &TierAsk,
        range: &ListRange,
    ) -> Result<Listing, TierError> {
        let _stage = ctx.trace.stage("cache.tier.list");
        self.count_disagreement(ctx, ask);
        let now = self.env.clock.now();
        let (writes, lately) = self.lists.writes(&range.namespace, now);
        if let Some(listing) = self.lists.held(range, writes, now) {
            ctx.note(|notes| notes.cache = Some(CacheResult::Hit));
            return Ok(listing);
        }
        ctx.note(|notes| notes.cache = Some(CacheResult::Miss));
        let (this, asked, of) = (self.clone(), ctx.clone(), range.clone());
        let fetch = move || async move {
            let since = this.env.clock.now();
            let ListedPage { page, alone } = this.list_storage(&asked, &of).await?;
            let now = this.env.clock.now();
            // What one store alone says must not be kept for long: it is told as old already.
            let age = if alone { PAGE_TTL.saturating_sub(ALONE_TTL) } else { now.since(since) };
            let listing = Listing { page: Arc::new(page), age };
            this.lists.keep(&of, writes, &listing, now);
            Ok(listing)
        };
        let fetched = if lately {
            fetch().await
        } else {
            let flights = &self.lists.tier_flights;
            let told = flights.join(ctx, &self.env, range, || Box::pin(fetch())).await;
            told.unwrap_or(Err(CacheError::Unavailable))
        };
        fetched.map_err(|_: CacheError| TierError::Storage)
    }

    /// Lists keys by way of the owner of namespace and prefix, or past it where there is none or it does not answer.
    async fn list_by_owner(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        range: &ListRange,
    ) -> Result<Listing, CacheError> {
        let name = Name { namespace: range.namespace.clone(), key: range.prefix.clone() };
        let since = self.env.clock.now();
        let targets = if self.takes_tiers(ctx, &name) { self.targets(ctx, &name) } else { vec![] };
        if let Some((owner, role)) = targets.first() {
            let ask = TierAsk {
                name,
                role: *role,
                affinity: ctx.config.placement.origin(&self.region).clone(),
                revision: ctx.config.snapshot.revision,
                known: None,
                trace: None,
                control: None,
            };
            let list = |dc: &Dc, ask: &TierAsk| self.peers.list(dc, ask, range);
            match self.ask_tier(ctx, owner, ask, list).await {
                Ok(mut listing) => {
                    // The answer was under way as well.
                    listing.age += self.env.clock.now().since(since);
                    return Ok(listing);
                }
                Err(error @ (TierError::Storage | TierError::Busy)) => return Err(error.into()),
                // A long page may take longer than an owner is waited for: another one would take as long.
                Err(error) if self.goes_past(ctx, owner, error) => self.metrics.fallbacks.inc(),
                Err(error) => return Err(error.into()),
            }
        }
        let page = Arc::new(self.list_fresh(ctx, range).await?);
        Ok(Listing { page, age: self.env.clock.now().since(since) })
    }

    /// Lists keys past every cache, for a customer of this data center.
    pub async fn list_fresh(&self, ctx: &Arc<Ctx>, range: &ListRange) -> Result<Page, CacheError> {
        let mut listed = self.list_storage(ctx, range).await?;
        // A deletion is acknowledged before its index objects are gone: what this data center deleted it does not list.
        let now = self.env.clock.now();
        listed.page.keys.retain(|listed| {
            let name = Name { namespace: range.namespace.clone(), key: listed.key.clone() };
            !self.edge.deleted(&name, now)
        });
        Ok(listed.page)
    }

    async fn list_storage(
        &self,
        ctx: &Arc<Ctx>,
        range: &ListRange,
    ) -> Result<ListedPage, CacheError> {
        let stage = ctx.trace.stage("storage.list");
        let now_s = self.env.clock.now().unix_s();
        let listed = self.storage.list(range, now_s, &stage).await;
        Ok(stage.ended(listed)?)
    }
}
