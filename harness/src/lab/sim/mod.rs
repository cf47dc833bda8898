//! The simulated lab: every node in one paused runtime, whose time jumps to whatever happens next.
//!
//! Same spec, same seed, same binary, same processor: identical bytes.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use kv_node::Node;
use kv_node::config::{Limits, NodeConfig, PipelineEntry, StoreAbout, StoreProtocol};
use kv_node::ids::{Dc, Name, Namespace, Peer, Version};
use kv_node::safeguards::Environment;
use kv_node::storage::{S3Access, StoredObject, s3_body, s3_content};
use kv_store::s3::{ANY_REGION, Credentials};
use kv_store::{MemoryStore, Object, S3Store};
use tokio::runtime::Runtime;

use super::data::{self, Copies};
use super::doors::LabClock;
use super::stage::{SEALING_KEYS, SECRET, Stage};
use super::wire::Service;
use super::world::{Hosts, LabOn};
use super::{Lab, LabError};
use crate::recording::{CopyRow, Journal, OperationRow};
use crate::spec::time::IncidentTime;
use crate::spec::{Spec, StoresSpeak};

/// The bucket of every simulated store that speaks S3.
const BUCKET: &str = "relapse";

/// What every simulated node signs with towards them.
fn s3_access() -> S3Access {
    let host = "stores".to_owned();
    let (key, secret) = ("simulated".to_owned(), "simulated".to_owned());
    let credentials = Credentials { key, secret, region: ANY_REGION.to_owned() };
    S3Access { host, bucket: BUCKET.to_owned(), credentials }
}

/// A simulated lab that draws all chance from a seed.
pub fn lab(seed: u64) -> Box<dyn Lab> {
    Box::new(LabOn::new(seed, InProcess { stores: Vec::new() }))
}

/// Nodes and stores as values of this process.
struct InProcess {
    stores: Vec<(Peer, Arc<MemoryStore>)>,
}

impl Hosts for InProcess {
    fn runtime(&self) -> std::io::Result<Runtime> {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
    }

    async fn set_up(&mut self, spec: &Spec) -> Result<LabClock, LabError> {
        let store = |peer: &Peer| (peer.clone(), Arc::new(MemoryStore::new()));
        self.stores = spec.topology.stores.keys().map(store).collect();
        Ok(LabClock::new(spec.start))
    }

    async fn start_stores(&mut self, stage: &Stage) -> Result<(), LabError> {
        for (name, object) in data::objects(&stage.spec, &stage.seeds, &SEALING_KEYS) {
            let object = stored(stage.spec.stores, object);
            for (_, store) in &self.stores {
                store.seed(&name, object.clone());
            }
        }
        for (peer, store) in &self.stores {
            let service = match stage.spec.stores {
                StoresSpeak::Plain => Service::Store(store.clone()),
                StoresSpeak::S3 => {
                    let (clock, credentials) = (stage.clock.clone(), s3_access().credentials);
                    let signer = (credentials.key, credentials.secret);
                    let now_s = move || clock.timestamp().unix_s();
                    Service::S3(S3Store::new(store.clone(), signer, BUCKET, now_s))
                }
            };
            stage.wire.serve(peer, service);
        }
        Ok(())
    }

    async fn start_nodes(&mut self, stage: &Stage) -> Result<(), LabError> {
        for dc in stage.spec.topology.dcs.keys() {
            self.start_node(stage, dc, 1).await?;
        }
        Ok(())
    }

    async fn start_node(&mut self, stage: &Stage, dc: &Dc, life: u32) -> Result<(), LabError> {
        let peer = dc.peer();
        let env = stage.env(&peer, &format!("node/{dc}/{life}"));
        let pipeline = vec![PipelineEntry { weight: 1, build: stage.spec.build_of(dc).clone() }];
        let nodes = &stage.spec.topology.nodes;
        let config = NodeConfig {
            dc: dc.clone(),
            members: stage.members.clone(),
            stores: stage
                .spec
                .topology
                .stores
                .keys()
                .map(|peer| about_store(&stage.spec, peer))
                .collect(),
            // Whoever is there from the beginning knows the first configuration.
            control: Some(Peer::from("control")),
            environment: Environment::Production,
            gateway_pipeline: pipeline.clone(),
            supercache_pipeline: pipeline,
            isolates: nodes.isolates,
            secret: SECRET.into(),
            sealing_keys: SEALING_KEYS.to_vec(),
            namespaces: stage.namespaces.clone(),
            tokens: Vec::new(),
            limits: Limits {
                cache_ttl_min_s: nodes.cache_ttl_min_s,
                one_write_per_key_and_second: nodes.one_write_per_key_and_second,
                edge_cache_bytes: nodes.cache_bytes,
                tier_cache_bytes: nodes.cache_bytes,
                ..Limits::default()
            },
            initial: stage.initial.clone(),
        };
        let node = Node::start(config, env)?;
        stage.wire.serve(&peer, Service::Node(node));
        Ok(())
    }

    async fn kill_node(&mut self, stage: &Stage, dc: &Dc) -> Result<bool, LabError> {
        Ok(stage.wire.crash(&dc.peer()))
    }

    async fn pause_node(&mut self, stage: &Stage, dc: &Dc, on: bool) -> Result<bool, LabError> {
        Ok(stage.wire.pause(&dc.peer(), on))
    }

    async fn copies(
        &mut self,
        stage: &Stage,
        operations: &[OperationRow],
    ) -> Result<Vec<CopyRow>, LabError> {
        let copies = Copies::new(&SEALING_KEYS, &stage.seeds);
        let rows = data::written(operations).into_iter().flat_map(|(namespace, key)| {
            let name = Name::new(Namespace::from(&**namespace), key);
            let copies = &copies;
            self.stores.iter().map(move |(peer, store)| {
                let held = store.object(&format!("v/{namespace}/{key}"));
                copies.row(&name, peer, held.and_then(|held| content(stage.spec.stores, held)))
            })
        });
        Ok(rows.collect())
    }

    async fn seen(&mut self, _: &Stage) -> Result<Vec<(IncidentTime, Journal)>, LabError> {
        Ok(Vec::new())
    }

    async fn trouble(&mut self) -> Result<(), LabError> {
        Ok(())
    }

    async fn close(&mut self) -> Result<(), LabError> {
        Ok(())
    }
}

/// An object as a store holds it, which depends on what it speaks.
fn stored(speak: StoresSpeak, object: StoredObject) -> Object {
    let version = object.version.encode();
    let body = match speak {
        StoresSpeak::Plain => object.body,
        StoresSpeak::S3 => s3_body(&version, &object.body),
    };
    let meta = HeaderValue::try_from(object.meta).unwrap_or(HeaderValue::from_static(""));
    Object { version, meta, body }
}

/// The other way round: version and content.
fn content(speak: StoresSpeak, held: Object) -> Option<(Version, Bytes)> {
    let version = Version::decode(&held.version)?;
    match speak {
        StoresSpeak::Plain => Some((version, held.body)),
        StoresSpeak::S3 => Some((version, s3_content(&held.version, &held.body)?)),
    }
}

fn about_store(spec: &Spec, peer: &Peer) -> StoreAbout {
    let protocol = match spec.stores {
        StoresSpeak::Plain => StoreProtocol::Plain,
        StoresSpeak::S3 => StoreProtocol::S3(s3_access()),
    };
    StoreAbout { peer: peer.clone(), protocol }
}
