//! What can be measured. The judge knows how to take each measure from a recording; this file knows only which there are.

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

    /// What it is called in a table.
    pub fn label(&self) -> String {
        match self {
            Self::Requests { scope } => format!("requests{scope}"),
            Self::ErrorShare { scope } => format!("error share{scope}"),
            Self::ErrorShareAboveBaseline { scope, .. } => {
                format!("error share above baseline{scope}")
            }
            Self::WorstNamespaceErrorShare { .. } => {
                "error share, worst one-region namespace".to_owned()
            }
            Self::WorstDcErrorShare { scope } => format!("error share, worst data center{scope}"),
            Self::LeastDcErrors { scope } => format!("errors, least affected data center{scope}"),
            Self::WrittenAlike => "of the written keys, alike in all stores".to_owned(),
            Self::OwnerPrecision { .. } => "of the 500s, owned by a bad data center".to_owned(),
            Self::OwnerRecall { .. } => "of the misses owned by a bad one, 500".to_owned(),
            Self::Recoveries { .. } => "misses owned by a bad one, answered".to_owned(),
            Self::SecondsToLast500 { scope } => format!("last 500 after{scope}"),
            Self::SecondsToLastStatus { status, scope } => format!("last {status} after{scope}"),
            Self::SecondsToPeak { status, scope, .. } => format!("peak of {status} after{scope}"),
            Self::ControlHostsLost => "control hosts lost in upper tiers".to_owned(),
            Self::Failures { scope } => format!("failures{scope}"),
            Self::UnansweredShare { scope } => format!("share that nobody answered{scope}"),
            Self::UnansweredSpread { between, .. } => {
                let between = match between {
                    Parts::Region => "regions",
                    Parts::Namespace => "namespaces",
                    Parts::Owner => "owners",
                };
                format!("share that nobody answered, difference between {between}")
            }
            Self::SecondsToLastUnanswered { scope } => format!("last one unanswered after{scope}"),
            Self::ReleasesRefused { .. } => "releases refused with their reason".to_owned(),
            Self::SecondsToRollback { by } => format!("rolled back by {by}"),
            Self::TierRequests { .. } => "tier requests to those that returned".to_owned(),
            Self::StoreRush { .. } => "requests of stores, times the usual".to_owned(),
            Self::EnvWrites { stays: true } => "isolates whose env was left changed".to_owned(),
            Self::EnvWrites { stays: false } => {
                "isolates that reported a write to their env".to_owned()
            }
            Self::AddedLatencyMs { .. } => "added latency, median".to_owned(),
            Self::LatencyMs { quantile, scope } => {
                format!("latency, {:.0}th percentile{scope}", quantile * 100.0)
            }
            Self::StatusShare { status, scope } => format!("share of {status}{scope}"),
            Self::HotColdSpread { status, hot } => {
                format!("share of {status}, first {hot} keys against the others")
            }
            Self::DependencyCycles => "circles of dependencies".to_owned(),
            Self::SecondsToAlert { .. }
            | Self::AlertsFiring { .. }
            | Self::Naming { .. }
            | Self::LogLines { .. }
            | Self::FailuresToldByLog
            | Self::SecondsToDiagnosis { .. }
            | Self::SecondsToReport { .. }
            | Self::FailedTraces { .. }
            | Self::MinutesAbove { .. }
            | Self::Query { .. } => self.label_of_signal(),
        }
    }

    fn label_of_signal(&self) -> String {
        match self {
            Self::SecondsToAlert { alert, labels, after } => {
                let labels: Vec<&str> = labels.values().map(String::as_str).collect();
                let after = match after {
                    After::Window => "",
                    After::Errors => " after the first error",
                };
                format!("{alert} fires{after}, {}", labels.join(" "))
            }
            Self::AlertsFiring { alert, severity, except_dcs, except_alerts } => {
                let what = alert.clone().or(severity.clone()).unwrap_or_else(|| "alert".to_owned());
                let others: Vec<&str> = except_dcs
                    .iter()
                    .map(Dc::as_str)
                    .chain(except_alerts.iter().map(String::as_str))
                    .collect();
                let but = if others.is_empty() { "" } else { ", but for " };
                format!("{what} firing{but}{}", others.join(" "))
            }
            Self::Naming { .. } => "lines and reports that name the cause".to_owned(),
            Self::LogLines { status, dcs } => {
                let dcs: Vec<&str> = dcs.iter().map(Dc::as_str).collect();
                format!("lines with {status}, {}", dcs.join(" "))
            }
            Self::FailuresToldByLog => "of the failures, told by the log".to_owned(),
            Self::SecondsToReport { kind, script, dcs } => {
                let dcs: Vec<&str> = dcs.iter().map(Dc::as_str).collect();
                format!("{kind} of {script} reported, {}", dcs.join(" "))
            }
            Self::SecondsToDiagnosis { cause } => {
                let labels: Vec<&str> =
                    cause.iter().flat_map(|cause| cause.names.keys()).map(String::as_str).collect();
                format!("the cause is named, {}", labels.join(" "))
            }
            Self::FailedTraces { from, to } => format!("traces of failures, {from} to {to}"),
            Self::MinutesAbove { over, level, .. } => {
                format!("minutes above {level} of a query over {}", over.name())
            }
            Self::Query { over, extreme, .. } => {
                let over = over.name();
                let extreme = match extreme {
                    Extreme::Max => "largest",
                    Extreme::Min => "smallest",
                };
                format!("query over {over}, {extreme} value")
            }
            _ => String::new(),
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<String> = self.regions.iter().map(ToString::to_string).collect();
        parts.extend(self.dcs.iter().map(ToString::to_string));
        parts.extend(self.namespaces.iter().map(ToString::to_string));
        parts.extend(self.operations.iter().cloned());
        match self.enrolled {
            Some(true) => parts.push("enrolled".to_owned()),
            Some(false) => parts.push("not enrolled".to_owned()),
            None => {}
        }
        if parts.is_empty() { Ok(()) } else { write!(f, ", {}", parts.join(" ")) }
    }
}
