//! Where in the log everything is.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use super::record::{Change, Record};
use crate::object::Stat;

/// Where an object's record stands.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) record_bytes: u32,
    pub(super) stat: Stat,
}

/// Every object that is held, by name, with the log that holds it. All in it is on the disk.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) file: Arc<File>,
    pub(super) entries: BTreeMap<Arc<str>, Entry>,
    /// The length of all records that the entries point at: what a compaction would keep.
    pub(super) live_bytes: u64,
}

impl Index {
    pub(super) fn new(file: Arc<File>) -> Self {
        Self { file, entries: BTreeMap::new(), live_bytes: 0 }
    }

    /// Takes over a record of the log that stands there.
    pub(super) fn apply(&mut self, record: Record, offset: u64) {
        let entry = match record.change {
            Change::Put(stat) => Some(Entry { offset, record_bytes: record.bytes, stat }),
            Change::Remove => None,
        };
        self.set(record.name, entry);
    }

    /// What is held under a name from now on.
    pub(super) fn set(&mut self, name: Arc<str>, entry: Option<Entry>) {
        self.live_bytes += entry.as_ref().map_or(0, |entry| u64::from(entry.record_bytes));
        let before = match entry {
            Some(entry) => self.entries.insert(name, entry),
            None => self.entries.remove(&name),
        };
        self.live_bytes -= before.map_or(0, |entry| u64::from(entry.record_bytes));
    }
}
