//! Edge cache, tier cache, freshness, coalescing, placement, purge. This room owns *every* purge and knows no object-store
//! protocol.
//!
//! Start with [`Cache::read`] (the edge's side of a get) and [`Cache::serve`] (the owner's side).

mod edge;
mod entry;
mod flights;
mod list;
pub mod placement;
mod purge;
mod tier;

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

pub use edge::Ttl;
pub use list::Listing;
pub use purge::{HEARD_WITHIN, PurgeBatch, PurgeEntry};

use crate::admission::{Busy, Gate, RetryBudget};
use crate::config::{Config, Limits, Members, Namespaces, Refresh};
use crate::env::{BoxFuture, NodeEnv};
use crate::ids::{Dc, HostName, Name, Namespace, Peer, Region, Version};
use crate::resolver::Resolver;
use crate::storage::{Found, ListRange, Storage, StorageError, StoreError};
use crate::telemetry::trace::Attribute;
use crate::telemetry::{Lifecycle, Metrics, TraceContext};
use crate::worker::Ctx;

/// What the edge cache did for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheResult {
    /// Answered from the edge.
    Hit,
    /// Answered from the edge with a value past its refresh time, while a refresh runs behind.
    Stale,
    /// Answered from the edge once the tiers had said that it is still the newest.
    Revalidated,
    /// Asked further up.
    Miss,
}

impl CacheResult {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
        }
    }
}

/// What is known of a key by way of the tiers or from the stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it is.
    pub found: Found,
    /// Whether one of two stores said so while the other did not answer: then it may lack a write that nobody here knows of,
    /// and must not be kept for long.
    pub alone: bool,
}

/// A read as the gateway gets it.
#[derive(Clone, Debug)]
pub struct Read {
    entry: Arc<entry::Entry>,
    /// How it was found.
    pub result: CacheResult,
}

impl Read {
    /// What is known of the key.
    pub fn found(&self) -> &Found {
        &self.entry.found
    }
}

/// In which role a tier is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TierRole {
    /// The owner of a key in the asking edge's region.
    Regional,
    /// The owner in the origin region.
    Upper,
}

/// Why a tier did not answer with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TierError {
    /// It threw. It is there, and it does not work.
    #[error("the owner failed")]
    Failed,
    /// It could not be reached, or the connection broke.
    #[error("the owner is unreachable")]
    Unreachable,
    /// It did not answer in time.
    #[error("the owner timed out")]
    TimedOut,
    /// It works, but no store behind it could answer.
    #[error("no object store could answer")]
    Storage,
    /// It works, but the host name of the stores behind it leads nowhere.
    #[error("the host of the stores does not resolve")]
    NotResolved,
    /// So much goes to it from here, or waits to, that it was not asked.
    #[error("too much is asked of the owner")]
    Busy,
}

impl TierError {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed-out",
            Self::Storage => "storage",
            Self::NotResolved => "not-resolved",
            Self::Busy => "busy",
        }
    }
}

/// Why the cache has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// The key's owner threw, and nobody else was asked.
    #[error("the owner failed")]
    OwnerFailed,
    /// Neither an owner nor a store could be reached. The caller may ask again later.
    #[error("unavailable")]
    Unavailable,
    /// An upper tier could not resolve the host name of the stores.
    #[error("the host of the stores does not resolve")]
    NotResolved,
}

impl From<StorageError> for CacheError {
    fn from(_: StorageError) -> Self {
        Self::Unavailable
    }
}

impl From<TierError> for CacheError {
    fn from(error: TierError) -> Self {
        match error {
            TierError::Failed => Self::OwnerFailed,
            TierError::NotResolved => Self::NotResolved,
            TierError::Unreachable | TierError::TimedOut | TierError::Storage | TierError::Busy => {
                Self::Unavailable
            }
        }
    }
}

/// A request to a tier.
#[derive(Clone, Debug)]
pub struct TierAsk {
    /// Which key.
    pub name: Name,
    /// In which role.
    pub role: TierRole,
    /// The origin region that the edge chose.
    pub affinity: Region,
    /// The sender's configuration.
    pub revision: u64,
    /// The version of the value that the sender has: where it is the newest, it need not be sent again.
    pub known: Option<Version>,
    /// The trace that it is part of.
    pub trace: Option<TraceContext>,
    /// What an upper tier has to be told besides, where stores are reached by name.
    pub control: Option<ControlContext>,
}

/// What a lower tier tells an upper one that knows no namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlContext {
    /// The name under which the stores of the namespace are reached.
    pub host: HostName,
    /// The data center that asks.
    pub route: Dc,
}

