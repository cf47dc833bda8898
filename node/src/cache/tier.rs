//! The tier role: what a data center does for others, as the owner of a key in its region or in an origin region.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::edge::NEGATIVE_TTL;
use super::entry::{Entries, Entry};
use super::flights::Flights;
use super::{Cache, CacheResult, Known, TierAnswer, TierAsk, TierError, TierRole};
use crate::config::Namespaces;
use crate::ids::{Dc, Name};
use crate::storage::Found;
use crate::worker::Ctx;

/// How long a regional tier trusts what it holds without asking its upper tier. Purges reach it within seconds; this bounds
/// what a lost one can cost (S002 keeps entries past their TTL, "conservatively").
const REGIONAL_TRUST: Duration = Duration::from_mins(5);
/// The same for an upper tier, before it asks the stores.
const UPPER_TRUST: Duration = Duration::from_mins(10);

/// How long a tier keeps what one store said while the other did not answer: enough for the readers of a moment. Nobody purges
/// it when that store turns out to have missed a write.
const ALONE_TRUST: Duration = Duration::from_secs(5);

pub(super) struct Tier {
    entries: Entries,
    /// By key and [`Tier::epoch`].
    flights: Flights<(Name, u64), Result<Known, TierError>>,
    /// How often something was dropped: a fill that began before must not bring it back, nor answer who asked afterwards.
    epoch: AtomicU64,
}

impl Tier {
    pub(super) fn new(bytes_max: u64, namespaces: Arc<Namespaces>) -> Self {
        Self {
            entries: Entries::new(bytes_max, namespaces),
            flights: Flights::new(),
            epoch: AtomicU64::new(0),
        }
    }

    pub(super) fn keep(&self, wanted: impl Fn(&Name) -> bool) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.entries.keep(wanted);
    }

    pub(super) fn purge(&self, name: &Name, version: crate::ids::Version) {
        self.entries.remove_older(name, version);
    }
}

impl Cache {
    /// Answers another data center's read.
    ///
    /// Where the request's env has no tier route (the data center is not in service), the tiers are passed by and storage
    /// answers.
    pub async fn serve(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        ask: &TierAsk,
    ) -> Result<Known, TierError> {
        let _stage = ctx.trace.stage("cache.tier.read");
        if ctx.env().read().tier_route.is_none() {
            return self.read_storage(ctx, &ask.name).await.map_err(|_| TierError::Storage);
        }
        self.count_disagreement(ctx, ask);
        let now = self.now_awake();
        if let Some(entry) = self.tier.entries.get(&ask.name)
            && now < entry.expires()
            && !entry.found.expired(now.unix_s())
        {
            ctx.note(|notes| notes.cache = Some(CacheResult::Hit));
            return Ok(Known { found: entry.found.clone(), alone: entry.alone });
        }
        ctx.note(|notes| notes.cache = Some(CacheResult::Miss));
        let epoch = self.tier.epoch.load(Ordering::Relaxed);
        let fetched = self
            .tier
            .flights
            .join(ctx, &self.env, &(ask.name.clone(), epoch), || {
                let (this, ctx, ask) = (self.clone(), ctx.clone(), ask.clone());
                Box::pin(async move { this.fill_tier(&ctx, &ask, epoch).await })
            })
            .await;
        fetched.unwrap_or(Err(TierError::Unreachable))
    }

    /// Carries another data center's write on.
    pub async fn serve_write(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        ask: &TierAsk,
        state: Found,
    ) -> Result<(), TierError> {
        let _stage = ctx.trace.stage("cache.tier.write");
        self.count_disagreement(ctx, ask);
        let version = state.version();
        let by_upper = match self.upper_of(ctx, ask) {
            Some((dc, request)) => {
                let put = |dc: &Dc, ask: &TierAsk| self.peers.put(dc, ask, &state);
                let written = self.ask_tier(ctx, &dc, request, put).await;
                self.unless_passed_by(ctx, &dc, written)?
            }
            None => None,
        };
        if by_upper.is_none() {
            self.find_stores(ask)?;
            self.write_storage(ctx, &ask.name, state).await.map_err(|_| TierError::Storage)?;
        }
        self.accept_purge(&ask.name, version);
        Ok(())
    }

