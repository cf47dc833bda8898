//! How keys lie in an object store.
//!
//! * `v/<namespace>/<key>`: the value object, sealed, the truth. A deletion leaves a tombstone there. Its user metadata is
//!   `v;<expiration>;<sealed metadata, Base64>` or `t;;`: S3 allows 2 KiB of it, and hexadecimal digits would be too many.
//! * `i/<namespace>/<key>` NUL NUL `<expiration, sixteen hexadecimal digits><flag>`: an empty index object, so that a listing
//!   of names is a listing of keys with their expiration. The flag is `m` where there is metadata, `-` where not. Metadata
//!   itself is not in the name: names end at 1,024 bytes in S3. A NUL in the key is written NUL SOH: so the names of index
//!   objects stand in the byte order of the keys, and none is taken for another's.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;

use super::object_store::{StoreError, StoredObject};
use super::{Found, Sealed};
use crate::ids::{Name, Namespace};

/// The name of a key's value object.
pub(super) fn value_object(name: &Name) -> String {
    format!("v/{}/{}", name.namespace, name.key)
}

/// The key whose value object has a name; `None` for any other name.
pub(super) fn from_value_object(object: &str) -> Option<Name> {
    let (namespace, key) = object.strip_prefix("v/")?.split_once('/')?;
    Some(Name::new(Namespace::from(namespace), key))
}

/// Everything that a live value is in a store: names, user metadata, contents.
pub fn objects_of(name: &Name, sealed: &Sealed) -> [(String, String, Bytes); 2] {
    [
        (value_object(name), meta_of(sealed), sealed.body.clone()),
        (index_object(name, sealed), String::new(), Bytes::new()),
    ]
}

/// What all index objects of a key begin with, and no others do.
pub(super) fn index_prefix(name: &Name) -> String {
    format!("i/{}/{}\0\0", name.namespace, escaped(&name.key))
}

/// What the index objects of all keys under a prefix begin with.
pub(super) fn listing_prefix(namespace: &Namespace, prefix: &str) -> String {
    format!("i/{namespace}/{}", escaped(prefix))
}

/// A name that comes after every index object of a key and before those of the next.
pub(super) fn listing_after(namespace: &Namespace, key: &str) -> String {
    format!("i/{namespace}/{}\0\u{1}", escaped(key))
}

fn escaped(key: &str) -> std::borrow::Cow<'_, str> {
    if key.contains('\0') { key.replace('\0', "\0\u{1}").into() } else { key.into() }
}

/// What an index object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    pub key: Arc<str>,
    pub expiration_s: Option<u64>,
    pub has_metadata: bool,
}

/// What the name of an index object of a namespace says; `None` for any other name.
pub(super) fn from_index(namespace: &Namespace, object: &str) -> Option<Indexed> {
    let rest = object.strip_prefix("i/")?.strip_prefix(namespace.as_str())?.strip_prefix('/')?;
    let (key, suffix) = rest.split_once("\0\0")?;
    let (digits, flag) = suffix.split_at_checked(16)?;
    let has_metadata = match flag {
        "m" => true,
        "-" => false,
        _ => return None,
    };
    let expiration_s = u64::from_str_radix(digits, 16).ok()?;
    Some(Indexed {
        key: key.replace("\0\u{1}", "\0").into(),
        expiration_s: (expiration_s > 0).then_some(expiration_s),
        has_metadata,
    })
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
    if let Some(metadata) = &sealed.metadata {
        BASE64.encode_string(metadata, &mut meta);
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
                text => Some(BASE64.decode(text).map_err(|_| StoreError::Malformed)?.into()),
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

    proptest! {
        #[test]
        fn index_objects_stand_in_the_order_of_their_keys(
            one in "[\\x00-\\x02a\u{e9}]{1,6}",
            other in "[\\x00-\\x02a\u{e9}]{1,6}",
            expiration_s in proptest::option::of(1u64..=u64::MAX),
            metadata: bool,
        ) {
            let of = |key: &str, expiration_s, metadata: bool| {
                let sealed = Sealed {
                    version: Version::ZERO,
                    expiration_s,
                    metadata: metadata.then(Bytes::new),
                    body: Bytes::new(),
                };
                index_object(&Name::new("ns".into(), key), &sealed)
            };
            let object = of(&one, expiration_s, metadata);
            let said = Indexed { key: one.as_str().into(), expiration_s, has_metadata: metadata };
            prop_assert_eq!(from_index(&"ns".into(), &object), Some(said));
            if one != other {
                prop_assert_eq!(object.cmp(&of(&other, None, true)), one.cmp(&other));
            }
            let after = listing_after(&"ns".into(), &one);
            prop_assert_eq!(after < of(&other, None, false), one < other);
            prop_assert_eq!(
                object.starts_with(&listing_prefix(&"ns".into(), &other)),
                one.starts_with(&other)
            );
        }
    }

    #[test]
    fn a_tombstone_is_no_value_and_rubbish_is_an_error() {
        let version = Version { at_us: 1, tie: 2 };
        let absent = Found::Absent(version);
        assert_eq!(from_object(to_object(&absent)), Ok(absent));
        for meta in ["", "v", "v;x;", "v;;z", "t;1;", "v;;;", "w;;"] {
            let object = StoredObject { version, meta: meta.into(), body: Bytes::new() };
            assert_eq!(from_object(object), Err(StoreError::Malformed), "{meta}");
        }
    }
}
