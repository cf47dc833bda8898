//! The rows of each table, as code sees them, and how they become columns.

use std::sync::Arc;

use kv_node::env::Listener;

use super::column::{Column, Texts};
use super::table::{Parsed, Table};
use crate::spec::time::IncidentTime;

/// How a request ended, as the customer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// No answer within the customer's patience.
    Timeout,
    /// The connection was refused or broke.
    Broken,
    /// The customer gave up by themselves.
    Aborted,
    /// An answer with this status.
    Status(u16),
}

impl Outcome {
    /// Whether the service is to blame.
    pub fn failed(self) -> bool {
        match self {
            Self::Timeout | Self::Broken => true,
            Self::Aborted => false,
            Self::Status(status) => status >= 500,
        }
    }

    /// Whether it is an answer 2xx.
    pub fn succeeded(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }

    /// Its name in tables and labels: a status, `timeout`, `broken`, `aborted`.
    pub fn name(self) -> String {
        match self {
            Self::Timeout => "timeout".to_owned(),
            Self::Broken => "broken".to_owned(),
            Self::Aborted => "aborted".to_owned(),
            Self::Status(status) => status.to_string(),
        }
    }

    pub(super) fn code(self) -> u64 {
        match self {
            Self::Timeout => 0,
            Self::Broken => 1,
            Self::Aborted => 2,
            Self::Status(status) => u64::from(status),
        }
    }

    pub(super) fn from_code(code: u64) -> Self {
        match code {
            0 => Self::Timeout,
            1 => Self::Broken,
            2 => Self::Aborted,
            status => Self::Status(u16::try_from(status).unwrap_or(u16::MAX)),
        }
    }
}

/// What the edge cache said of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheStatus {
    /// Nothing: no read, or no answer.
    None,
    /// From the edge.
    Hit,
    /// From the edge, past its refresh time.
    Stale,
    /// From further up.
    Miss,
    /// From the edge, after asking further up whether it is the newest.
    Revalidated,
}

impl CacheStatus {
    const ALL: [Self; 5] = [Self::None, Self::Hit, Self::Stale, Self::Miss, Self::Revalidated];

    /// Whether somebody further up was asked before the answer.
    pub fn asked_further_up(self) -> bool {
        matches!(self, Self::Miss | Self::Revalidated)
    }

    fn from_code(code: u64) -> Self {
        usize::try_from(code)
            .ok()
            .and_then(|code| Self::ALL.get(code))
            .copied()
            .unwrap_or(Self::None)
    }
}

/// Who made a request that the network counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// A customer.
    Client,
    /// A data center.
    Dc,
    /// The control plane, an operator or the monitor.
    Control,
    /// A product that needs the nodes.
    Product,
}

impl Caller {
    pub(super) const ALL: [Self; 4] = [Self::Client, Self::Dc, Self::Control, Self::Product];
}

/// Requests of one interval to a product that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductRow {
    /// When the interval begins; requests belong to the one in which they were sent.
    pub from: IncidentTime,
    /// In which data center.
    pub dc: Arc<str>,
    /// Which product was asked.
    pub product: Arc<str>,
    /// For what.
    pub operation: Arc<str>,
    /// How they ended.
    pub outcome: Outcome,
    /// How many.
    pub count: u64,
}

/// Requests of one interval that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthRow {
    /// When the interval begins; requests belong to the one in which they were sent.
    pub from: IncidentTime,
    /// Which data center was asked.
    pub dc: Arc<str>,
    /// For which namespace.
    pub namespace: Arc<str>,
    /// `get`, `put`, `delete`.
    pub operation: Arc<str>,
    /// How they ended.
    pub outcome: Outcome,
    /// What the edge cache did.
    pub cache: CacheStatus,
    /// How many.
    pub count: u64,
}

/// What was sent in one interval, counted before anybody knew how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// When the interval begins.
    pub from: IncidentTime,
    /// How many requests were sent.
    pub sent: u64,
    /// How many of them had not ended when the run did.
    pub open: u64,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// When it was sent.
    pub at: IncidentTime,
    /// How long the customer waited.
    pub latency_us: u64,
    /// Which data center was asked.
    pub dc: Arc<str>,
    /// For which namespace.
    pub namespace: Arc<str>,
    /// `get`, `put`, `delete`.
    pub operation: Arc<str>,
    /// For which key.
    pub key: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// What the edge cache did.
    pub cache: CacheStatus,
    /// For how many requests it stands.
    pub weight: u64,
}

