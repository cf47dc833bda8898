//! Topologies: `features/topologies/*.toml`.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use kv_node::control;
use kv_node::dependents::peer_of;
use kv_node::ids::{Account, Dc, Namespace, NamespaceClass, Peer, Region};
use kv_node::resolver::StoreHosts;
use serde::{Deserialize, Serialize};

use self::check::Check;
use super::peers::MONITOR;
use super::problem::{Problem, toml_problem};

/// Data centers, links, stores, namespaces, traffic and noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Settings of every node.
    pub nodes: Nodes,
    /// Regions by name.
    pub regions: BTreeMap<Region, RegionAbout>,
    /// Data centers by name.
    pub dcs: BTreeMap<Dc, DcAbout>,
    /// Object stores by name, one or two, and their regions.
    pub stores: BTreeMap<Peer, Region>,
    /// The names under which upper tiers reach the stores; absent where they know the stores themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_hosts: Option<StoreHosts>,
    /// Where the control plane runs.
    pub control: Region,
    /// How long messages take.
    pub links: Links,
    /// How a region's load moves through its day: levels at equal distances of local time from midnight on, one for each
    /// full hour or finer, joined by lines.
    pub curves: BTreeMap<String, Vec<f64>>,
    /// Namespaces and their traffic.
    pub namespaces: Vec<NamespaceAbout>,
    /// Customers.
    pub traffic: Traffic,
    /// Products that need the nodes, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub products: Option<ProductsAbout>,
    /// Where telemetry is taken in.
    #[serde(default)]
    pub telemetry: TelemetryAbout,
    /// Background errors.
    pub noise: Noise,
}

/// Limits of the intakes of telemetry, for each data center.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryAbout {
    /// Lines of the response log, and exception reports, a second.
    pub records_per_s: f64,
    /// How many may come at once.
    pub burst: f64,
    /// So many reports of each fingerprint are exempt from both.
    pub reports_exempt: u64,
}

impl Default for TelemetryAbout {
    fn default() -> Self {
        Self { records_per_s: 100.0, burst: 1_000.0, reports_exempt: 1_000 }
    }
}

/// Settings of every node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// Isolates of each script.
    pub isolates: usize,
    /// The shortest `cache_ttl` that a reader may ask for.
    pub cache_ttl_min_s: u64,
    /// Whether a second write of a key within a second is refused.
    pub one_write_per_key_and_second: bool,
    /// Size of each of a node's two caches.
    pub cache_bytes: u64,
}

/// A region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionAbout {
    /// Hours ahead of UTC.
    pub utc_offset_h: f64,
    /// The region whose upper tiers it goes to.
    pub origin: Region,
    /// Its share of the world's requests over a whole day, as a weight.
    pub share: f64,
    /// Its day.
    pub curve: String,
}

/// A data center. Weights; 0 means "not in this role".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DcAbout {
    /// Where it stands.
    pub region: Region,
    /// Its weight as a regional tier.
    #[serde(default)]
    pub tier: f64,
    /// Its weight as an upper tier.
    #[serde(default)]
    pub upper: f64,
    /// Its share of the region's customers.
    pub clients: f64,
    /// Its class: releases go from class to class.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
}

/// How long messages take, one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// Between a customer and the data center that serves them.
    pub client_ms: f64,
    /// Within a region.
    pub within_ms: f64,
    /// Between two regions, by `A-B`; either order.
    pub between_ms: BTreeMap<String, f64>,
    /// A drawn addition, up to this share of the time.
    pub jitter: f64,
}

/// A namespace and its traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceAbout {
    /// Its name.
    pub id: Namespace,
    /// Its class: what a dashboard tells apart.
    #[serde(default = "customer")]
    pub class: NamespaceClass,
    /// Whose it is; anybody's where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// Whether it takes the new backend.
    pub enrolled: bool,
    /// Its weight among the namespaces of a region that it is used from.
    pub share: f64,
    /// The regions that it is used from; empty means all.
    #[serde(default)]
    pub regions: BTreeSet<Region>,
    /// How many keys it has.
    pub keys: u32,
    /// How unevenly they are read: the k-th key as often as k to the power of minus this.
    pub zipf: f64,
    /// The share of requests that write.
    pub puts: f64,
    /// The share of requests that delete.
    pub deletes: f64,
    /// The share of requests that list keys.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lists: f64,
    /// Whether its users are Workers, by their bindings, and not users of REST.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binding: bool,
    /// Length of a value.
    pub value_bytes: usize,
    /// What its readers ask for.
    pub cache_ttl_s: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over by reference")]
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

