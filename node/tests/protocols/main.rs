//! What a customer sees of one data center, over both protocols, with two stores behind it, and of several together.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alone;
mod bench;
mod binding;
mod borders;
mod conflicts;
mod control_headers;
mod foreign;
mod freshness;
mod fuzz;
mod lists;
mod model;
mod neighbors;
mod plan;
mod probe;
mod refreshes;
mod replicas;
mod rest;
mod several;
mod shapes;
mod stores;
mod tenants;
mod tiers;
mod wild;
mod wires;
