//! Reading a log from its beginning, and telling a torn end from damage.
//!
//! A batch is written only once the one before it is on the disk, and is acknowledged only once it is there itself. So a
//! crash can tear the last batch and no other, and what it tears was never acknowledged. A batch that is not whole, with
//! another one behind it, is damage. The exception: damage to the last batch looks like a torn one. That is why a log gets
//! an empty batch when it is opened and when it is closed; a log that was closed well shows damage to any record in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::index::Index;
use super::record::{BATCH_HEAD_BYTES, BATCH_MAGIC, BatchHead, MAGIC, Record};

/// How much of a file is searched at once for a batch.
const SEARCH_BYTES: usize = 1 << 20;

/// What a log holds.
pub(super) struct Replayed {
    pub(super) index: Index,
    /// Where the last whole batch ends; the file may go on with a torn one.
    pub(super) end: u64,
    /// How many batches there are.
    pub(super) batches: u64,
}

/// Why a log cannot be replayed.
pub(super) enum ReplayError {
    Io(io::Error),
    Format,
    Damaged(u64),
}

impl From<io::Error> for ReplayError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads all of a log.
pub(super) fn replay(file: &Arc<File>) -> Result<Replayed, ReplayError> {
    let bytes = file.metadata()?.len();
    let mut magic = [0; MAGIC.len()];
    if bytes < MAGIC.len() as u64 {
        return Err(ReplayError::Format);
    }
    file.read_exact_at(&mut magic, 0)?;
    if magic != *MAGIC {
        return Err(ReplayError::Format);
    }
    let mut replayed =
        Replayed { index: Index::new(file.clone()), end: MAGIC.len() as u64, batches: 0 };
    let mut buffer = Vec::new();
    while replayed.end < bytes {
        if let Err(place) = batch(&mut replayed, &mut buffer, bytes)? {
            let damaged = next_batch(file, replayed.end + 1, bytes)?;
            return if damaged { Err(ReplayError::Damaged(place)) } else { Ok(replayed) };
        }
    }
    Ok(replayed)
}

/// Reads the batch at the end of what has been read. The inner error is the place where it is not whole.
fn batch(
    replayed: &mut Replayed,
    buffer: &mut Vec<u8>,
    file_bytes: u64,
) -> io::Result<Result<(), u64>> {
    let start = replayed.end;
    let file = replayed.index.file.clone();
    let mut head = [0; BATCH_HEAD_BYTES];
    let first = start + BATCH_HEAD_BYTES as u64;
    if first > file_bytes {
        return Ok(Err(start));
    }
    file.read_exact_at(&mut head, start)?;
    let Some(head) = BatchHead::decode(&head, start).filter(|h| h.number == replayed.batches)
    else {
        return Ok(Err(start));
    };
    let end = first + u64::from(head.records_bytes);
    if end > file_bytes {
        return Ok(Err(start));
    }
    buffer.resize(head.records_bytes as usize, 0);
    file.read_exact_at(buffer, first)?;
    let mut records = Vec::new();
    let mut at = 0;
    while at < buffer.len() {
        let place = first + at as u64;
        let Some(record) = Record::decode(&buffer[at..]) else { return Ok(Err(place)) };
        at += record.bytes as usize;
        records.push((record, place));
    }
    for (record, place) in records {
        replayed.index.apply(record, place);
    }
    replayed.end = end;
    replayed.batches += 1;
    Ok(Ok(()))
}

/// Whether a batch begins anywhere between two places of a file.
fn next_batch(file: &File, from: u64, to: u64) -> io::Result<bool> {
    let mut buffer = vec![0; SEARCH_BYTES];
    let mut at = from;
    while at + BATCH_HEAD_BYTES as u64 <= to {
        let bytes = usize::try_from(to - at).unwrap_or(usize::MAX).min(SEARCH_BYTES);
        let found = &mut buffer[..bytes];
        file.read_exact_at(found, at)?;
        let starts = bytes - BATCH_HEAD_BYTES + 1;
        for start in 0..starts {
            if found[start] == BATCH_MAGIC[0]
                && BatchHead::decode(&found[start..], at + start as u64).is_some()
            {
                return Ok(true);
            }
        }
        at += starts as u64;
    }
    Ok(false)
}
