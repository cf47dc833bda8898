//! The end of the log: where writes that wait for each other's fsync become one batch.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::index::{Entry, Index};
use super::queue::{Job, Slot, Turn};
use super::record::{BATCH_BYTES_MAX, BATCH_HEAD_BYTES, BatchHead};
use crate::backend::{Outcome, StoreError};
use crate::object::Etag;

/// How many bytes of small records are gathered for one write to the file.
const WRITE_BYTES: usize = 1 << 20;

/// The writable end of a log. Only whoever holds it changes the file or the index.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) file: Arc<File>,
    /// The length of the file, all of it on the disk.
    pub(super) bytes: u64,
    /// How many batches there are.
    pub(super) batches: u64,
    /// How long the file must be for a compaction, after one that failed.
    pub(super) compact_from_bytes: u64,
    /// Why nothing more is written, once a write has failed.
    pub(super) stopped: Option<Arc<str>>,
}

/// Jobs whose records go to the disk together.
#[derive(Default)]
struct Batch {
    records: Vec<Bytes>,
    records_bytes: usize,
    /// What the index will say: a job sees those before it in the batch.
    changes: IndexMap<Arc<str>, Option<Entry>, FxBuildHasher>,
    answers: Vec<(Arc<Slot>, Outcome)>,
}

impl Log {
    /// Carries jobs out in their order and answers them. The answer to a refused one waits too: what it was refused for may
    /// not be on the disk yet.
    pub(super) fn commit(&mut self, path: &Path, jobs: Vec<Job>, index: &RwLock<Index>) {
        let mut batch = Batch::default();
        for job in jobs {
            if batch.records_bytes + job.record.len() > BATCH_BYTES_MAX {
                self.flush(path, std::mem::take(&mut batch), index);
            }
            let index = index.read().unwrap_or_else(PoisonError::into_inner);
            self.admit(&mut batch, job, &index);
        }
        self.flush(path, batch, index);
    }

    fn admit(&self, batch: &mut Batch, job: Job, index: &Index) {
        let held = match batch.changes.get(&job.name) {
            Some(change) => change.as_ref(),
            None => index.entries.get(&job.name),
        };
        let version = held.map(|held| held.stat.version.as_str());
        let holds =
            job.only.holds(version, || held.map_or(Etag([0; 16]), |held| held.stat.stamp.etag));
        let nothing_to_remove = job.stat.is_none() && held.is_none();
        if nothing_to_remove || !holds {
            let held = version.map(str::to_owned);
            let refused = Outcome::Refused(held);
            batch.answers.push((job.slot, if nothing_to_remove { Outcome::Done } else { refused }));
            return;
        }
        let offset = self.bytes + (BATCH_HEAD_BYTES + batch.records_bytes) as u64;
        // A record is within backend::check's limits, which fit.
        let record_bytes = u32::try_from(job.record.len()).unwrap_or(u32::MAX);
        let entry = job.stat.map(|stat| Entry { offset, record_bytes, stat });
        batch.changes.insert(job.name, entry);
        batch.records_bytes += job.record.len();
        batch.records.push(job.record);
        batch.answers.push((job.slot, Outcome::Done));
    }

    fn flush(&mut self, path: &Path, batch: Batch, index: &RwLock<Index>) {
        let written =
            if batch.records.is_empty() { self.check() } else { self.append(path, &batch.records) };
        if written.is_ok() && !batch.changes.is_empty() {
            let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
            for (name, entry) in batch.changes {
                index.set(name, entry);
            }
        }
        for (slot, outcome) in batch.answers {
            slot.tell(Turn::Answered(written.clone().map(|()| outcome)));
        }
    }

    /// Whether it still takes writes.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.stopped.clone().map_or(Ok(()), |why| Err(StoreError::Stopped(why)))
    }

    /// Appends one batch and waits until it is on the disk. After a failure nothing is appended any more: an fsync that
    /// failed leaves pages that count as written and are not.
    pub(super) fn append(&mut self, path: &Path, records: &[Bytes]) -> Result<(), StoreError> {
        self.check()?;
        let end = write_batch(&self.file, self.bytes, self.batches, records)
            .and_then(|end| self.file.sync_data().map(|()| end));
        match end {
            Ok(end) => {
                self.bytes = end;
                self.batches += 1;
                Ok(())
            }
            Err(error) => {
                self.stop(path, &error);
                self.check()
            }
        }
    }

    /// Takes no more writes.
    pub(super) fn stop(&mut self, path: &Path, error: &io::Error) {
        self.stopped = Some(format!("{}: {error}", path.display()).into());
        // What was not acknowledged goes where that is still possible, so that opening does not read it back from pages
        // that never reached the disk. If it is not possible, opening finds a torn batch or a whole one; both are right.
        let _ = self.file.set_len(self.bytes).and_then(|()| self.file.sync_all());
    }
}

/// Writes a batch at a place of a file and says where it ends. It is not on the disk yet.
pub(super) fn write_batch(
    file: &File,
    offset: u64,
    number: u64,
    records: &[Bytes],
) -> io::Result<u64> {
    let bytes = records.iter().map(Bytes::len).sum::<usize>();
    let records_bytes = u32::try_from(bytes).map_err(io::Error::other)?;
    let mut buffer = BatchHead { records_bytes, offset, number }.encode().to_vec();
    let mut at = offset;
    for record in records {
        if buffer.len() + record.len() > WRITE_BYTES {
            file.write_all_at(&buffer, at)?;
            at += buffer.len() as u64;
            buffer.clear();
        }
        if record.len() > WRITE_BYTES {
            file.write_all_at(record, at)?;
            at += record.len() as u64;
        } else {
            buffer.extend_from_slice(record);
        }
    }
    file.write_all_at(&buffer, at)?;
    Ok(at + buffer.len() as u64)
}
