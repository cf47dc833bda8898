//! The specification of a run and of what is expected of it: plain data.
//!
//! * [`Spec`]: what a lab needs. Nothing in it says what should come out.
//! * [`Scenario`]: a spec, the expectations about it, and where both stand in a feature file.
//! * [`topology`], [`builds`], [`truth`] with [`cause`]: the files that a feature names.
//! * [`problem`]: what is wrong with them, with file, line and what to write instead.

pub mod builds;
pub mod cause;
pub mod dependencies;
pub mod expectation;
pub mod fault;
pub mod measure;
pub mod peers;
pub mod problem;
pub mod query;
pub mod time;
pub mod topology;
pub mod truth;

use std::collections::BTreeMap;

use kv_node::config::{Member, Members, NamespaceAbout, Namespaces};
use kv_node::ids::{Dc, Namespace};
use kv_node::safeguards::Build;
use serde::{Deserialize, Serialize};

use crate::alerts::RuleText;

use expectation::Expectation;
use fault::Fault;
use time::IncidentTime;
use topology::Topology;

/// Everything that decides what happens in a run, but for the seed and the binary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Data centers, links, stores, namespaces, traffic, noise.
    pub topology: Topology,
    /// What the stores speak.
    #[serde(default)]
    pub stores: StoresSpeak,
    /// Whether the topology's noise is on.
    pub noise: bool,
    /// What runs where nothing else is said, and in the control plane.
    pub build: Build,
    /// What else runs where.
    pub builds: BTreeMap<Dc, Build>,
    /// When the replay begins.
    pub start: IncidentTime,
    /// When it ends.
    pub end: IncidentTime,
    /// From when on customers send another number of requests than the topology says, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<Rate>,
    /// What is done to the system, in order.
    pub timeline: Vec<Planned>,
    /// What is done once an alert fires.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggered: Vec<Triggered>,
    /// The rules that the monitor evaluates.
    pub rules: Vec<RuleText>,
    /// Builds that can be released, besides those that run from the beginning; none where nothing is released.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub released: Vec<Build>,
    /// How many times as fast as the wall clock it runs in containers; absent where it runs in the simulated lab only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<u32>,
}

/// What object stores are spoken to in: either way they hold the same, so the same must come out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StoresSpeak {
    /// The plain protocol, in which a write takes one request.
    #[default]
    Plain,
    /// S3, in which it takes two.
    S3,
}

/// How much customers send from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// From when on.
    pub from: IncidentTime,
    /// Requests a second, everywhere, as the mean of a whole day.
    pub requests_per_s: f64,
}

/// An action with its moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// When.
    pub at: IncidentTime,
    /// What.
    pub action: Action,
}

/// An action that somebody takes some time after an alert has begun to fire for the first time since a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Triggered {
    /// Which alert.
    pub alert: String,
    /// What fired before that moment nobody acts on.
    pub since: IncidentTime,
    /// How long after, in seconds.
    pub after_s: u64,
    /// What.
    pub action: Action,
}

impl Triggered {
    /// In words, as a plan or a journal shows it.
    pub fn text(&self) -> String {
        let after = time::format_duration(std::time::Duration::from_secs(self.after_s));
        format!("{after} after {}: {}", self.alert, self.action.text())
    }
}

/// What can be done to the system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// A data center goes out of service for maintenance.
    Maintenance {
        /// Which one.
        dc: Dc,
    },
    /// A data center comes back from maintenance.
    Return {
        /// Which one.
        dc: Dc,
    },
    /// The new backend is switched in one data center.
    NewBackendIn {
        /// Which one.
        dc: Dc,
        /// On or off.
        on: bool,
    },
    /// The new backend is switched everywhere.
    NewBackend {
        /// On or off.
        on: bool,
    },
    /// A namespace is enrolled in the new backend or taken off it.
    Enroll {
        /// Which one.
        namespace: Namespace,
        /// In or out.
        on: bool,
    },
    /// A data center's node dies and loses what is in its memory.
    Crash {
        /// Which one.
        dc: Dc,
    },
    /// A data center's node is started again.
    Start {
        /// Which one.
        dc: Dc,
    },
    /// A data center's node stands still where it is: it keeps its connections and answers nothing.
    Pause {
        /// Which one.
        dc: Dc,
    },
    /// A node that stood still goes on.
    Resume {
        /// Which one.
        dc: Dc,
    },
    /// Somebody releases something.
    Release {
        /// Who.
        by: String,
        /// What, as the release tool reads it.
        document: String,
    },
    /// A bot comes: it reads what is not there, and writes one key again and again.
    Bot {
        /// How much it sends, everywhere.
        requests_per_s: f64,
        /// How long.
        for_s: u64,
    },
    /// A fault acts on the network for a time.
    Fault {
        /// Which one.
        fault: Fault,
        /// How long.
        for_s: u64,
    },
}

impl Action {
    /// What the action is about: two actions about the same thing at the same moment contradict each other.
    pub fn subject(&self) -> Option<String> {
        match self {
            Self::Maintenance { dc } | Self::Return { dc } => Some(format!("the service of {dc}")),
            Self::NewBackendIn { dc, .. } => Some(format!("the new backend in {dc}")),
            Self::NewBackend { .. } => Some("the new backend everywhere".to_owned()),
            Self::Enroll { namespace, .. } => Some(format!("the enrollment of {namespace}")),
            Self::Crash { dc } | Self::Start { dc } | Self::Pause { dc } | Self::Resume { dc } => {
                Some(format!("the node of {dc}"))
            }
            Self::Release { by, .. } => Some(format!("what {by} releases")),
            Self::Bot { .. } | Self::Fault { .. } => None,
        }
    }

