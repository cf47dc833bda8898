//! The control plane: what every node is to be told, and who may own keys.
//!
//! A role of the binary, reached by HTTP like any peer; no room above imports it. It holds the intended configuration,
//! pushes each revision until every node has it, probes data centers that are out of service, and takes owners out of
//! placement that fail.
//!
//! | request | answer |
//! |---|---|
//! | `GET /control/v1/config` | 200 with the newest [`Snapshot`] |
//! | `POST /control/v1/change` with a [`Change`] | 200 with its revision once it is decided, pushing goes on behind; 409 with the reason where a release is refused |
//! | `POST /control/v1/suspect` with a [`Suspicion`] | 200; the owner is probed |
//! | `POST /control/v1/alerts` with Alertmanager's webhook | 200; counted. A bearer token does as well: Alertmanager cannot sign |
//! | `GET /metrics` | 200 in Prometheus' text format; the only one that needs no signature |
//!
//! All others are signed with the shared secret. Start with [`Control::start`].

mod document;
mod listing;
mod login;
mod metrics;
mod probe;
mod push;
mod release;
mod report;
mod rollback;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

pub use report::{Reporter, Suspicion};

use crate::api::access::Access;
use crate::api::auth::Secret;
use crate::api::status::bare;
use crate::api::tier::TierClient;
use crate::config::{DcState, Members, Snapshot, Token};
use crate::env::{NodeEnv, Stream};
use crate::ids::{BuildId, Dc, Namespace, Peer};
use crate::safeguards::{Build, Environment, Safeguard};
use crate::telemetry::Lifecycle;

/// Under which name the control plane is called.
pub const NAME: &str = "control";
/// Path of the newest configuration.
pub const CONFIG: &str = "/control/v1/config";
/// Path of changes.
pub const CHANGE: &str = "/control/v1/change";
/// Path of suspicions.
pub const SUSPECT: &str = "/control/v1/suspect";
/// Path of alerts.
pub const ALERTS: &str = "/control/v1/alerts";

/// What an operator can have changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// A data center goes out of service.
    Maintenance {
        /// Which one.
        dc: Dc,
    },
    /// A data center comes back into service.
    Return {
        /// Which one.
        dc: Dc,
    },
    /// The new backend is switched on or off in one data center.
    NewBackendIn {
        /// Which one.
        dc: Dc,
        /// On or off.
        on: bool,
    },
    /// The new backend is switched on or off everywhere.
    NewBackend {
        /// On or off.
        on: bool,
    },
    /// A namespace takes the new backend, or no longer does.
    Enroll {
        /// Which one.
        namespace: Namespace,
        /// In or out.
        on: bool,
    },
    /// Something is released.
    Release {
        /// Who releases it.
        by: String,
        /// What, as people write it: TOML, see `control/document.rs`.
        document: String,
    },
}

/// What the control plane is started with.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// The topology.
    pub members: Arc<Members>,
    /// The secret of all admin and tier listeners, and of its own.
    pub secret: Arc<[u8]>,
    /// Whose builds it releases.
    pub environment: Environment,
    /// What it runs.
    pub build: Build,
    /// Every build that can be released.
    pub builds: Vec<Build>,
    /// The class of each data center, in which releases have their stages.
    pub classes: BTreeMap<Dc, String>,
    /// Where people log in who release something; nobody needs to where none is given.
    pub login: Option<Peer>,
    /// The configuration that nodes start with.
    pub initial: Snapshot,
    /// The namespace of synthetic reads; the first enrolled one where none is given.
    pub probe_namespace: Option<Namespace>,
    /// Lets alerts in without a signature; where none is given they must be signed.
    pub alerts_token: Option<Token>,
}

/// The control plane.
pub struct Control {
    members: Arc<Members>,
    secret: Secret,
    build: Build,
    env: NodeEnv,
    tiers: TierClient,
    metrics: metrics::ControlMetrics,
    traces: Stream,
    probe_namespace: Option<Namespace>,
    /// Without a token nobody has access, so there is none.
    alerts: Option<Access>,
    environment: Environment,
    login: Option<Peer>,
    builds: BTreeMap<BuildId, Build>,
    classes: BTreeMap<Dc, String>,
    intended: Mutex<Snapshot>,
    releases: Mutex<release::Releases>,
    under_suspicion: Mutex<BTreeSet<Dc>>,
}

impl Control {
    /// Starts a control plane.
    pub fn start(config: ControlConfig, env: NodeEnv) -> Arc<Self> {
        let secret = Secret::new(&config.secret);
        // An order outlives the process in its kill switch.
        let ordered = config.initial.new_backend && !config.initial.killed.new_backend;
        Arc::new(Self {
            metrics: metrics::ControlMetrics::new(&config.members, ordered),
            builds: config.builds.into_iter().map(|build| (build.id.clone(), build)).collect(),
            classes: config.classes,
            environment: config.environment,
            login: config.login,
            releases: Mutex::default(),
            traces: env.chance.stream("traces"),
            probe_namespace: config.probe_namespace,
            alerts: config.alerts_token.map(|token| Access::new(vec![token])),
            members: config.members,
            tiers: TierClient::new(env.clone(), secret.clone()),
            secret,
            build: config.build,
            env,
            intended: Mutex::new(config.initial),
            under_suspicion: Mutex::default(),
        })
    }

    /// Goes on with what an earlier process began: brings every node the newest configuration, and probes who is out of service.
    pub fn resume(self: &Arc<Self>) {
        let intended = self.intended().clone();
        for (dc, status) in &intended.dcs {
            match status.state {
                DcState::Serving => {}
                DcState::Maintenance => self.probe_while_disabled(dc),
                DcState::Returning => self.probe_until_fit(dc),
            }
        }
        self.push_to_all(intended.revision);
    }

