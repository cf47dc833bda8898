//! What a safety check needs: writes with what they wrote, reads with what they read, and what the stores hold in the end.

use std::sync::Arc;

use super::table::{Parsed, Table};
use super::tables::{Outcome, Row, Shared, numbers, texts};
use crate::spec::time::IncidentTime;

/// A value that says nothing: a deletion, a read that found none, an answer without one.
pub const NO_VALUE: u64 = 0;
/// The value that lay in the stores when the run began. Those that customers wrote have greater numbers.
pub const FIRST_VALUE: u64 = 1;
/// Of so many keys one has its reads recorded, all of them.
pub const READ_KEYS: u64 = 16;

/// A write of a customer, or a read of a key whose reads are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// When it was sent.
    pub at: IncidentTime,
    /// When it ended for the customer.
    pub ended: IncidentTime,
    /// Which data center was asked.
    pub dc: Arc<str>,
    /// For which namespace.
    pub namespace: Arc<str>,
    /// Which key.
    pub key: Arc<str>,
    /// `get`, `put`, `delete`.
    pub operation: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// What was written, or read.
    pub value: u64,
}

/// What a store holds of a written key when the run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyRow {
    /// Of which namespace.
    pub namespace: Arc<str>,
    /// Which key.
    pub key: Arc<str>,
    /// In which store.
    pub store: Arc<str>,
    /// Its version; empty where the store holds nothing.
    pub version: Arc<str>,
    /// What it is.
    pub value: u64,
}

/// Whether the reads of a key are recorded: decided by its name alone (FNV-1a), so that a history has no holes.
pub fn follows_reads(key: &str) -> bool {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.is_multiple_of(READ_KEYS)
}

impl Row for OperationRow {
    const TABLE: &'static str = "operations";

    fn to_table(rows: &[Self]) -> Table {
        Table {
            columns: vec![
                ("at_us", numbers(rows, |r| r.at.0)),
                ("took_us", numbers(rows, |r| r.ended.0 - r.at.0)),
                ("dc", texts(rows, |r| &r.dc)),
                ("namespace", texts(rows, |r| &r.namespace)),
                ("key", texts(rows, |r| &r.key)),
                ("operation", texts(rows, |r| &r.operation)),
                ("outcome", numbers(rows, |r| r.outcome.code())),
                ("value", numbers(rows, |r| r.value)),
            ],
        }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        let mut shared = Shared::default();
        let (at_us, took) = (table.numbers("at_us")?, table.numbers("took_us")?);
        let (dc, namespace) = (table.texts("dc")?, table.texts("namespace")?);
        let (key, operation) = (table.texts("key")?, table.texts("operation")?);
        let (outcome, value) = (table.numbers("outcome")?, table.numbers("value")?);
        let row = |at: usize| Self {
            at: IncidentTime(at_us[at]),
            ended: IncidentTime(at_us[at].saturating_add(took[at])),
            dc: shared.get(dc.get(at)),
            namespace: shared.get(namespace.get(at)),
            key: shared.get(key.get(at)),
            operation: shared.get(operation.get(at)),
            outcome: Outcome::from_code(outcome[at]),
            value: value[at],
        };
        Some((0..table.rows()).map(row).collect())
    }
}

impl Row for CopyRow {
    const TABLE: &'static str = "copies";

    fn to_table(rows: &[Self]) -> Table {
        Table {
            columns: vec![
                ("namespace", texts(rows, |r| &r.namespace)),
                ("key", texts(rows, |r| &r.key)),
                ("store", texts(rows, |r| &r.store)),
                ("version", texts(rows, |r| &r.version)),
                ("value", numbers(rows, |r| r.value)),
            ],
        }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        let mut shared = Shared::default();
        let (namespace, key) = (table.texts("namespace")?, table.texts("key")?);
        let (store, version) = (table.texts("store")?, table.texts("version")?);
        let value = table.numbers("value")?;
        let row = |at: usize| Self {
            namespace: shared.get(namespace.get(at)),
            key: shared.get(key.get(at)),
            store: shared.get(store.get(at)),
            version: shared.get(version.get(at)),
            value: value[at],
        };
        Some((0..table.rows()).map(row).collect())
    }
}
