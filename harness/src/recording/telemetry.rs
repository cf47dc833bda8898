//! Rows of what the intakes of telemetry took: lines, exception reports, spans; and of what the alert engine did.

use std::collections::BTreeMap;
use std::sync::Arc;

use kv_node::cache::CacheResult;
use kv_node::env::{Listener, Timestamp};
use kv_node::ids::{BuildId, Dc, Namespace};
use kv_node::telemetry::{
    ErrorClass, ExceptionReport, LineContext, ResponseLine, Role, SpanRecord,
};
use kv_node::worker::ScriptName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::column::{Column, Texts};
use super::table::{Parsed, Table};
use super::tables::{Caller, LISTENERS, Row, Shared, numbers, texts};
use crate::spec::time::IncidentTime;

/// An exception report and when the intake took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// When it was taken.
    pub at: IncidentTime,
    /// What.
    pub report: ExceptionReport,
}

/// Answers that a node gave in the whole of a run, as the network saw them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRow {
    /// Who answered.
    pub by: Arc<str>,
    /// At which listener.
    pub listener: Listener,
    /// Whom.
    pub caller: Caller,
    /// With which status.
    pub status: u16,
    /// Without a body: with 500, that is what an exception leaves of a request.
    pub bare: bool,
    /// How many.
    pub count: u64,
}

/// A state that an alert can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertState {
    /// Its condition does not hold.
    Inactive,
    /// It holds, but not for long enough.
    Pending,
    /// On-call is told.
    Firing,
}

/// An alert that changed its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRow {
    /// When.
    pub at: IncidentTime,
    /// Its name.
    pub alert: String,
    /// Its labels, without its name.
    pub labels: BTreeMap<String, String>,
    /// From which state.
    pub from: AlertState,
    /// To which.
    pub to: AlertState,
    /// The value of its expression.
    #[serde(with = "exact")]
    pub value: f64,
    /// What it says.
    pub annotations: BTreeMap<String, String>,
}

impl AlertRow {
    /// Whether two are the same to the last bit.
    pub fn is(&self, other: &Self) -> bool {
        let bits = |row: &Self| row.value.to_bits();
        let rest = |row: &Self| Self { value: 0.0, ..row.clone() };
        bits(self) == bits(other) && rest(self) == rest(other)
    }
}

/// A number as text that gives the same bits when it is read: JSON has neither those nor infinities.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Rows as one JSON text each.
fn json<R: Serialize>(rows: impl Iterator<Item = R>) -> Column {
    let mut column = Texts::default();
    for row in rows {
        column.push(&serde_json::to_string(&row).unwrap_or_default());
    }
    Column::Texts(column)
}

fn from_json<R: DeserializeOwned>(table: &Parsed, name: &str) -> Option<Vec<R>> {
    let texts = table.texts(name)?;
    (0..table.rows()).map(|at| serde_json::from_str(texts.get(at)).ok()).collect()
}

impl Row for Exception {
    const TABLE: &'static str = "exceptions";

    fn to_table(rows: &[Self]) -> Table {
        let reports = json(rows.iter().map(|row| &row.report));
        Table { columns: vec![("at_us", numbers(rows, |r| r.at.0)), ("report", reports)] }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        let at_us = table.numbers("at_us")?;
        let reports: Vec<ExceptionReport> = from_json(table, "report")?;
        let row = |(at, report): (&u64, _)| Self { at: IncidentTime(*at), report };
        Some(at_us.iter().zip(reports).map(row).collect())
    }
}

impl Row for SpanRecord {
    const TABLE: &'static str = "spans";

    fn to_table(rows: &[Self]) -> Table {
        Table { columns: vec![("span", json(rows.iter()))] }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        from_json(table, "span")
    }
}

impl Row for AlertRow {
    const TABLE: &'static str = "alerts";

    fn to_table(rows: &[Self]) -> Table {
        Table { columns: vec![("transition", json(rows.iter()))] }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        from_json(table, "transition")
    }
}

impl Row for AnswerRow {
    const TABLE: &'static str = "answers";

