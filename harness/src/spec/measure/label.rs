//! What measures are called in tables.

use kv_node::ids::Dc;

use super::{After, Extreme, Measure, Parts, Scope};

impl Measure {
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