fn customer() -> NamespaceClass {
    NamespaceClass::from("customer")
}

/// Customers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Requests a second, everywhere, as the mean of a whole day.
    pub requests_per_s: f64,
    /// How long a customer waits for an answer.
    pub timeout_s: f64,
}

/// Background errors: a world without them makes every threshold look perfect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// The share of calls to each store that it answers 503 in a burst.
    pub store_errors: f64,
    /// The share of calls to each store that it does not answer in a burst.
    pub store_timeouts: f64,
    /// The share of requests that customers give up.
    pub client_aborts: f64,
    /// The share of scrapes that get no answer.
    pub missed_scrapes: f64,
    /// A link that is cut for a few seconds now and then.
    pub flapping_link: [Peer; 2],
    /// A data center whose tier answers late.
    pub slow_dc: Dc,
    /// How late.
    pub slow_ms: u64,
    /// Requests a second of bots while they are there, everywhere, by the regions' shares: reads of keys that do not exist,
    /// and writes of one key.
    pub bot_requests_per_s: f64,
    /// Bursts of everything above last so long.
    pub burst_s: f64,
    /// And come so often, in the mean.
    pub burst_every_s: f64,
    /// Once a day a data center's listener breaks connections for so long, in a deploy.
    pub deploy_blip_s: f64,
}

/// Products that need the nodes, and their users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductsAbout {
    /// The data centers that run them.
    pub dcs: BTreeSet<Dc>,
    /// Requests of their users a second, everywhere.
    pub requests_per_s: f64,
    /// Visitors that come to each waiting room a minute.
    pub visitors_per_min: f64,
    /// The region of the origin that stands behind one of them.
    pub origin: Region,
    /// The data center in which those log in who release something; nobody needs to where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Dc>,
}

/// A weight as nodes take it: thousandths.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to lie in 0..=1,000,000"
)]
pub fn weight(weight: f64) -> u32 {
    (weight * 1_000.0).round() as u32
}

impl Topology {
    /// Milliseconds of one way between two regions.
    pub fn one_way_ms(&self, a: &Region, b: &Region) -> f64 {
        if a == b {
            return self.links.within_ms;
        }
        let between = |a: &Region, b: &Region| self.links.between_ms.get(&format!("{a}-{b}"));
        between(a, b).or_else(|| between(b, a)).copied().unwrap_or(self.links.within_ms)
    }

    /// The region of a data center, a store, the control plane or the monitor.
    pub fn region_of(&self, peer: &Peer) -> Option<&Region> {
        self.dcs
            .get(&Dc::from(peer.as_str()))
            .map(|dc| &dc.region)
            .or_else(|| self.stores.get(peer))
            .or_else(|| {
                let mut dcs = self.products.iter().flat_map(|products| &products.dcs);
                let dc = dcs.find(|dc| peer_of(dc) == *peer)?;
                self.dcs.get(dc).map(|about| &about.region)
            })
            .or_else(|| [control::NAME, MONITOR].contains(&peer.as_str()).then_some(&self.control))
    }

    /// A region's load relative to its mean over the day, at a second of the day in UTC.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "hours of a day"
    )]
    pub fn level(&self, region: &Region, second_of_day: u64) -> f64 {
        let Some(about) = self.regions.get(region) else { return 0.0 };
        let Some(curve) = self.curves.get(&about.curve) else { return 1.0 };
        let mean = curve.iter().sum::<f64>() / curve.len() as f64;
        let local_h = (second_of_day as f64 / 3_600.0 + about.utc_offset_h + 48.0) % 24.0;
        let step = local_h * curve.len() as f64 / 24.0;
        let at = step as usize % curve.len();
        let (here, next) = (curve[at], curve[(at + 1) % curve.len()]);
        (here + (next - here) * (step - step.floor())) / mean
    }
}

/// Reads and checks a topology.
pub fn read(file: &str, text: &str) -> Result<Topology, Vec<Problem>> {
    let topology: Topology =
        toml::from_str(text).map_err(|error| vec![toml_problem(file, text, &error)])?;
    let mut check = Check { file, text, problems: Vec::new() };
    check.regions(&topology);
    check.roles(&topology);
    check.links(&topology);
    check.namespaces(&topology);
    check.products(&topology);
    check.noise(&topology);
    if check.problems.is_empty() { Ok(topology) } else { Err(check.problems) }
}
