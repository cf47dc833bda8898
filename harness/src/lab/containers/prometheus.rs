//! A real Prometheus beside the monitor, at speed 1: the same targets, the same rules, the wall clock. It knows no other speed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use kv_node::env::{Listener, Timestamp};
use kv_node::ids::Peer;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::remote::Remote;
use super::{ADMIN_PORT, LabError};
use crate::alerts::{self, INTERVAL_MS, RuleText, SCRAPE_TIMEOUT_MS};
use crate::lab::stage::Stage;
use crate::recording::Journal;
use crate::spec::peers::{INTAKE_LOGS, INTAKE_REPORTS, MONITOR};
use crate::spec::time::IncidentTime;

/// The port within its container.
pub(super) const PORT: u16 = 9090;
/// Where its configuration is within its container.
const CONFIG: &str = "/etc/relapse";
/// Where its data is: memory, gone with the container. Not where images have a folder of their own: what is mounted over one
/// belongs to whom that belongs.
pub(super) const DATA: &str = "/data";
/// Its image, where no other is named.
const IMAGE: &str = "relapse/prometheus:test";
const IMAGE_VARIABLE: &str = "RELAPSE_PROMETHEUS_IMAGE";
/// What it fires that has no sample for so many evaluations has fired, and no longer does.
const GAP: f64 = 2.5;

#[derive(Serialize)]
struct Config {
    global: Global,
    rule_files: Vec<String>,
    scrape_configs: Vec<Job>,
}

#[derive(Serialize)]
struct Global {
    scrape_interval: String,
    evaluation_interval: String,
    scrape_timeout: String,
}

#[derive(Serialize)]
struct Job {
    #[serde(rename = "job_name")]
    name: String,
    honor_labels: bool,
    static_configs: Vec<Targets>,
}

#[derive(Serialize)]
struct Targets {
    targets: Vec<String>,
    labels: BTreeMap<String, String>,
}

pub(super) fn image() -> String {
    std::env::var(IMAGE_VARIABLE).unwrap_or_else(|_| IMAGE.to_owned())
}

pub(super) fn command() -> Vec<String> {
    vec![
        format!("--config.file={CONFIG}/prometheus.yml"),
        format!("--storage.tsdb.path={DATA}"),
        format!("--web.listen-address=0.0.0.0:{PORT}"),
    ]
}

/// The folder with its configuration, as the engine mounts it: read-only.
pub(super) fn mount(folder: &Path) -> String {
    format!("{}:{CONFIG}:ro", folder.display())
}

/// Under which name it is given a file of rules.
fn rule_file(at: usize) -> String {
    format!("rules-{at}.yml")
}

