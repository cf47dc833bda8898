//! Objects in a directory.
//!
//! One log holds all objects; an index in memory says where. A write is acknowledged once its batch is on the disk, and
//! writes that come in the meantime share the next batch. When more of the log is garbage than not, what is live is copied
//! to a new one that takes its place ([`compact`]).
//!
//! | file | content |
//! |---|---|
//! | `lock` | empty; whoever has the directory open holds a lock on it |
//! | `objects.log` | the log ([`record`]) |
//! | `objects.new` | a log that has not taken its place yet; opening removes it |

mod compact;
mod index;
mod log;
mod open;
mod queue;
mod record;
mod replay;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use bytes::Bytes;

use self::index::Index;
use self::log::Log;
use self::queue::{Answer, Job, Queue, Slot, Turn};
use self::record::Record;
use crate::backend::{self, Condition, Objects, Outcome, StoreError};
use crate::object::{Held, Stat};

pub use self::open::OpenError;

/// A store in a directory. What was acknowledged survives the end of the process and of the power.
///
/// Reads take the index and one read of the file, side by side. Writes wait for an fsync, many for the same one. All names
/// with their metadata are in memory. The log takes twice what is live and 4 MiB, and while it is compacted three times.
#[derive(Debug)]
pub struct DirectoryStore {
    shared: Arc<Shared>,
    compaction: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    path: PathBuf,
    index: RwLock<Index>,
    queue: Queue,
    log: Mutex<Log>,
    closing: AtomicBool,
    lock: File,
}

impl Shared {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        // No code that can panic runs under these locks, so a poisoned one is still whole.
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DirectoryStore {
    /// How many objects it holds.
    pub fn len(&self) -> usize {
        self.shared.index().entries.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.shared.index().entries.is_empty()
    }

    /// Queues a write and waits for its batch, or writes it.
    fn write(&self, name: &str, only: Condition, record: Bytes, stat: Option<Stat>) -> Answer {
        let slot = Arc::new(Slot::default());
        self.shared.queue.join(Job { name: name.into(), only, record, stat, slot: slot.clone() });
        loop {
            match slot.turn() {
                Turn::Answered(answer) => return answer,
                Turn::Lead => self.lead(),
                Turn::Wait => {}
            }
        }
    }

    /// Writes for all who wait, this one among them.
    fn lead(&self) {
        let mut log = self.shared.log();
        log.commit(&self.shared.path, self.shared.queue.take(), &self.shared.index);
        if compact::due(&log, &self.shared.index()) {
            self.compact();
        }
        drop(log);
        self.shared.queue.hand_over();
    }

    /// Begins a compaction, unless one is under way.
    fn compact(&self) {
        let mut compaction = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        if compaction.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name("kv-store compaction".into());
        // Where no thread is to be had, the next write tries again.
        *compaction = thread.spawn(move || compact::compact(&shared)).ok();
    }
}

impl Drop for DirectoryStore {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        let compaction = self.compaction.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = compaction.take() {
            let _ = thread.join();
        }
        // An empty batch tells the next one to open that all before it is whole. Without it, that is only not known.
        let _ = self.shared.log().append(&self.shared.path, &[]);
        // A child that the process is just starting may share the file, and would keep the lock a moment longer.
        let _ = self.shared.lock.unlock();
    }
}

impl Objects for DirectoryStore {
    fn get(&self, name: &str) -> Result<Option<Held>, StoreError> {
        let (file, offset, record_bytes) = {
            let index = self.shared.index();
            let Some(entry) = index.entries.get(name) else { return Ok(None) };
            (index.file.clone(), entry.offset, entry.record_bytes)
        };
        let path = || self.shared.path.clone();
        let mut bytes = vec![0; record_bytes as usize];
        if let Err(error) = file.read_exact_at(&mut bytes, offset) {
            return Err(StoreError::Unreadable { path: path(), offset, error: Arc::new(error) });
        }
        match Record::decode_object(&bytes.into(), name) {
            Some(held) => Ok(Some(held)),
            None => Err(StoreError::Damaged { path: path(), offset }),
        }
    }

    fn stat(&self, name: &str) -> Result<Option<Stat>, StoreError> {
        Ok(self.shared.index().entries.get(name).map(|entry| entry.stat.clone()))
    }

    fn put(&self, name: &str, held: Held, only: Condition) -> Result<Outcome, StoreError> {
        backend::check(name, Some(&held.object))?;
        let stamp = held.stamp();
        let record = record::encode_put(name, &held, stamp);
        let body_bytes = held.object.body.len() as u64;
        let stat = Stat { version: held.object.version, meta: held.object.meta, body_bytes, stamp };
        self.write(name, only, record, Some(stat))
    }

    fn remove(&self, name: &str, only: Condition) -> Result<Outcome, StoreError> {
        backend::check(name, None)?;
        self.write(name, only, record::encode_remove(name), None)
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Arc<str>>, StoreError> {
        let index = self.shared.index();
        let names =
            index.entries.range::<str, _>((backend::start(prefix, after), Bound::Unbounded));
        let names = names.map(|(name, _)| name).take_while(|name| name.starts_with(prefix));
        Ok(names.take(limit).cloned().collect())
    }

    fn blocks(&self) -> bool {
        true
    }
}
