//! A recording in the formats of other tools: for a Prometheus of one's own, for a log or trace viewer, for a spreadsheet.
//!
//! | file | format | what |
//! |---|---|---|
//! | `metrics.om` | OpenMetrics text | every sample that the monitor scraped |
//! | `rules.om` | OpenMetrics text | what the run's rules make of them, `ALERTS` among it, and what was done, as [`JOURNAL`] |
//! | `logs.jsonl`, `exceptions.jsonl` | OTLP as JSON, a request a line | lines of the response log, exception reports |
//! | `traces.jsonl` | OTLP as JSON, a request a line | spans |
//! | `truth.csv`, `offered.csv`, `requests.csv` | CSV | what customers asked and got |
//! | `alerts.csv` | CSV | alerts that changed their state |

mod openmetrics;
mod otlp;
mod rules;
mod tables;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::recording::Recording;

/// Why a recording was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Nothing is ever overwritten: name another folder.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// A file cannot be written: make room, or name another folder.
    #[error("{file} cannot be written: {error}")]
    Unwritable {
        /// Which one.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// What writes a file's content.
type Content = fn(&Recording, &mut dyn Write) -> std::io::Result<u64>;

/// The metric that has a sample for each thing that was done, with what it was in its label `text`.
pub const JOURNAL: &str = "relapse_journal";
/// The files that make a Prometheus show a recording. Once it has samples of the last one it has all.
pub const FOR_PROMETHEUS: [&str; 2] = ["rules.om", "metrics.om"];

const FILES: [(&str, Content); 9] = [
    ("metrics.om", openmetrics::write),
    ("rules.om", rules::write),
    ("logs.jsonl", otlp::logs),
    ("exceptions.jsonl", otlp::exceptions),
    ("traces.jsonl", otlp::traces),
    ("truth.csv", tables::truth),
    ("offered.csv", tables::offered),
    ("requests.csv", tables::requests),
    ("alerts.csv", tables::alerts),
];

/// Writes all files into a folder, which is made where it is missing; tells of each how many samples, records or rows it
/// holds.
pub fn write(
    recording: &Recording,
    folder: &Path,
) -> Result<Vec<(&'static str, u64)>, ExportError> {
    let unwritable = |file: &Path| {
        let file = file.to_path_buf();
        |error| ExportError::Unwritable { file, error }
    };
    std::fs::create_dir_all(folder).map_err(unwritable(folder))?;
    if std::fs::read_dir(folder).map_err(unwritable(folder))?.next().is_some() {
        return Err(ExportError::NotEmpty(folder.to_path_buf()));
    }
    FILES
        .iter()
        .map(|(name, content)| Ok((*name, put(recording, *content, &folder.join(name))?)))
        .collect()
}

/// Writes one of the files of [`FOR_PROMETHEUS`] into a folder that is there; returns how many samples it holds.
pub fn write_one(recording: &Recording, name: &str, folder: &Path) -> Result<u64, ExportError> {
    let content = FILES.iter().find(|(known, _)| *known == name);
    content.map_or(Ok(0), |(name, content)| put(recording, *content, &folder.join(name)))
}

fn put(recording: &Recording, content: Content, path: &Path) -> Result<u64, ExportError> {
    let written = || {
        let mut file = BufWriter::new(File::create(path)?);
        let count = content(recording, &mut file)?;
        file.flush()?;
        Ok(count)
    };
    written().map_err(|error| ExportError::Unwritable { file: path.to_path_buf(), error })
}
