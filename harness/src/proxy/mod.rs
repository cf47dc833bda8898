//! A fault proxy: Toxiproxy's API and toxics, toxics that act on messages of HTTP/1.1, and the faults of every lab.
//!
//! A request's way, from outside to inside:
//!
//! * [`server`]: the process, its listener and its end; [`api`]: paths and methods; [`error`]: the one list of what is refused.
//! * [`collection`]: all proxies; [`one`]: a proxy, its listener and its toxics; [`faults`]: faults as toxics on links.
//!
//! A byte's way:
//!
//! * [`connection`]: two sockets in one task; [`lane`]: one direction without its sockets.
//! * [`http`]: where messages begin and end, and toxics that act on them.
//! * [`stage`]: toxics that act on bytes; [`flow`]: what flows between them.
//!
//! Both: [`toxic`], what is done, as plain data; [`metrics`], what is counted.
//!
//! Only `connection` waits, only it reads a clock; everything below is told the moment. All chance comes from one seed, a
//! stream for each toxic on each connection, numbered in the order in which they came.

mod api;
mod collection;
mod connection;
mod error;
mod faults;
mod flow;
mod http;
mod lane;
mod metrics;
mod one;
mod server;
mod stage;
mod toxic;

pub use server::{Server, ServerError};
