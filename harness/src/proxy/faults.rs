//! Faults of the network, the same values as in every lab, as toxics on the proxies whose links they act on.
//!
//! The simulated wire is the reference: what a fault does to a request there, it does here. A proxy stands on the link that
//! its `from`, `to`, `listener` and `regions` tell; where it tells nothing, only a fault for anyone acts on it.

use kv_node::ids::{Peer, Region};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::collection::Proxies;
use super::error::ApiError;
use super::one::Link;
use super::toxic::{Direction, ToxicInput};
use crate::spec::fault::{FaultKind, Who};
use crate::spec::peers::CONTROL_SIDE;

/// What a fault may say.
const FIELDS: [&str; 8] =
    ["kind", "from", "to", "listener", "probability", "bursts_ms", "name", "for_s"];
/// A fault heals itself within a year, or not at all.
const FOR_S_MAX: f64 = 365.0 * 86_400.0;

/// A fault as someone asks for it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FaultInput {
    #[serde(flatten)]
    pub(super) fault: crate::spec::fault::Fault,
    /// By what it is healed; `fault-1` and so on where nothing is said.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// After how many seconds it heals itself.
    #[serde(default)]
    pub(super) for_s: Option<f64>,
}

/// A fault that is installed.
pub(super) struct Fault {
    /// Another for every fault, whatever its name.
    pub(super) id: u64,
    said: crate::spec::fault::Fault,
    for_s: Option<f64>,
    installed: Vec<Installed>,
}

/// A toxic that a fault consists of.
#[derive(Clone, Debug, Serialize)]
struct Installed {
    proxy: String,
    toxic: String,
    stream: &'static str,
    /// Another toxic of that name is another id.
    #[serde(skip)]
    id: u64,
}

impl FaultInput {
    /// Reads a fault. Who is not named is anyone, and without a probability it acts on every request.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let bad = |error: serde_json::Error| ApiError::BadRequestBody(error.to_string());
        let mut said: Map<String, Value> = serde_json::from_slice(body).map_err(bad)?;
        // A misspelt field would be a fault that does something else.
        if let Some(field) = said.keys().find(|field| !FIELDS.contains(&field.as_str())) {
            return Err(ApiError::BadRequestBody(format!("unknown field `{field}`")));
        }
        if !said.contains_key("kind") {
            return Err(ApiError::MissingField("kind".to_owned()));
        }
        let defaults =
            [("from", json!("anyone")), ("to", json!("anyone")), ("probability", json!(1.0))];
        for (field, value) in defaults {
            said.entry(field).or_insert(value);
        }
        let input: Self = serde_json::from_value(said.into()).map_err(bad)?;
        let share = input.fault.probability;
        let wrong = if !(share > 0.0 && share <= 1.0) {
            Some("probability: above 0 and at most 1")
        } else if input.fault.bursts_ms.is_some_and(|ms| ms == 0 || share >= 1.0) {
            Some("bursts_ms: bursts have a length and a probability below 1")
        } else if input.for_s.is_some_and(|seconds| !(seconds > 0.0 && seconds <= FOR_S_MAX)) {
            Some("for_s: a number of seconds above 0")
        } else {
            None
        };
        wrong.map_or(Ok(input), |what| Err(ApiError::BadRequestBody(what.to_owned())))
    }
}

impl Fault {
    /// As the API tells it.
    fn told(&self, name: &str, proxies: &Proxies) -> Value {
        let acted: u64 = self.installed.iter().filter_map(|one| one.acted(proxies)).sum();
        json!({
            "name": name,
            "says": self.said.to_string(),
            "fault": self.said,
            "for_s": self.for_s,
            "acted": acted,
            "installed": self.installed,
        })
    }
}

impl Installed {
    /// How often it acted; `None` where somebody has removed it.
    fn acted(&self, proxies: &Proxies) -> Option<u64> {
        let toxic = proxies.get(&self.proxy).ok()?.toxic(&self.toxic).ok()?;
        (toxic.id == self.id).then(|| toxic.acted())
    }
}

impl Proxies {
    /// Installs a fault on every proxy on a link that it acts on; its number, its name, and how the API
    /// tells it.
    pub(super) fn install(&mut self, input: FaultInput) -> Result<(u64, String, Value), ApiError> {
        let FaultInput { fault: said, name, for_s } = input;
        let name = match name.filter(|name| !name.is_empty()) {
            Some(name) if self.faults.contains_key(&name) => {
                return Err(ApiError::FaultAlreadyExists);
            }
            Some(name) => name,
            None => self.free_name(),
        };
        let links = self.all().filter(|proxy| acts_on(&said, &proxy.link));
        let on: Vec<String> = links.map(|proxy| proxy.name().to_owned()).collect();
        if on.is_empty() {
            return Err(ApiError::NoLink(said.to_string()));
        }
        let id = self.next_id();
        let mut fault = Fault { id, said, for_s, installed: Vec::new() };
        for proxy in on {
            for stream in streams(&fault.said).iter().copied() {
                let toxic = format!("{name}_{stream}");
                match self.add_toxic(&proxy, toxic_of(&fault.said, &toxic, stream)) {
                    Ok(added) => fault.installed.push(Installed {
                        proxy: proxy.clone(),
                        toxic,
                        stream: stream.as_str(),
                        id: added.id,
                    }),
                    Err(error) => {
                        self.take_out(&fault);
                        return Err(error);
                    }
                }
            }
        }
        let told = fault.told(&name, self);
        self.faults.insert(name.clone(), fault);
        Ok((id, name, told))
    }