    fn to_table(rows: &[Self]) -> Table {
        Table {
            columns: vec![
                ("by", texts(rows, |r| &r.by)),
                ("listener", numbers(rows, |r| r.listener as u64)),
                ("caller", numbers(rows, |r| r.caller as u64)),
                ("status", numbers(rows, |r| u64::from(r.status))),
                ("bare", numbers(rows, |r| u64::from(r.bare))),
                ("count", numbers(rows, |r| r.count)),
            ],
        }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        let mut shared = Shared::default();
        let (by, listener) = (table.texts("by")?, table.numbers("listener")?);
        let (caller, status) = (table.numbers("caller")?, table.numbers("status")?);
        let (bare, count) = (table.numbers("bare")?, table.numbers("count")?);
        let row = |at: usize| {
            Some(Self {
                by: shared.get(by.get(at)),
                listener: *LISTENERS.get(usize::try_from(listener[at]).ok()?)?,
                caller: *Caller::ALL.get(usize::try_from(caller[at]).ok()?)?,
                status: u16::try_from(status[at]).ok()?,
                bare: bare[at] == 1,
                count: count[at],
            })
        };
        (0..table.rows()).map(row).collect()
    }
}

/// What a line says beside numbers: the same few combinations again and again.
#[derive(Serialize, Deserialize)]
struct LineKind {
    dc: Dc,
    script: ScriptName,
    operation: String,
    context: Option<ContextKind>,
}

#[derive(Serialize, Deserialize)]
struct ContextKind {
    build: BuildId,
    revision: u64,
    isolate: u32,
    role: Role,
    namespace: Option<Namespace>,
    owner: Option<Dc>,
    cache: Option<CacheResult>,
    error: Option<ErrorClass>,
}

impl Row for ResponseLine {
    const TABLE: &'static str = "lines";

    fn to_table(rows: &[Self]) -> Table {
        let kind = |row: &Self| LineKind {
            dc: row.dc.clone(),
            script: row.script,
            operation: row.operation.clone(),
            context: row.context.as_ref().map(|context| ContextKind {
                build: context.build.clone(),
                revision: context.revision,
                isolate: context.isolate,
                role: context.role,
                namespace: context.namespace.clone(),
                owner: context.owner.clone(),
                cache: context.cache,
                error: context.error,
            }),
        };
        let context = |row: &'_ Self| row.context.clone();
        let optional = |text: fn(LineContext) -> Option<String>| {
            let mut column = Texts::default();
            for row in rows {
                column.push(&context(row).and_then(text).unwrap_or_default());
            }
            Column::Texts(column)
        };
        Table {
            columns: vec![
                ("at_us", numbers(rows, |r| r.at.0)),
                ("stands_for", numbers(rows, |r| u64::from(r.stands_for))),
                ("status", numbers(rows, |r| u64::from(r.status))),
                ("took_us", numbers(rows, |r| r.took_us)),
                ("kind", json(rows.iter().map(kind))),
                ("trace", optional(|context| Some(context.trace))),
                ("key_hash", optional(|context| context.key_hash)),
            ],
        }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        let (at_us, stands_for) = (table.numbers("at_us")?, table.numbers("stands_for")?);
        let (status, took_us) = (table.numbers("status")?, table.numbers("took_us")?);
        let (trace, key_hash) = (table.texts("trace")?, table.texts("key_hash")?);
        let kinds: Vec<LineKind> = from_json(table, "kind")?;
        let row = |(at, kind): (usize, LineKind)| {
            let context = kind.context.map(|kind| LineContext {
                trace: trace.get(at).to_owned(),
                build: kind.build,
                revision: kind.revision,
                isolate: kind.isolate,
                role: kind.role,
                namespace: kind.namespace,
                key_hash: Some(key_hash.get(at).to_owned()).filter(|hash| !hash.is_empty()),
                owner: kind.owner,
                cache: kind.cache,
                error: kind.error,
            });
            Some(Self {
                at: Timestamp(at_us[at]),
                stands_for: u32::try_from(stands_for[at]).ok()?,
                dc: kind.dc,
                script: kind.script,
                operation: kind.operation,
                status: u16::try_from(status[at]).ok()?,
                took_us: took_us[at],
                context,
            })
        };
        kinds.into_iter().enumerate().map(row).collect()
    }
}
