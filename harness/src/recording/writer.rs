//! Collects what a lab records, in memory, and writes it once at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use kv_node::telemetry::{ResponseLine, SpanRecord};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SCHEMA;
use super::journal::Journal;
use super::safety::{CopyRow, OperationRow};
use super::series::Scrapes;
use super::tables::{Offered, ProductRow, RequestRow, Row, TruthRow, WireRow};
use super::telemetry::{AlertRow, AnswerRow, Exception};
use crate::spec::Spec;
use crate::spec::time::IncidentTime;

/// What belongs to a recording: the last file that is written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) schema: u32,
    pub(super) seed: u64,
    /// Length and SHA-256 of each file.
    pub(super) files: BTreeMap<String, (usize, String)>,
}

/// Where scrapes are kept.
pub(super) const METRICS_FILE: &str = "metrics.series";

/// What a lab records.
#[derive(Debug, Default)]
pub struct RecordingWriter {
    /// Requests by interval.
    pub truth: Vec<TruthRow>,
    /// Requests sent by interval.
    pub offered: Vec<Offered>,
    /// Requests to products by interval.
    pub products: Vec<ProductRow>,
    /// Single requests.
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

impl RecordingWriter {
    /// Writes the recording into a folder; returns its size in bytes.
    pub fn write(&self, folder: &Path, spec: &Spec, seed: u64) -> std::io::Result<u64> {
        std::fs::create_dir_all(folder)?;
        let mut files = BTreeMap::new();
        let mut size = 0u64;
        let mut put = |name: String, bytes: Vec<u8>| -> std::io::Result<()> {
            size += bytes.len() as u64;
            std::fs::write(folder.join(&name), &bytes)?;
            files.insert(name, (bytes.len(), digest(&bytes)));
            Ok(())
        };
        put("spec.json".to_owned(), serde_json::to_vec_pretty(spec)?)?;
        put(file::<TruthRow>(), TruthRow::to_table(&self.truth).encode()?)?;
        put(file::<Offered>(), Offered::to_table(&self.offered).encode()?)?;
        put(file::<ProductRow>(), ProductRow::to_table(&self.products).encode()?)?;
        put(file::<RequestRow>(), RequestRow::to_table(&self.requests).encode()?)?;
        put(file::<OperationRow>(), OperationRow::to_table(&self.operations).encode()?)?;
        put(file::<CopyRow>(), CopyRow::to_table(&self.copies).encode()?)?;
        put(file::<WireRow>(), WireRow::to_table(&self.wire).encode()?)?;
        put(file::<(IncidentTime, Journal)>(), Row::to_table(&self.journal).encode()?)?;
        put(file::<AnswerRow>(), AnswerRow::to_table(&self.answers).encode()?)?;
        put(METRICS_FILE.to_owned(), self.metrics.encode()?)?;
        put(file::<ResponseLine>(), ResponseLine::to_table(&self.lines).encode()?)?;
        put(file::<Exception>(), Exception::to_table(&self.exceptions).encode()?)?;
        put(file::<SpanRecord>(), SpanRecord::to_table(&self.spans).encode()?)?;
        put(file::<AlertRow>(), AlertRow::to_table(&self.alerts).encode()?)?;
        let index = serde_json::to_vec_pretty(&Index { schema: SCHEMA, seed, files })?;
        std::fs::write(folder.join("index.json"), &index)?;
        Ok(size + index.len() as u64)
    }
}

pub(super) fn file<R: Row>() -> String {
    format!("{}.columns", R::TABLE)
}

/// SHA-256 as hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
