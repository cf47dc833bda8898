//! The edge: what a data center does for its own customers.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{Entries, Entry};
use super::flights::Flights;
use super::{Cache, CacheError, CacheResult, Read, TierAnswer, TierAsk, TierError, TierRole};
use crate::config::{Namespaces, Refresh};
use crate::env::{BoxFuture, Timestamp};
use crate::ids::{Dc, Name, Version};
use crate::safeguards::Safeguard;
use crate::storage::Found;
use crate::worker::Ctx;

/// How often an edge asks its regional tier about a key that is read, whatever the reader's `cache_ttl` (S002).
const REFRESH_PERIOD: Duration = Duration::from_mins(1);
/// A refresh begins this long before its time, so that readers of a busy key never wait and the bound of one minute holds.
const REFRESH_AHEAD: Duration = Duration::from_secs(10);
/// What a refresh adds to an entry's life in builds that do not bound staleness (S002: "extends expiry by one minute").
const EXTENSION: Duration = Duration::from_mins(1);
/// How long "there is none" is believed without asking.
pub(super) const NEGATIVE_TTL: Duration = Duration::from_mins(1);

/// How long a reader is content with a cached value: at least the limit of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl(pub Duration);

pub(super) struct Edge {
    entries: Entries,
    flights: Flights<Name, Result<Arc<Entry>, CacheError>>,
}

impl Edge {
    pub(super) fn new(bytes_max: u64, namespaces: Arc<Namespaces>) -> Self {
        Self { entries: Entries::new(bytes_max, namespaces), flights: Flights::new() }
    }

    /// Forgets what is older than a version that this data center has found out about.
    pub(super) fn forget_older(&self, name: &Name, version: Version) {
        self.entries.remove_older(name, version);
    }

    /// Whether a key was deleted, by what is known here and still believed.
    pub(super) fn deleted(&self, name: &Name, now: Timestamp) -> bool {
        self.entries.peek(name).is_some_and(|entry| {
            let deleted = matches!(entry.found, Found::Absent(version) if version > Version::ZERO);
            deleted && now < entry.expires()
        })
    }
}

/// What an entry is good for.
enum Freshness {
    Fresh,
    /// Serve it, and ask behind.
    Refresh,
    /// Serve it once the tiers have said that it is the newest.
    Revalidate,
    Gone,
}

impl Cache {
    /// Reads a key for a customer of this data center.
    ///
    /// [`CacheError::OwnerFailed`] where the owner threw, [`CacheError::Unavailable`] where nobody could be reached.
    pub async fn read(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        name: &Name,
        ttl: Ttl,
    ) -> Result<Read, CacheError> {
        let stage = ctx.trace.stage("cache.edge.read");
        let read = self.read_edge(ctx, name, ttl, stage.start()).await;
        // A read that fails was a miss.
        let result = read.as_ref().map_or(CacheResult::Miss, |read| read.result);
        ctx.note(|notes| notes.cache = Some(result));
        read
    }

    async fn read_edge(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        name: &Name,
        ttl: Ttl,
        now: Timestamp,
    ) -> Result<Read, CacheError> {
        let mut known = None;
        if let Some(entry) = self.edge.entries.get(name) {
            let tiered = self.takes_tiers(ctx, name);
            let freshness = if !tiered {
                fresh_until(&entry, entry.fetched_at.after(ttl.0).min(entry.expires()), now)
            } else if ctx.build.has(Safeguard::BoundedStaleness) {
                fresh_within_the_bound(&entry, now, self.refresh)
            } else {
                fresh_while_read(&entry, now)
            };
            match freshness {
                Freshness::Fresh => {
                    return Ok(Read { entry, result: CacheResult::Hit });
                }
                Freshness::Refresh => {
                    entry.attempt(now);
                    self.refresh_behind(ctx, name, ttl, &entry);
                    let late = tiered && now.since(entry.fetched_at) >= REFRESH_PERIOD;
                    let result = if late { CacheResult::Stale } else { CacheResult::Hit };
                    return Ok(Read { entry, result });
                }
                Freshness::Revalidate => known = Some(entry),
                Freshness::Gone => {}
            }
        }
        let version = known.as_ref().map(|entry| entry.found.version());
        let entry = Box::pin(self.fill(ctx, name, ttl, known)).await?;
        let found = &entry.found;
        let unchanged = version == Some(found.version()) && matches!(found, Found::Value(_));
        let result = if unchanged { CacheResult::Revalidated } else { CacheResult::Miss };
        Ok(Read { entry, result })
    }

