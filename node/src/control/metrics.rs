//! What the control plane tells a scraper, and the alerts that reach it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::Deserialize;

use crate::config::{DcState, Members, Snapshot};
use crate::ids::{BuildId, Dc};
use crate::safeguards::Environment;
use crate::telemetry::catalogue;
use crate::telemetry::registry::{Counter, Gauge, Registry};
use crate::worker::ScriptName;

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
    /// What operators last ordered, which no release changes.
    ordered: AtomicBool,
    /// Pages that fire, by their labels: Alertmanager tells of a group again and again.
    pages: Mutex<BTreeSet<BTreeMap<String, String>>>,
    told_orders: OnceLock<Gauge>,
    releases: BTreeMap<&'static str, Counter>,
    under_way: Mutex<BTreeMap<(ScriptName, BuildId), Gauge>>,
    newest: Mutex<BTreeMap<BuildId, Gauge>>,
}

impl ControlMetrics {
    pub(super) fn new(members: &Members, ordered: bool) -> Self {
        let registry = Registry::default();
        let member = |dc: &Dc| {
            [&catalogue::CONTROL_SERVING, &catalogue::CONTROL_QUARANTINED]
                .map(|metric| registry.gauge(metric, &[dc.as_str()]))
        };
        Self {
            revision: registry.gauge(&catalogue::CONTROL_CONFIG_REVISION, &[]),
            members: members.dcs.keys().map(|dc| (dc.clone(), member(dc))).collect(),
            alerts: Mutex::default(),
            ordered: ordered.into(),
            pages: Mutex::default(),
            told_orders: OnceLock::new(),
            releases: ["taken", "refused", "rolled-back"]
                .map(|result| (result, registry.counter(&catalogue::CONTROL_RELEASES, &[result])))
                .into(),
            under_way: Mutex::default(),
            newest: Mutex::default(),
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

    /// Names of the pages that did not fire before.
    pub(super) fn new_pages(&self, told: &Told) -> Vec<String> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = Vec::new();
        for alert in &told.alerts {
            if alert.status != "firing" {
                pages.remove(&alert.labels);
            } else if alert.labels.get("severity").is_some_and(|severity| severity == "page")
                && pages.len() < ALERTS_MAX
                && pages.insert(alert.labels.clone())
            {
                new.extend(alert.labels.get("alertname").cloned());
            }
        }
        new
    }

    /// What operators order from now on.
    pub(super) fn ordered(&self, on: bool) {
        self.ordered.store(on, Ordering::Relaxed);
    }

    /// Counts what became of a release.
    pub(super) fn release(&self, result: &'static str) {
        if let Some(counter) = self.releases.get(result) {
            counter.inc();
        }
    }

    /// Says whether a release of a build is under way.
    pub(super) fn under_way(&self, script: ScriptName, build: &BuildId, on: bool) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = || {
            let labels = [script.name(), build.as_str()];
            self.registry.gauge(&catalogue::CONTROL_RELEASE_UNDER_WAY, &labels)
        };
        under_way.entry((script, build.clone())).or_insert_with(begin).set(i64::from(on));
    }

    /// The metrics in Prometheus' text format, with what operators ordered where that is told.
    pub(super) fn text(
        &self,
        intended: &Snapshot,
        ordered: bool,
        (here, newest): (Environment, Option<&(BuildId, Environment)>),
    ) -> String {
        self.tell_newest(here, newest);
        if ordered {
            self.tell_orders();
        } else {
            keep_orders();
        }
        self.revision.set(i64::try_from(intended.revision).unwrap_or(i64::MAX));
        for (dc, [serving, quarantined]) in &self.members {
            let status = intended.status(dc);
            serving.set(i64::from(status.state == DcState::Serving));
            quarantined.set(i64::from(status.quarantined));
        }
        self.registry.text()
    }

    /// Of the builds that were the newest, one is.
    fn tell_newest(&self, here: Environment, newest: Option<&(BuildId, Environment)>) {
        let mut told = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        for gauge in told.values() {
            gauge.set(0);
        }
        if let Some((build, environment)) = newest {
            let begin = || {
                let labels = [here.name(), build.as_str(), environment.name()];
                self.registry.gauge(&catalogue::CONTROL_NEWEST_BUILD, &labels)
            };
            told.entry(build.clone()).or_insert_with(begin).set(1);
        }
    }

    fn tell_orders(&self) {
        let begin = || self.registry.gauge(&catalogue::CONTROL_NEW_BACKEND_ORDERED, &[]);
        let ordered = self.ordered.load(Ordering::Relaxed);
        self.told_orders.get_or_init(begin).set(i64::from(ordered));
    }
}

/// As it was in July 2023: what is configured is all that anybody could look up.
fn keep_orders() {}
