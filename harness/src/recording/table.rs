//! Tables: named columns of one length, in one file.

use serde::{Deserialize, Serialize};

use super::column::Column;

#[derive(Serialize, Deserialize)]
struct Header {
    rows: usize,
    columns: Vec<ColumnHeader>,
}

#[derive(Serialize, Deserialize)]
struct ColumnHeader {
    name: String,
    kind: String,
    bytes: usize,
}

/// Columns by name, in order.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<(&'static str, Column)>,
}

impl Table {
    /// One JSON line that says what follows, then the columns.
    pub(super) fn encode(&self) -> std::io::Result<Vec<u8>> {
        let rows = self.columns.first().map_or(0, |(_, column)| column.rows());
        let mut headers = Vec::new();
        let mut payload = Vec::new();
        for (name, column) in &self.columns {
            let bytes = column.encode()?;
            headers.push(ColumnHeader {
                name: (*name).to_owned(),
                kind: column.kind().to_owned(),
                bytes: bytes.len(),
            });
            payload.extend_from_slice(&bytes);
        }
        let mut out = serde_json::to_vec(&Header { rows, columns: headers })?;
        out.push(b'\n');
        out.extend_from_slice(&payload);
        Ok(out)
    }
}

/// The columns of a table's file, by the names that are asked for.
pub(super) struct Parsed {
    rows: usize,
    columns: Vec<(String, Column)>,
}

impl Parsed {
    /// `None` where the bytes are not a whole table.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let header: Header = serde_json::from_slice(&bytes[..end]).ok()?;
        let mut rest = &bytes[end + 1..];
        let mut columns = Vec::new();
        for column in header.columns {
            let (bytes, after) = rest.split_at_checked(column.bytes)?;
            rest = after;
            columns.push((column.name, Column::decode(&column.kind, header.rows, bytes)?));
        }
        rest.is_empty().then_some(Self { rows: header.rows, columns })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn numbers(&self, name: &str) -> Option<&[u64]> {
        match self.columns.iter().find(|(known, _)| known == name) {
            Some((_, Column::Numbers(numbers))) => Some(numbers),
            _ => None,
        }
    }

    pub(super) fn texts(&self, name: &str) -> Option<&super::column::Texts> {
        match self.columns.iter().find(|(known, _)| known == name) {
            Some((_, Column::Texts(texts))) => Some(texts),
            _ => None,
        }
    }
}
