//! The resolver of an upper tier: whether the host name of a namespace's stores leads anywhere.
//!
//! A lower tier knows the namespaces and sends the name along; an upper tier knows none, and asks here before it reaches for
//! the stores. It is a component with builds and a release train of its own, so it can be in release when something else
//! breaks. Only where a topology has names for its stores ([`StoreHosts`]) is there anything to resolve.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{Config, ConfigStore};
use crate::ids::{HostName, Namespace};
use crate::telemetry::Metrics;
use crate::worker::{Stands, Worker};

/// Under which names the stores of namespaces are reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreHosts {
    /// That of every namespace that has none of its own.
    pub default: HostName,
    /// Those of namespaces that have one.
    #[serde(default)]
    pub namespaces: BTreeMap<Namespace, HostName>,
}

impl StoreHosts {
    /// The name under which a namespace's stores are reached.
    pub fn of(&self, namespace: &Namespace) -> &HostName {
        self.namespaces.get(namespace).unwrap_or(&self.default)
    }

    fn know(&self, host: &str) -> bool {
        self.default.as_str() == host || self.namespaces.values().any(|name| name.as_str() == host)
    }
}

/// Why a name leads nowhere: what a DNS error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotResolved {
    /// The query has no name. Whoever asked had none.
    #[error("the query has no name")]
    NoName,
    /// There is no such host.
    #[error("there is no such host")]
    NoSuchHost,
    /// The resolver's release names a build that does not run here.
    #[error("there is no resolver")]
    NoResolver,
}

impl NotResolved {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoName => "no-name",
            Self::NoSuchHost => "no-such-host",
            Self::NoResolver => "no-resolver",
        }
    }
}

/// The resolver of one node.
pub struct Resolver {
    hosts: StoreHosts,
    worker: Worker,
    config: Arc<ConfigStore>,
    metrics: Arc<Metrics>,
}

impl Resolver {
    /// A resolver that knows these names, with the builds that its worker runs.
    pub fn new(
        hosts: StoreHosts,
        worker: Worker,
        config: Arc<ConfigStore>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { hosts, worker, config, metrics }
    }

    /// Takes what a new configuration has it run.
    pub fn configure(&self, new: &Config) {
        self.worker.configure(new);
    }

    /// Looks a name up. It asks nothing of who wants to know and guesses nothing: an empty name is a query without a name.
    pub fn resolve(&self, host: &str) -> Result<(), NotResolved> {
        let (build, stands) = self.worker.falls_to(&self.config);
        let resolved = if stands != Stands::Here {
            Err(NotResolved::NoResolver)
        } else if host.is_empty() {
            Err(NotResolved::NoName)
        } else if self.hosts.know(host) {
            Ok(())
        } else {
            Err(NotResolved::NoSuchHost)
        };
        self.metrics.resolved(&build.id, resolved);
        resolved
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}
