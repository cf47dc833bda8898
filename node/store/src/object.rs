//! What a store holds under a name.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use md5::{Digest, Md5};

use crate::hex;

/// One stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What decides between two writes of the same name: the greater text wins.
    pub version: String,
    /// User metadata, opaque.
    pub meta: HeaderValue,
    /// The object itself.
    pub body: Bytes,
}

/// The MD5 of a body, which is what S3 clients expect as the `ETag` of an object.
///
/// It tells bodies apart for a conditional write. It proves nothing against somebody who makes two bodies with one MD5.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Etag(pub(crate) [u8; 16]);

impl Etag {
    /// The tag of a body; about 2 ms for a MiB.
    pub fn of(body: &[u8]) -> Self {
        Self(Md5::digest(body).into())
    }

    /// The tag that stands in a header or a list, in 32 hex digits without quotes; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        hex::decode(text).map(Self)
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Etag({self})")
    }
}

/// What S3 tells of an object beside the object. The plain protocol neither asks nor tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The tag of the body.
    pub etag: Etag,
    /// When it was written, in seconds since 1970 by the clock of the S3 service; 0 where the plain protocol wrote it.
    pub modified_s: u64,
}

impl Stamp {
    /// The stamp of a body that was written without one.
    pub fn of(body: &[u8]) -> Self {
        Self { etag: Etag::of(body), modified_s: 0 }
    }
}

/// An object as a backend keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The object.
    pub object: Object,
    /// Its stamp, where somebody has made it: an MD5 costs more than all else that a write in memory costs.
    pub stamp: Option<Stamp>,
}

impl Held {
    /// Its stamp, made now where it has none.
    pub fn stamp(&self) -> Stamp {
        self.stamp.unwrap_or_else(|| Stamp::of(&self.object.body))
    }
}

/// All that is known of an object but its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its version.
    pub version: String,
    /// Its user metadata.
    pub meta: HeaderValue,
    /// The length of its body in bytes.
    pub body_bytes: u64,
    /// Its stamp.
    pub stamp: Stamp,
}
