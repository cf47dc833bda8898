//! How the live lab is.

use std::collections::BTreeMap;

use serde_json::Value;

use super::LiveError;
use super::compose::{Services, docker};
use super::http::Door;

/// A fault that acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveFault {
    /// By what it is healed.
    pub name: String,
    /// In words.
    pub says: String,
    /// How often it acted.
    pub acted: u64,
}

/// An alert that is not inactive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// Its labels, without its name.
    pub labels: BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub state: String,
    /// Since when, as Prometheus tells it.
    pub since: String,
}

impl Alert {
    /// Name and labels.
    pub fn text(&self) -> String {
        let labels = self.labels.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("{}{}", self.name, labels.collect::<String>())
    }
}

/// The faults of the lab's proxy.
pub(super) fn faults(proxy: &Door<'_>) -> Result<Vec<ActiveFault>, LiveError> {
    let told = proxy.json("/faults")?;
    let text = |fault: &Value, field: &str| fault[field].as_str().unwrap_or_default().to_owned();
    let faults = told["faults"].as_array().into_iter().flatten().map(|fault| ActiveFault {
        name: text(fault, "name"),
        says: text(fault, "says"),
        acted: fault["acted"].as_u64().unwrap_or(0),
    });
    Ok(faults.collect())
}

/// The faults that act.
pub fn active_faults(services: &Services) -> Result<Vec<ActiveFault>, LiveError> {
    faults(&Door::of(services, "proxy", 8474)?)
}

/// The links that somebody has cut at the proxy itself.
pub fn cut_links(services: &Services) -> Result<Vec<String>, LiveError> {
    let told = Door::of(services, "proxy", 8474)?.json("/proxies")?;
    let cut = |(name, proxy): (&String, &Value)| (proxy["enabled"] == false).then(|| name.clone());
    Ok(told.as_object().into_iter().flatten().filter_map(cut).collect())
}

/// The data centers that the control plane holds out of service.
pub fn out_of_service(services: &Services) -> Result<Vec<String>, LiveError> {
    let told = control_metrics(services)?;
    let out = |line: &str| {
        let rest = line.strip_prefix("control_member_serving{dc=\"")?;
        let (dc, value) = rest.split_once("\"}")?;
        (value.trim() == "0").then(|| dc.to_owned())
    };
    Ok(told.lines().filter_map(out).collect())
}

/// The control plane's revision, as it tells it; nothing where it tells none.
pub(super) fn revision(services: &Services) -> Result<String, LiveError> {
    let told = control_metrics(services)?;
    let revision = told.lines().find_map(|line| line.strip_prefix("control_config_revision "));
    Ok(revision.unwrap_or_default().to_owned())
}

fn control_metrics(services: &Services) -> Result<String, LiveError> {
    let told = Door::of(services, "control", 8789)?.get("/metrics")?;
    Ok(String::from_utf8_lossy(&told).into_owned())
}

/// The alerts of the lab's Prometheus that are pending or fire, sorted.
pub fn alerts(services: &Services) -> Result<Vec<Alert>, LiveError> {
    let told = Door::of(services, "prometheus", 9090)?.json("/api/v1/alerts")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let alert = |alert: &Value| {
        let labels = alert["labels"].as_object().into_iter().flatten();
        let mut labels: BTreeMap<String, String> =
            labels.map(|(name, value)| (name.clone(), text(value))).collect();
        let since = text(&alert["activeAt"]);
        Alert {
            name: labels.remove("alertname").unwrap_or_default(),
            labels,
            state: text(&alert["state"]),
            since: since.split('.').next().unwrap_or_default().to_owned(),
        }
    };
    let all = told["data"]["alerts"].as_array().into_iter().flatten();
    let mut alerts: Vec<Alert> = all.map(alert).collect();
    alerts.sort();
    Ok(alerts)
}

/// What customers said last.
pub fn customers(services: &Services) -> Result<String, LiveError> {
    docker(&["logs", "--tail", "1", &services.get("customers")?.container])
}
