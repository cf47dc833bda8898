//! A configuration file as it is written. What the names mean together is worked out in [`super`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use kv_node::config::{Limits, Member};
use kv_node::ids::{Account, BuildId, Dc, Namespace, NamespaceClass, Region};
use kv_node::resolver::StoreHosts;
use kv_node::safeguards::{Build, Environment};
use serde::Deserialize;
use toml::Spanned;

use super::super::clock::Replay;
use super::super::limits::ServerLimits;
use super::values::{Address, Hex, Protocol};

/// All of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct File {
    /// Which of the members this node is.
    pub(super) data_center: Spanned<Dc>,
    pub(super) listen: Listen,
    pub(super) members: BTreeMap<Dc, MemberTable>,
    /// For each region, the region whose upper tiers it goes to; itself where it is not named.
    #[serde(default)]
    pub(super) origins: BTreeMap<Region, Region>,
    /// The names under which upper tiers reach the stores; none where they know the stores themselves.
    pub(super) store_hosts: Option<Spanned<StoreHosts>>,
    #[serde(default)]
    pub(super) peers: BTreeMap<String, PeerTable>,
    pub(super) stores: Vec<Spanned<Store>>,
    /// A peer with a `control` address.
    pub(super) control: Option<Spanned<String>>,
    pub(super) intakes: Option<IntakeTable>,
    pub(super) keys: Spanned<KeyTable>,
    /// Of each build of each script; one where nothing is said.
    pub(super) isolates: Option<Spanned<usize>>,
    /// Besides "current", which lacks nothing.
    #[serde(default)]
    pub(super) builds: Vec<Spanned<Build>>,
    #[serde(default)]
    pub(super) pipelines: Pipelines,
    /// Builds of another environment have no rights here; production where nothing is said.
    #[serde(default)]
    pub(super) environment: Environment,
    #[serde(default)]
    pub(super) namespaces: Vec<NamespaceTable>,
    #[serde(default)]
    pub(super) tokens: Vec<Spanned<TokenTable>>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) server: ServerLimits,
    #[serde(default)]
    pub(super) initial: Initial,
    /// Where this node takes part in a replay.
    pub(super) replay: Option<Replay>,
}

/// Where each listener is; one that is not named is not there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    pub(super) rest: Option<Address>,
    pub(super) binding: Option<Address>,
    pub(super) tier: Option<Address>,
    pub(super) admin: Option<Address>,
}

/// A data center of the topology.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberTable {
    pub(super) region: Region,
    #[serde(default)]
    regional_weight: u32,
    #[serde(default)]
    upper_weight: u32,
}

impl From<MemberTable> for Member {
    fn from(table: MemberTable) -> Self {
        Self {
            region: table.region,
            regional_weight: table.regional_weight,
            upper_weight: table.upper_weight,
        }
    }
}

/// Where a peer's listeners are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerTable {
    pub(super) rest: Option<Address>,
    pub(super) tier: Option<Address>,
    pub(super) admin: Option<Address>,
    pub(super) store: Option<Address>,
    pub(super) control: Option<Address>,
    pub(super) intake: Option<Address>,
}

/// A store.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    /// A peer with a `store` address.
    pub(super) peer: Spanned<String>,
    #[serde(default)]
    pub(super) protocol: Protocol,
    /// The rest is for S3.
    pub(super) bucket: Option<String>,
    pub(super) access_key: Option<String>,
    pub(super) secret_key: Option<String>,
    pub(super) secret_key_file: Option<PathBuf>,
    /// What the store wants to see in signatures, where it cares.
    pub(super) region: Option<String>,
}

/// A peer with an `intake` address for each signal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IntakeTable {
    pub(super) logs: Spanned<String>,
    pub(super) exceptions: Spanned<String>,
    pub(super) traces: Spanned<String>,
    /// What they are spoken to in.
    #[serde(default)]
    pub(super) speak: IntakesSpeak,
}

/// A protocol of intakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum IntakesSpeak {
    /// Records of ours, one a line.
    #[default]
    Lines,
    /// OTLP in JSON over HTTP, as OpenTelemetry's collectors take it.
    Otlp,
}

/// What nobody else may know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTable {
    /// Of the tier and admin listeners, the same at every node and at the control plane.
    pub(super) secret: Option<Hex>,
    pub(super) secret_file: Option<PathBuf>,
    /// The last one seals, all of them open.
    pub(super) sealing: Vec<Spanned<SealingKey>>,
}

/// A sealing key of 32 bytes, here or in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealingKey {
    pub(super) id: u8,
    pub(super) key: Option<Hex>,
    pub(super) key_file: Option<PathBuf>,
}

/// What each script runs; the current build where nothing is said.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Pipelines {
    pub(super) gateway: Vec<Share>,
    pub(super) supercache: Vec<Share>,
}

/// A build's share of a script's traffic.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Share {
    pub(super) build: Spanned<BuildId>,
    pub(super) weight: u32,
}

/// A namespace that exists from the beginning.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamespaceTable {
    pub(super) id: Namespace,
    /// The id where it is not given.
    pub(super) title: Option<String>,
    /// Any account may use it where none is given.
    pub(super) account: Option<Account>,
    pub(super) class: Option<NamespaceClass>,
}

/// A bearer token: itself, its SHA-256, or a file that holds it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenTable {
    pub(super) token: Option<String>,
    pub(super) token_sha256: Option<Hex>,
    pub(super) token_file: Option<PathBuf>,
    /// Empty: all accounts.
    #[serde(default)]
    pub(super) accounts: Vec<Account>,
}

/// The configuration until the control plane says another.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Initial {
    pub(super) revision: u64,
    pub(super) new_backend: bool,
    pub(super) enrolled: BTreeSet<Namespace>,
}

impl Default for Initial {
    fn default() -> Self {
        // Older than any that a control plane makes.
        Self { revision: 0, new_backend: true, enrolled: BTreeSet::new() }
    }
}
