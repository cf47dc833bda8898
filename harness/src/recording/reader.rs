//! Reads a recording, and refuses one that is not whole.

use std::path::{Path, PathBuf};

use kv_node::telemetry::{ResponseLine, SpanRecord};

use super::SCHEMA;
use super::series::Scrapes;
use super::table::Parsed;
use super::tables::{Journal, Offered, RequestRow, Row, TruthRow, WireRow};
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
    /// Single requests, in the order in which they ended.
    pub requests: Vec<RequestRow>,
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
        let index_file = folder.join("index.json");
        let bytes = read(&index_file)?;
        let damaged = |file: &Path, found, expected| RecordingError::Damaged {
            file: file.to_path_buf(),
            found,
            expected,
        };
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|_| damaged(&index_file, bytes.len(), bytes.len()))?;
        if index.schema != SCHEMA {
            return Err(RecordingError::Schema { file: index_file, found: index.schema });
        }
        let whole = |name: &str| -> Result<Vec<u8>, RecordingError> {
            let path = folder.join(name);
            let bytes = read(&path)?;
            match index.files.get(name) {
                Some((length, sum)) if *length == bytes.len() && *sum == digest(&bytes) => {
                    Ok(bytes)
                }
                known => Err(damaged(&path, bytes.len(), known.map_or(0, |(length, _)| *length))),
            }
        };
        let spec = whole("spec.json")?;
        let spec: Spec = serde_json::from_slice(&spec)
            .map_err(|_| damaged(&folder.join("spec.json"), spec.len(), spec.len()))?;
        Ok(Self {
            spec,
            seed: index.seed,
            truth: rows(folder, &whole)?,
            offered: rows(folder, &whole)?,
            requests: rows(folder, &whole)?,
            wire: rows(folder, &whole)?,
            journal: rows(folder, &whole)?,
            answers: rows(folder, &whole)?,
            metrics: {
                let bytes = whole(METRICS_FILE)?;
                let length = bytes.len();
                Scrapes::decode(&bytes)
                    .ok_or_else(|| damaged(&folder.join(METRICS_FILE), length, length))?
            },
            lines: rows(folder, &whole)?,
            exceptions: rows(folder, &whole)?,
            spans: rows(folder, &whole)?,
            alerts: rows(folder, &whole)?,
        })
    }
}

fn rows<R: Row>(
    folder: &Path,
    whole: &impl Fn(&str) -> Result<Vec<u8>, RecordingError>,
) -> Result<Vec<R>, RecordingError> {
    let bytes = whole(&file::<R>())?;
    Parsed::decode(&bytes).and_then(|table| R::from_table(&table)).ok_or_else(|| {
        RecordingError::Damaged {
            file: folder.join(file::<R>()),
            found: bytes.len(),
            expected: bytes.len(),
        }
    })
}

fn read(file: &Path) -> Result<Vec<u8>, RecordingError> {
    std::fs::read(file)
        .map_err(|error| RecordingError::Unreadable { file: file.to_path_buf(), error })
}