/// Requests that arrived at one listener in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireRow {
    /// When the interval begins.
    pub from: IncidentTime,
    /// Who called.
    pub caller: Caller,
    /// Whom.
    pub to: Arc<str>,
    /// Which listener.
    pub listener: Listener,
    /// How many.
    pub count: u64,
    /// How many of them were sent with the control host that upper tiers need, whatever became of it on the way.
    pub controlled: u64,
}

/// A type whose values are rows of a table.
pub(super) trait Row: Sized {
    /// The table's name.
    const TABLE: &'static str;
    /// Columns of many rows.
    fn to_table(rows: &[Self]) -> Table;
    /// Rows of a table; `None` where it has other columns.
    fn from_table(table: &Parsed) -> Option<Vec<Self>>;
}

pub(super) fn numbers<R>(rows: &[R], number: impl Fn(&R) -> u64) -> Column {
    Column::Numbers(rows.iter().map(number).collect())
}

pub(super) fn texts<'a, R>(rows: &'a [R], text: impl Fn(&'a R) -> &'a str) -> Column {
    let mut column = Texts::default();
    for row in rows {
        column.push(text(row));
    }
    Column::Texts(column)
}

/// Gives equal texts one allocation.
#[derive(Default)]
pub(super) struct Shared(indexmap::IndexSet<Arc<str>, rustc_hash::FxBuildHasher>);

impl Shared {
    pub(super) fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let text: Arc<str> = text.into();
        self.0.insert(text.clone());
        text
    }
}

impl Row for TruthRow {
    const TABLE: &'static str = "truth";

    fn to_table(rows: &[Self]) -> Table {
        Table {
            columns: vec![
                ("from_s", numbers(rows, |r| r.from.unix_s())),
                ("dc", texts(rows, |r| &r.dc)),
                ("namespace", texts(rows, |r| &r.namespace)),
                ("operation", texts(rows, |r| &r.operation)),
                ("outcome", numbers(rows, |r| r.outcome.code())),
                ("cache", numbers(rows, |r| r.cache as u64)),
                ("count", numbers(rows, |r| r.count)),
            ],
        }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        let mut shared = Shared::default();
        let (from, dc) = (table.numbers("from_s")?, table.texts("dc")?);
        let (namespace, operation) = (table.texts("namespace")?, table.texts("operation")?);
        let (outcome, cache) = (table.numbers("outcome")?, table.numbers("cache")?);
        let count = table.numbers("count")?;
        let row = |at: usize| Self {
            from: IncidentTime::from_unix_s(from[at]),
            dc: shared.get(dc.get(at)),
            namespace: shared.get(namespace.get(at)),
            operation: shared.get(operation.get(at)),
            outcome: Outcome::from_code(outcome[at]),
            cache: CacheStatus::from_code(cache[at]),
            count: count[at],
        };
        Some((0..table.rows()).map(row).collect())
    }
}

impl Row for ProductRow {
    const TABLE: &'static str = "products";

    fn to_table(rows: &[Self]) -> Table {
        Table {
            columns: vec![
                ("from_s", numbers(rows, |r| r.from.unix_s())),
                ("dc", texts(rows, |r| &r.dc)),
                ("product", texts(rows, |r| &r.product)),
                ("operation", texts(rows, |r| &r.operation)),
                ("outcome", numbers(rows, |r| r.outcome.code())),
                ("count", numbers(rows, |r| r.count)),
            ],
        }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        let mut shared = Shared::default();
        let (from, dc) = (table.numbers("from_s")?, table.texts("dc")?);
        let (product, operation) = (table.texts("product")?, table.texts("operation")?);
        let (outcome, count) = (table.numbers("outcome")?, table.numbers("count")?);
        let row = |at: usize| Self {
            from: IncidentTime::from_unix_s(from[at]),
            dc: shared.get(dc.get(at)),
            product: shared.get(product.get(at)),
            operation: shared.get(operation.get(at)),
            outcome: Outcome::from_code(outcome[at]),
            count: count[at],
        };
        Some((0..table.rows()).map(row).collect())
    }
}

