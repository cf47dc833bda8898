//! What a node is told: once at its start ([`NodeConfig`]), and again and again while it runs ([`Snapshot`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache::placement::Placement;
use crate::ids::{Account, BuildId, Dc, Name, Namespace, NamespaceClass, Peer, Region};
use crate::resolver::StoreHosts;
use crate::safeguards::{Build, Environment};
use crate::storage::S3Access;
use crate::worker::ScriptName;

/// A data center's place in the topology. Weights are shares of load; zero means "not in this role".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where it stands.
    pub region: Region,
    /// Its weight as a regional tier.
    pub regional_weight: u32,
    /// Its weight as an upper tier of its origin region.
    pub upper_weight: u32,
}

/// Who is in the topology: fixed for the life of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Every data center.
    pub dcs: BTreeMap<Dc, Member>,
    /// For each region, the region whose upper tiers it goes to.
    pub origins: BTreeMap<Region, Region>,
    /// The names under which upper tiers reach the stores; none where they know the stores themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_hosts: Option<StoreHosts>,
}

/// What is configured of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceAbout {
    /// What dashboards count it by.
    pub class: NamespaceClass,
    /// Its title, unique within an account.
    pub title: String,
    /// Whose it is; `None` where any account may use it, as in a lab.
    pub account: Option<Account>,
}

impl NamespaceAbout {
    /// A namespace that any account may use, titled like its id.
    pub fn open(id: &Namespace, class: NamespaceClass) -> Self {
        Self { class, title: id.to_string(), account: None }
    }
}

/// Namespaces that are configured, in the order of their names. Customers may create others. Nodes of one process share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces(IndexMap<Namespace, NamespaceAbout, FxBuildHasher>);

impl Namespaces {
    /// Where a namespace stands, if it exists.
    pub fn place(&self, namespace: &Namespace) -> Option<usize> {
        self.0.get_index_of(namespace)
    }

    /// The namespace at a place.
    pub fn at(&self, place: usize) -> Option<(&Namespace, &NamespaceAbout)> {
        self.0.get_index(place)
    }

    /// The same name with the text of the namespace that all its names can share: for whoever keeps many.
    #[must_use]
    pub fn sharing(&self, name: &Name) -> Name {
        let known = self.0.get_key_value(&name.namespace).map(|(namespace, _)| namespace);
        Name { namespace: known.unwrap_or(&name.namespace).clone(), key: name.key.clone() }
    }

    /// What is configured of a namespace.
    pub fn about(&self, namespace: &Namespace) -> Option<&NamespaceAbout> {
        self.0.get(namespace)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&Namespace, &NamespaceAbout)> {
        self.0.iter()
    }
}

impl FromIterator<(Namespace, NamespaceAbout)> for Namespaces {
    fn from_iter<I: IntoIterator<Item = (Namespace, NamespaceAbout)>>(namespaces: I) -> Self {
        let mut namespaces: IndexMap<_, _, FxBuildHasher> = namespaces.into_iter().collect();
        namespaces.sort_unstable_keys();
        Self(namespaces)
    }
}

/// How an edge learns of newer values of enrolled keys. Either way none is served that was fetched more than a minute ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refresh {
    /// In the last seconds of the minute a read starts a refresh behind (2023): readers of a busy key never wait. After the
    /// minute a read asks first.
    #[default]
    Behind,
    /// Every read after the minute asks first, and nothing is asked that nobody reads.
    Foreground,
}

/// Sizes and limits of a node. `Default` is what the documented service allows (kv limits, 2023).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// A key's length in bytes.
    pub key_bytes_max: usize,
    /// A value's length in bytes.
    pub value_bytes_max: usize,
    /// Metadata's length in bytes, as JSON text.
    pub metadata_bytes_max: usize,
    /// How far ahead an expiration must lie.
    pub expiration_ahead_min_s: u64,
    /// The shortest `cache_ttl` that a reader may ask for: 60 in 2023, 30 since January 2026.
    pub cache_ttl_min_s: u64,
    /// Whether a second write of a key within one second is refused, as the service does.
    pub one_write_per_key_and_second: bool,
    /// Weight of the edge cache: bytes of values, plus a fixed cost an entry.
    pub edge_cache_bytes: u64,
    /// Weight of the tier cache.
    pub tier_cache_bytes: u64,
    /// How many keys a second the crawler looks at; zero where another node does.
    pub crawl_keys_per_s: u32,
    /// How an edge learns of newer values of enrolled keys.
    pub refresh: Refresh,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes_max: 512,
            value_bytes_max: 25 * 1024 * 1024,
            metadata_bytes_max: 1024,
            expiration_ahead_min_s: 60,
            cache_ttl_min_s: 60,
            one_write_per_key_and_second: false,
            edge_cache_bytes: 64 * 1024 * 1024,
            tier_cache_bytes: 64 * 1024 * 1024,
            crawl_keys_per_s: 0,
            refresh: Refresh::default(),
        }
    }
}

