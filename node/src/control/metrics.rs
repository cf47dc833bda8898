//! What the control plane tells a scraper, and the alerts that reach it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use crate::config::{DcState, Members, Snapshot};
use crate::ids::Dc;
use crate::telemetry::catalogue;
use crate::telemetry::registry::{Counter, Gauge, Registry};

/// Alerts that are counted by name; more would be somebody's mistake.
const ALERTS_MAX: usize = 200;

/// Alertmanager's webhook, as far as it is looked at here.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    alerts: Vec<ToldAlert>,
}

#[derive(Debug, Deserialize)]
struct ToldAlert {
    status: String,
    labels: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct ControlMetrics {
    registry: Registry,
    revision: Gauge,
    members: BTreeMap<Dc, [Gauge; 2]>,
    alerts: Mutex<BTreeMap<(String, bool), Counter>>,
}

impl ControlMetrics {
    pub(super) fn new(members: &Members) -> Self {
        let registry = Registry::default();
        let member = |dc: &Dc| {
            [&catalogue::CONTROL_SERVING, &catalogue::CONTROL_QUARANTINED]
                .map(|metric| registry.gauge(metric, &[dc.as_str()]))
        };
        Self {
            revision: registry.gauge(&catalogue::CONTROL_CONFIG_REVISION, &[]),
            members: members.dcs.keys().map(|dc| (dc.clone(), member(dc))).collect(),
            alerts: Mutex::default(),
            registry,
        }
    }

    /// Counts the alerts of a webhook.
    pub(super) fn alerts(&self, told: &Told) {
        let mut counters = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        for alert in &told.alerts {
            let Some(name) = alert.labels.get("alertname") else { continue };
            let firing = alert.status == "firing";
            let key = (name.clone(), firing);
            if counters.len() >= ALERTS_MAX && !counters.contains_key(&key) {
                continue;
            }
            let status = if firing { "firing" } else { "resolved" };
            counters
                .entry(key)
                .or_insert_with(|| {
                    self.registry.counter(&catalogue::CONTROL_ALERTS, &[name.as_str(), status])
                })
                .inc();
        }
    }

    /// The metrics in Prometheus' text format.
    pub(super) fn text(&self, intended: &Snapshot) -> String {
        self.revision.set(i64::try_from(intended.revision).unwrap_or(i64::MAX));
        for (dc, [serving, quarantined]) in &self.members {
            let status = intended.status(dc);
            serving.set(i64::from(status.state == DcState::Serving));
            quarantined.set(i64::from(status.quarantined));
        }
        self.registry.text()
    }
}