    /// Answers one request. 401 without the secret, 400 for a change that names what does not exist.
    pub async fn serve(self: &Arc<Self>, request: &Request<Bytes>) -> Response<Bytes> {
        if *request.method() == Method::GET && request.uri().path() == crate::api::admin::METRICS {
            let ordered = self.build.has(Safeguard::OrdersTold);
            let newest = self.newest_listed();
            return Response::new(Bytes::from(self.metrics.text(
                &self.intended(),
                ordered,
                (self.environment, newest.as_ref()),
            )));
        }
        if !self.permits(request) {
            return bare(StatusCode::UNAUTHORIZED);
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, CONFIG) => match serde_json::to_vec(&*self.intended()) {
                Ok(body) => Response::new(Bytes::from(body)),
                Err(_) => bare(StatusCode::INTERNAL_SERVER_ERROR),
            },
            (&Method::POST, CHANGE) => match serde_json::from_slice(request.body()) {
                Ok(change) => self.change(&change).await,
                Err(_) => bare(StatusCode::BAD_REQUEST),
            },
            (&Method::POST, SUSPECT) => match serde_json::from_slice(request.body()) {
                Ok(suspicion) => {
                    self.suspect(suspicion);
                    bare(StatusCode::OK)
                }
                Err(_) => bare(StatusCode::BAD_REQUEST),
            },
            (&Method::POST, ALERTS) => match serde_json::from_slice(request.body()) {
                Ok(told) => {
                    self.metrics.alerts(&told);
                    for alert in self.metrics.new_pages(&told) {
                        self.alerted(&alert);
                    }
                    bare(StatusCode::OK)
                }
                Err(_) => bare(StatusCode::BAD_REQUEST),
            },
            _ => bare(StatusCode::NOT_FOUND),
        }
    }

    /// Whether whoever asks may: everything with a signature, alerts with a token as well.
    fn permits(&self, request: &Request<Bytes>) -> bool {
        let by_token = request.uri().path() == ALERTS
            && self
                .alerts
                .as_ref()
                .is_some_and(|tokens| tokens.permits(request.headers(), "").is_ok());
        by_token || self.secret.verify(request, &Peer::from(NAME), self.env.clock.now())
    }

    async fn change(self: &Arc<Self>, change: &Change) -> Response<Bytes> {
        let dc = match change {
            Change::Maintenance { dc }
            | Change::Return { dc }
            | Change::NewBackendIn { dc, .. } => Some(dc),
            Change::NewBackend { .. } | Change::Enroll { .. } | Change::Release { .. } => None,
        };
        if dc.is_some_and(|dc| !self.members.dcs.contains_key(dc)) {
            return bare(StatusCode::BAD_REQUEST);
        }
        let revision = match change {
            Change::Maintenance { dc } => {
                let revision = self.set_state(dc, DcState::Maintenance);
                self.probe_while_disabled(dc);
                revision
            }
            Change::Return { dc } => {
                if self.build.has(Safeguard::ReturnGate) {
                    self.return_through_gate(dc)
                } else {
                    self.return_at_once(dc)
                }
            }
            Change::NewBackendIn { dc, on } => self.revise(|intended| {
                intended.dcs.entry(dc.clone()).or_default().new_backend = *on;
                if *on {
                    intended.killed.new_backend_in.remove(dc);
                } else {
                    intended.killed.new_backend_in.insert(dc.clone());
                }
            }),
            Change::NewBackend { on } => {
                self.metrics.ordered(*on);
                self.revise(|intended| {
                    intended.new_backend = *on;
                    intended.killed.new_backend = !*on;
                })
            }
            Change::Enroll { namespace, on } => self.revise(|intended| {
                if *on {
                    intended.enrolled.insert(namespace.clone());
                } else {
                    intended.enrolled.remove(namespace);
                }
            }),
            Change::Release { by, document } => return self.release(by, document).await,
        };
        Response::new(Bytes::from(format!("{{\"revision\":{revision}}}")))
    }

    /// As it was in July 2023: back in placement at once, isolates as they are.
    fn return_at_once(self: &Arc<Self>, dc: &Dc) -> u64 {
        self.set_state(dc, DcState::Serving)
    }

    /// Stays out until fresh isolates have passed synthetic reads.
    fn return_through_gate(self: &Arc<Self>, dc: &Dc) -> u64 {
        let revision = self.set_state(dc, DcState::Returning);
        self.probe_until_fit(dc);
        revision
    }

    fn set_state(self: &Arc<Self>, dc: &Dc, state: DcState) -> u64 {
        self.revise(|intended| {
            let status = intended.dcs.entry(dc.clone()).or_default();
            status.state = state;
            status.quarantined = false;
        })
    }

    /// Makes a new revision and begins to push it to every node.
    fn revise(self: &Arc<Self>, change: impl FnOnce(&mut Snapshot)) -> u64 {
        let snapshot = {
            let mut intended = self.intended();
            let before = intended.clone();
            change(&mut intended);
            // What is so already is no new revision.
            if *intended == before {
                return before.revision;
            }
            intended.revision += 1;
            self.remember(before);
            intended.clone()
        };
        let revision = snapshot.revision;
        self.env.sink.lifecycle(self.env.clock.now(), Lifecycle::Revised { snapshot });
        self.push_to_all(revision);
        revision
    }

    fn intended(&self) -> MutexGuard<'_, Snapshot> {
        // Nothing that can panic runs under the lock.
        self.intended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, dc: &Dc) -> DcState {
        self.intended().status(dc).state
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("revision", &self.intended().revision)
            .finish_non_exhaustive()
    }
}
