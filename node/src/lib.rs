//! A key-value node modelled on Workers KV: storage gateway, tiered cache, two object stores behind it.
//!
//! Rooms, in the order in which a request passes through them:
//!
//! * [`node`]: [`Node::start`], the only wiring, and the listeners.
//! * [`worker`]: scripts, builds, isolates, the exception boundary. Knows no keys.
//! * [`api`]: codecs of the REST, tier and admin listeners; the only room with HTTP status codes towards callers.
//! * [`gateway`]: what a get, a put and a delete mean; limits; sealing. Speaks no HTTP.
//! * [`cache`]: edge and tier caches, placement, purge. Knows no object-store protocol.
//! * [`storage`]: two stores as one. Knows no tiers.
//!
//! Beside them: [`control`] (the control plane, reached by HTTP only), [`telemetry`], [`env`](mod@env) (the five doors),
//! [`safeguards`], [`config`], [`ids`], `striped` (what each thread has for itself).

pub mod admission;
pub mod api;
pub mod cache;
pub mod config;
pub mod control;
pub mod dependents;
pub mod env;
pub mod gateway;
pub mod ids;
pub mod node;
pub mod resolver;
pub mod safeguards;
pub mod storage;
mod striped;
pub mod telemetry;
pub mod worker;

pub use node::{Node, StartError};
