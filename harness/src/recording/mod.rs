//! The recording of a run: all that a judge may look at.
//!
//! A folder of tables, columnar and compressed, with the spec and an index of what belongs to it. Everything in it follows
//! from spec, seed and binary; what depends on this execution alone (host, wall time) lies beside it. The judge reads a
//! recording and nothing else.
//!
//! | table | a row is | who says so |
//! |---|---|---|
//! | `truth` | requests of one minute that are alike | the clients |
//! | `offered` | how many requests were sent in a minute | the clients |
//! | `products` | requests of one minute to a product that are alike | its users |
//! | `requests` | one request: every one without a 2xx, one in [`SAMPLE`] of the rest | the clients |
//! | `operations` | one write, or one read of a key whose reads are followed, with what was written or read | the clients |
//! | `copies` | what a store holds of a written key in the end | the stores |
//! | `wire` | requests of one minute to one listener | the network |
//! | `journal` | an action, a fault's witness, a moment in a node's life | the lab and the nodes |
//! | `answers` | answers of one node that are alike, over the whole run | the network |
//! | `metrics` | one series of what the monitor scraped | the nodes |
//! | `lines` | a line of the response log, as its intake took it | the nodes |
//! | `exceptions` | one exception report, as its intake took it | the nodes |
//! | `spans` | one stage of a request | the nodes |
//! | `alerts` | an alert that changed its state | the monitor |

mod column;
mod journal;
mod reader;
mod safety;
pub mod series;
mod table;
mod tables;
mod telemetry;
mod writer;

pub use journal::Journal;
pub use reader::{Recording, RecordingError};
pub use safety::{CopyRow, FIRST_VALUE, NO_VALUE, OperationRow, READ_KEYS, follows_reads};
pub use series::{Scrapes, Series};
pub use tables::{
    CacheStatus, Caller, Offered, Outcome, ProductRow, RequestRow, TruthRow, WireRow,
};
pub use telemetry::{AlertRow, AlertState, AnswerRow, Exception};
pub use writer::RecordingWriter;
pub(crate) use writer::digest;

/// Of the requests that were answered 2xx, one in so many is recorded in full.
pub const SAMPLE: u64 = 16;
/// Length of an interval of the `truth` and `wire` tables.
pub const INTERVAL_S: u64 = 60;
/// What the witness of a fault of the network counts.
pub const MESSAGES: &str = "messages";
/// Grows with every change that an older reader would misread.
pub const SCHEMA: u32 = 4;
