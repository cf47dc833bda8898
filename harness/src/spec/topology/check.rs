//! What can be wrong with a topology.

use std::collections::BTreeSet;

use kv_node::ids::{Dc, Region};
use kv_node::resolver::StoreHosts;

use super::super::problem::{Problem, line_at};
use super::{DcAbout, NamespaceAbout, Topology};

pub(super) struct Check<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    pub(super) problems: Vec<Problem>,
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

    pub(super) fn regions(&mut self, topology: &Topology) {
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

    pub(super) fn roles(&mut self, topology: &Topology) {
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
        for namespace in hosts.namespaces.keys() {
            let path = ["store_hosts", "namespaces", namespace.as_str()];
            if !topology.namespaces.iter().any(|about| about.id == *namespace) {
                let known = topology.namespaces.iter().map(|about| about.id.as_str());
                self.unknown(&path, "namespace", namespace.as_str(), known);
            }
        }
    }

    pub(super) fn links(&mut self, topology: &Topology) {
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

    pub(super) fn products(&mut self, topology: &Topology) {
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

    pub(super) fn namespaces(&mut self, topology: &Topology) {
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

    pub(super) fn noise(&mut self, topology: &Topology) {
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
