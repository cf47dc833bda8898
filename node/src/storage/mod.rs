//! Two object stores as one: write all, first success answers; read both, compare, repair.
//!
//! This room knows objects and versions. It knows no tiers: what it finds out after the answer ([`Repaired`]) it hands to
//! its caller, and the cache purges. Start with [`Storage::read`].

mod crawler;
mod health;
mod index;
mod layout;
mod list;
mod object_store;
mod pace;
mod plain;
mod probe;
mod queue;
mod replicated;
mod s3;

use std::sync::Arc;

use bytes::Bytes;

pub use crawler::{Crawled, STEP_KEYS};
pub use layout::objects_of;
pub(crate) use layout::{from_object, to_object, unhex};
pub use list::{ListRange, Listed, ListedPage, Page};
pub use object_store::{ObjectStore, StoreError, StoredObject, Written};
pub use plain::PlainStore;
pub use probe::{Lack, probe};
pub use replicated::{ReadAnswer, Storage, WriteAnswer};
pub use s3::{S3Access, S3Client, s3_body, s3_content};

use crate::ids::{Name, Version};

/// A value as stored, cached and carried between tiers: sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Which write it is.
    pub version: Version,
    /// When it ends, in seconds since 1970.
    pub expiration_s: Option<u64>,
    /// The customer's metadata, sealed.
    pub metadata: Option<Bytes>,
    /// The customer's bytes, sealed.
    pub body: Bytes,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It has a value.
    Value(Arc<Sealed>),
    /// It has none: the version of its deletion, [`Version::ZERO`] where there never was a write.
    Absent(Version),
}

impl Found {
    /// The version of what is known.
    pub fn version(&self) -> Version {
        match self {
            Self::Value(sealed) => sealed.version,
            Self::Absent(version) => *version,
        }
    }

    /// Whether a value's expiration has passed.
    pub fn expired(&self, now_s: u64) -> bool {
        matches!(self, Self::Value(sealed) if sealed.expiration_s.is_some_and(|end| end <= now_s))
    }

    /// What is left of it at a moment: a value that has expired is none.
    #[must_use]
    pub fn live(self, now_s: u64) -> Self {
        if self.expired(now_s) { Self::Absent(self.version()) } else { self }
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Value(sealed) => {
                sealed.body.len() + sealed.metadata.as_ref().map_or(0, Bytes::len)
            }
            Self::Absent(_) => 0,
        }
    }
}

/// The stores differed and were brought level after the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// Of which key.
    pub name: Name,
    /// The version that both hold now.
    pub version: Version,
    /// Whether that is newer than what was answered: then caches hold too old a value.
    pub was_newer: bool,
}

/// Why storage gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// No store that could decide answered, also at a second try. The caller may ask again later.
    #[error("no object store could answer")]
    Unavailable,
}
