//! A node's configuration, as `kv-node` reads it.

use std::collections::{BTreeMap, BTreeSet};

use kv_node::env::{Listener, Timestamp};
use kv_node::ids::{Dc, Namespace, NamespaceClass, Peer, Region};
use kv_node::resolver::StoreHosts;
use kv_node::safeguards::Build;
use kv_node::storage::S3Access;
use kv_store::s3::Credentials;
use serde::Serialize;

use super::links::{Ports, Side};
use super::{ADMIN_PORT, REST_PORT, TIER_PORT};
use crate::lab::stage::{SEALING_KEYS, SECRET, Stage};
use crate::spec::builds::Pipelines;
use crate::spec::peers::{INTAKE_LOGS, INTAKE_REPORTS};

#[derive(Serialize)]
struct File<'a> {
    data_center: &'a Dc,
    control: &'a str,
    isolates: usize,
    listen: BTreeMap<&'a str, String>,
    members: BTreeMap<&'a Dc, MemberTable<'a>>,
    origins: &'a BTreeMap<Region, Region>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_hosts: Option<&'a StoreHosts>,
    peers: BTreeMap<&'a str, BTreeMap<&'a str, String>>,
    stores: Vec<StoreTable<'a>>,
    intakes: Intakes<'a>,
    keys: Keys,
    builds: Vec<&'a Build>,
    pipelines: Pipelines<'a>,
    namespaces: Vec<NamespaceTable<'a>>,
    limits: Limits,
    initial: Initial<'a>,
    replay: Replay,
}

#[derive(Serialize)]
struct MemberTable<'a> {
    region: &'a Region,
    regional_weight: u32,
    upper_weight: u32,
}

#[derive(Serialize)]
struct StoreTable<'a> {
    peer: &'a Peer,
    #[serde(flatten)]
    speaks: Option<OverS3<'a>>,
}

/// What a node has to know of a store that speaks S3.
#[derive(Clone, Copy, Serialize)]
struct OverS3<'a> {
    protocol: &'a str,
    bucket: &'a str,
    access_key: &'a str,
    secret_key: &'a str,
    region: &'a str,
}

impl<'a> OverS3<'a> {
    fn of(access: &'a S3Access) -> Self {
        let Credentials { key, secret, region } = &access.credentials;
        let bucket = &access.bucket;
        Self { protocol: "s3", bucket, access_key: key, secret_key: secret, region }
    }
}

#[derive(Serialize)]
struct Intakes<'a> {
    logs: &'a str,
    exceptions: &'a str,
    traces: &'a str,
    speak: &'a str,
}

#[derive(Serialize)]
struct Keys {
    secret: String,
    sealing: Vec<SealingKey>,
}

#[derive(Serialize)]
struct SealingKey {
    id: u8,
    key: String,
}

#[derive(Serialize)]
struct NamespaceTable<'a> {
    id: &'a Namespace,
    class: &'a NamespaceClass,
}

#[derive(Serialize)]
struct Limits {
    cache_ttl_min_s: u64,
    one_write_per_key_and_second: bool,
    edge_cache_bytes: u64,
    tier_cache_bytes: u64,
}

#[derive(Serialize)]
struct Initial<'a> {
    revision: u64,
    new_backend: bool,
    enrolled: &'a BTreeSet<Namespace>,
}

/// Where the wall clock is in the incident.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Replay {
    pub(super) wall_us: Timestamp,
    pub(super) incident_us: Timestamp,
    pub(super) speed: u32,
}

/// The configuration of a data center's node whose links are bound to `ports`.
pub(super) fn text(
    stage: &Stage,
    dc: &Dc,
    (ports, side): (&Ports, Side),
    (replay, access): (Replay, Option<&S3Access>),
) -> Result<String, toml::ser::Error> {
    let (topology, build) = (&stage.spec.topology, stage.spec.build_of(dc));
    let listen = [("rest", REST_PORT), ("tier", TIER_PORT), ("admin", ADMIN_PORT)];
    let members = &stage.members;
    let file = File {
        data_center: dc,
        control: kv_node::control::NAME,
        isolates: topology.nodes.isolates,
        listen: listen.into_iter().map(|(name, port)| (name, format!("0.0.0.0:{port}"))).collect(),
        members: members
            .dcs
            .iter()
            .map(|(dc, member)| {
                let table = MemberTable {
                    region: &member.region,
                    regional_weight: member.regional_weight,
                    upper_weight: member.upper_weight,
                };
                (dc, table)
            })
            .collect(),
        origins: &members.origins,
        store_hosts: members.store_hosts.as_ref(),
        peers: peers(ports, side),
        stores: topology
            .stores
            .keys()
            .map(|peer| StoreTable { peer, speaks: access.map(OverS3::of) })
            .collect(),
        intakes: Intakes {
            logs: INTAKE_LOGS,
            exceptions: INTAKE_REPORTS,
            traces: INTAKE_LOGS,
            speak: "otlp",
        },
        keys: Keys {
            secret: hex(SECRET),
            sealing: SEALING_KEYS
                .iter()
                .map(|(id, key)| SealingKey { id: *id, key: hex(key) })
                .collect(),
        },
        builds: [build].into_iter().filter(|build| **build != Build::current()).collect(),
        pipelines: Pipelines::of(&build.id),
        namespaces: stage
            .namespaces
            .iter()
            .map(|(id, about)| NamespaceTable { id, class: &about.class })
            .collect(),
        limits: Limits {
            cache_ttl_min_s: topology.nodes.cache_ttl_min_s,
            one_write_per_key_and_second: topology.nodes.one_write_per_key_and_second,
            edge_cache_bytes: topology.nodes.cache_bytes,
            tier_cache_bytes: topology.nodes.cache_bytes,
        },
        initial: Initial {
            revision: stage.initial.revision,
            new_backend: stage.initial.new_backend,
            enrolled: &stage.initial.enrolled,
        },
        replay,
    };
    toml::to_string(&file)
}

/// Whom a node calls, and where.
fn peers(ports: &Ports, side: Side) -> BTreeMap<&str, BTreeMap<&'static str, String>> {
    let mut peers: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for ((peer, listener), port) in ports {
        let listener = match listener {
            Listener::Tier => "tier",
            Listener::Store => "store",
            Listener::Control => "control",
            Listener::Intake => "intake",
            // Nodes do not call these.
            Listener::Rest | Listener::Admin | Listener::Binding | Listener::Product => continue,
        };
        peers.entry(peer.as_str()).or_default().insert(listener, side.address(*port));
    }
    peers
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