/// What a tier answers to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TierAnswer {
    /// What it knows of the key.
    Found(Known),
    /// That the sender's value is the newest, also if one store alone says so.
    Unchanged {
        /// See [`Known::alone`].
        alone: bool,
    },
}

/// The tier protocol, as the cache sees it: implemented by `api::tier`, over the network door.
pub trait TierPeers: Send + Sync {
    /// Reads a key from another data center.
    fn get(&self, dc: &Dc, ask: &TierAsk) -> BoxFuture<Result<TierAnswer, TierError>>;
    /// Lists keys by way of another data center, which keeps the page.
    fn list(
        &self,
        dc: &Dc,
        ask: &TierAsk,
        range: &ListRange,
    ) -> BoxFuture<Result<Listing, TierError>>;
    /// Writes a key by way of another data center.
    fn put(&self, dc: &Dc, ask: &TierAsk, state: &Found) -> BoxFuture<Result<(), TierError>>;
    /// Delivers purges.
    fn purge(&self, dc: &Dc, batch: &PurgeBatch) -> BoxFuture<Result<(), TierError>>;
}

/// The caches of one data center and the ways out of it.
pub struct Cache {
    dc: Dc,
    region: Region,
    env: NodeEnv,
    storage: Storage,
    peers: Arc<dyn TierPeers>,
    control: Option<Peer>,
    metrics: Arc<Metrics>,
    gates: IndexMap<Dc, Gate, FxBuildHasher>,
    retries: RetryBudget,
    refresh: Refresh,
    edge: edge::Edge,
    lists: list::Lists,
    tier: tier::Tier,
    purges: purge::Purges,
    suspects: Arc<dyn Suspects>,
    members: Arc<Members>,
    resolver: Option<Arc<Resolver>>,
}

/// Where an owner that failed is reported.
pub trait Suspects: Send + Sync {
    /// Tells the control plane that an owner failed a tier request.
    fn suspect(&self, control: &Peer, owner: &Dc);
}

/// What [`Cache::new`] needs.
pub struct CacheParts {
    /// Which data center this is.
    pub dc: Dc,
    /// The topology.
    pub members: Arc<Members>,
    /// The doors.
    pub env: NodeEnv,
    /// The stores.
    pub storage: Storage,
    /// The other data centers.
    pub peers: Arc<dyn TierPeers>,
    /// The control plane.
    pub control: Option<Peer>,
    /// How to report an owner there.
    pub suspects: Arc<dyn Suspects>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The namespaces that are configured.
    pub namespaces: Arc<Namespaces>,
    /// Sizes.
    pub limits: Limits,
    /// Whom an upper tier asks for the stores, where they are reached by name.
    pub resolver: Option<Arc<Resolver>>,
}

impl Cache {
    /// Empty caches.
    pub fn new(parts: CacheParts) -> Arc<Self> {
        let region = parts
            .members
            .dcs
            .get(&parts.dc)
            .map_or_else(|| Region::from(""), |member| member.region.clone());
        let gates = parts.members.dcs.keys().map(|dc| (dc.clone(), Gate::default())).collect();
        Arc::new(Self {
            region,
            gates,
            retries: RetryBudget::new(parts.env.chance.stream("retries/tiers")),
            refresh: parts.limits.refresh,
            edge: edge::Edge::new(parts.limits.edge_cache_bytes, parts.namespaces.clone()),
            lists: list::Lists::new(),
            tier: tier::Tier::new(parts.limits.tier_cache_bytes, parts.namespaces),
            purges: purge::Purges::new(&parts.env),
            dc: parts.dc,
            env: parts.env,
            storage: parts.storage,
            peers: parts.peers,
            control: parts.control,
            suspects: parts.suspects,
            members: parts.members,
            resolver: parts.resolver,
            metrics: parts.metrics,
        })
    }

    /// Adapts what the tier holds to a new configuration, before that serves any request.
    ///
    /// Whoever comes back into placement may have missed any purge and drops everything. Everyone else drops what it no
    /// longer holds by right: purges of those keys go to another from now on.
    pub fn configured(&self, old: &Config, new: &Config) {
        let owns = |config: &Config| {
            config.snapshot.status(&self.dc).owns_keys() && config.snapshot.new_backend
        };
        if owns(new) && !owns(old) {
            self.drop_tier();
        } else {
            // While a namespace is not enrolled nobody purges its keys.
            let enrolled =
                |config: &Config, name: &Name| config.snapshot.enrolled.contains(&name.namespace);
            self.tier.keep(|name| {
                new.placement.holds(&self.dc, &self.region, name)
                    && enrolled(old, name)
                    && enrolled(new, name)
            });
        }
    }

