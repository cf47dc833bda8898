//! Compaction: what is live moves to a new log, which takes the place of the old one.
//!
//! Reads and writes go on. First the live records of one moment are copied, then the batches that were appended since, at
//! last under the lock of the log those of the last moment. The old log is whole and in its place until the new one is on
//! the disk; the rename is the one step between them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::Shared;
use super::index::Index;
use super::log::{Log, write_batch};
use super::open::{NEW, create_log, place_log};
use super::record::{BATCH_HEAD_BYTES, BatchHead, MAGIC, Record};

/// Garbage that is left alone however little is live: below it a compaction costs more than it gives.
const GARBAGE_BYTES: u64 = 4 << 20;
/// How much is copied as one batch, and how much of the end may be left to copy while writes wait.
const COPY_BYTES: u64 = 4 << 20;
/// How often the end is copied while writes go on. They may be faster than the copy: then they wait for it.
const ROUNDS: usize = 8;

/// Whether more of the log is garbage than not.
pub(super) fn due(log: &Log, index: &Index) -> bool {
    let live = index.live_bytes;
    log.stopped.is_none()
        && log.bytes >= log.compact_from_bytes
        && log.bytes.saturating_sub(live) > live + GARBAGE_BYTES
}

/// A new log under construction.
struct Copy {
    old: Arc<File>,
    new: File,
    /// How far the old log has been copied.
    old_end: u64,
    /// The length of the new log.
    new_end: u64,
    batches: u64,
    /// Where records stood that were live in the first moment, and where they stand now, in the order of the former.
    moved: Vec<(u64, u64)>,
    /// Where the first moment ended in the old log, and where it ends in the new one.
    first_moment: (u64, u64),
}

/// Compacts the log. Where that fails, the old log stays, and the next try waits until there is twice as much of it.
pub(super) fn compact(shared: &Shared) {
    if run(shared).is_err() {
        let _ = fs::remove_file(shared.directory.join(NEW));
        let mut log = shared.log();
        log.compact_from_bytes = 2 * log.bytes;
    }
}

fn run(shared: &Shared) -> io::Result<()> {
    let mut copy = copy_live(shared)?;
    for _ in 0..ROUNDS {
        let end = shared.log().bytes;
        if end - copy.old_end < COPY_BYTES {
            break;
        }
        copy.copy_batches(shared, end)?;
    }
    // Most of it is on the disk before writes have to wait.
    copy.new.sync_all()?;
    let mut log = shared.log();
    let end = log.bytes;
    copy.copy_batches(shared, end)?;
    // As when opened: what stands before an empty batch is known to be whole.
    copy.append(shared, &[])?;
    copy.new.sync_all()?;
    log.check().map_err(io::Error::other)?;
    if let Err(error) = place_log(&shared.directory) {
        // Which log a crash would leave in place is not known, so neither can take a write.
        log.stop(&shared.path, &error);
        return Ok(());
    }
    switch(shared, &mut log, copy);
    Ok(())
}

/// Copies the records that are live now.
fn copy_live(shared: &Shared) -> io::Result<Copy> {
    let (mut places, old, old_end) = {
        // With the log held nothing changes between the two.
        let log = shared.log();
        let index = shared.index();
        let places: Vec<_> =
            index.entries.values().map(|entry| (entry.offset, entry.record_bytes)).collect();
        (places, log.file.clone(), log.bytes)
    };
    // In the order of the file, so that it is read in one go.
    places.sort_unstable();
    let new = create_log(&shared.directory)?;
    let mut copy = Copy {
        old,
        new,
        old_end,
        new_end: MAGIC.len() as u64,
        batches: 0,
        moved: Vec::with_capacity(places.len()),
        first_moment: (old_end, 0),
    };
    let (mut records, mut bytes) = (Vec::new(), 0);
    for (offset, record_bytes) in places {
        let mut record = vec![0; record_bytes as usize];
        copy.old.read_exact_at(&mut record, offset)?;
        // Copying damage would make it look as if it had been written like that.
        if Record::decode(&record).is_none() {
            return Err(io::Error::other("damaged record"));
        }
        copy.moved.push((offset, copy.new_end + BATCH_HEAD_BYTES as u64 + bytes));
        bytes += u64::from(record_bytes);
        records.push(Bytes::from(record));
        if bytes >= COPY_BYTES {
            copy.append(shared, &records)?;
            (records, bytes) = (Vec::new(), 0);
        }
    }
    copy.append(shared, &records)?;
    copy.first_moment.1 = copy.new_end;
    Ok(copy)
}

impl Copy {
    fn append(&mut self, shared: &Shared, records: &[Bytes]) -> io::Result<()> {
        if shared.closing.load(Ordering::Relaxed) {
            return Err(io::Error::other("closing"));
        }
        self.new_end = write_batch(&self.new, self.new_end, self.batches, records)?;
        self.batches += 1;
        Ok(())
    }

    /// Copies the batches from where it is up to a place between two.
    fn copy_batches(&mut self, shared: &Shared, to: u64) -> io::Result<()> {
        while self.old_end < to {
            let mut head = [0; BATCH_HEAD_BYTES];
            self.old.read_exact_at(&mut head, self.old_end)?;
            let Some(head) = BatchHead::decode(&head, self.old_end) else {
                return Err(io::Error::other("damaged batch"));
            };
            let mut records = vec![0; head.records_bytes as usize];
            self.old.read_exact_at(&mut records, self.old_end + BATCH_HEAD_BYTES as u64)?;
            self.append(shared, &[records.into()])?;
            self.old_end += BATCH_HEAD_BYTES as u64 + u64::from(head.records_bytes);
        }
        Ok(())
    }

    /// Where a record stands now.
    fn place(&self, offset: u64) -> Option<u64> {
        let (old, new) = self.first_moment;
        if offset >= old {
            // Batches were copied as they were, so all of them moved by as much.
            return Some(offset - old + new);
        }
        let at = self.moved.binary_search_by_key(&offset, |moved| moved.0).ok()?;
        self.moved.get(at).map(|moved| moved.1)
    }
}

/// Reads and writes the new log from now on. Reads under way finish with the old one, which the system keeps that long.
fn switch(shared: &Shared, log: &mut Log, copy: Copy) {
    let mut index = shared.index.write().unwrap_or_else(PoisonError::into_inner);
    for entry in index.entries.values_mut() {
        if let Some(place) = copy.place(entry.offset) {
            entry.offset = place;
        }
    }
    log.bytes = copy.new_end;
    log.batches = copy.batches;
    log.compact_from_bytes = 0;
    log.file = Arc::new(copy.new);
    index.file = log.file.clone();
}
