//! What runs as a store, what lies in the stores when a replay begins, and what they hold when it ends, past the wire.
//!
//! Ours is the default. Any other that speaks S3 and keeps conditions on writes is named by variables:
//!
//! | variable | what it says | where nothing is said |
//! |---|---|---|
//! | `RELAPSE_STORE_IMAGE` | the image | ours |
//! | `RELAPSE_STORE_COMMAND` | its command, in words | the image's own |
//! | `RELAPSE_STORE_ENV` | what is in its environment, as words `NAME=VALUE` | nothing |
//! | `RELAPSE_STORE_PORT` | where it listens | 9000 |
//! | `RELAPSE_STORE_BUCKET` | the bucket, which is made | `relapse` |
//! | `RELAPSE_STORE_ACCESS_KEY`, `RELAPSE_STORE_SECRET_KEY` | what requests are signed with | `relapse`, `relapse-secret` |
//!
//! Its root is read-only as any container's; `/data` is memory that it may write to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use kv_node::env::{BoxFuture, Clock, NodeEnv, Timestamp};
use kv_node::ids::{Name, Namespace, Peer};
use kv_node::storage::{ObjectStore, PlainStore, S3Access, S3Client, StoreError};
use kv_node::telemetry::TraceContext;
use kv_store::s3::{ANY_REGION, Credentials};

use super::engine::Plan;
use super::remote::{PastTheWire, Remote};
use super::wall;
use crate::lab::LabError;
use crate::lab::data::{self, Copies};
use crate::lab::stage::{SEALING_KEYS, Stage};
use crate::recording::{CopyRow, OperationRow};
use crate::spec::StoresSpeak;
use crate::spec::peers::OPERATOR;

/// Where ours listens, and any other of which nothing else is said.
const PORT: u16 = 9000;
/// A store's memory: every key of a slice, several times over.
const MEMORY_BYTES: i64 = 512 << 20;
/// A store that answers but makes no bucket may still be starting.
const BUCKET_WITHIN: Duration = Duration::from_secs(30);
const BUCKET_EVERY: Duration = Duration::from_millis(500);
/// Where a store of somebody else may write.
const DATA: &str = "/data";
/// The environment variable with the secret key of ours.
const SECRET_KEY: &str = "KV_STORE_SECRET_KEY";

/// What runs as a store, and how it is spoken to.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    image: String,
    command: Vec<String>,
    environment: Vec<String>,
    pub(super) port: u16,
    scratch: Option<&'static str>,
    /// None where it speaks the plain protocol.
    pub(super) access: Option<S3Access>,
    /// Whether it is somebody else's.
    is_foreign: bool,
}