    async fn fill_tier(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        ask: &TierAsk,
        epoch: u64,
    ) -> Result<Known, TierError> {
        let _stage = ctx.trace.stage("cache.tier.fill");
        let asked_at = self.env.clock.now();
        let by_upper = match self.upper_of(ctx, ask) {
            Some((dc, request)) => self.read_upper(ctx, &dc, request).await?,
            None => None,
        };
        let (Known { found, alone }, trust) = match by_upper {
            Some(known) => (known, REGIONAL_TRUST),
            None => {
                self.find_stores(ask)?;
                let known = self.read_storage(ctx, &ask.name).await;
                (known.map_err(|_| TierError::Storage)?, UPPER_TRUST)
            }
        };
        let found = found.live(self.env.clock.now().unix_s());
        let trust = match found {
            _ if alone => ALONE_TRUST,
            Found::Value(_) => trust,
            Found::Absent(_) => trust.min(NEGATIVE_TTL),
        };
        // Purges of keys that this tier does not own go elsewhere: it must not keep them.
        let mine = ctx.config.placement.holds(&self.dc, &self.region, &ask.name);
        let kept = epoch == self.tier.epoch.load(Ordering::Relaxed);
        if mine
            && kept
            && !self.purges.marked_newer(&ask.name, found.version(), asked_at, self.env.clock.now())
        {
            let entry = Entry::new(found, asked_at, asked_at.after(trust)).said_alone(alone);
            let kept = self.tier.entries.put(&ask.name, entry);
            return Ok(Known { found: kept.found.clone(), alone: kept.alone });
        }
        Ok(Known { found, alone })
    }

    /// Finds the stores before they are asked. Whoever asks them for its own namespaces knows where they are; an upper tier goes
    /// by the name that it was told, and where it was told none, by none.
    fn find_stores(&self, ask: &TierAsk) -> Result<(), TierError> {
        match &self.resolver {
            Some(resolver) if ask.role == TierRole::Upper => {
                let host = ask.control.as_ref().map_or("", |control| control.host.as_str());
                resolver.resolve(host).map_err(|_| TierError::NotResolved)
            }
            _ => Ok(()),
        }
    }

    /// Reads a key from its upper tier, which need not send again what this tier still has.
    async fn read_upper(
        &self,
        ctx: &Arc<Ctx>,
        upper: &Dc,
        request: TierAsk,
    ) -> Result<Option<Known>, TierError> {
        let held = self.tier.entries.peek(&request.name).map(|entry| entry.found.clone());
        let held = held.filter(|found| matches!(found, Found::Value(_)));
        let request = TierAsk { known: held.as_ref().map(Found::version), ..request };
        let get = |dc: &Dc, ask: &TierAsk| self.peers.get(dc, ask);
        let read = self.ask_tier(ctx, upper, request, get).await;
        let read = match (read, held) {
            (Ok(TierAnswer::Found(known)), _) => Ok(known),
            (Ok(TierAnswer::Unchanged { alone }), Some(found)) => Ok(Known { found, alone }),
            // Nobody asked for that.
            (Ok(TierAnswer::Unchanged { .. }), None) => Err(TierError::Failed),
            (Err(error), _) => Err(error),
        };
        self.unless_passed_by(ctx, upper, read)
    }

    /// The upper tier that a request goes on to, if it goes on to one.
    fn upper_of(&self, ctx: &Ctx, ask: &TierAsk) -> Option<(Dc, TierAsk)> {
        if ask.role == TierRole::Upper || ctx.env().read().tier_route.is_none() {
            return None;
        }
        let upper = ctx.config.placement.upper(&ask.affinity, &ask.name).next()?;
        (*upper != self.dc).then(|| {
            let request = TierAsk {
                role: TierRole::Upper,
                revision: ctx.config.snapshot.revision,
                control: self.control_context(&ask.name.namespace),
                ..ask.clone()
            };
            (upper.clone(), request)
        })
    }

    /// What an upper tier answered; `None` where it failed and the build goes past it, to the stores.
    ///
    /// That an upper tier fails is not this tier's failure: it is told as silence, and the upper tier is suspected.
    fn unless_passed_by<T>(
        &self,
        ctx: &Ctx,
        upper: &Dc,
        answer: Result<T, TierError>,
    ) -> Result<Option<T>, TierError> {
        match answer {
            Ok(value) => Ok(Some(value)),
            // Another would ask for the same name.
            Err(error @ (TierError::Storage | TierError::Busy | TierError::NotResolved)) => {
                Err(error)
            }
            Err(error) => {
                if self.goes_past(ctx, upper, error) {
                    self.metrics.fallbacks.inc();
                    Ok(None)
                } else {
                    Err(TierError::TimedOut)
                }
            }
        }
    }

    pub(super) fn count_disagreement(&self, ctx: &Ctx, ask: &TierAsk) {
        // Under the same configuration everybody works out the same owner.
        if ask.revision == ctx.config.snapshot.revision {
            return;
        }
        let placement = &ctx.config.placement;
        let agreed = match ask.role {
            TierRole::Regional => placement.regional(&self.region, &ask.name).next(),
            TierRole::Upper => placement.upper(&ask.affinity, &ask.name).next(),
        };
        if agreed != Some(&self.dc) {
            self.metrics.ownership_disagreements.inc();
        }
    }
}
