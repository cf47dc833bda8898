//! What stands where: plans of data centers and stores.

use std::collections::BTreeSet;
use std::sync::Arc;

use kv_node::config::{
    Limits, Member, Members, NamespaceAbout, NodeConfig, PipelineEntry, Snapshot, StoreAbout,
    StoreProtocol,
};
use kv_node::ids::{Dc, Namespace, NamespaceClass};
use kv_node::resolver::StoreHosts;
use kv_node::safeguards::{Build, Environment, Safeguard};
use kv_node::storage::S3Access;

use crate::bench::{NAMESPACE, Speaks};

/// The namespace of another customer.
pub(crate) const NEIGHBOR: &str = "neighbor";
const BOTH: [&str; 2] = [NAMESPACE, NEIGHBOR];
/// What the listeners between nodes believe.
pub(crate) const SECRET: &[u8] = b"test";

/// What stands where, and what it runs.
pub(crate) struct Plan {
    /// Name, region, weight as a regional tier, weight as an upper tier.
    pub(crate) dcs: Vec<(&'static str, &'static str, u32, u32)>,
    /// The regions that go to the upper tiers of another one.
    pub(crate) origins: Vec<(&'static str, &'static str)>,
    /// Name and region.
    pub(crate) stores: Vec<(&'static str, &'static str)>,
    pub(crate) speaks: Speaks,
    pub(crate) enrolled: bool,
    pub(crate) build: Build,
    /// The names of the stores, where upper tiers have to resolve them.
    pub(crate) store_hosts: Option<StoreHosts>,
    pub(crate) limits: Limits,
}

/// The data centers of [`Plan::several`] that own no keys.
pub(crate) const EDGES: [&str; 4] = ["EDGE1", "EDGE2", "EDGE3", "EUE"];
/// All data centers of [`Plan::several`].
pub(crate) const DCS: [&str; 11] =
    ["EDGE1", "EDGE2", "EDGE3", "REG1", "REG2", "UP1", "UP2", "EUE", "EUT", "EUU1", "EUU2"];

impl Plan {
    /// Three regions: OC has edges and two regional tiers and goes to NA's upper tiers; EU has its own. A store in NA and one
    /// in EU.
    pub(crate) fn several() -> Self {
        Self {
            dcs: vec![
                ("EDGE1", "OC", 0, 0),
                ("EDGE2", "OC", 0, 0),
                ("EDGE3", "OC", 0, 0),
                ("REG1", "OC", 1, 0),
                ("REG2", "OC", 1, 0),
                ("UP1", "NA", 1, 1),
                ("UP2", "NA", 1, 1),
                ("EUE", "EU", 0, 0),
                ("EUT", "EU", 1, 0),
                ("EUU1", "EU", 0, 1),
                ("EUU2", "EU", 0, 1),
            ],
            origins: vec![("OC", "NA")],
            stores: vec![("store-a", "NA"), ("store-b", "EU")],
            speaks: Speaks::Plain,
            enrolled: true,
            build: Build::current(),
            store_hosts: None,
            limits: Limits { cache_ttl_min_s: 30, ..small_caches() },
        }
    }

    /// One data center with two stores and no tiers.
    pub(crate) fn one() -> Self {
        Self {
            dcs: vec![("ONE", "R", 0, 0)],
            origins: Vec::new(),
            stores: vec![("store-a", "R"), ("store-b", "R")],
            enrolled: false,
            ..Self::several()
        }
    }

    /// One data center that is its own regional and upper tier.
    pub(crate) fn one_tiered() -> Self {
        Self { dcs: vec![("ONE", "R", 1, 1)], enrolled: true, ..Self::one() }
    }

    pub(crate) fn lacking(self, safeguard: Safeguard) -> Self {
        let build = Build { lacks: BTreeSet::from([safeguard]), ..Build::current() };
        Self { build, ..self }
    }

    /// With the first of its stores alone.
    pub(crate) fn with_one_store(mut self) -> Self {
        self.stores.truncate(1);
        self
    }

    pub(crate) fn speaking(self, speaks: Speaks) -> Self {
        Self { speaks, ..self }
    }

    pub(crate) fn limited(self, limits: impl FnOnce(&mut Limits)) -> Self {
        let mut changed = self.limits.clone();
        limits(&mut changed);
        Self { limits: changed, ..self }
    }
}

/// A cache of the usual size has room for more entries than any test makes, and eleven nodes have two each.
fn small_caches() -> Limits {
    Limits {
        edge_cache_bytes: 4 * 1024 * 1024,
        tier_cache_bytes: 4 * 1024 * 1024,
        ..Limits::default()
    }
}

pub(crate) fn members(plan: &Plan) -> Members {
    let member = |region: &str, regional_weight, upper_weight| Member {
        region: region.into(),
        regional_weight,
        upper_weight,
    };
    let origins = plan.dcs.iter().map(|(_, region, ..)| (*region, *region));
    Members {
        dcs: plan.dcs.iter().map(|(dc, at, r, u)| (Dc::from(*dc), member(at, *r, *u))).collect(),
        origins: origins
            .chain(plan.origins.iter().copied())
            .map(|(region, origin)| (region.into(), origin.into()))
            .collect(),
        store_hosts: plan.store_hosts.clone(),
    }
}

pub(crate) fn snapshot(plan: &Plan) -> Snapshot {
    Snapshot {
        revision: 1,
        new_backend: true,
        enrolled: BOTH.into_iter().filter(|_| plan.enrolled).map(Into::into).collect(),
        ..Snapshot::default()
    }
}

pub(crate) fn node_config(
    plan: &Plan,
    dc: &str,
    (members, snapshot): (&Arc<Members>, &Snapshot),
    access: &S3Access,
) -> NodeConfig {
    let store = |(name, _): &(&'static str, &str)| StoreAbout {
        peer: (*name).into(),
        protocol: match plan.speaks {
            Speaks::Plain => StoreProtocol::Plain,
            Speaks::S3 => StoreProtocol::S3(access.clone()),
        },
    };
    let pipeline = vec![PipelineEntry { weight: 1, build: plan.build.clone() }];
    let about = |name: &str| {
        let name = Namespace::from(name);
        (name.clone(), NamespaceAbout::open(&name, NamespaceClass::from("c")))
    };
    NodeConfig {
        dc: dc.into(),
        members: members.clone(),
        stores: plan.stores.iter().map(store).collect(),
        control: None,
        environment: Environment::Production,
        gateway_pipeline: pipeline.clone(),
        supercache_pipeline: pipeline,
        isolates: 1,
        secret: Arc::from(SECRET),
        sealing_keys: vec![(1, [7; 32])],
        namespaces: Arc::new(BOTH.map(about).into_iter().collect()),
        tokens: Vec::new(),
        limits: plan.limits.clone(),
        initial: snapshot.clone(),
    }
}
