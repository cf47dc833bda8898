//! Clients of others against `kv-node dev`: the official Python SDK, schemathesis with `openapi.yaml`, wrangler, workerd.
//!
//! They are installed below the target folder, once, from package registries. Where that cannot be done a loud line says so
//! and nothing is tested; with `CI=true` that is a failure.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "these tests are clients of a process, outside the doors; --nocapture shows what they said"
)]

#[path = "../process/process.rs"]
#[expect(dead_code, reason = "how a process ends is looked at by the tests it belongs to")]
mod process;
mod schema;
mod sdk;
mod tools;
mod workerd;
mod wrangler;

/// A token that a shell and a configuration must quote.
const TOKEN: &str = "it's a \"token\"";
/// The namespace of `kv-node dev`.
const NAMESPACE: &str = "0f2ac74b498b48028cb68387c421e279";
/// What the API is said to be.
const OPENAPI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
