//! `--config FILE`: a node of a topology. [`file`] says what can be written there, [`control`] what the control plane's file may
//! say.
//!
//! Whatever is wrong is told with line and column, and with what to write instead where that can be guessed.

pub(super) mod control;
mod file;
mod problem;
mod secrets;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kv_node::config::{
    Members, NamespaceAbout, Namespaces, NodeConfig, PipelineEntry, Snapshot, StoreAbout,
};
use kv_node::control::NAME;
use kv_node::env::Listener;
use kv_node::ids::{BuildId, Dc, Namespace, Peer};
use kv_node::safeguards::Build;
use serde::de::DeserializeOwned;
use toml::Spanned;

use self::file::{File, IntakesSpeak, Listen, NamespaceTable, PeerTable, Share, Store};
use self::problem::{at, did_you_mean, of_toml};
use super::chance::OsChance;
use super::exit::Failure;
use super::network::HyperNetwork;
use super::run::{Intakes, Setup};
use super::sink::Told;
use super::{Service, otlp};

/// The class of namespaces of which nothing else is said.
const CLASS: &str = "customer";

/// A file that was read, with what is needed to say what is wrong with it.
pub(super) struct Source<F = File> {
    path: PathBuf,
    text: String,
    file: F,
}

/// Reads a node's file.
pub(super) fn read(path: &Path) -> Result<Source, Failure> {
    parse(path, text(path)?, of_toml)
}

/// Reads what an environment variable holds.
pub(super) fn read_variable(name: &str) -> Result<Source, Failure> {
    let text = std::env::var(name)
        .map_err(|error| Failure::refused(format!("environment variable {name}: {error}")))?;
    parse(Path::new(name), text, of_toml)
}

fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::file(path, error))
}

/// What a text says; `wrong` tells what is wrong with it.
fn parse<F: DeserializeOwned>(
    path: &Path,
    text: String,
    wrong: impl FnOnce(&Path, &str, &toml::de::Error) -> Failure,
) -> Result<Source<F>, Failure> {
    let file = toml::from_str(&text).map_err(|error| wrong(path, &text, &error))?;
    Ok(Source { path: path.to_owned(), text, file })
}

impl<F> Source<F> {
    fn wrong(&self, span: Range<usize>, message: &str) -> Failure {
        at(&self.path, &self.text, Some(span), message)
    }

    /// A name that is none of those that are there.
    fn unknown(&self, span: Range<usize>, what: &str, wrong: &str, known: &[&str]) -> Failure {
        let hint = did_you_mean(wrong, known);
        self.wrong(span, &format!("there is no {what} \"{wrong}\"{hint}"))
    }

    /// The current build, and those of the file.
    fn builds(&self, written: &[Spanned<Build>]) -> Result<Vec<Build>, Failure> {
        let mut builds = vec![Build::current()];
        for build in written {
            if builds.iter().any(|other| other.id == build.get_ref().id) {
                return Err(self.wrong(build.span(), "there is already a build with this id"));
            }
            builds.push(build.get_ref().clone());
        }
        Ok(builds)
    }

    fn build<'a>(
        &self,
        builds: &'a [Build],
        name: &Spanned<BuildId>,
    ) -> Result<&'a Build, Failure> {
        builds.iter().find(|build| build.id == *name.get_ref()).ok_or_else(|| {
            let known: Vec<&str> = builds.iter().map(|build| build.id.as_str()).collect();
            self.unknown(name.span(), "build", name.get_ref().as_str(), &known)
        })
    }
}

/// A node's file.
impl Source {
    /// What a node is started with.
    pub(super) fn setup(self, told: Told) -> Result<Setup, Failure> {
        self.check_names()?;
        let (secret, sealing_keys, tokens) = (self.secret()?, self.sealing_keys()?, self.tokens()?);
        let builds = self.builds(&self.file.builds)?;
        let gateway_pipeline = self.pipeline(&builds, &self.file.pipelines.gateway)?;
        let supercache_pipeline = self.pipeline(&builds, &self.file.pipelines.supercache)?;
        let (stores, control, intakes) = (self.stores()?, self.control()?, self.intakes()?);
        let chance = OsChance::new()
            .map_err(|error| Failure::failed(format!("the system has no entropy: {error}")))?;
        let file = self.file;
        let speed = file.replay.map_or(1, |replay| replay.speed.get());
        let collectors = collectors(&file);
        let mut network = network(file.peers, speed);
        for (intake, service) in collectors {
            network.embed(intake, Listener::Intake, service);
        }
        Ok(Setup {
            config: NodeConfig {
                dc: file.data_center.into_inner(),
                members: Arc::new(Members {
                    dcs: file.members.into_iter().map(|(dc, table)| (dc, table.into())).collect(),
                    origins: file.origins,
                    store_hosts: file.store_hosts.map(Spanned::into_inner),
                }),
                stores,
                control,
                environment: file.environment,
                gateway_pipeline,
                supercache_pipeline,
                isolates: file.isolates.map_or(1, Spanned::into_inner),
                secret: secret.into(),
                sealing_keys,
                namespaces: Arc::new(namespaces(file.namespaces)),
                tokens,
                limits: file.limits,
                initial: Snapshot {
                    revision: file.initial.revision,
                    new_backend: file.initial.new_backend,
                    enrolled: file.initial.enrolled,
                    ..Snapshot::default()
                },
            },
            network,
            chance,
            intakes,
            stores: Vec::new(),
            listen: listen(file.listen),
            limits: file.server,
            told,
            replay: file.replay,
        })
    }

