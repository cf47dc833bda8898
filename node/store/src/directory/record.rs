//! What a log is made of: a file header, then batches, each a header and its records. Numbers are little endian.
//!
//! | part | bytes |
//! |---|---|
//! | file header | [`MAGIC`] |
//! | batch header | `KVSB`, length of the records (u32), place of this header in the file (u64), number of the batch (u64), CRC-32 of these |
//! | record | CRC-32 of the rest, kind (u8), lengths of name and version (u16), of metadata and body (u32), time (u64), MD5, then name, version, metadata, body |
//!
//! A batch header tells its own place, so that bytes in a body cannot pass for one where a damaged file is searched.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;

use crate::object::{Etag, Held, Object, Stamp, Stat};

/// The first bytes of a log, with the number of its format.
pub(super) const MAGIC: &[u8; 16] = b"kv-store log 01\n";
/// The first bytes of a batch.
pub(super) const BATCH_MAGIC: &[u8; 4] = b"KVSB";
/// The length of a batch header.
pub(super) const BATCH_HEAD_BYTES: usize = 28;
const RECORD_HEAD_BYTES: usize = 41;
/// The most that a batch holds: what one fsync may have to wait for. More than the longest record.
pub(super) const BATCH_BYTES_MAX: usize = 64 << 20;

const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHead {
    /// The length of its records together.
    pub(super) records_bytes: u32,
    /// Where in the file the header stands.
    pub(super) offset: u64,
    /// How many batches stand before it.
    pub(super) number: u64,
}

impl BatchHead {
    pub(super) fn encode(&self) -> [u8; BATCH_HEAD_BYTES] {
        let mut bytes = [0; BATCH_HEAD_BYTES];
        bytes[..4].copy_from_slice(BATCH_MAGIC);
        bytes[4..8].copy_from_slice(&self.records_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header that stands at this place of a file, or `None` where none does.
    pub(super) fn decode(bytes: &[u8], offset: u64) -> Option<Self> {
        let mut cursor = Cursor(bytes.get(..BATCH_HEAD_BYTES)?);
        if cursor.take(4)? != BATCH_MAGIC {
            return None;
        }
        let head =
            Self { records_bytes: cursor.u32()?, offset: cursor.u64()?, number: cursor.u64()? };
        let whole = cursor.u32()? == crc32fast::hash(&bytes[..24]);
        (whole && head.offset == offset).then_some(head)
    }
}

/// One change, read from a log.
#[derive(Debug)]
pub(super) enum Change {
    Put(Stat),
    Remove,
}

/// What stands at the beginning of some bytes of a log.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: Arc<str>,
    pub(super) change: Change,
    /// Its length.
    pub(super) bytes: u32,
    body_at: usize,
}

/// The bytes of a record that holds an object from now on. Whoever calls has checked the limits.
pub(super) fn encode_put(name: &str, held: &Held, stamp: Stamp) -> Bytes {
    let Object { version, meta, body } = &held.object;
    encode(PUT, name, version, (meta.as_bytes(), body), stamp)
}

/// The bytes of a record that removes what is held.
pub(super) fn encode_remove(name: &str) -> Bytes {
    encode(REMOVE, name, "", (b"", b""), Stamp { etag: Etag([0; 16]), modified_s: 0 })
}

#[expect(clippy::cast_possible_truncation, reason = "backend::check has been asked: all are short")]
fn encode(kind: u8, name: &str, version: &str, data: (&[u8], &[u8]), stamp: Stamp) -> Bytes {
    let (meta, body) = data;
    let content = name.len() + version.len() + meta.len() + body.len();
    let mut bytes = BytesMut::with_capacity(RECORD_HEAD_BYTES + content);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&[kind]);
    bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(version.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(meta.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&stamp.modified_s.to_le_bytes());
    bytes.extend_from_slice(&stamp.etag.0);
    for part in [name.as_bytes(), version.as_bytes(), meta, body] {
        bytes.extend_from_slice(part);
    }
    let crc = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes.freeze()
}

impl Record {
    /// The record at the beginning of these bytes, or `None` where they do not begin with a whole one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut head = Cursor(bytes);
        let crc = head.u32()?;
        let kind = head.take(1)?[0];
        let name_bytes = usize::from(head.u16()?);
        let version_bytes = usize::from(head.u16()?);
        let meta_bytes = head.u32()? as usize;
        let body_bytes = head.u32()? as usize;
        let modified_s = head.u64()?;
        let etag = Etag(head.take(16)?.try_into().ok()?);
        let body_at = RECORD_HEAD_BYTES + name_bytes + version_bytes + meta_bytes;
        let end = body_at + body_bytes;
        // The lengths are part of what the sum is over: wrong ones give a wrong sum.
        if crc32fast::hash(bytes.get(4..end)?) != crc {
            return None;
        }
        let name = str::from_utf8(head.take(name_bytes)?).ok()?.into();
        let version = str::from_utf8(head.take(version_bytes)?).ok()?.to_owned();
        let meta = HeaderValue::from_bytes(head.take(meta_bytes)?).ok()?;
        let stamp = Stamp { etag, modified_s };
        let change = match kind {
            PUT => Change::Put(Stat { version, meta, body_bytes: body_bytes as u64, stamp }),
            REMOVE => Change::Remove,
            _ => return None,
        };
        Some(Self { name, change, bytes: u32::try_from(end).ok()?, body_at })
    }

    /// The object of a record that begins these bytes and is all of them; `None` for one of another name.
    pub(super) fn decode_object(bytes: &Bytes, name: &str) -> Option<Held> {
        let record = Self::decode(bytes)?;
        let Change::Put(Stat { version, meta, stamp, .. }) = record.change else { return None };
        let body = bytes.slice(record.body_at..record.bytes as usize);
        (&*record.name == name)
            .then_some(Held { object: Object { version, meta, body }, stamp: Some(stamp) })
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}