impl Row for Offered {
    const TABLE: &'static str = "offered";

    fn to_table(rows: &[Self]) -> Table {
        Table {
            columns: vec![
                ("from_s", numbers(rows, |r| r.from.unix_s())),
                ("sent", numbers(rows, |r| r.sent)),
                ("open", numbers(rows, |r| r.open)),
            ],
        }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        let (from, sent) = (table.numbers("from_s")?, table.numbers("sent")?);
        let open = table.numbers("open")?;
        let row = |at: usize| Self {
            from: IncidentTime::from_unix_s(from[at]),
            sent: sent[at],
            open: open[at],
        };
        Some((0..table.rows()).map(row).collect())
    }
}

impl Row for RequestRow {
    const TABLE: &'static str = "requests";

    fn to_table(rows: &[Self]) -> Table {
        Table {
            columns: vec![
                ("at_us", numbers(rows, |r| r.at.0)),
                ("latency_us", numbers(rows, |r| r.latency_us)),
                ("dc", texts(rows, |r| &r.dc)),
                ("namespace", texts(rows, |r| &r.namespace)),
                ("operation", texts(rows, |r| &r.operation)),
                ("key", texts(rows, |r| &r.key)),
                ("outcome", numbers(rows, |r| r.outcome.code())),
                ("cache", numbers(rows, |r| r.cache as u64)),
                ("weight", numbers(rows, |r| r.weight)),
            ],
        }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        let mut shared = Shared::default();
        let (at_us, latency) = (table.numbers("at_us")?, table.numbers("latency_us")?);
        let (dc, namespace) = (table.texts("dc")?, table.texts("namespace")?);
        let (operation, key) = (table.texts("operation")?, table.texts("key")?);
        let (outcome, cache) = (table.numbers("outcome")?, table.numbers("cache")?);
        let weight = table.numbers("weight")?;
        let row = |at: usize| Self {
            at: IncidentTime(at_us[at]),
            latency_us: latency[at],
            dc: shared.get(dc.get(at)),
            namespace: shared.get(namespace.get(at)),
            operation: shared.get(operation.get(at)),
            key: shared.get(key.get(at)),
            outcome: Outcome::from_code(outcome[at]),
            cache: CacheStatus::from_code(cache[at]),
            weight: weight[at],
        };
        Some((0..table.rows()).map(row).collect())
    }
}

pub(super) const LISTENERS: [Listener; 8] = [
    Listener::Rest,
    Listener::Tier,
    Listener::Admin,
    Listener::Store,
    Listener::Control,
    Listener::Intake,
    Listener::Binding,
    Listener::Product,
];

impl Row for WireRow {
    const TABLE: &'static str = "wire";

    fn to_table(rows: &[Self]) -> Table {
        Table {
            columns: vec![
                ("from_s", numbers(rows, |r| r.from.unix_s())),
                ("caller", numbers(rows, |r| r.caller as u64)),
                ("to", texts(rows, |r| &r.to)),
                ("listener", numbers(rows, |r| r.listener as u64)),
                ("count", numbers(rows, |r| r.count)),
                ("controlled", numbers(rows, |r| r.controlled)),
            ],
        }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        let mut shared = Shared::default();
        let (from, caller) = (table.numbers("from_s")?, table.numbers("caller")?);
        let (to, listener) = (table.texts("to")?, table.numbers("listener")?);
        let count = table.numbers("count")?;
        // Recordings from before there were control hosts do not have it.
        let controlled = table.numbers("controlled");
        let known = |codes: &[u64], most: usize| codes.iter().all(|code| *code < most as u64);
        if !known(caller, Caller::ALL.len()) || !known(listener, LISTENERS.len()) {
            return None;
        }
        let place = |code: u64| usize::try_from(code).unwrap_or(0);
        let row = |at: usize| Self {
            from: IncidentTime::from_unix_s(from[at]),
            caller: Caller::ALL[place(caller[at])],
            to: shared.get(to.get(at)),
            listener: LISTENERS[place(listener[at])],
            count: count[at],
            controlled: controlled.map_or(0, |controlled| controlled[at]),
        };
        Some((0..table.rows()).map(row).collect())
    }
}
