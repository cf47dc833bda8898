//! What a user of `relapse` can see, as one integration test with a module per concern.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod dashboards;
mod detection;
mod determinism;
mod draft;
mod edges;
mod export;
mod fork;
mod junit;
mod live;
mod operators;
mod output;
mod panics;
mod prometheus;
mod promises;
mod protocols;
mod repo;
mod sabotage;
mod safeguards;
mod scale;