/// A bearer token of the public API.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the token itself, which is kept nowhere.
    pub sha256: [u8; 32],
    /// The accounts that it opens; empty: all.
    pub accounts: Vec<Account>,
}

impl Token {
    /// From the token's text.
    pub fn new(token: &str, accounts: Vec<Account>) -> Self {
        Self { sha256: Sha256::digest(token.as_bytes()).into(), accounts }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

/// A store and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreAbout {
    /// Under which name it is called.
    pub peer: Peer,
    /// What it speaks.
    pub protocol: StoreProtocol,
}

/// What a store speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreProtocol {
    /// The plain protocol ([`kv_store::plain`]).
    Plain,
    /// S3.
    S3(S3Access),
}

impl StoreAbout {
    /// A store that speaks the plain protocol.
    pub fn plain(peer: impl Into<Peer>) -> Self {
        Self { peer: peer.into(), protocol: StoreProtocol::Plain }
    }
}

/// A share of a script's traffic and the build that it goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineEntry {
    /// Its weight among the entries.
    pub weight: u32,
    /// The build.
    pub build: Build,
}

/// Everything that a node is started with.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Which data center this is.
    pub dc: Dc,
    /// The topology.
    pub members: Arc<Members>,
    /// The object stores, one or two.
    pub stores: Vec<StoreAbout>,
    /// The control plane, if there is one to report to and to fetch the configuration from.
    pub control: Option<Peer>,
    /// Where it runs: builds of another environment have no rights here.
    pub environment: Environment,
    /// What the gateway script runs.
    pub gateway_pipeline: Vec<PipelineEntry>,
    /// What the supercache script runs.
    pub supercache_pipeline: Vec<PipelineEntry>,
    /// Isolates of each build of each script: at least 1; 4 or more show what an isolate keeps to itself.
    pub isolates: usize,
    /// The secret of the tier and admin listeners.
    pub secret: Arc<[u8]>,
    /// Sealing keys by id; the last one seals, all of them unseal.
    pub sealing_keys: Vec<(u8, [u8; 32])>,
    /// Namespaces that exist from the beginning.
    pub namespaces: Arc<Namespaces>,
    /// Who may use the public API. Empty: everybody, as in a lab.
    pub tokens: Vec<Token>,
    /// Limits.
    pub limits: Limits,
    /// The configuration until a newer one arrives.
    pub initial: Snapshot,
}

/// Whether a data center takes customers' requests and owns keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DcState {
    /// In service.
    #[default]
    Serving,
    /// Disabled: no customers, no keys. Probes still arrive.
    Maintenance,
    /// On its way back, being probed.
    Returning,
}

/// What the control plane says of one data center.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DcStatus {
    /// In service or not.
    pub state: DcState,
    /// Whether the new backend is on there.
    pub new_backend: bool,
    /// Taken out of placement because it failed its tier requests.
    pub quarantined: bool,
}

impl Default for DcStatus {
    fn default() -> Self {
        Self { state: DcState::Serving, new_backend: true, quarantined: false }
    }
}

impl DcStatus {
    /// Whether it may own keys.
    pub fn owns_keys(self) -> bool {
        self.state == DcState::Serving && self.new_backend && !self.quarantined
    }
}

/// A share of a script's traffic, as a release has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its weight among the shares.
    pub weight: u64,
    /// To which build; none: to what the node was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildId>,
}

/// What an operator has switched off, whatever is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    /// The new backend everywhere.
    pub new_backend: bool,
    /// The new backend in these data centers.
    pub new_backend_in: BTreeSet<Dc>,
}

