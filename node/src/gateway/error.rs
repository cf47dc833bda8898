//! What can go wrong with a get, a put or a delete.

use super::seal::SealError;
use crate::cache::CacheError;

/// Why the gateway does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// The namespace does not exist: ask for one that does.
    #[error("namespace not found")]
    NoSuchNamespace,
    /// The id has not the form of one.
    #[error(
        "could not parse UUID from request's namespace_id: 'uuid: incorrect UUID length: {length}'"
    )]
    NoNamespaceId {
        /// Of what was given, in bytes.
        length: usize,
    },
    /// The namespace is part of the node's configuration: change it there.
    #[error("the namespace is configured and cannot be changed")]
    NamespaceConfigured,
    /// Choose another title.
    #[error("a namespace with this account ID and title already exists")]
    TitleTaken,
    /// Give it a title.
    #[error("a title is required")]
    NoTitle,
    /// Use a shorter title.
    #[error("the title is longer than {limit} characters")]
    TitleTooLong {
        /// What is allowed.
        limit: usize,
    },
    /// Delete one first.
    #[error("an account has at most {limit} namespaces")]
    TooManyNamespaces {
        /// What is allowed.
        limit: usize,
    },
    /// Give metadata as JSON.
    #[error("metadata must be valid json")]
    MetadataNotJson,
    /// Store less with the key.
    #[error("Metadata length of {length} exceeds limit of {limit}.")]
    MetadataTooLarge {
        /// Of the JSON text, in bytes.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Ask for fewer keys, or for one at least.
    #[error("Invalid key_count_limit of {asked}. Please specify an integer less than {limit}.")]
    ListLimit {
        /// What was asked for.
        asked: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Use a cursor as it was given out.
    #[error("invalid cursor")]
    NoCursor,
    /// Ask for fewer keys at once.
    #[error("You can request a maximum of {limit} keys")]
    TooManyKeys {
        /// What is allowed.
        limit: usize,
    },
    /// Ask for one at least.
    #[error("You must request a minimum of 1 key")]
    NoKeys,
    /// There is no such key, or no longer.
    #[error("key not found")]
    NoSuchKey,
    /// Use a shorter key.
    #[error("UTF-8 encoded length of {length} exceeds key length limit of {limit}.")]
    KeyTooLong {
        /// Of the key, in bytes.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Empty, `.` and `..` are no keys.
    #[error("key name not allowed")]
    KeyNotAllowed,
    /// Store less, or in parts.
    #[error("Value length of {length} exceeds limit of {limit}.")]
    ValueTooLarge {
        /// Of the value, in bytes.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Let it end later.
    #[error(
        "Invalid expiration of {at_s}. Expiration times must be at least {ahead_s} seconds in the future."
    )]
    ExpirationTooSoon {
        /// What was asked for, in seconds since 1970.
        at_s: u64,
        /// How far ahead it must lie.
        ahead_s: u64,
    },
    /// Let it live longer.
    #[error("Invalid expiration_ttl of {ttl_s}. Expiration TTL must be at least {min_s}.")]
    ExpirationTtlTooShort {
        /// What was asked for.
        ttl_s: u64,
        /// What is allowed.
        min_s: u64,
    },
    /// Be content with an older value.
    #[error("Invalid cache_ttl of {ttl_s}. Cache TTL must be at least {min_s}.")]
    CacheTtlTooShort {
        /// What was asked for.
        ttl_s: u64,
        /// What is allowed.
        min_s: u64,
    },
    /// Write the key at most once a second.
    #[error("too many writes of one key")]
    TooManyWrites,
    /// The key's owner threw. Asking again is of no use while it does.
    #[error("internal error")]
    OwnerFailed,
    /// Nobody who could answer was reached. Ask again later.
    #[error("temporarily unavailable")]
    Unavailable,
    /// The host name of the namespace's stores leads nowhere. Asking again is of no use before that is mended.
    #[error("origin DNS error")]
    NotResolved,
    /// What is stored is not what was sealed. Never answered with anything else.
    #[error("stored value is damaged")]
    Sealing,
}

impl From<CacheError> for GatewayError {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::OwnerFailed => Self::OwnerFailed,
            CacheError::Unavailable => Self::Unavailable,
            CacheError::NotResolved => Self::NotResolved,
        }
    }
}

impl From<SealError> for GatewayError {
    fn from(_: SealError) -> Self {
        Self::Sealing
    }
}
