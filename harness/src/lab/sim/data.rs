//! What lies in the stores when a replay begins: every key of every namespace, written some time before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use kv_node::env::Chance;
use kv_node::gateway::{Part, Sealer};
use kv_node::ids::{Name, Version};
use kv_node::storage::{Sealed, objects_of};
use kv_store::{MemoryStore, Object};

use super::customers::key;
use super::doors::Seeds;
use crate::spec::Spec;

/// Values are so old when a replay begins.
const AGE: Duration = Duration::from_hours(24);

pub(super) fn lay(
    spec: &Spec,
    seeds: &Seeds,
    keys: &[(u8, [u8; 32])],
    stores: &[Arc<MemoryStore>],
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
                let object = (object, Object { version: version.encode(), meta, body });
                for store in stores {
                    store.seed(&object.0, object.1.clone());
                }
            }
        }
    }
}
