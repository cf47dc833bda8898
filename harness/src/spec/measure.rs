//! What can be measured. The judge knows how to take each measure from a recording; this file knows only which there are.

mod label;

use std::collections::{BTreeMap, BTreeSet};

use kv_node::ids::{Dc, Namespace, Region};
use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::expectation::Window;

/// A part of the traffic. What is empty does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// Requests in these regions.
    pub regions: BTreeSet<Region>,
    /// Requests in these data centers.
    pub dcs: BTreeSet<Dc>,
    /// Requests for these namespaces.
    pub namespaces: BTreeSet<Namespace>,
    /// Requests for namespaces that are enrolled in the new backend, or that are not.
    pub enrolled: Option<bool>,
    /// `get`, `put`, `delete`.
    pub operations: BTreeSet<String>,
}

/// What can be measured. Shares are of requests that customers sent; a failure is an answer of 500 or above, a broken
/// connection, or no answer in time. Requests that a customer gave up are no failures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "measure", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Measure {
    /// Requests.
    Requests {
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// Failures among requests.
    ErrorShare {
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// Failures among requests, less those among the same traffic in another window.
    ErrorShareAboveBaseline {
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
        /// The other window.
        baseline: WindowName,
    },
    /// The greatest share of failures among enrolled namespaces that one region alone uses, with its 95 % confidence
    /// interval, which must lie within the bound as well.
    WorstNamespaceErrorShare {
        /// Namespaces with fewer requests are passed over.
        requests_min: u64,
        /// Namespaces of these regions only; empty means any.
        #[serde(default)]
        regions: BTreeSet<Region>,
    },
    /// The greatest share of failures among data centers.
    WorstDcErrorShare {
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// The smallest number of failures among data centers.
    LeastDcErrors {
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// Of the answers 500, the share whose key one of these data centers owned.
    OwnerPrecision {
        /// The owners.
        owners: BTreeSet<Dc>,
    },
    /// Of the requests that missed the edge cache for a key that one of these data centers owned, the share answered 500.
    OwnerRecall {
        /// The owners.
        owners: BTreeSet<Dc>,
    },
    /// Successful answers to requests that missed the edge cache for a key that one of these data centers owned.
    Recoveries {
        /// The owners.
        owners: BTreeSet<Dc>,
    },
    /// Seconds from the beginning of the window to the last answer 500 in it; 0 where there is none.
    #[serde(rename = "seconds-to-last-500")]
    SecondsToLast500 {
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// Seconds from the beginning of the window to the last answer with a status in it; 0 where there is none.
    SecondsToLastStatus {
        /// Which one.
        status: u16,
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// Seconds from the beginning of the window to the middle of those minutes, one after the other, in which the share of a
    /// status among requests is greatest.
    SecondsToPeak {
        /// Which one.
        status: u16,
        /// How many minutes.
        minutes: u64,
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// Requests to upper tiers that the network saw leave with their control host and arrive, and that did not reach what serves
    /// them with it, by its own count. Of the whole run.
    ControlHostsLost,
    /// Failures.
    Failures {
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// Of the requests that were sent, the share that nobody ever answered: offered less answered.
    UnansweredShare {
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// The greatest difference of that share between parts of the traffic.
    UnansweredSpread {
        /// Between which parts.
        between: Parts,
        /// Parts with fewer requests are passed over.
        requests_min: u64,
        /// So many parts must be left: with fewer nothing has been compared.
        parts_min: usize,
    },
    /// Seconds from the beginning of the window to the last request in it that nobody answered; 0 where there is none.
    SecondsToLastUnanswered {
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// Releases that were refused for a reason in which all of these texts stand.
    ReleasesRefused {
        /// The texts.
        naming: BTreeSet<String>,
    },
    /// Seconds until a release is rolled back by somebody; there is no such number where none is.
    SecondsToRollback {
        /// By whom.
        by: String,
    },
    /// Requests of other data centers that arrived at the tier listeners of these.
    TierRequests {
        /// The data centers.
        dcs: BTreeSet<Dc>,
    },
    /// The most requests that arrived at the stores within a minute, as a multiple of the mean of another window's minutes.
    StoreRush {
        /// The other window.
        baseline: WindowName,
    },
    /// Isolates in which a request was seen writing to its env.
    EnvWrites {
        /// Writes that stayed behind for later requests, or writes that did not.
        stays: bool,
    },
    /// Median latency of misses for keys of these owners, less that of the other misses of the same regions.
    AddedLatencyMs {
        /// The owners.
        owners: BTreeSet<Dc>,
    },
    /// A quantile of the latency of answered requests.
    LatencyMs {
        /// Which one, from 0 to 1.
        quantile: f64,
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// Answers with a status among requests.
    StatusShare {
        /// Which one.
        status: u16,
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// Seconds until an alert fires for these labels; there is no such number where it never does.
    SecondsToAlert {
        /// Its name.
        alert: String,
        /// What its labels must say.
        #[serde(default)]
        labels: BTreeMap<String, String>,
        /// From when on.
        #[serde(default)]
        after: After,
    },
    /// Alerts that began to fire or were firing already, each label set once.
    AlertsFiring {
        /// Only of this name.
        #[serde(default)]
        alert: Option<String>,
        /// Only of this severity.
        #[serde(default)]
        severity: Option<String>,
        /// Not those whose label `dc` is one of these.
        #[serde(default)]
        except_dcs: BTreeSet<Dc>,
        /// Not those of these names.
        #[serde(default)]
        except_alerts: BTreeSet<String>,
    },
    /// Lines of the response log and exception reports in which one of these texts stands.
    Naming {
        /// The texts.
        texts: BTreeSet<String>,
    },
    /// Lines of the response log with a status, as the intake took them.
    LogLines {
        /// Which one.
        status: u16,
        /// Of which data centers; empty means all.
        #[serde(default)]
        dcs: BTreeSet<Dc>,
    },
    /// Of the customers' failures, the share that stands in the response log as the intake took it.
    FailuresToldByLog,
    /// Seconds until an exception is reported; there is no such number where none is.
    SecondsToReport {
        /// Of which class.
        kind: String,
        /// In which script.
        script: String,
        /// Of which data centers; empty means all.
        #[serde(default)]
        dcs: BTreeSet<Dc>,
    },
    /// Seconds until a page or an exception report names the incident's cause; there is no such number where none does, or where
    /// a page names a decoy first.
    SecondsToDiagnosis {
        /// What it came of: that of `truth.toml`, once that is compiled.
        #[serde(default)]
        cause: Option<Box<Cause>>,
    },
    /// Traces of failed requests with spans of both data centers.
    FailedTraces {
        /// Where the customer asked.
        from: Dc,
        /// Where the request went on to.
        to: Dc,
    },
    /// Of the keys that were written with success, the share that the stores hold alike when the run ends. Keys that were
    /// written in its last ten minutes are left out.
    WrittenAlike,
    /// Minutes in which a query has a value above a level, whatever its labels.
    MinutesAbove {
        /// Over what.
        over: Source,
        /// The query, as Prometheus writes it.
        query: String,
        /// The level.
        level: f64,
    },
    /// The difference between the share of a status among requests for a namespace's first keys, which are read most, and among
    /// those for the others.
    HotColdSpread {
        /// Which status.
        status: u16,
        /// So many first keys.
        hot: u32,
    },
    /// Circles of components that need each other to be mended, in the topology: see `relapse check`.
    DependencyCycles,
    /// The largest or the smallest value that a query has at any moment, whatever its labels.
    Query {
        /// Over what.
        over: Source,
        /// The query, as Prometheus writes it.
        query: String,
        /// Which value.
        extreme: Extreme,
    },
}

/// What parts of the traffic are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parts {
    /// The region in which a request was sent.
    Region,
    /// Its namespace.
    Namespace,
    /// The data center that owned its key in that region.
    Owner,
}

/// From when on seconds are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// From the beginning of the window.
    #[default]
    Window,
    /// From the first failure that a customer saw in the window.
    Errors,
}

/// What a query looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// What the customers saw.
    Truth,
    /// What the monitor scraped.
    Telemetry,
}

impl Source {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truth => "truth",
            Self::Telemetry => "telemetry",
        }
    }
}

/// The largest or the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extreme {
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// A window by the names of two moments in `truth.toml`, until that is compiled; by its times afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WindowName {
    /// By names.
    Named([String; 2]),
    /// By times.
    At(Window),
}

/// How a measure's number is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share: shown in percent.
    Share,
    /// A number of things.
    Count,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Whatever a query gives.
    Number,
}

impl Measure {
    /// How its number is read.
    pub fn unit(&self) -> Unit {
        match self {
            Self::ErrorShare { .. }
            | Self::ErrorShareAboveBaseline { .. }
            | Self::WorstNamespaceErrorShare { .. }
            | Self::WorstDcErrorShare { .. }
            | Self::OwnerPrecision { .. }
            | Self::OwnerRecall { .. }
            | Self::FailuresToldByLog
            | Self::WrittenAlike
            | Self::UnansweredShare { .. }
            | Self::UnansweredSpread { .. }
            | Self::HotColdSpread { .. }
            | Self::StatusShare { .. } => Unit::Share,
            Self::SecondsToLast500 { .. }
            | Self::SecondsToLastStatus { .. }
            | Self::SecondsToPeak { .. }
            | Self::SecondsToLastUnanswered { .. }
            | Self::SecondsToRollback { .. }
            | Self::SecondsToAlert { .. }
            | Self::SecondsToDiagnosis { .. }
            | Self::SecondsToReport { .. } => Unit::Seconds,
            Self::Query { .. } | Self::StoreRush { .. } | Self::MinutesAbove { .. } => Unit::Number,
            Self::AddedLatencyMs { .. } | Self::LatencyMs { .. } => Unit::Millis,
            Self::Requests { .. }
            | Self::LeastDcErrors { .. }
            | Self::Recoveries { .. }
            | Self::Failures { .. }
            | Self::ControlHostsLost
            | Self::TierRequests { .. }
            | Self::AlertsFiring { .. }
            | Self::Naming { .. }
            | Self::LogLines { .. }
            | Self::FailedTraces { .. }
            | Self::ReleasesRefused { .. }
            | Self::DependencyCycles
            | Self::EnvWrites { .. } => Unit::Count,
        }
    }
}
