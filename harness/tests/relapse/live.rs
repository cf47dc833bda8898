//! The live lab's files say what its topology says. They are written by hand, so that compose alone needs nothing of ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use relapse::live::TOPOLOGY;
use relapse::spec::topology::{self, Topology};
use toml::{Table, Value};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn the_topology() -> Topology {
    let file = format!("features/topologies/{TOPOLOGY}.toml");
    let text = std::fs::read_to_string(root().join(&file)).unwrap();
    topology::read(&file, &text).unwrap()
}

fn table(file: &Path) -> Table {
    std::fs::read_to_string(file).unwrap().parse().unwrap()
}

/// Each data center with its region and what it weighs as an owner: in a region, and as an upper tier.
fn members_of(topology: &Topology) -> BTreeMap<String, (String, i64, i64)> {
    let dcs = topology.dcs.iter();
    dcs.map(|(dc, about)| {
        let weight = |share: f64| i64::from(topology::weight(share) / topology::weight(1.0));
        (dc.to_string(), (about.region.to_string(), weight(about.tier), weight(about.upper)))
    })
    .collect()
}

fn members_in(file: &Table) -> BTreeMap<String, (String, i64, i64)> {
    let members = file["members"].as_table().unwrap().iter();
    members
        .map(|(dc, about)| {
            let weight = |name: &str| about.get(name).and_then(Value::as_integer).unwrap_or(0);
            let region = about["region"].as_str().unwrap().to_owned();
            (dc.clone(), (region, weight("regional_weight"), weight("upper_weight")))
        })
        .collect()
}

/// Regions whose origin is another region.
fn origins_of(topology: &Topology) -> BTreeMap<String, String> {
    let regions = topology.regions.iter().filter(|(region, about)| about.origin != **region);
    regions.map(|(region, about)| (region.to_string(), about.origin.to_string())).collect()
}

fn origins_in(file: &Table) -> BTreeMap<String, String> {
    let origins = file["origins"].as_table().unwrap().iter();
    origins.map(|(region, origin)| (region.clone(), origin.as_str().unwrap().to_owned())).collect()
}

fn names<'a>(file: &'a Table, list: &str, name: &str) -> Vec<&'a str> {
    file[list].as_array().unwrap().iter().map(|one| one[name].as_str().unwrap()).collect()
}

#[test]
fn every_node_and_the_control_plane_know_the_same_members() {
    let topology = the_topology();
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("lab/nodes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), topology.dcs.len());
    files.push(root().join("lab/control.toml"));
    for file in files {
        let told = table(&file);
        assert_eq!(members_in(&told), members_of(&topology), "{}", file.display());
        assert_eq!(origins_in(&told), origins_of(&topology), "{}", file.display());
    }
}

#[test]
fn every_node_knows_the_stores_and_namespaces_and_the_control_plane_who_is_enrolled() {
    let topology = the_topology();
    let stores: Vec<&str> = topology.stores.keys().map(kv_node::ids::Peer::as_str).collect();
    let all = topology.namespaces.iter().map(|about| about.id.as_str());
    let all: Vec<&str> = all.chain(["relapse-probe"]).collect();
    for dc in topology.dcs.keys() {
        let file = format!("lab/nodes/{}.toml", dc.as_str().to_lowercase());
        let told = table(&root().join(&file));
        assert_eq!(told["data_center"].as_str(), Some(dc.as_str()), "{file}");
        assert_eq!(names(&told, "stores", "peer"), stores, "{file}");
        assert_eq!(names(&told, "namespaces", "id"), all, "{file}");
    }
    let told = table(&root().join("lab/control.toml"));
    let enrolled = topology.namespaces.iter().filter(|about| about.enrolled);
    let enrolled: Vec<&str> =
        enrolled.map(|about| about.id.as_str()).chain(["relapse-probe"]).collect();
    let initial = told["initial"]["enrolled"].as_array().unwrap();
    assert_eq!(initial.iter().filter_map(Value::as_str).collect::<Vec<_>>(), enrolled);
}

/// What a file says of the addresses of a listener of other peers.
fn addresses(file: &Table) -> Vec<(String, String, String)> {
    let peers = file["peers"].as_table().unwrap().iter();
    let of_peer = |(peer, about): (&String, &Value)| {
        let listeners = about.as_table().unwrap().iter();
        let each = listeners.map(|(listener, address)| {
            (peer.clone(), listener.clone(), address.as_str().unwrap().to_owned())
        });
        each.collect::<Vec<_>>()
    };
    peers.flat_map(of_peer).collect()
}

#[test]
fn whoever_is_in_another_network_is_called_through_the_proxy_on_that_link_and_nobody_else() {
    let topology = the_topology();
    let text = std::fs::read_to_string(root().join("lab/proxy.json")).unwrap();
    let links: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let region = |peer: &str| {
        let known = topology.region_of(&kv_node::ids::Peer::from(peer));
        known.map_or_else(|| topology.control.to_string(), ToString::to_string)
    };
    let port = |listener: &str| match listener {
        "rest" => 8787,
        "tier" => 8790,
        "store" => 9000,
        _ => 8789,
    };
    let mut senders: Vec<(String, PathBuf)> = topology
        .dcs
        .keys()
        .map(|dc| {
            let file = format!("lab/nodes/{}.toml", dc.as_str().to_lowercase());
            (dc.to_string(), root().join(file))
        })
        .collect();
    senders.push(("control".to_owned(), root().join("lab/control.toml")));
    let mut used = 0;
    for (from, file) in senders {
        for (to, listener, address) in addresses(&table(&file)) {
            let direct = format!("{}:{}", to.to_lowercase(), port(&listener));
            let is_dc = |peer: &str| topology.dcs.contains_key(&kv_node::ids::Dc::from(peer));
            if is_dc(&from) && is_dc(&to) && region(&from) == region(&to) {
                assert_eq!(address, direct, "{from} to {to}");
                continue;
            }
            let listens = address.replace("proxy:", "0.0.0.0:");
            let link = links.iter().find(|link| link["listen"] == listens.as_str());
            let link =
                link.unwrap_or_else(|| panic!("{from} to {to}: nobody listens at {address}"));
            let told = ["from", "to", "listener", "upstream"].map(|name| link[name].as_str());
            assert_eq!(
                told,
                [Some(&*from), Some(&*to), Some(&*listener), Some(&*direct)],
                "{link}"
            );
            let regions = ["from", "to"].map(|name| link["regions"][name].as_str());
            assert_eq!(regions, [Some(&*region(&from)), Some(&*region(&to))], "{link}");
            used += 1;
        }
    }
    assert_eq!(used, links.len(), "links that nobody uses");
}
