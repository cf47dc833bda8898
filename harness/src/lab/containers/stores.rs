//! What lies in the stores when a replay begins and what they hold when it ends, past the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use kv_node::env::NodeEnv;
use kv_node::ids::{Name, Namespace, Peer};
use kv_node::storage::{ObjectStore, PlainStore, StoreError};
use kv_node::telemetry::TraceContext;

use super::remote::{PastTheWire, Remote};
use crate::lab::LabError;
use crate::lab::data::{self, Copies};
use crate::lab::world::{SEALING_KEYS, Stage};
use crate::recording::{CopyRow, OperationRow};

/// Requests to a store at once.
const AT_ONCE: usize = 64;

/// The stores of a lab, as whoever prepares it sees them.
pub(super) struct Stores {
    clients: Vec<Arc<dyn ObjectStore>>,
}

impl Stores {
    pub(super) fn new(stage: &Stage, remotes: BTreeMap<Peer, Arc<Remote>>) -> Self {
        let peers: Vec<Peer> = remotes.keys().cloned().collect();
        let network = Arc::new(PastTheWire(remotes));
        let env = NodeEnv { network, ..stage.env(&Peer::from("operator"), "stores") };
        let client = |peer| Arc::new(PlainStore::new(peer, env.clone())) as Arc<dyn ObjectStore>;
        Self { clients: peers.into_iter().map(client).collect() }
    }

    /// Puts everything there that lies in the stores from the beginning.
    pub(super) async fn lay(&self, stage: &Stage) -> Result<(), LabError> {
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

fn failed(store: &Peer, error: StoreError) -> LabError {
    LabError::Host(store.to_string(), error.to_string())
}