    /// Heals a fault.
    pub(super) fn heal(&mut self, name: &str) -> Result<(), ApiError> {
        let fault = self.faults.remove(name).ok_or(ApiError::FaultNotFound)?;
        self.take_out(&fault);
        Ok(())
    }

    /// Heals a fault if it is still the one that is meant.
    pub(super) fn heal_only(&mut self, name: &str, id: u64) {
        if self.faults.get(name).is_some_and(|fault| fault.id == id) {
            // It is there.
            let _ = self.heal(name);
        }
    }

    pub(super) fn heal_all(&mut self) {
        for (_, fault) in std::mem::take(&mut self.faults) {
            self.take_out(&fault);
        }
    }

    /// As the API tells them.
    pub(super) fn told_faults(&self) -> Value {
        let told = self.faults.iter().map(|(name, fault)| fault.told(name, self));
        json!({"faults": told.collect::<Vec<Value>>()})
    }

    pub(super) fn told_fault(&self, name: &str) -> Result<Value, ApiError> {
        let fault = self.faults.get(name).ok_or(ApiError::FaultNotFound)?;
        Ok(fault.told(name, self))
    }

    fn take_out(&mut self, fault: &Fault) {
        for one in &fault.installed {
            if one.acted(self).is_some() {
                // It is there.
                let _ = self.remove_toxic(&one.proxy, &one.toxic);
            }
        }
    }

    fn free_name(&self) -> String {
        let mut names = (1u64..).map(|number| format!("fault-{number}"));
        names.find(|name| !self.faults.contains_key(name)).unwrap_or_default()
    }
}

/// Requests are what a fault acts on. A partition takes the answers too, but where it takes only a share of the requests.
fn streams(fault: &crate::spec::fault::Fault) -> &'static [Direction] {
    let whole = fault.probability >= 1.0 || fault.bursts_ms.is_some();
    match fault.kind {
        FaultKind::Partition if whole => &Direction::BOTH,
        _ => &[Direction::Upstream],
    }
}

fn toxic_of(fault: &crate::spec::fault::Fault, name: &str, stream: Direction) -> ToxicInput {
    let (kind, attributes) = match &fault.kind {
        FaultKind::Latency { ms } => ("delay", json!({"latency": ms})),
        FaultKind::Jitter { ms } => ("delay", json!({"jitter": ms})),
        FaultKind::Loss => ("loss", json!({})),
        FaultKind::Reset => ("reset", json!({})),
        FaultKind::Partition => ("partition", json!({})),
        FaultKind::StripHeader { name } => ("strip_header", json!({"name": name})),
        FaultKind::Status { status } => ("status", json!({"status": status})),
    };
    ToxicInput {
        name: Some(name.to_owned()),
        kind: Some(kind.to_owned()),
        stream: Some(stream.as_str().to_owned()),
        toxicity: Some(fault.probability),
        attributes: attributes.as_object().cloned(),
        bursts_ms: fault.bursts_ms,
    }
}

/// Whether requests on a link are among those that a fault acts on.
fn acts_on(fault: &crate::spec::fault::Fault, link: &Link) -> bool {
    let ends = [End::from(link), End::to(link)];
    let between = |[from, to]: [&End<'_>; 2]| from.is(&fault.from) && to.is(&fault.to);
    let [from, to] = &ends;
    let cut_back = fault.kind == FaultKind::Partition && between([to, from]);
    (between([from, to]) || cut_back)
        && fault.listener.is_none_or(|only| link.listener == Some(only))
}

/// One end of a link.
struct End<'a> {
    peer: Option<&'a Peer>,
    region: Option<&'a Region>,
    is_store: bool,
}

impl<'a> End<'a> {
    fn from(link: &'a Link) -> Self {
        let region = link.regions.as_ref().and_then(|regions| regions.from.as_ref());
        Self { peer: link.from.as_ref(), region, is_store: false }
    }

    fn to(link: &'a Link) -> Self {
        let region = link.regions.as_ref().and_then(|regions| regions.to.as_ref());
        let is_store = link.listener == Some(kv_node::env::Listener::Store);
        Self { peer: link.to.as_ref(), region, is_store }
    }

    fn is(&self, who: &Who) -> bool {
        let named = |names: &[&str]| self.peer.is_some_and(|peer| names.contains(&peer.as_str()));
        let clients = self.peer.is_some_and(|peer| {
            peer.as_str() == "clients" || peer.as_str().starts_with("clients/")
        });
        match who {
            Who::Anyone => true,
            Who::Peer(wanted) => self.peer == Some(wanted),
            // Customers and the control plane are in no region, as on the simulated wire.
            Who::Region(wanted) => self.region == Some(wanted) && !clients && !named(&CONTROL_SIDE),
            Who::Clients => clients,
            Who::Stores => self.is_store,
        }
    }
}