    /// Writes a key for a customer of this data center. What is written here is read here at once.
    pub async fn write(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        name: &Name,
        state: Found,
    ) -> Result<(), CacheError> {
        // Another's newer write may be acknowledged while this one is under way: the entry is as old as its beginning.
        let now = self.env.clock.now();
        if self.takes_tiers(ctx, name) {
            self.write_by_owner(ctx, name, &state).await?;
        } else {
            self.write_storage(ctx, name, state.clone()).await?;
        }
        self.edge.entries.put(name, Entry::new(state, now, now.after(NEGATIVE_TTL)));
        self.lists.wrote(&name.namespace, self.env.clock.now());
        Ok(())
    }

    fn refresh_behind(self: &Arc<Self>, ctx: &Arc<Ctx>, name: &Name, ttl: Ttl, entry: &Arc<Entry>) {
        if self.edge.flights.under_way(name) {
            return;
        }
        let (this, asked, name) = (self.clone(), ctx.clone(), name.clone());
        let known = Some(entry.clone());
        let work = Box::pin(async move {
            if this.fill(&asked, &name, ttl, known).await.is_err() {
                this.metrics.refresh_failures.inc();
            }
        });
        ctx.spawn_beside(self.env.tasks.as_ref(), work);
    }

    async fn fill(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        name: &Name,
        ttl: Ttl,
        known: Option<Arc<Entry>>,
    ) -> Result<Arc<Entry>, CacheError> {
        let fetched = self
            .edge
            .flights
            .join(ctx, &self.env, name, || {
                let (this, ctx, name) = (self.clone(), ctx.clone(), name.clone());
                Box::pin(async move {
                    let _stage = ctx.trace.stage("cache.edge.fill");
                    let asked_at = this.env.clock.now();
                    let found = this.fetch(&ctx, &name, known.as_deref()).await?;
                    let found = found.live(this.env.clock.now().unix_s());
                    let ttl = match found {
                        Found::Value(_) => ttl.0,
                        Found::Absent(_) => ttl.0.min(NEGATIVE_TTL),
                    };
                    let entry = Entry::new(found, asked_at, asked_at.after(ttl));
                    Ok(this.edge.entries.put(&name, entry))
                })
            })
            .await;
        fetched.unwrap_or(Err(CacheError::Unavailable))
    }

    async fn fetch(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        name: &Name,
        known: Option<&Entry>,
    ) -> Result<Found, CacheError> {
        if self.takes_tiers(ctx, name) {
            self.read_by_owner(ctx, name, known).await
        } else {
            Ok(self.read_storage(ctx, name).await?.found)
        }
    }

    async fn read_by_owner(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        name: &Name,
        known: Option<&Entry>,
    ) -> Result<Found, CacheError> {
        let targets = self.targets(ctx, name);
        if targets.is_empty() {
            return Ok(self.read_storage(ctx, name).await?.found);
        }
        let known =
            known.map(|entry| &entry.found).filter(|found| matches!(found, Found::Value(_)));
        let get = |dc: &Dc, ask: &TierAsk| {
            let ask = TierAsk { known: known.map(Found::version), ..ask.clone() };
            self.peers.get(dc, &ask)
        };
        match (self.ask_owners(ctx, name, &targets, get).await?, known) {
            (TierAnswer::Found(known), _) => Ok(known.found),
            (TierAnswer::Unchanged { .. }, Some(found)) => Ok(found.clone()),
            // Nobody asked for that.
            (TierAnswer::Unchanged { .. }, None) => Err(CacheError::OwnerFailed),
        }
    }

    async fn write_by_owner(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        name: &Name,
        state: &Found,
    ) -> Result<(), CacheError> {
        let targets = self.targets(ctx, name);
        if targets.is_empty() {
            return Ok(self.write_storage(ctx, name, state.clone()).await?);
        }
        self.ask_owners(ctx, name, &targets, |dc, ask| self.peers.put(dc, ask, state)).await
    }

    /// Whom to ask for a key, best first: its owner in the region, the next one, then the upper tier.
    pub(super) fn targets(&self, ctx: &Ctx, name: &Name) -> Vec<(Dc, TierRole)> {
        let placement = &ctx.config.placement;
        let mut targets: Vec<(Dc, TierRole)> = placement
            .regional(&self.region, name)
            .take(2)
            .map(|dc| (dc.clone(), TierRole::Regional))
            .collect();
        let origin = placement.origin(&self.region);
        if let Some(upper) = placement.upper(origin, name).next()
            && targets.iter().all(|(dc, _)| dc != upper)
        {
            targets.push((upper.clone(), TierRole::Upper));
        }
        targets
    }

