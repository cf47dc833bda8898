//! The metric catalogue: each with the question that it answers.

use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use indexmap::IndexMap;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry, TextEncoder};
use rustc_hash::FxBuildHasher;

type ResponseKey = (&'static str, &'static str, StatusCode);

/// A node's metrics, in a registry of its own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    responses: IntCounterVec,
    // Looking a handle up by its labels' text costs six times as much as by this key.
    handles: Mutex<IndexMap<ResponseKey, IntCounter, FxBuildHasher>>,
    /// Do nodes agree on who owns a key?
    pub ownership_disagreements: IntCounter,
    /// Are purges reaching the tiers?
    pub purges_sent: IntCounter,
    /// How often must a purge be sent again?
    pub purge_retries: IntCounter,
    /// Do the stores hold the same?
    pub repairs: IntCounter,
    /// How often is an owner passed over because it failed?
    pub fallbacks: IntCounter,
    /// Do background refreshes fail while stale values hide it?
    pub refresh_failures: IntCounter,
}

impl Metrics {
    /// Registers the whole catalogue.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let responses = IntCounterVec::new(
            Opts::new(
                "node_responses_total",
                "What was answered, by listener, operation and status",
            ),
            &["listener", "operation", "status"],
        )?;
        let metrics = Self {
            ownership_disagreements: counter(
                "node_tier_ownership_disagreements_total",
                "Tier requests whose sender takes this node for an owner and this node does not",
            )?,
            purges_sent: counter("node_purge_sent_total", "Purges acknowledged by a tier")?,
            purge_retries: counter("node_purge_retries_total", "Purge batches sent again")?,
            repairs: counter(
                "node_storage_repairs_total",
                "Objects brought level between the stores",
            )?,
            fallbacks: counter(
                "node_tier_fallbacks_total",
                "Requests answered by another than the owner",
            )?,
            refresh_failures: counter(
                "node_edge_refresh_failures_total",
                "Background refreshes that failed",
            )?,
            handles: Mutex::default(),
            responses,
            registry,
        };
        metrics.registry.register(Box::new(metrics.responses.clone()))?;
        Ok(metrics)
    }

    /// Counts an answer.
    pub fn response(&self, listener: &'static str, operation: &'static str, status: StatusCode) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles
            .entry((listener, operation, status))
            .or_insert_with(|| {
                self.responses.with_label_values(&[listener, operation, status.as_str()])
            })
            .inc();
    }

    /// The metrics in Prometheus' text format.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
