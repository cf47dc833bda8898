//! What lies in the stores when a replay begins, and when it ends: every key of every namespace, written some time before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use kv_node::env::Chance;
use kv_node::gateway::{Part, Sealer};
use kv_node::ids::{Name, Namespace, Peer, Version};
use kv_node::storage::{Sealed, objects_of, s3_body, s3_content};
use kv_store::{MemoryStore, Object};

use super::customers::{key, value_of};
use super::doors::Seeds;
use crate::recording::{CopyRow, NO_VALUE, OperationRow};
use crate::spec::{Spec, StoresSpeak};

/// Values are so old when a replay begins.
const AGE: Duration = Duration::from_hours(24);

pub(super) fn lay(
    spec: &Spec,
    seeds: &Seeds,
    keys: &[(u8, [u8; 32])],
    stores: &[(Peer, Arc<MemoryStore>)],
) {
    let sealer = Sealer::new(keys, seeds.stream("data/nonces"));
    let version = Version { at_us: spec.start.before(AGE).0, tie: 0 };
    for namespace in &spec.topology.namespaces {
        let plain = Bytes::from(vec![b'.'; namespace.value_bytes]);
        for at in 0..namespace.keys {
            let name = Name::new(namespace.id.clone(), &key(at));
            let Ok(body) = sealer.seal((&name, version, Part::Value), plain.clone()) else {
                continue;
            };
            let sealed = Sealed { version, expiration_s: None, metadata: None, body };
            for (object, meta, body) in objects_of(&name, &sealed) {
                let meta = HeaderValue::try_from(meta).unwrap_or(HeaderValue::from_static(""));
                let version = version.encode();
                let body = match spec.stores {
                    StoresSpeak::Plain => body,
                    StoresSpeak::S3 => s3_body(&version, &body),
                };
                let object = (object, Object { version, meta, body });
                for (_, store) in stores {
                    store.seed(&object.0, object.1.clone());
                }
            }
        }
    }
}

/// What the stores hold of the keys that were written.
pub(super) fn copies(
    (operations, speak): (&[OperationRow], StoresSpeak),
    keys: &[(u8, [u8; 32])],
    seeds: &Seeds,
    stores: &[(Peer, Arc<MemoryStore>)],
) -> Vec<CopyRow> {
    let sealer = Sealer::new(keys, seeds.stream("copies"));
    let written: BTreeSet<(&Arc<str>, &Arc<str>)> = operations
        .iter()
        .filter(|row| &*row.operation != "get")
        .map(|row| (&row.namespace, &row.key))
        .collect();
    let copy = |namespace: &Arc<str>, key: &Arc<str>, store: &(Peer, Arc<MemoryStore>)| {
        let held = store.1.object(&format!("v/{namespace}/{key}"));
        let name = Name::new(Namespace::from(&**namespace), key);
        let value = held.as_ref().and_then(|held| {
            let version = Version::decode(&held.version)?;
            let content = match speak {
                StoresSpeak::Plain => held.body.clone(),
                StoresSpeak::S3 => s3_content(&held.version, &held.body)?,
            };
            let value = sealer.unseal((&name, version, Part::Value), &content).ok()?;
            Some(value_of(&value))
        });
        CopyRow {
            namespace: namespace.clone(),
            key: key.clone(),
            store: store.0.as_str().into(),
            version: held.map(|held| held.version.into()).unwrap_or_default(),
            value: value.unwrap_or(NO_VALUE),
        }
    };
    let all = written
        .into_iter()
        .flat_map(|(namespace, key)| stores.iter().map(move |store| (namespace, key, store)));
    all.map(|(namespace, key, store)| copy(namespace, key, store)).collect()
}
