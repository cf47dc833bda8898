//! The binary as a process: what it prints, how it ends, and what its sockets put up with.
//!
//! No test waits for time to pass: each waits for a line, an answer or an end, with a deadline of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "these tests are clients of a process, outside the doors"
)]

mod bounds;
mod client;
mod control;
mod crash;
mod dev;
mod end;
mod flood;
mod garbage;
mod kills;
mod otlp;
mod process;
mod refusal;
mod s3;
mod topology;
