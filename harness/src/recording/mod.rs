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
//! | `requests` | one request: every one without a 2xx, one in [`SAMPLE`] of the rest | the clients |
//! | `wire` | requests of one minute to one listener | the network |
//! | `journal` | an action, a fault's witness, a moment in a node's life | the lab and the nodes |
//! | `scrape` | one metric of one node at the end | the nodes |
//! | `exceptions` | one exception report | the nodes |

mod column;
mod reader;
mod table;
mod tables;
mod writer;

pub use reader::{Recording, RecordingError};
pub use tables::{
    CacheStatus, Caller, Exception, Journal, Offered, Outcome, RequestRow, ScrapeRow, TruthRow,
    WireRow,
};
pub use writer::RecordingWriter;
pub(crate) use writer::digest;

/// Of the requests that were answered 2xx, one in so many is recorded in full.
pub const SAMPLE: u64 = 16;
/// Length of an interval of the `truth` and `wire` tables.
pub const INTERVAL_S: u64 = 60;
/// What the witness of a fault of the network counts.
pub const MESSAGES: &str = "messages";
/// Grows with every change that an older reader would misread.
pub const SCHEMA: u32 = 1;
