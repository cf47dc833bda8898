//! What can be done to the live lab, and undone.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::compose::{Compose, Service, Services, docker};
use super::http::Door;
use super::{LiveError, status, wait};
use crate::runs::about::Stopwatch;
use crate::spec::Action;
use crate::spec::fault::Fault;
use crate::spec::topology::Topology;

const CONTROL: &str = "control";
const PROXY: &str = "proxy";
const PROXY_PORT: u16 = 8474;
/// A container that was started listens by then, or has a reason.
const LISTENS_WITHIN_S: f64 = 30.0;
const LISTEN_EVERY: Duration = Duration::from_secs(1);

/// Does what an action says, at once, and tells what came of it. A fault without an end stays until it is healed.
pub fn apply(compose: &Compose, services: &Services, action: &Action) -> Result<String, LiveError> {
    match action {
        Action::Maintenance { dc } => change(services, &["maintenance", dc.as_str()]),
        Action::Return { dc } => change(services, &["return", dc.as_str()]),
        Action::NewBackendIn { dc, on } => {
            change(services, &["new-backend", switched(*on), "--in", dc.as_str()])
        }
        Action::NewBackend { on } => change(services, &["new-backend", switched(*on)]),
        Action::Enroll { namespace, on: true } => change(services, &["enroll", namespace.as_str()]),
        Action::Enroll { namespace, on: false } => {
            change(services, &["enroll", namespace.as_str(), "--out"])
        }
        Action::Release { by, document } => {
            change(services, &["release", "--by", by, "--text", document])
        }
        Action::Crash { dc } => run(compose, services, "kill", dc.as_str()),
        Action::Start { dc } => run(compose, services, "start", dc.as_str()),
        Action::Pause { dc } => run(compose, services, "pause", dc.as_str()),
        Action::Resume { dc } => run(compose, services, "unpause", dc.as_str()),
        Action::Bot { .. } => Err(LiveError::Elsewhere(action.text())),
        Action::Fault { fault, for_s } => {
            install(services, fault, (*for_s > 0).then_some(*for_s)).map(|told| told.text())
        }
    }
}

/// A fault that the proxy took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// By what it is healed.
    pub name: String,
    /// On how many links it is.
    pub links: usize,
}

impl Installed {
    fn text(&self) -> String {
        let s = if self.links == 1 { "" } else { "s" };
        format!("{} on {} link{s}", self.name, self.links)
    }
}

/// Installs a fault on every link that it acts on; without an end it stays until it is healed.
pub fn install(
    services: &Services,
    fault: &Fault,
    for_s: Option<u64>,
) -> Result<Installed, LiveError> {
    let proxy = Door::of(services, PROXY, PROXY_PORT)?;
    let mut body = serde_json::to_value(fault).unwrap_or_default();
    body["for_s"] = json!(for_s);
    let told = proxy.ask(Method::POST, "/faults", body.to_string())?;
    let told: Value =
        serde_json::from_slice(&told).map_err(|error| proxy.wrong(error.to_string()))?;
    let links: std::collections::BTreeSet<&str> = told["installed"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["proxy"].as_str())
        .collect();
    Ok(Installed { name: told["name"].as_str().unwrap_or_default().to_owned(), links: links.len() })
}

/// Undoes everything: faults, toxics and links that are cut, containers that stand still or have died, data centers out of
/// service, the new backend switched off, namespaces that are not enrolled as the topology says. Tells each thing that it did, goes on
/// where one fails, and returns the first error.
pub fn heal(
    compose: &Compose,
    topology: &Topology,
    mut tell: impl FnMut(String),
) -> Result<(), LiveError> {
    let services = compose.up()?;
    let mut first: Result<(), LiveError> = Ok(());
    let mut started = false;
    for (name, Service { container, state, .. }) in &services.0 {
        let verb = match state.as_str() {
            "running" | "restarting" => continue,
            "paused" => "unpause",
            _ => "start",
        };
        match docker(&[verb, container]) {
            Ok(_) => tell(format!("{name} was {state}, and runs")),
            Err(error) => first = first.and(Err(error)),
        }
        started = true;
    }
    // A container that was started again is published elsewhere, and listens a moment later.
    let services = if started { compose.up()? } else { services };
    first = first.and(patiently(|| heal_links(&services, &mut tell)));
    first.and(patiently(|| heal_service(&services, topology, &mut tell)))
}

/// Does something that may be asked of a service that has just been started.
fn patiently(mut once: impl FnMut() -> Result<(), LiveError>) -> Result<(), LiveError> {
    let watch = Stopwatch::start();
    loop {
        match once() {
            Err(LiveError::Answer { .. } | LiveError::Refused { .. })
                if watch.seconds() < LISTENS_WITHIN_S => {}
            done => return done,
        }
        wait(LISTEN_EVERY);
    }
}

fn heal_links(services: &Services, tell: &mut impl FnMut(String)) -> Result<(), LiveError> {
    let proxy = Door::of(services, PROXY, PROXY_PORT)?;
    let faults = status::faults(&proxy)?;
    proxy.ask(Method::DELETE, "/faults", String::new())?;
    proxy.ask(Method::POST, "/reset", String::new())?;
    for fault in faults {
        tell(format!("healed: {}, acted {}", fault.says, fault.acted));
    }
    Ok(())
}

fn heal_service(
    services: &Services,
    topology: &Topology,
    tell: &mut impl FnMut(String),
) -> Result<(), LiveError> {
    for dc in status::out_of_service(services)? {
        tell(format!("{dc} returns from maintenance: {}", change(services, &["return", &dc])?));
    }
    // What is so already is no new revision.
    let before = status::revision(services)?;
    change(services, &["new-backend", "on"])?;
    for dc in topology.dcs.keys() {
        change(services, &["new-backend", "on", "--in", dc.as_str()])?;
    }
    for about in &topology.namespaces {
        let out: &[&str] = if about.enrolled { &[] } else { &["--out"] };
        change(services, &[&["enroll", about.id.as_str()], out].concat())?;
    }
    if status::revision(services)? != before {
        tell(
            "the new backend is on again, for the namespaces that the topology enrolls".to_owned(),
        );
    }
    Ok(())
}

fn switched(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// An operator asks the control plane.
fn change(services: &Services, what: &[&str]) -> Result<String, LiveError> {
    let control = services.get(CONTROL)?;
    let command = ["/kv-node", "change", "--control", "127.0.0.1:8789", "--config"];
    let command = [&["exec", &control.container][..], &command, &["/etc/relapse/control.toml"]];
    docker(&[&command.concat()[..], what].concat())
}

/// Does something to a data center's container.
fn run(compose: &Compose, services: &Services, verb: &str, dc: &str) -> Result<String, LiveError> {
    let service = dc.to_lowercase();
    docker(&[verb, &services.get(&service)?.container])?;
    let state = compose.services()?.get(&service)?.state.clone();
    Ok(format!("container {service} is {state}"))
}