    fn drop_tier(&self) {
        self.tier.keep(|_| false);
        let event = Lifecycle::TierDropped { dc: self.dc.clone() };
        self.env.sink.lifecycle(self.env.clock.now(), event);
    }

    /// Takes down that a tier request came without its control data.
    pub fn missing_context(&self) {
        self.metrics.missing_context.inc();
    }

    /// What an upper tier has to be told that is asked for a key of a namespace.
    fn control_context(&self, namespace: &Namespace) -> Option<ControlContext> {
        let hosts = self.members.store_hosts.as_ref()?;
        Some(ControlContext { host: hosts.of(namespace).clone(), route: self.dc.clone() })
    }

    /// Whether a request lacks what this data center needs in the role that it is asked in.
    pub fn lacks_context(&self, ask: &TierAsk) -> bool {
        self.resolver.is_some() && ask.role == TierRole::Upper && ask.control.is_none()
    }

    /// Takes down whether the control host of a request to an upper tier reached what serves it.
    pub fn control_host(&self, ctx: &Ctx, there: bool) {
        self.metrics.control_host(&ctx.build.id, there);
    }

    /// Takes down that a tier request came without a trace.
    pub fn missing_trace(&self) {
        self.metrics.missing_trace.inc();
    }

    /// Asks another data center in the tier role, as a stage of the request.
    async fn ask_tier<T>(
        &self,
        ctx: &Ctx,
        owner: &Dc,
        mut ask: TierAsk,
        call: impl FnOnce(&Dc, &TierAsk) -> BoxFuture<Result<T, TierError>>,
    ) -> Result<T, TierError> {
        ctx.note(|notes| notes.owner = Some(owner.clone()));
        let mut stage = ctx.trace.stage("tier.ask");
        stage.attribute("relapse.owner", Attribute::Dc(owner.clone()));
        ask.trace = Some(stage.context());
        let role = ask.role;
        let answer = match self.gates.get(owner) {
            Some(gate) => match gate.enter(&self.env, &ask.name.namespace).await {
                Ok(_turn) => call(owner, &ask).await,
                Err(Busy) => Err(TierError::Busy),
            },
            None => Err(TierError::Unreachable),
        };
        self.metrics.tier_request(owner, role, &answer);
        stage.ended(answer)
    }

    /// Whether requests of a key's namespace take the tiers from here.
    fn takes_tiers(&self, ctx: &Ctx, name: &Name) -> bool {
        ctx.config.takes_new_backend(&self.dc, &name.namespace)
    }

    /// Reads from storage, and sees to what storage finds out afterwards.
    async fn read_storage(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        name: &Name,
    ) -> Result<Known, StorageError> {
        let stage = ctx.trace.stage("storage.read");
        let answer = self.storage.read(name, &stage).await;
        let answer = stage.ended(answer)?;
        if let Some(rest) = answer.rest {
            let (this, asked) = (self.clone(), ctx.clone());
            let work = Box::pin(async move {
                if let Some(repaired) = rest.await {
                    this.metrics.repairs.inc();
                    if repaired.was_newer {
                        // No purge reaches an edge, but this one knows better now.
                        this.edge.forget_older(&repaired.name, repaired.version);
                        this.purge(&asked, &repaired.name, repaired.version);
                    }
                }
            });
            ctx.spawn_beside(self.env.tasks.as_ref(), work);
        }
        Ok(Known { found: answer.found, alone: answer.alone })
    }

    /// Goes on comparing the stores, from a name of an object on; where to go on after that. A key that they differed in is
    /// purged: caches may hold the older of the two. `None` at the end.
    pub async fn crawl(
        self: &Arc<Self>,
        config: &Config,
        after: &str,
    ) -> Result<Option<String>, StoreError> {
        let crawled = self.storage.crawl(after, self.env.clock.now()).await?;
        self.metrics.crawled(&crawled);
        for repaired in &crawled.repaired {
            self.metrics.repairs.inc();
            for work in self.purge_under(config, &repaired.name, repaired.version) {
                self.env.tasks.spawn(work);
            }
        }
        Ok(crawled.next)
    }

    /// Writes to storage and purges the key everywhere, whatever road the write took.
    async fn write_storage(
        self: &Arc<Self>,
        ctx: &Arc<Ctx>,
        name: &Name,
        state: Found,
    ) -> Result<(), StorageError> {
        let version = state.version();
        let stage = ctx.trace.stage("storage.write");
        let answer = self.storage.write(name, state, &stage).await;
        let answer = stage.ended(answer)?;
        ctx.spawn_beside(self.env.tasks.as_ref(), answer.rest);
        self.purge(ctx, name, version);
        Ok(())
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("dc", &self.dc).finish_non_exhaustive()
    }
}
