//! Expectations: what a scenario says of a recording.
//!
//! An expectation is one or more checks; a check is a [`Measure`] over a window, with a bound. The judge knows how to take
//! each measure from a recording; this file knows only which there are.

use std::collections::BTreeSet;

use kv_node::ids::{Dc, Namespace, Region};
use serde::{Deserialize, Serialize};

use super::time::IncidentTime;

/// What a `Then` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// The row's id, such as `R1-1`, or the step's own words.
    pub title: String,
    /// What is claimed, in words.
    pub says: String,
    /// The step's line.
    pub line: usize,
    /// All of them must hold.
    pub checks: Vec<Check>,
}

/// A measure, where to take it, and what it must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What is measured.
    pub measure: Measure,
    /// From when to when.
    pub window: Window,
    /// What it must be.
    pub bound: Bound,
    /// Where the bound comes from.
    pub basis: Basis,
}

/// A span of incident time, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// From.
    pub from: IncidentTime,
    /// To.
    pub to: IncidentTime,
}

impl Window {
    /// Whether a moment lies in it.
    pub fn contains(&self, moment: IncidentTime) -> bool {
        self.from <= moment && moment < self.to
    }
}

/// The least and the most that a measure may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// At least.
    pub min: Option<f64>,
    /// At most.
    pub max: Option<f64>,
}

impl Bound {
    /// No more than a number.
    pub fn at_most(max: f64) -> Self {
        Self { min: None, max: Some(max) }
    }

    /// No less than a number.
    pub fn at_least(min: f64) -> Self {
        Self { min: Some(min), max: None }
    }

    /// Whether a value lies within.
    pub fn holds(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    /// How far a value lies from the nearest bound, as a share of the band: of the distance between the bounds where there
    /// are two, of the bound where there is an upper one only, of the value where there is a lower one only (of the way to
    /// 1, where that is a share of one half or more). Negative outside. None where the bound is one number, which is met or not.
    #[expect(clippy::float_cmp, reason = "two bounds that were written alike are one")]
    pub fn margin(&self, value: f64, unit: Unit) -> Option<f64> {
        match (self.min, self.max) {
            (Some(min), None) if unit == Unit::Share && (0.5..1.0).contains(&min) => {
                Some((value - min) / (1.0 - min))
            }
            (Some(min), Some(max)) if min == max => None,
            (Some(min), Some(max)) => Some((value - min).min(max - value) / (max - min)),
            (None, Some(0.0) | None) => None,
            (None, Some(max)) => Some((max - value) / max.abs()),
            (Some(min), None) if value > 0.0 => Some((value - min) / value),
            (Some(_), None) => Some(-1.0),
        }
    }
}

/// Where a bound comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The named source states it.
    Published,
    /// We chose it.
    Assumed,
}

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
    /// Failures.
    Failures {
        /// Of which traffic.
        #[serde(default)]
        scope: Scope,
    },
    /// Requests of other data centers that arrived at the tier listeners of these.
    TierRequests {
        /// The data centers.
        dcs: BTreeSet<Dc>,
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
            | Self::StatusShare { .. } => Unit::Share,
            Self::SecondsToLast500 { .. } => Unit::Seconds,
            Self::AddedLatencyMs { .. } | Self::LatencyMs { .. } => Unit::Millis,
            Self::Requests { .. }
            | Self::LeastDcErrors { .. }
            | Self::Recoveries { .. }
            | Self::Failures { .. }
            | Self::TierRequests { .. }
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
            Self::OwnerPrecision { .. } => "of the 500s, owned by a bad data center".to_owned(),
            Self::OwnerRecall { .. } => "of the misses owned by a bad one, 500".to_owned(),
            Self::Recoveries { .. } => "misses owned by a bad one, answered".to_owned(),
            Self::SecondsToLast500 { scope } => format!("last 500 after{scope}"),
            Self::Failures { scope } => format!("failures{scope}"),
            Self::TierRequests { .. } => "tier requests to those that returned".to_owned(),
            Self::EnvWrites { stays: true } => "isolates whose env was left changed".to_owned(),
            Self::EnvWrites { stays: false } => {
                "isolates that reported a write to their env".to_owned()
            }
            Self::AddedLatencyMs { .. } => "added latency, median".to_owned(),
            Self::LatencyMs { quantile, scope } => {
                format!("latency, {:.0}th percentile{scope}", quantile * 100.0)
            }
            Self::StatusShare { status, scope } => format!("share of {status}{scope}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_is_a_share_of_the_band() {
        let margin = |min, max, value| Bound { min, max }.margin(value, Unit::Count);
        let close = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-9;
        assert!(close(margin(Some(0.002), Some(0.005), 0.0035), 0.5));
        assert!(close(margin(Some(0.002), Some(0.005), 0.0053), -0.1));
        assert!(close(margin(None, Some(60.0), 45.0), 0.25));
        assert!(close(margin(Some(1.0), None, 4.0), 0.75));
        let share = Bound::at_least(0.99).margin(0.998, Unit::Share);
        assert!(close(share, 0.8));
        assert_eq!(margin(None, Some(0.0), 0.0), None);
        assert_eq!(margin(Some(0.0), Some(0.0), 0.0), None);
    }
}
