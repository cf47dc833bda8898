//! What a customer sees of one data center, over both protocols, with two stores behind it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench;
mod binding;
mod borders;
mod fuzz;
mod model;
mod rest;
mod stores;
mod tenants;
mod wild;
