//! What storage needs of an object store, whatever protocol that speaks.

use bytes::Bytes;

use crate::env::BoxFuture;
use crate::ids::{Peer, Version};
use crate::telemetry::TraceContext;

/// An object with the version that decides between two writes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Which write it is.
    pub version: Version,
    /// User metadata.
    pub meta: String,
    /// The object itself.
    pub body: Bytes,
}

/// How a conditional write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is stored.
    Stored,
    /// The store holds the same or a newer version, which stays.
    NotNewer,
}

/// Why one store gave no answer that could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached or the connection broke.
    #[error("unreachable")]
    Unreachable,
    /// It did not answer in time.
    #[error("timed out")]
    TimedOut,
    /// It answered with a status that the protocol does not foresee. Never passed on to a customer.
    #[error("failed")]
    Failed,
    /// It has failed again and again and was not asked.
    #[error("known to be down")]
    KnownDown,
    /// So much goes to it from here, or waits to, that it was not asked.
    #[error("busy")]
    Busy,
    /// What it holds is not what this node writes.
    #[error("malformed object")]
    Malformed,
}

impl StoreError {
    /// Whether the store was asked at all: only then may a second try come to more.
    pub fn asked(self) -> bool {
        !matches!(self, Self::KnownDown | Self::Busy)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed-out",
            Self::Failed => "failed",
            Self::KnownDown => "known-down",
            Self::Busy => "busy",
            Self::Malformed => "malformed",
        }
    }
}

/// An object store. Every method may be called again after an error without harm. `trace` is what a request tells the store
/// of the trace that it is part of.
pub trait ObjectStore: Send + Sync {
    /// Under which name it is called.
    fn peer(&self) -> &Peer;
    /// Reads an object.
    fn get(
        &self,
        object: &str,
        trace: TraceContext,
    ) -> BoxFuture<Result<Option<StoredObject>, StoreError>>;
    /// Writes an object unless the store holds the same or a newer version.
    fn put(
        &self,
        object: &str,
        content: StoredObject,
        trace: TraceContext,
    ) -> BoxFuture<Result<Written, StoreError>>;
    /// Removes an object unless what the store holds is newer than a version; one that is not there is removed.
    fn delete(&self, object: &str, up_to: Version) -> BoxFuture<Result<(), StoreError>>;
    /// Names under a prefix, in byte order, after a name.
    fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> BoxFuture<Result<Vec<String>, StoreError>>;
}