/// Writes its configuration and its rules. JSON is YAML as well.
pub(super) fn write(
    stage: &Stage,
    hosts: &BTreeMap<Peer, String>,
    others: &BTreeMap<&'static str, Vec<(Peer, String)>>,
    folder: &Path,
) -> Result<PathBuf, LabError> {
    let failed = |error: std::io::Error| LabError::Write(folder.display().to_string(), error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let millis = |ms: u64| format!("{ms}ms");
    let mut rule_files = Vec::new();
    for (at, rules) in stage.spec.rules.iter().enumerate() {
        let name = rule_file(at);
        std::fs::write(folder.join(&name), &rules.text).map_err(failed)?;
        rule_files.push(name);
    }
    let instance = |peer: &Peer| ("instance".to_owned(), peer.to_string());
    let nodes = stage.spec.topology.dcs.iter().filter_map(|(dc, about)| {
        let place = [("dc", dc.to_string()), ("region", about.region.to_string())];
        let place = place.map(|(name, value)| (name.to_owned(), value));
        let labels = place.into_iter().chain([instance(&dc.peer())]).collect();
        Some(Targets { targets: vec![format!("{}:{ADMIN_PORT}", hosts.get(&dc.peer())?)], labels })
    });
    let job = |job: &str, honor_labels, static_configs| Job {
        name: job.to_owned(),
        honor_labels,
        static_configs,
    };
    let others = others.iter().map(|(name, targets)| {
        let targets = targets.iter().map(|(peer, address)| Targets {
            targets: vec![address.clone()],
            labels: [instance(peer)].into(),
        });
        job(name, true, targets.collect())
    });
    let config = Config {
        global: Global {
            scrape_interval: millis(INTERVAL_MS),
            evaluation_interval: millis(INTERVAL_MS),
            scrape_timeout: millis(SCRAPE_TIMEOUT_MS),
        },
        rule_files,
        scrape_configs: [job("kv-node", false, nodes.collect())]
            .into_iter()
            .chain(others)
            .collect(),
    };
    let text = serde_json::to_vec_pretty(&config).unwrap_or_default();
    std::fs::write(folder.join("prometheus.yml"), text).map_err(failed)?;
    folder.canonicalize().map_err(failed)
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Matrix {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    /// Its path within the container.
    file: String,
    /// RFC 3339; the year 1 before the first one.
    last_evaluation: String,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    /// Seconds since 1970, and the value as text.
    values: Vec<(f64, String)>,
}

async fn ask<T: DeserializeOwned>(remote: &Remote, path: &str) -> Result<T, LabError> {
    let failed = |why: String| LabError::Host("prometheus".to_owned(), why);
    let request = Request::get(path).body(Bytes::new());
    let request = request.map_err(|error| failed(error.to_string()))?;
    let answer = remote.call(Listener::Admin, request).await;
    let answer = answer.map_err(|error| failed(error.to_string()))?;
    let answer: Answer<T> = serde_json::from_slice(answer.body())
        .map_err(|error| failed(format!("its answer to {path} cannot be read: {error}")))?;
    Ok(answer.data)
}

/// When each group of rules was evaluated last. A group that has not been is not among them.
pub(super) async fn evaluated(
    remote: &Remote,
    rules: &[RuleText],
    incident_at: impl Fn(Timestamp) -> IncidentTime,
) -> Result<Vec<(IncidentTime, Journal)>, LabError> {
    let told: Groups = ask(remote, "/api/v1/rules").await?;
    let entry = |Group { name, file, last_evaluation }: Group| {
        let at: jiff::Timestamp = last_evaluation.parse().ok()?;
        let at = Timestamp(u64::try_from(at.as_microsecond()).ok()?);
        let rules = rules.iter().enumerate().find(|(at, _)| file.ends_with(&rule_file(*at)))?.1;
        let entry = Journal::EvaluatedInPrometheus { file: rules.file.clone(), group: name };
        Some((incident_at(at), entry))
    };
    Ok(told.groups.into_iter().filter_map(entry).collect())
}

/// What has fired so far, each time when it began.
pub(super) async fn fired(
    remote: &Remote,
    rules: &[RuleText],
    incident_at: impl Fn(Timestamp) -> IncidentTime,
) -> Result<Vec<(IncidentTime, Journal)>, LabError> {
    let query = utf8_percent_encode("ALERTS{alertstate=\"firing\"}[6h]", NON_ALPHANUMERIC);
    let matrix: Matrix = ask(remote, &format!("/api/v1/query?query={query}")).await?;
    let intervals = alerts::intervals(rules);
    let mut fired = Vec::new();
    for mut series in matrix.result {
        let alert = series.metric.remove("alertname").unwrap_or_default();
        series.metric.remove("alertstate");
        series.metric.remove("__name__");
        let interval = intervals.get(&alert).copied();
        let gap = interval.unwrap_or(Duration::from_millis(INTERVAL_MS)).mul_f64(GAP);
        let mut before: Option<Timestamp> = None;
        for (at_s, _) in &series.values {
            let at = Timestamp::default().after(Duration::from_secs_f64(*at_s));
            if before.is_none_or(|before| at.since(before) > gap) {
                let (alert, labels) = (alert.clone(), series.metric.clone());
                fired.push((incident_at(at), Journal::FiredInPrometheus { alert, labels }));
            }
            before = Some(at);
        }
    }
    Ok(fired)
}

/// Whom it scrapes besides nodes, by job: the same as the monitor.
pub(super) fn others() -> Vec<(&'static str, Peer, Listener)> {
    use kv_node::control;
    vec![
        ("control", Peer::from(control::NAME), Listener::Control),
        ("intake", Peer::from(INTAKE_LOGS), Listener::Intake),
        ("intake", Peer::from(INTAKE_REPORTS), Listener::Intake),
        (MONITOR, Peer::from(MONITOR), Listener::Admin),
    ]
}