    /// Whether it happens to people, and they do not do it: in another history of the same world it happens all the same.
    pub fn is_of_the_world(&self) -> bool {
        matches!(
            self,
            Self::Maintenance { .. }
                | Self::Return { .. }
                | Self::Crash { .. }
                | Self::Start { .. }
                | Self::Pause { .. }
                | Self::Resume { .. }
                | Self::Bot { .. }
                | Self::Fault { .. }
        )
    }

    /// The action in words, as a journal or a plan shows it.
    pub fn text(&self) -> String {
        let switched = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Self::Maintenance { dc } => format!("{dc} goes down for maintenance"),
            Self::Return { dc } => format!("{dc} returns from maintenance"),
            Self::NewBackendIn { dc, on } => {
                format!("new backend switched {} in {dc}", switched(on))
            }
            Self::NewBackend { on } => format!("new backend switched {} everywhere", switched(on)),
            Self::Enroll { namespace, on: true } => format!("namespace {namespace} enrolled"),
            Self::Enroll { namespace, on: false } => {
                format!("namespace {namespace} taken off the new backend")
            }
            Self::Crash { dc } => format!("{dc} crashes"),
            Self::Start { dc } => format!("{dc} is started again"),
            Self::Pause { dc } => format!("{dc} stands still"),
            Self::Resume { dc } => format!("{dc} goes on"),
            Self::Release { by, document } => {
                let lines = document.lines().map(str::trim).filter(|line| !line.is_empty());
                format!("{by} releases: {}", lines.collect::<Vec<_>>().join("; "))
            }
            Self::Bot { requests_per_s, for_s } => {
                format!("a bot sends {requests_per_s} requests a second for {for_s} s")
            }
            Self::Fault { fault, for_s } => format!("{fault} for {for_s} s"),
        }
    }
}

impl Spec {
    /// The build that a data center runs.
    pub fn build_of(&self, dc: &Dc) -> &Build {
        self.builds.get(dc).unwrap_or(&self.build)
    }

    /// How much customers send at a moment: requests a second, as the mean of a whole day.
    pub fn requests_per_s(&self, at: IncidentTime) -> f64 {
        let rate = self.rates.iter().rev().find(|rate| rate.from <= at);
        rate.map_or(self.topology.traffic.requests_per_s, |rate| rate.requests_per_s)
    }

    /// About how many requests customers send in the whole run.
    pub fn requests(&self) -> f64 {
        let turns = self.rates.iter().map(|rate| rate.from).filter(|from| *from < self.end);
        let ends: Vec<IncidentTime> = turns.chain([self.end]).collect();
        let mut from = self.start;
        let mut sum = 0.0;
        for end in ends {
            sum += self.requests_per_s(from) * end.since(from).as_secs_f64();
            from = from.max(end);
        }
        sum
    }

    /// The topology as nodes know it.
    pub fn members(&self) -> Members {
        let members = self.topology.dcs.iter().map(|(dc, center)| {
            let member = Member {
                region: center.region.clone(),
                regional_weight: topology::weight(center.tier),
                upper_weight: topology::weight(center.upper),
            };
            (dc.clone(), member)
        });
        let origins = self
            .topology
            .regions
            .iter()
            .map(|(region, about)| (region.clone(), about.origin.clone()));
        Members {
            dcs: members.collect(),
            origins: origins.collect(),
            store_hosts: self.topology.store_hosts.clone(),
        }
    }

    /// The namespaces that exist from the beginning, as nodes know them, but for that of the monitor's probes.
    pub fn namespaces(&self) -> Namespaces {
        let about = |about: &topology::NamespaceAbout| {
            let open = NamespaceAbout::open(&about.id, about.class.clone());
            (about.id.clone(), NamespaceAbout { account: about.account.clone(), ..open })
        };
        self.topology.namespaces.iter().map(about).collect()
    }

    /// Whether a run of `self` is the beginning of a run of `longer`: then one run serves both.
    pub fn is_beginning_of(&self, longer: &Self) -> bool {
        let mine = |planned: &&Planned| planned.at < self.end;
        let rates = |spec: &Self| -> Vec<Rate> {
            spec.rates.iter().copied().filter(|rate| rate.from < self.end).collect()
        };
        self.end <= longer.end
            && self.start == longer.start
            && self.stores == longer.stores
            && self.noise == longer.noise
            && self.build == longer.build
            && self.builds == longer.builds
            && self.released == longer.released
            && self.rules == longer.rules
            && self.speed == longer.speed
            && self.triggered == longer.triggered
            // Whether an alert fires in time depends on how long that is.
            && (self.triggered.is_empty() || self.end == longer.end)
            && rates(self) == rates(longer)
            && self.timeline.iter().filter(mine).eq(longer.timeline.iter().filter(mine))
            && self.topology == longer.topology
    }
}

/// Where something stands in a feature file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Path from the root of the repository.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A step as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepText {
    /// `Given`, `When`, `Then`, `And`.
    pub keyword: String,
    /// The sentence.
    pub text: String,
    /// Its line.
    pub line: usize,
}

/// One scenario, compiled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// The feature's id: that of its incident, or the name of its file.
    pub feature: String,
    /// The rule that it stands under, if any.
    pub rule: Option<String>,
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub place: Place,
    /// Tags of the feature, the rule and the scenario, without `@`.
    pub tags: Vec<String>,
    /// Its steps, with those of the backgrounds.
    pub steps: Vec<StepText>,
    /// What is run.
    pub spec: Spec,
    /// What is expected.
    pub expectations: Vec<Expectation>,
}

impl Scenario {
    /// Rule and name, as a reader knows it.
    pub fn title(&self) -> String {
        match &self.rule {
            Some(rule) => format!("{rule}: {}", self.name),
            None => self.name.clone(),
        }
    }
}