    pub(super) async fn ask_owners<T>(
        &self,
        ctx: &Arc<Ctx>,
        name: &Name,
        targets: &[(Dc, TierRole)],
        ask: impl Fn(&Dc, &TierAsk) -> BoxFuture<Result<T, TierError>>,
    ) -> Result<T, CacheError> {
        let mut last = TierError::Unreachable;
        for (turn, (dc, role)) in targets.iter().enumerate() {
            let request = TierAsk {
                name: name.clone(),
                role: *role,
                affinity: ctx.config.placement.origin(&self.region).clone(),
                revision: ctx.config.snapshot.revision,
                known: None,
                trace: None,
                control: match role {
                    TierRole::Regional => None,
                    TierRole::Upper => self.control_context(&name.namespace),
                },
            };
            let mut answer = self.ask_tier(ctx, dc, request.clone(), &ask).await;
            self.retries.earn();
            // A connection that breaks says nothing about the owner: one more try, so that a blip is not an error.
            if matches!(answer, Err(TierError::Unreachable)) && self.retries.spend(&self.env).await
            {
                answer = self.ask_tier(ctx, dc, request, &ask).await;
            }
            match answer {
                Ok(value) => {
                    if turn > 0 {
                        self.metrics.fallbacks.inc();
                    }
                    return Ok(value);
                }
                // Another owner has the same stores; and what is too much for one is too much for the next.
                Err(error @ (TierError::Storage | TierError::Busy | TierError::NotResolved)) => {
                    return Err(error.into());
                }
                Err(error) => last = error,
            }
            if !self.goes_past(ctx, dc, last) {
                break;
            }
        }
        Err(last.into())
    }

    /// What follows from a tier's failure: whether it is reported, and whether the next is asked.
    pub(super) fn goes_past(&self, ctx: &Ctx, failed: &Dc, error: TierError) -> bool {
        if error == TierError::Failed {
            if ctx.build.has(Safeguard::OwnerQuarantine) {
                self.suspect(failed);
            } else {
                keep_suspicion_to_oneself(failed);
            }
        }
        if ctx.build.has(Safeguard::OwnerFallback) {
            ask_the_next()
        } else {
            give_up_with_the_owner()
        }
    }

    fn suspect(&self, owner: &Dc) {
        if let Some(control) = &self.control {
            self.suspects.suspect(control, owner);
        }
    }
}

fn keep_suspicion_to_oneself(_: &Dc) {}

fn ask_the_next() -> bool {
    true
}

fn give_up_with_the_owner() -> bool {
    false
}

/// Asks behind in the last seconds before a moment, and in the foreground after it. Without tiers that moment is what the
/// reader's `cache_ttl` says.
fn fresh_until(entry: &Entry, bound: Timestamp, now: Timestamp) -> Freshness {
    if entry.found.expired(now.unix_s()) || now >= bound {
        Freshness::Gone
    } else if now >= bound.before(REFRESH_AHEAD) && entry.attempted() == entry.fetched_at {
        Freshness::Refresh
    } else {
        Freshness::Fresh
    }
}

/// With tiers no reader sees anything older than a minute, whatever `cache_ttl` it asked for: that says how long a value
/// that has not changed need not be fetched again.
fn fresh_within_the_bound(entry: &Entry, now: Timestamp, refresh: Refresh) -> Freshness {
    let bound = entry.fetched_at.after(REFRESH_PERIOD).min(entry.expires());
    match (fresh_until(entry, bound, now), refresh) {
        (Freshness::Gone, _) if now < entry.expires() && !entry.found.expired(now.unix_s()) => {
            Freshness::Revalidate
        }
        (Freshness::Refresh, Refresh::Foreground) => Freshness::Fresh,
        (freshness, _) => freshness,
    }
}

/// As in 2023: a read that is due for a refresh begins one behind and extends the entry's life by a minute, whatever comes
/// of the refresh. A key that is read often never lapses, also when its owner has been failing for hours.
fn fresh_while_read(entry: &Entry, now: Timestamp) -> Freshness {
    if entry.found.expired(now.unix_s()) || now >= entry.expires() {
        Freshness::Gone
    } else if now.since(entry.attempted()) >= REFRESH_PERIOD.saturating_sub(REFRESH_AHEAD) {
        entry.extend(entry.expires().after(EXTENSION));
        Freshness::Refresh
    } else {
        Freshness::Fresh
    }
}
