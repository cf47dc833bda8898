//! What lies in the stores when a replay begins, and when it ends: every key of every namespace, written some time before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kv_node::dependents;
use kv_node::env::Chance;
use kv_node::gateway::{Part, Sealer};
use kv_node::ids::{Name, Namespace, Peer, Version};
use kv_node::storage::{Sealed, StoredObject, objects_of};

use super::customers::{key, value_of};
use super::doors::Seeds;
use crate::recording::{CopyRow, NO_VALUE, OperationRow};
use crate::spec::Spec;

/// Values are so old when a replay begins.
const AGE: Duration = Duration::from_hours(24);

/// Every object that lies in both stores from the beginning, by its name.
pub(super) fn objects(
    spec: &Spec,
    seeds: &Seeds,
    keys: &[(u8, [u8; 32])],
) -> impl Iterator<Item = (String, StoredObject)> {
    let sealer = Sealer::new(keys, seeds.stream("data/nonces"));
    let version = Version { at_us: spec.start.before(AGE).0, tie: 0 };
    let products = spec.topology.products.iter().flat_map(|_| dependents::objects());
    let of_products = products.map(|(key, value)| {
        (Name::new(Namespace::from(dependents::NAMESPACE), &key), Bytes::from(value))
    });
    let names = spec.topology.namespaces.iter().flat_map(|namespace| {
        let plain = Bytes::from(vec![b'.'; namespace.value_bytes]);
        (0..namespace.keys)
            .map(move |at| (Name::new(namespace.id.clone(), &key(at)), plain.clone()))
    });
    names.chain(of_products).flat_map(move |(name, plain)| {
        let sealed = sealer.seal((&name, version, Part::Value), plain).ok().map(|body| {
            let sealed = Sealed { version, expiration_s: None, metadata: None, body };
            objects_of(&name, &sealed)
        });
        let stored = move |(object, meta, body)| (object, StoredObject { version, meta, body });
        sealed.into_iter().flatten().map(stored)
    })
}

/// The keys that were written, each with its namespace.
pub(super) fn written(operations: &[OperationRow]) -> BTreeSet<(&Arc<str>, &Arc<str>)> {
    let written = operations.iter().filter(|row| &*row.operation != "get");
    written.map(|row| (&row.namespace, &row.key)).collect()
}

/// Looks into what stores hold in the end.
pub(super) struct Copies(Sealer);

impl Copies {
    pub(super) fn new(keys: &[(u8, [u8; 32])], seeds: &Seeds) -> Self {
        Self(Sealer::new(keys, seeds.stream("copies")))
    }

    /// What a store holds of a key, by version and sealed value.
    pub(super) fn row(&self, name: &Name, store: &Peer, held: Option<(Version, Bytes)>) -> CopyRow {
        let value = held.as_ref().and_then(|(version, body)| {
            let value = self.0.unseal((name, *version, Part::Value), body).ok()?;
            Some(value_of(&value))
        });
        CopyRow {
            namespace: name.namespace.as_str().into(),
            key: name.key.clone(),
            store: store.as_str().into(),
            version: held.map(|(version, _)| version.encode().into()).unwrap_or_default(),
            value: value.unwrap_or(NO_VALUE),
        }
    }
}
