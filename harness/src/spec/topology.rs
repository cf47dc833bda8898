//! Topologies: `features/topologies/*.toml`.

use std::collections::{BTreeMap, BTreeSet};

use kv_node::dependents::peer_of;
use kv_node::ids::{Account, Dc, HostName, Namespace, NamespaceClass, Peer, Region};
use kv_node::resolver::StoreHosts;
use serde::{Deserialize, Serialize};

use super::problem::{Problem, line_at, toml_problem};

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
            .or_else(|| ["control", "monitor"].contains(&peer.as_str()).then_some(&self.control))
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

struct Check<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// A problem at the value that a path of keys leads to.
    fn at(&mut self, path: &[&str], message: String) -> &mut Problem {
        let line = line_at(self.text, path);
        self.problems.push(Problem::new(self.file, line, message));
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    fn unknown<'k>(
        &mut self,
        path: &[&str],
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'k str>,
    ) {
        let problem = self.at(path, format!("{what} \"{name}\" does not exist"));
        *problem = problem.clone().did_you_mean(name, known);
    }

    fn regions(&mut self, topology: &Topology) {
        let known = || topology.regions.keys().map(Region::as_str);
        if !topology.regions.values().any(|region| region.share > 0.0) {
            self.at(&["regions"], "no region has a share of the traffic: all are zero".into())
                .hint = Some("give at least one region a share above 0".into());
        }
        for (name, region) in &topology.regions {
            let path = ["regions", name.as_str()];
            if !topology.regions.contains_key(&region.origin) {
                self.unknown(&path, "origin region", region.origin.as_str(), known());
            }
            if !topology.curves.contains_key(&region.curve) {
                let curves = topology.curves.keys().map(String::as_str);
                self.unknown(&path, "curve", &region.curve, curves);
            }
            if !is_weight(region.share) {
                self.at(&path, format!("share is {}, not a number from 0 to 1000", region.share));
            }
        }
        if !topology.regions.contains_key(&topology.control) {
            self.unknown(&["control"], "region", topology.control.as_str(), known());
        }
        for (name, curve) in &topology.curves {
            let hours = !curve.is_empty() && curve.len().is_multiple_of(24);
            let levels = hours && curve.iter().all(|level| is_weight(*level));
            if !levels || curve.iter().sum::<f64>() <= 0.0 {
                let message = "a curve has 24 levels from 0, or 48 and so on, not all of them 0";
                self.at(&["curves", name], message.into());
            }
        }
        if !is_weight(topology.traffic.requests_per_s) || topology.traffic.requests_per_s <= 0.0 {
            self.at(
                &["traffic", "requests_per_s"],
                "requests_per_s is not a number above 0".into(),
            );
        }
    }

    fn roles(&mut self, topology: &Topology) {
        let known = || topology.regions.keys().map(Region::as_str);
        for (name, dc) in &topology.dcs {
            let path = ["dcs", name.as_str()];
            if !topology.regions.contains_key(&dc.region) {
                self.unknown(&path, "region", dc.region.as_str(), known());
            }
            for (role, weight) in [("tier", dc.tier), ("upper", dc.upper), ("clients", dc.clients)]
            {
                if !is_weight(weight) {
                    self.at(&path, format!("{role} is {weight}, not a number from 0 to 1000"));
                }
            }
        }
        for (region, about) in &topology.regions {
            let weights = |of: &Region, weight: fn(&DcAbout) -> f64| -> f64 {
                topology.dcs.values().filter(|dc| dc.region == *of).map(weight).sum()
            };
            let lacks = [
                (region, "tier", "regional tier", weights(region, |dc| dc.tier)),
                (region, "clients", "data center with clients", weights(region, |dc| dc.clients)),
                (&about.origin, "upper", "upper tier", weights(&about.origin, |dc| dc.upper)),
            ];
            for (of, key, role, sum) in lacks {
                if sum <= 0.0 {
                    let message = format!("region {of} has no {role}: all weights are zero");
                    self.at(&["regions", region.as_str()], message).hint =
                        Some(format!("give at least one data center of {of} a {key} above 0"));
                }
            }
        }
        if topology.stores.is_empty() || topology.stores.len() > 2 {
            self.at(&["stores"], format!("there are {} stores, not 1 or 2", topology.stores.len()));
        }
        for (store, region) in &topology.stores {
            if !topology.regions.contains_key(region) {
                self.unknown(&["stores", store.as_str()], "region", region.as_str(), known());
            }
        }
        if let Some(hosts) = &topology.store_hosts {
            self.store_hosts(topology, hosts);
        }
        if topology.nodes.isolates == 0 {
            self.at(&["nodes", "isolates"], "a script needs at least one isolate".into());
        }
    }

    fn store_hosts(&mut self, topology: &Topology, hosts: &StoreHosts) {
        // A header carries it.
        let fits = |name: &HostName| {
            let text = name.as_str();
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !fits(&hosts.default) {
            let message = format!("\"{}\" is no host name", hosts.default);
            self.at(&["store_hosts", "default"], message);
        }
        for (namespace, host) in &hosts.namespaces {
            let path = ["store_hosts", "namespaces", namespace.as_str()];
            if !fits(host) {
                self.at(&path, format!("\"{host}\" is no host name"));
            }
            if !topology.namespaces.iter().any(|about| about.id == *namespace) {
                let known = topology.namespaces.iter().map(|about| about.id.as_str());
                self.unknown(&path, "namespace", namespace.as_str(), known);
            }
        }
    }

    fn links(&mut self, topology: &Topology) {
        let regions: Vec<&Region> = topology.regions.keys().collect();
        for pair in topology.links.between_ms.keys() {
            let ends: Vec<&str> = pair.split('-').collect();
            let known = |end: &&str| topology.regions.contains_key(&Region::from(*end));
            if ends.len() != 2 || !ends.iter().all(known) {
                self.at(
                    &["links", "between_ms", pair],
                    format!("\"{pair}\" is not two regions joined by -"),
                );
            }
        }
        for (at, a) in regions.iter().enumerate() {
            for b in &regions[at + 1..] {
                let between = &topology.links.between_ms;
                if !between.contains_key(&format!("{a}-{b}"))
                    && !between.contains_key(&format!("{b}-{a}"))
                {
                    let message = format!("the time between {a} and {b} is missing");
                    self.at(&["links", "between_ms"], message).hint =
                        Some(format!("{a}-{b} = 100"));
                }
            }
        }
    }

    fn products(&mut self, topology: &Topology) {
        let Some(products) = &topology.products else { return };
        let known = || topology.dcs.keys().map(Dc::as_str);
        for dc in products.dcs.iter().filter(|dc| !topology.dcs.contains_key(*dc)) {
            self.unknown(&["products", "dcs"], "data center", dc.as_str(), known());
        }
        if products.dcs.is_empty() {
            self.at(&["products", "dcs"], "products run in no data center".into());
        }
        if !topology.regions.contains_key(&products.origin) {
            let regions = topology.regions.keys().map(Region::as_str);
            self.unknown(&["products", "origin"], "region", products.origin.as_str(), regions);
        }
        if let Some(dc) = products.login.as_ref().filter(|dc| !products.dcs.contains(*dc)) {
            let dcs = products.dcs.iter().map(Dc::as_str);
            self.unknown(&["products", "login"], "data center with products", dc.as_str(), dcs);
        }
        let rates = [
            ("requests_per_s", products.requests_per_s),
            ("visitors_per_min", products.visitors_per_min),
        ];
        for (key, rate) in rates {
            if !is_weight(rate) || rate <= 0.0 {
                self.at(&["products", key], format!("{key} is {rate}, not a number above 0"));
            }
        }
    }

    fn namespaces(&mut self, topology: &Topology) {
        let mut seen = BTreeSet::new();
        for (at, namespace) in topology.namespaces.iter().enumerate() {
            let at = at.to_string();
            let path = ["namespaces", at.as_str()];
            let id = &namespace.id;
            if !seen.insert(id) {
                self.at(&path, format!("namespace \"{id}\" is there twice"));
            }
            for region in &namespace.regions {
                if !topology.regions.contains_key(region) {
                    let known = topology.regions.keys().map(Region::as_str);
                    self.unknown(&path, "region", region.as_str(), known);
                }
            }
            if namespace.keys == 0 {
                self.at(&path, format!("namespace \"{id}\" has no keys"));
            }
            let shares = [namespace.puts, namespace.deletes, namespace.puts + namespace.deletes];
            if !shares.iter().all(|share| (0.0..=1.0).contains(share)) {
                self.at(
                    &path,
                    format!("puts and deletes of \"{id}\" are no shares of its requests"),
                );
            }
            if namespace.cache_ttl_s < topology.nodes.cache_ttl_min_s {
                let min_s = topology.nodes.cache_ttl_min_s;
                self.at(
                    &path,
                    format!("cache_ttl_s of \"{id}\" is below the nodes' minimum of {min_s}"),
                );
            }
        }
        for region in topology.regions.keys() {
            let here = |n: &&NamespaceAbout| n.regions.is_empty() || n.regions.contains(region);
            let sum: f64 = topology.namespaces.iter().filter(here).map(|n| n.share).sum();
            if sum.is_nan() || sum <= 0.0 {
                let message =
                    format!("no namespace is used from region {region}: all shares are zero");
                self.at(&["namespaces"], message).hint =
                    Some(format!("give a namespace of {region} a share above 0"));
            }
        }
    }

    fn noise(&mut self, topology: &Topology) {
        let noise = &topology.noise;
        let dcs = || topology.dcs.keys().map(Dc::as_str);
        for peer in &noise.flapping_link {
            if topology.region_of(peer).is_none() {
                self.unknown(&["noise", "flapping_link"], "peer", peer.as_str(), dcs());
            }
        }
        if !topology.dcs.contains_key(&noise.slow_dc) {
            self.unknown(&["noise", "slow_dc"], "data center", noise.slow_dc.as_str(), dcs());
        }
        let shares = [
            ("store_errors", noise.store_errors),
            ("store_timeouts", noise.store_timeouts),
            ("client_aborts", noise.client_aborts),
            ("missed_scrapes", noise.missed_scrapes),
        ];
        for (key, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                self.at(&["noise", key], format!("{key} is {share}, not a share from 0 to 1"));
            }
        }
        let telemetry = &topology.telemetry;
        for (key, least) in [("records_per_s", telemetry.records_per_s), ("burst", telemetry.burst)]
        {
            if least.is_nan() || least <= 0.0 {
                self.at(&["telemetry", key], format!("{key} is {least}, not a number above 0"));
            }
        }
        for (key, seconds) in [("burst_s", noise.burst_s), ("burst_every_s", noise.burst_every_s)] {
            if seconds.is_nan() || seconds <= 0.0 {
                self.at(&["noise", key], format!("{key} is {seconds}, not a time above 0"));
            }
        }
    }
}

fn is_weight(weight: f64) -> bool {
    (0.0..=1000.0).contains(&weight)
}
