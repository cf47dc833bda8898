//! `relapse proxy` as whoever uses it sees it: its API, and what arrives at either end of a connection.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails; sockets and processes live in real time"
)]

mod api;
mod bytes;
mod clients;
mod faults;
mod messages;
mod rig;
