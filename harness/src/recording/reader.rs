//! Reads a recording, and refuses one that is not whole.

use std::path::{Path, PathBuf};

use kv_node::telemetry::{ResponseLine, SpanRecord};

use super::SCHEMA;
use super::journal::Journal;
use super::safety::{CopyRow, OperationRow};
use super::series::Scrapes;
use super::table::Parsed;
use super::tables::{Offered, ProductRow, RequestRow, Row, TruthRow, WireRow};
use super::telemetry::{AlertRow, AnswerRow, Exception};
use super::writer::{Index, METRICS_FILE, digest, file};
use crate::spec::Spec;
use crate::spec::time::IncidentTime;

/// A recording in memory.
#[derive(Debug)]
pub struct Recording {
    /// What was run.
    pub spec: Spec,
    /// From which seed.
    pub seed: u64,
    /// Requests by interval.
    pub truth: Vec<TruthRow>,
    /// Requests sent by interval.
    pub offered: Vec<Offered>,
    /// Requests to products by interval.
    pub products: Vec<ProductRow>,
    /// Single requests, in the order in which they ended.
    pub requests: Vec<RequestRow>,
    /// Writes, and reads of some keys, in the order in which they ended.
    pub operations: Vec<OperationRow>,
    /// What the stores hold of written keys in the end.
    pub copies: Vec<CopyRow>,
    /// Requests by listener.
    pub wire: Vec<WireRow>,
    /// Actions, witnesses, moments of nodes.
    pub journal: Vec<(IncidentTime, Journal)>,
    /// Answers that nodes gave, as the network saw them.
    pub answers: Vec<AnswerRow>,
    /// What the monitor scraped.
    pub metrics: Scrapes,
    /// Lines of the response log.
    pub lines: Vec<ResponseLine>,
    /// Exceptions.
    pub exceptions: Vec<Exception>,
    /// Spans.
    pub spans: Vec<SpanRecord>,
    /// Alerts that changed their state.
    pub alerts: Vec<AlertRow>,
}

/// Why a recording cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A file cannot be read, or is missing. Without its index a recording is one that was cut short: run again.
    #[error("{file} cannot be read: {error}")]
    Unreadable {
        /// Which one.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is not what the index says of it: cut short or changed. Run again.
    #[error("{file} is damaged: {found} bytes of {expected}, or not the same ones")]
    Damaged {
        /// Which one.
        file: PathBuf,
        /// Its length.
        found: usize,
        /// Its length when it was written.
        expected: usize,
    },
    /// It was written by another version of this program: use that one.
    #[error("{file} has schema {found}, this program reads {SCHEMA}")]
    Schema {
        /// Which one.
        file: PathBuf,
        /// Its schema.
        found: u32,
    },
}

impl Recording {
    /// Reads a recording's folder.
    pub fn read(folder: &Path) -> Result<Self, RecordingError> {
        let open = Open::new(folder)?;
        let spec = open.whole("spec.json")?;
        let spec: Spec = serde_json::from_slice(&spec)
            .map_err(|_| damaged(&folder.join("spec.json"), spec.len(), spec.len()))?;
        Ok(Self {
            spec,
            seed: open.index.seed,
            truth: open.rows()?,
            offered: open.rows()?,
            products: open.rows()?,
            requests: open.rows()?,
            operations: open.rows()?,
            copies: open.rows()?,
            wire: open.rows()?,
            journal: open.rows()?,
            answers: open.rows()?,
            metrics: open.scrapes()?,
            lines: open.rows()?,
            exceptions: open.rows()?,
            spans: open.rows()?,
            alerts: open.rows()?,
        })
    }

    /// Reads only what the monitor scraped.
    pub fn read_scrapes(folder: &Path) -> Result<Scrapes, RecordingError> {
        Open::new(folder)?.scrapes()
    }
}

/// A folder whose index has been read.
struct Open<'a> {
    folder: &'a Path,
    index: Index,
}

impl<'a> Open<'a> {
    fn new(folder: &'a Path) -> Result<Self, RecordingError> {
        let file = folder.join("index.json");
        let bytes = read(&file)?;
        let index: Index =
            serde_json::from_slice(&bytes).map_err(|_| damaged(&file, bytes.len(), bytes.len()))?;
        if index.schema != SCHEMA {
            return Err(RecordingError::Schema { file, found: index.schema });
        }
        Ok(Self { folder, index })
    }

    /// The bytes of a file that is as the index says.
    fn whole(&self, name: &str) -> Result<Vec<u8>, RecordingError> {
        let path = self.folder.join(name);
        let bytes = read(&path)?;
        match self.index.files.get(name) {
            Some((length, sum)) if *length == bytes.len() && *sum == digest(&bytes) => Ok(bytes),
            known => Err(damaged(&path, bytes.len(), known.map_or(0, |(length, _)| *length))),
        }
    }

    fn rows<R: Row>(&self) -> Result<Vec<R>, RecordingError> {
        let bytes = self.whole(&file::<R>())?;
        Parsed::decode(&bytes)
            .and_then(|table| R::from_table(&table))
            .ok_or_else(|| damaged(&self.folder.join(file::<R>()), bytes.len(), bytes.len()))
    }

    fn scrapes(&self) -> Result<Scrapes, RecordingError> {
        let bytes = self.whole(METRICS_FILE)?;
        let length = bytes.len();
        Scrapes::decode(&bytes)
            .ok_or_else(|| damaged(&self.folder.join(METRICS_FILE), length, length))
    }
}

fn damaged(file: &Path, found: usize, expected: usize) -> RecordingError {
    RecordingError::Damaged { file: file.to_path_buf(), found, expected }
}

fn read(file: &Path) -> Result<Vec<u8>, RecordingError> {
    std::fs::read(file)
        .map_err(|error| RecordingError::Unreadable { file: file.to_path_buf(), error })
}