/// One revision of the configuration, the same for every node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Grows with every change; a node never takes an older one.
    pub revision: u64,
    /// Whether the new backend is on at all.
    pub new_backend: bool,
    /// The data centers.
    pub dcs: BTreeMap<Dc, DcStatus>,
    /// Namespaces enrolled in the new backend.
    pub enrolled: BTreeSet<Namespace>,
    /// Accounts whose enrolled namespaces take the new backend; none: all accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<BTreeSet<Account>>,
    /// Kill switches: what they have off is off above as well.
    #[serde(default, skip_serializing_if = "is_default")]
    pub killed: Killed,
    /// What scripts run where a release has said so; everywhere else what the node was started with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pipelines: BTreeMap<ScriptName, BTreeMap<Dc, Vec<Share>>>,
    /// The builds that releases name, where there is such a build.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub builds: BTreeMap<BuildId, Build>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Snapshot {
    /// A data center's status; the default for one that is not listed.
    pub fn status(&self, dc: &Dc) -> DcStatus {
        self.dcs.get(dc).copied().unwrap_or_default()
    }
}

/// A snapshot with what follows from it, taken once per request.
#[derive(Debug)]
pub struct Config {
    /// What the control plane said.
    pub snapshot: Snapshot,
    /// Who owns which key under it.
    pub placement: Placement,
    // Every request asks these two: by hash, not by order.
    without_backend: IndexSet<Dc, FxBuildHasher>,
    /// Enrolled, and of an account that is allowed.
    enrolled: IndexSet<Namespace, FxBuildHasher>,
}

impl Config {
    /// Works out the placement of a snapshot.
    pub fn new(snapshot: Snapshot, members: &Members, namespaces: &Namespaces) -> Self {
        let without = snapshot.dcs.iter().filter(|(_, status)| !status.new_backend);
        // A namespace that is nobody's in particular is in no allow-list, and needs none.
        let allowed = |namespace: &&Namespace| {
            let account = namespaces.about(namespace).and_then(|about| about.account.as_ref());
            match (&snapshot.allowed, account) {
                (Some(allowed), Some(account)) => allowed.contains(account),
                _ => true,
            }
        };
        Self {
            placement: Placement::new(members, &snapshot),
            without_backend: without.map(|(dc, _)| dc.clone()).collect(),
            enrolled: snapshot.enrolled.iter().filter(allowed).cloned().collect(),
            snapshot,
        }
    }

    /// Whether requests of a namespace take the new backend in a data center.
    pub fn takes_new_backend(&self, dc: &Dc, namespace: &Namespace) -> bool {
        self.snapshot.new_backend
            && !self.without_backend.contains(dc)
            && self.enrolled.contains(namespace)
    }
}

/// Holds the configuration of a node and swaps it for a newer one.
#[derive(Debug)]
pub struct ConfigStore {
    members: Arc<Members>,
    namespaces: Arc<Namespaces>,
    /// That of the configuration in force: whoever kept that sees whether it still is, without a lock.
    revision: AtomicU64,
    current: RwLock<Arc<Config>>,
}

impl ConfigStore {
    /// A store with a first configuration.
    pub fn new(members: Arc<Members>, namespaces: Arc<Namespaces>, initial: Snapshot) -> Self {
        let config = Arc::new(Config::new(initial, &members, &namespaces));
        let revision = config.snapshot.revision.into();
        Self { members, namespaces, revision, current: RwLock::new(config) }
    }

    /// The revision of the configuration now.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The configuration now.
    pub fn current(&self) -> Arc<Config> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a snapshot if it is newer; returns what it replaced and what is in force then.
    ///
    /// `prepare` sees both before any request does.
    pub fn offer(
        &self,
        snapshot: Snapshot,
        prepare: impl FnOnce(&Config, &Config),
    ) -> Option<(Arc<Config>, Arc<Config>)> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if snapshot.revision <= current.snapshot.revision {
            return None;
        }
        let new = Arc::new(Config::new(snapshot, &self.members, &self.namespaces));
        prepare(&current, &new);
        let old = std::mem::replace(&mut *current, new.clone());
        self.revision.store(new.snapshot.revision, Ordering::Release);
        Some((old, new))
    }
}

/// How long a tier waits for another before it gives up.
pub const TIER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a store may take to answer.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(2);
