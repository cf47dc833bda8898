//! How keys lie in an object store.
//!
//! * `v/<namespace>/<key>`: the value object, sealed, the truth. A deletion leaves a tombstone there. Its user metadata is
//!   `v;<expiration>;<sealed metadata, hexadecimal>` or `t;;`.
//! * `i/<namespace>/<key>` NUL `<expiration, sixteen hexadecimal digits><flag>`: an empty index object, so that a listing of
//!   names is a listing of keys with their expiration. The flag is `m` where there is metadata, `-` where not. Metadata
//!   itself is not in the name: names end at 1,024 bytes in S3.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use super::object_store::{StoreError, StoredObject};
use super::{Found, Sealed};
use crate::ids::Name;

/// The name of a key's value object.
pub(super) fn value_object(name: &Name) -> String {
    format!("v/{}/{}", name.namespace, name.key)
}

/// Everything that a live value is in a store: names, user metadata, contents.
pub fn objects_of(name: &Name, sealed: &Sealed) -> [(String, String, Bytes); 2] {
    [
        (value_object(name), meta_of(sealed), sealed.body.clone()),
        (index_object(name, sealed), String::new(), Bytes::new()),
    ]
}

/// What all index objects of a key begin with.
pub(super) fn index_prefix(name: &Name) -> String {
    format!("i/{}/{}\0", name.namespace, name.key)
}

/// Whether a name is that of an index object of a key: what begins like one may belong to a longer key with a NUL in it.
pub(super) fn is_index_of(name: &Name, object: &str) -> bool {
    object
        .strip_prefix(&index_prefix(name))
        .is_some_and(|suffix| suffix.len() == 17 && !suffix.contains('\0'))
}

/// The name of the one index object that a live value has.
pub(super) fn index_object(name: &Name, sealed: &Sealed) -> String {
    let flag = if sealed.metadata.is_some() { 'm' } else { '-' };
    format!("{}{:016x}{flag}", index_prefix(name), sealed.expiration_s.unwrap_or(0))
}

/// The user metadata of a value object.
fn meta_of(sealed: &Sealed) -> String {
    let mut meta = String::from("v;");
    if let Some(expiration_s) = sealed.expiration_s {
        meta.push_str(&expiration_s.to_string());
    }
    meta.push(';');
    for byte in sealed.metadata.iter().flatten() {
        // Writing to a string cannot fail.
        let _ = write!(meta, "{byte:02x}");
    }
    meta
}

/// What is to be stored for a key's state.
pub(crate) fn to_object(found: &Found) -> StoredObject {
    match found {
        Found::Value(sealed) => StoredObject {
            version: sealed.version,
            meta: meta_of(sealed),
            body: sealed.body.clone(),
        },
        Found::Absent(version) => {
            StoredObject { version: *version, meta: "t;;".to_owned(), body: Bytes::new() }
        }
    }
}

/// What a stored object says of its key.
pub(crate) fn from_object(object: StoredObject) -> Result<Found, StoreError> {
    let mut parts = object.meta.split(';');
    let (kind, expiration, metadata) = (parts.next(), parts.next(), parts.next());
    match (kind, expiration, metadata, parts.next()) {
        (Some("t"), Some(""), Some(""), None) => Ok(Found::Absent(object.version)),
        (Some("v"), Some(expiration), Some(metadata), None) => {
            let expiration_s = match expiration {
                "" => None,
                text => Some(text.parse().map_err(|_| StoreError::Malformed)?),
            };
            let metadata = match metadata {
                "" => None,
                text => Some(unhex(text).ok_or(StoreError::Malformed)?),
            };
            Ok(Found::Value(Arc::new(Sealed {
                version: object.version,
                expiration_s,
                metadata,
                body: object.body,
            })))
        }
        _ => Err(StoreError::Malformed),
    }
}

/// Bytes written as hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Bytes> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Version;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stored_value_says_what_was_stored(
            expiration_s in proptest::option::of(1u64..=u64::MAX),
            metadata in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..40)),
            body: Vec<u8>,
            at_us: u64,
        ) {
            let found = Found::Value(Arc::new(Sealed {
                version: Version { at_us, tie: 7 },
                expiration_s,
                metadata: metadata.map(Bytes::from),
                body: body.into(),
            }));
            prop_assert_eq!(from_object(to_object(&found)).unwrap(), found);
        }
    }

    #[test]
    fn a_tombstone_is_no_value_and_rubbish_is_an_error() {
        let version = Version { at_us: 1, tie: 2 };
        let absent = Found::Absent(version);
        assert_eq!(from_object(to_object(&absent)), Ok(absent));
        for meta in ["", "v", "v;x;", "v;;zz", "t;1;", "v;;;", "w;;"] {
            let object = StoredObject { version, meta: meta.into(), body: Bytes::new() };
            assert_eq!(from_object(object), Err(StoreError::Malformed), "{meta}");
        }
    }
}