    /// What [`kv_node::Node::start`] would refuse as well, but without a place.
    fn check_names(&self) -> Result<(), Failure> {
        let dc = &self.file.data_center;
        if !self.file.members.contains_key(dc.get_ref()) {
            let known: Vec<&str> = self.file.members.keys().map(Dc::as_str).collect();
            return Err(self.unknown(dc.span(), "member", dc.get_ref().as_str(), &known));
        }
        if let Some(hosts) = &self.file.store_hosts {
            let known: Vec<&str> =
                self.file.namespaces.iter().map(|about| about.id.as_str()).collect();
            for namespace in hosts.get_ref().namespaces.keys().map(Namespace::as_str) {
                if !known.contains(&namespace) {
                    return Err(self.unknown(hosts.span(), "namespace", namespace, &known));
                }
            }
        }
        match &self.file.isolates {
            Some(isolates) if *isolates.get_ref() == 0 => {
                Err(self.wrong(isolates.span(), "a script needs at least one isolate"))
            }
            _ => Ok(()),
        }
    }

    fn pipeline(&self, builds: &[Build], shares: &[Share]) -> Result<Vec<PipelineEntry>, Failure> {
        let (Some(first), Some(last)) = (shares.first(), shares.last()) else {
            return Ok(vec![PipelineEntry { weight: 1, build: Build::current() }]);
        };
        if shares.iter().all(|share| share.weight == 0) {
            let span = first.build.span().start..last.build.span().end;
            return Err(self.wrong(span, "a pipeline needs an entry with a weight above 0"));
        }
        let entry = |share: &Share| {
            let build = self.build(builds, &share.build)?.clone();
            Ok(PipelineEntry { weight: share.weight, build })
        };
        shares.iter().map(entry).collect()
    }

    fn stores(&self) -> Result<Vec<StoreAbout>, Failure> {
        let about = |store: &Spanned<Store>| {
            let peer = self.peer(&store.get_ref().peer, "store", |peer| peer.store.is_some())?;
            Ok(StoreAbout { peer, protocol: self.protocol(store)? })
        };
        self.file.stores.iter().map(about).collect()
    }

    fn control(&self) -> Result<Option<Peer>, Failure> {
        let Some(name) = &self.file.control else { return Ok(None) };
        let peer = self.peer(name, "control", |peer| peer.control.is_some())?;
        if peer.as_str() != NAME {
            // It believes nothing that is signed for another.
            let message =
                format!("the control plane goes by the name \"{NAME}\": call the peer so");
            return Err(self.wrong(name.span(), &message));
        }
        Ok(Some(peer))
    }

    fn intakes(&self) -> Result<Option<Intakes>, Failure> {
        let Some(table) = &self.file.intakes else { return Ok(None) };
        let peer = |name| self.peer(name, "intake", |peer| peer.intake.is_some());
        Ok(Some(Intakes {
            logs: peer(&table.logs)?,
            exceptions: peer(&table.exceptions)?,
            traces: peer(&table.traces)?,
        }))
    }

    /// A peer that must be there, with an address for what is wanted of it.
    fn peer(
        &self,
        name: &Spanned<String>,
        wanted: &str,
        has: impl Fn(&PeerTable) -> bool,
    ) -> Result<Peer, Failure> {
        let text = name.get_ref().as_str();
        match self.file.peers.get(text) {
            Some(peer) if has(peer) => Ok(Peer::from(text)),
            Some(_) => {
                let message = format!(
                    "peer \"{text}\" has no {wanted} address\n    write {wanted} = \"host:port\" in [peers.{text}]"
                );
                Err(self.wrong(name.span(), &message))
            }
            None => {
                let known = self.file.peers.iter().filter(|(_, peer)| has(peer));
                let known: Vec<&str> = known.map(|(name, _)| name.as_str()).collect();
                Err(self.unknown(name.span(), "peer", text, &known))
            }
        }
    }
}

fn listen(listen: Listen) -> Vec<(Listener, String)> {
    [
        (Listener::Rest, listen.rest),
        (Listener::Binding, listen.binding),
        (Listener::Tier, listen.tier),
        (Listener::Admin, listen.admin),
    ]
    .into_iter()
    .filter_map(|(kind, address)| Some((kind, address?.0)))
    .collect()
}

fn namespaces(tables: Vec<NamespaceTable>) -> Namespaces {
    let namespace = |table: NamespaceTable| {
        let about = NamespaceAbout {
            class: table.class.unwrap_or_else(|| CLASS.into()),
            title: table.title.unwrap_or_else(|| table.id.to_string()),
            account: table.account,
        };
        (table.id, about)
    };
    tables.into_iter().map(namespace).collect()
}

/// Intakes that are spoken to in OTLP, each behind what makes it of our records.
fn collectors(file: &File) -> Vec<(Peer, Service)> {
    if file.intakes.as_ref().is_none_or(|table| table.speak != IntakesSpeak::Otlp) {
        return Vec::new();
    }
    let region = file.members.get(file.data_center.get_ref()).map(|member| member.region.clone());
    let speed = file.replay.map_or(1, |replay| replay.speed.get());
    let collector = |(name, peer): (&String, &PeerTable)| {
        let address = &peer.intake.as_ref()?.0;
        Some((Peer::from(name.as_str()), otlp::collector(address, region.clone(), speed)))
    };
    file.peers.iter().filter_map(collector).collect()
}

fn network(peers: BTreeMap<String, PeerTable>, speed: u32) -> HyperNetwork {
    let mut network = HyperNetwork::hastened(speed);
    for (name, peer) in peers {
        for (listener, address) in [
            (Listener::Rest, peer.rest),
            (Listener::Tier, peer.tier),
            (Listener::Admin, peer.admin),
            (Listener::Store, peer.store),
            (Listener::Control, peer.control),
            (Listener::Intake, peer.intake),
        ] {
            if let Some(address) = address {
                network.remote(Peer::from(name.as_str()), listener, &address.0);
            }
        }
    }
    network
}