impl Kind {
    /// What variables name, or ours, from the node's image.
    ///
    /// [`LabError::Engine`] where a variable says what cannot be.
    pub(super) fn of(speak: StoresSpeak, node_image: &str) -> Result<Self, LabError> {
        let said = |name: &str| {
            std::env::var(format!("RELAPSE_STORE_{name}")).ok().filter(|value| !value.is_empty())
        };
        let words = |name: &str| -> Vec<String> {
            said(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let access = S3Access {
            host: "stores".to_owned(),
            bucket: said("BUCKET").unwrap_or_else(|| "relapse".to_owned()),
            credentials: Credentials {
                key: said("ACCESS_KEY").unwrap_or_else(|| "relapse".to_owned()),
                secret: said("SECRET_KEY").unwrap_or_else(|| "relapse-secret".to_owned()),
                region: ANY_REGION.to_owned(),
            },
        };
        if let Some(image) = said("IMAGE") {
            let port = said("PORT").unwrap_or_else(|| PORT.to_string());
            let wrong = |_| LabError::Engine(format!("RELAPSE_STORE_PORT: \"{port}\" is no port"));
            return Ok(Self {
                image,
                command: words("COMMAND"),
                environment: words("ENV"),
                port: port.parse().map_err(wrong)?,
                scratch: Some(DATA),
                access: Some(access),
                is_foreign: true,
            });
        }
        let listen = format!("0.0.0.0:{PORT}");
        let mut command = vec!["store", "--listen", &listen];
        let speaks = ["--bucket", &access.bucket, "--access-key", &access.credentials.key];
        let mut environment = Vec::new();
        if speak == StoresSpeak::S3 {
            command.extend(speaks);
            command.extend(["--secret-key-from", SECRET_KEY]);
            environment.push(format!("{SECRET_KEY}={}", access.credentials.secret));
        }
        Ok(Self {
            image: node_image.to_owned(),
            command: command.into_iter().map(str::to_owned).collect(),
            environment,
            port: PORT,
            scratch: None,
            access: (speak == StoresSpeak::S3).then_some(access),
            is_foreign: false,
        })
    }

    /// What a store's container is made of.
    pub(super) fn plan<'a>(&'a self, name: &'a str) -> Plan<'a> {
        Plan {
            name,
            image: &self.image,
            command: self.command.clone(),
            environment: self.environment.clone(),
            ports: std::slice::from_ref(&self.port),
            memory_bytes: MEMORY_BYTES,
            mounts: Vec::new(),
            scratch: self.scratch,
        }
    }
}

/// Requests to a store at once.
const AT_ONCE: usize = 64;

/// The stores of a lab, as whoever prepares it sees them.
pub(super) struct Stores {
    clients: Vec<Arc<dyn ObjectStore>>,
    /// Those whose bucket has to be made.
    foreign: Vec<(Peer, S3Client)>,
}

impl Stores {
    pub(super) fn new(stage: &Stage, kind: &Kind, remotes: BTreeMap<Peer, Arc<Remote>>) -> Self {
        let peers: Vec<Peer> = remotes.keys().cloned().collect();
        let network = Arc::new(PastTheWire(remotes));
        let clock = Arc::new(MachineClock);
        let env = NodeEnv { network, clock, ..stage.env(&Peer::from(OPERATOR), "stores") };
        let (mut clients, mut foreign) = (Vec::new(), Vec::new());
        for peer in peers {
            let client: Arc<dyn ObjectStore> = match &kind.access {
                None => Arc::new(PlainStore::new(peer, env.clone())),
                Some(access) => {
                    let client = S3Client::new(peer.clone(), access.clone(), env.clone());
                    if kind.is_foreign {
                        foreign.push((peer, client.clone()));
                    }
                    Arc::new(client)
                }
            };
            clients.push(client);
        }
        Self { clients, foreign }
    }

    /// Puts everything there that lies in the stores from the beginning.
    pub(super) async fn lay(&self, stage: &Stage) -> Result<(), LabError> {
        for (peer, client) in &self.foreign {
            let deadline = wall().after(BUCKET_WITHIN);
            while let Err(error) = client.make_bucket().await {
                if wall() > deadline {
                    return Err(failed(peer, error));
                }
                tokio::time::sleep(BUCKET_EVERY).await;
            }
        }
        let objects = data::objects(&stage.spec, &stage.seeds, &SEALING_KEYS);
        let puts = objects.flat_map(|(object, content)| {
            let put = move |store: &Arc<dyn ObjectStore>| {
                let put = store.put(&object, content.clone(), TraceContext::NONE);
                let store = store.peer().clone();
                async move { put.await.map_err(|error| failed(&store, error)) }
            };
            self.clients.iter().map(put).collect::<Vec<_>>()
        });
        stream::iter(puts).buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await
    }

    /// What each store holds of the keys that were written.
    pub(super) async fn copies(
        &self,
        stage: &Stage,
        operations: &[OperationRow],
    ) -> Result<Vec<CopyRow>, LabError> {
        let copies = Copies::new(&SEALING_KEYS, &stage.seeds);
        let written = data::written(operations);
        let gets = written.iter().flat_map(|(namespace, key)| {
            let copies = &copies;
            self.clients.iter().map(move |store| async move {
                let name = Name::new(Namespace::from(&***namespace), key);
                let object = format!("v/{namespace}/{key}");
                let held = store.get(&object, TraceContext::NONE).await;
                let held = held.map_err(|error| failed(store.peer(), error))?;
                let held = held.map(|held| (held.version, held.body));
                Ok(copies.row(&name, store.peer(), held))
            })
        });
        stream::iter(gets.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await
    }
}

/// The machine's clock: what is done before and after a replay takes its own time, and is signed by that.
#[derive(Debug)]
struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        wall()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

fn failed(store: &Peer, error: StoreError) -> LabError {
    LabError::Host(store.to_string(), error.to_string())
}
