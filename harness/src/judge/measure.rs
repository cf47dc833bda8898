//! How each measure is taken from a recording.

use std::collections::{BTreeMap, BTreeSet};

use kv_node::env::Listener;
use kv_node::ids::{Dc, Name, Namespace, Region};
use kv_node::telemetry::Lifecycle;

use super::ownership::{History, Owner};
use super::{releases, signals};
use crate::recording::{Caller, Journal, Outcome, Recording, RequestRow, TruthRow};
use crate::spec::dependencies;
use crate::spec::expectation::Window;
use crate::spec::measure::{Measure, Scope, WindowName};
use crate::spec::time::IncidentTime;

/// What a measure came to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) value: Option<f64>,
    pub(super) interval: Option<(f64, f64)>,
    pub(super) evidence: u64,
    pub(super) note: Option<String>,
}

impl Taken {
    pub(super) fn nothing() -> Self {
        Self::default()
    }

    pub(super) fn new(value: f64, evidence: u64) -> Self {
        // A number that came of nothing is no number.
        Self { value: (evidence > 0).then_some(value), evidence, ..Self::default() }
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// Requests and failures of a part of the traffic.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    requests: u64,
    failures: u64,
}

impl Tally {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn share(self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.failures as f64 / self.requests as f64 }
    }
}

pub(super) struct Judge<'a> {
    pub(super) recording: &'a Recording,
    pub(super) history: &'a History,
}

pub(super) fn take(
    measure: &Measure,
    window: Window,
    recording: &Recording,
    history: &History,
) -> Taken {
    let judge = Judge { recording, history };
    match measure {
        Measure::Requests { scope } => {
            let tally = judge.tally(window, scope);
            Taken::new(count(tally.requests), tally.requests)
        }
        Measure::ErrorShare { scope } => {
            let tally = judge.tally(window, scope);
            Taken::new(tally.share(), tally.requests)
        }
        Measure::Failures { scope } => {
            let tally = judge.tally(window, scope);
            Taken::new(count(tally.failures), tally.requests)
        }
        Measure::ErrorShareAboveBaseline { scope, baseline } => {
            judge.above(window, scope, baseline)
        }
        Measure::WorstNamespaceErrorShare { requests_min, regions } => {
            judge.worst_namespace(window, *requests_min, regions)
        }
        Measure::WorstDcErrorShare { scope } => judge.worst_dc(window, scope),
        Measure::LeastDcErrors { scope } => judge.least_dc(window, scope),
        Measure::OwnerPrecision { owners } => judge.precision(window, owners),
        Measure::OwnerRecall { owners } => judge.recall(window, owners),
        Measure::Recoveries { owners } => judge.recoveries(window, owners),
        Measure::SecondsToLast500 { scope } => judge.last_of(window, 500, scope),
        Measure::SecondsToLastStatus { status, scope } => judge.last_of(window, *status, scope),
        Measure::SecondsToPeak { status, minutes, scope } => {
            judge.peak(window, *status, *minutes, scope)
        }
        Measure::UnansweredShare { scope } => judge.unanswered(window, scope),
        Measure::UnansweredSpread { between, requests_min, parts_min } => {
            judge.unanswered_spread(window, *between, (*requests_min, *parts_min))
        }
        Measure::SecondsToLastUnanswered { scope } => judge.last_unanswered(window, scope),
        Measure::TierRequests { dcs } => judge.tier_requests(window, dcs),
        Measure::StoreRush { baseline } => judge.store_rush(window, baseline),
        Measure::EnvWrites { stays } => judge.env_writes(window, *stays),
        Measure::AddedLatencyMs { owners } => judge.added_latency(window, owners),
        Measure::LatencyMs { quantile, scope } => judge.latency(window, *quantile, scope),
        Measure::StatusShare { status, scope } => judge.status_share(window, *status, scope),
        Measure::HotColdSpread { status, hot } => judge.hot_cold(window, *status, *hot),
        _ => take_signal(measure, window, recording),
    }
}

fn take_signal(measure: &Measure, window: Window, recording: &Recording) -> Taken {
    match measure {
        Measure::SecondsToAlert { alert, labels, after } => {
            signals::seconds_to_alert(recording, window, (alert, labels), *after)
        }
        Measure::AlertsFiring { alert, severity, except_dcs, except_alerts } => {
            signals::alerts_firing(recording, window, |row| {
                let dc = signals::said(row, "dc").map(|dc| Dc::from(dc.as_str()));
                alert.as_ref().is_none_or(|alert| row.alert == *alert)
                    && (severity.is_none() || severity.as_ref() == row.labels.get("severity"))
                    && !dc.is_some_and(|dc| except_dcs.contains(&dc))
                    && !except_alerts.contains(&row.alert)
            })
        }
        Measure::Naming { texts } => signals::naming(recording, window, texts),
        Measure::LogLines { status, dcs } => signals::log_lines(recording, window, *status, dcs),
        Measure::FailuresToldByLog => signals::failures_told_by_log(recording, window),
        Measure::SecondsToReport { kind, script, dcs } => {
            signals::seconds_to_report(recording, window, (kind, script), dcs)
        }
        Measure::SecondsToDiagnosis { cause } => {
            signals::seconds_to_diagnosis(recording, window, cause.as_deref())
        }
        Measure::FailedTraces { from, to } => signals::failed_traces(recording, window, from, to),
        Measure::ReleasesRefused { naming } => releases::refused(recording, window, naming),
        Measure::SecondsToRollback { by } => releases::seconds_to_rollback(recording, window, by),
        Measure::ControlHostsLost => super::honesty::control_hosts_lost(recording),
        Measure::WrittenAlike => super::safety::written_alike(recording),
        Measure::DependencyCycles => {
            let circles = dependencies::circles(&recording.spec);
            let note = circles.first().map(|circle| circle.join(" needs ")).unwrap_or_default();
            Taken::new(count(circles.len() as u64), 1).note(note)
        }
        Measure::MinutesAbove { over, query, level } => {
            super::query::minutes_above(recording, window, *over, (query, *level))
        }
        Measure::Query { over, query, extreme } => {
            super::query::take(recording, window, *over, query, *extreme)
        }
        // Every other measure is one of the customers' traffic.
        _ => Taken::nothing(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(super) fn count(number: u64) -> f64 {
    number as f64
}

impl<'a> Judge<'a> {
    fn matches(&self, scope: &Scope, dc: &str, namespace: &str, operation: &str) -> bool {
        let region = |regions: &BTreeSet<Region>| {
            self.history.region(dc).is_some_and(|region| regions.contains(region))
        };
        (scope.regions.is_empty() || region(&scope.regions))
            && (scope.dcs.is_empty() || scope.dcs.iter().any(|known| known.as_str() == dc))
            && (scope.namespaces.is_empty()
                || scope.namespaces.iter().any(|n| n.as_str() == namespace))
            && (scope.operations.is_empty() || scope.operations.contains(operation))
            && scope.enrolled.is_none_or(|enrolled| enrolled == self.enrolled(namespace))
    }

    fn enrolled(&self, namespace: &str) -> bool {
        let namespaces = &self.recording.spec.topology.namespaces;
        namespaces.iter().any(|about| about.id.as_str() == namespace && about.enrolled)
    }

    /// Intervals belong to a window where they begin in it; one that begins before it and reaches into it belongs to what
    /// came before.
    pub(super) fn truth(
        &self,
        window: Window,
        scope: &Scope,
    ) -> impl Iterator<Item = &'a TruthRow> {
        self.recording
            .truth
            .iter()
            .filter(move |row| window.contains(row.from))
            .filter(move |row| self.matches(scope, &row.dc, &row.namespace, &row.operation))
    }

    fn tally(&self, window: Window, scope: &Scope) -> Tally {
        let mut tally = Tally::default();
        for row in self.truth(window, scope) {
            tally.requests += row.count;
            tally.failures += if row.outcome.failed() { row.count } else { 0 };
        }
        tally
    }

    fn baseline(&self, scope: &Scope, baseline: &WindowName) -> Option<Tally> {
        match baseline {
            WindowName::At(window) => Some(self.tally(*window, scope)).filter(|t| t.requests > 0),
            WindowName::Named(_) => None,
        }
    }

    fn above(&self, window: Window, scope: &Scope, baseline: &WindowName) -> Taken {
        let Some(before) = self.baseline(scope, baseline) else { return Taken::nothing() };
        let tally = self.tally(window, scope);
        Taken::new(tally.share() - before.share(), tally.requests).note(format!(
            "{} of {} failed; before, {} of {}",
            tally.failures, tally.requests, before.failures, before.requests
        ))
    }

    fn worst_namespace(
        &self,
        window: Window,
        requests_min: u64,
        regions: &BTreeSet<Region>,
    ) -> Taken {
        let candidates = self.recording.spec.topology.namespaces.iter().filter(|about| {
            about.enrolled
                && about.regions.len() == 1
                && (regions.is_empty()
                    || about.regions.iter().any(|region| regions.contains(region)))
        });
        let worst = candidates
            .map(|about| {
                let namespaces = BTreeSet::from([about.id.clone()]);
                (self.tally(window, &Scope { namespaces, ..Scope::default() }), &about.id)
            })
            .filter(|(tally, _)| tally.requests >= requests_min)
            .max_by(|(a, _), (b, _)| a.share().total_cmp(&b.share()));
        let Some((tally, id)) = worst else {
            return Taken::nothing()
                .note(format!("no namespace of one region has {requests_min} requests"));
        };
        Taken {
            interval: Some(wilson(tally)),
            ..Taken::new(tally.share(), tally.requests).note(id.to_string())
        }
    }

    fn by_dc(&self, window: Window, scope: &Scope) -> BTreeMap<&'a str, Tally> {
        let mut dcs: BTreeMap<&str, Tally> = BTreeMap::new();
        for row in self.truth(window, scope) {
            let tally = dcs.entry(&row.dc).or_default();
            tally.requests += row.count;
            tally.failures += if row.outcome.failed() { row.count } else { 0 };
        }
        dcs
    }

    fn worst_dc(&self, window: Window, scope: &Scope) -> Taken {
        let dcs = self.by_dc(window, scope);
        let worst = dcs.iter().max_by(|(_, a), (_, b)| a.share().total_cmp(&b.share()));
        worst.map_or_else(Taken::nothing, |(dc, tally)| {
            Taken::new(tally.share(), tally.requests).note((*dc).to_owned())
        })
    }

    fn least_dc(&self, window: Window, scope: &Scope) -> Taken {
        let dcs = self.by_dc(window, scope);
        // A data center that nobody asked counts too: it has no errors.
        let all = self.recording.spec.topology.dcs.keys().map(Dc::as_str);
        let least = all
            .filter(|dc| self.matches(scope, dc, "", "") || dcs.contains_key(dc))
            .map(|dc| (dc, dcs.get(dc).copied().unwrap_or_default()))
            .min_by_key(|(_, tally)| tally.failures);
        least.map_or_else(Taken::nothing, |(dc, tally)| {
            let evidence = dcs.values().map(|tally| tally.requests).sum();
            Taken::new(count(tally.failures), evidence)
                .note(format!("{dc}, {} requests", tally.requests))
        })
    }

    pub(super) fn requests(
        &self,
        window: Window,
        scope: &Scope,
    ) -> impl Iterator<Item = &'a RequestRow> {
        self.recording
            .requests
            .iter()
            .filter(move |row| window.contains(row.at))
            .filter(move |row| self.matches(scope, &row.dc, &row.namespace, &row.operation))
    }

    /// Whether one of `owners` owned the key of a request; `None` where that was changing just then.
    fn owned_by(&self, row: &RequestRow, owners: &BTreeSet<Dc>) -> Option<bool> {
        let name = Name::new(Namespace::from(row.namespace.as_ref()), &row.key);
        match self.history.owner(row.at, &row.dc, &name) {
            Owner::Is(dc) => Some(owners.contains(dc)),
            Owner::Nobody => Some(false),
            Owner::Unsettled => None,
        }
    }

    fn precision(&self, window: Window, owners: &BTreeSet<Dc>) -> Taken {
        let all = Scope::default();
        let (mut owned, mut total) = (0, 0);
        for row in self.requests(window, &all).filter(|row| row.outcome == Outcome::Status(500)) {
            let Some(by_bad) = self.owned_by(row, owners) else { continue };
            total += row.weight;
            owned += if by_bad { row.weight } else { 0 };
        }
        Taken::new(ratio(owned, total), total)
    }

    /// Requests that missed the edge for a key of `owners`: those answered 500, and those answered well.
    fn misses(&self, window: Window, owners: &BTreeSet<Dc>) -> (u64, u64) {
        let all = Scope::default();
        let (mut failed, mut answered) = (0, 0);
        for row in self.requests(window, &all) {
            let well = row.cache.asked_further_up();
            let ill = row.outcome == Outcome::Status(500);
            if (well || ill)
                && row.operation.as_ref() == "get"
                && self.owned_by(row, owners) == Some(true)
            {
                failed += if ill { row.weight } else { 0 };
                answered += if well && !ill { row.weight } else { 0 };
            }
        }
        (failed, answered)
    }

    fn recall(&self, window: Window, owners: &BTreeSet<Dc>) -> Taken {
        let (failed, answered) = self.misses(window, owners);
        Taken::new(ratio(failed, failed + answered), failed + answered)
    }

    fn recoveries(&self, window: Window, owners: &BTreeSet<Dc>) -> Taken {
        let (failed, answered) = self.misses(window, owners);
        Taken::new(count(answered), failed + answered).note(format!("while {failed} failed"))
    }

    fn last_of(&self, window: Window, status: u16, scope: &Scope) -> Taken {
        let evidence = self.tally(window, scope).requests;
        let last: Option<IncidentTime> = self
            .requests(window, scope)
            .filter(|row| row.outcome == Outcome::Status(status))
            .map(|row| row.at)
            .max();
        let seconds = last.map_or(0.0, |last| last.since(window.from).as_secs_f64());
        Taken::new(seconds, evidence)
    }

    fn tier_requests(&self, window: Window, dcs: &BTreeSet<Dc>) -> Taken {
        let (mut to_them, mut all) = (0, 0);
        for row in &self.recording.wire {
            if window.contains(row.from)
                && row.listener == Listener::Tier
                && row.caller == Caller::Dc
            {
                all += row.count;
                to_them += if dcs.iter().any(|dc| dc.as_str() == &*row.to) { row.count } else { 0 };
            }
        }
        Taken::new(count(to_them), all).note(format!("of {all} everywhere"))
    }

    /// Intervals in which nothing arrived are no part of the mean.
    fn store_rush(&self, window: Window, baseline: &WindowName) -> Taken {
        let WindowName::At(baseline) = baseline else { return Taken::nothing() };
        let minutes = |window: Window| {
            let mut minutes: BTreeMap<IncidentTime, u64> = BTreeMap::new();
            for row in self.recording.wire.iter().filter(|row| window.contains(row.from)) {
                if row.listener == Listener::Store {
                    *minutes.entry(row.from).or_default() += row.count;
                }
            }
            minutes
        };
        let (usual, then) = (minutes(*baseline), minutes(window));
        let (sum, most) = (usual.values().sum::<u64>(), then.values().max().copied().unwrap_or(0));
        let mean = count(sum) / count(usual.len().max(1) as u64);
        let times = if sum > 0 { count(most) / mean } else { 0.0 };
        let evidence = sum.min(then.values().sum());
        Taken::new(times, evidence).note(format!("{most} in a minute against {mean:.0}"))
    }

    fn env_writes(&self, window: Window, wanted: bool) -> Taken {
        let mut isolates = BTreeSet::new();
        for (at, entry) in &self.recording.journal {
            if let Journal::Life(Lifecycle::EnvWritten { dc, script, isolate, stays }) = entry
                && *stays == wanted
                && window.contains(*at)
            {
                isolates.insert((dc.as_str(), *script, *isolate));
            }
        }
        let dcs: BTreeSet<&str> = isolates.iter().map(|(dc, ..)| *dc).collect();
        let note = dcs.into_iter().collect::<Vec<_>>().join(", ");
        Taken::new(count(isolates.len() as u64), self.recording.journal.len() as u64).note(note)
    }

    fn added_latency(&self, window: Window, owners: &BTreeSet<Dc>) -> Taken {
        let regions: BTreeSet<Region> =
            owners.iter().filter_map(|dc| self.history.region(dc.as_str())).cloned().collect();
        let scope = Scope { regions, enrolled: Some(true), ..Scope::default() };
        let (mut theirs, mut others) = (Vec::new(), Vec::new());
        for row in self.requests(window, &scope) {
            if row.cache.asked_further_up() && row.outcome.succeeded() {
                match self.owned_by(row, owners) {
                    Some(true) => theirs.push(row.latency_us),
                    Some(false) => others.push(row.latency_us),
                    None => {}
                }
            }
        }
        let evidence = theirs.len().min(others.len()) as u64;
        let (Some(a), Some(b)) = (quantile_ms(theirs, 0.5), quantile_ms(others, 0.5)) else {
            return Taken::nothing();
        };
        Taken::new(a - b, evidence).note(format!("{a:.0} ms against {b:.0} ms"))
    }

    fn latency(&self, window: Window, quantile: f64, scope: &Scope) -> Taken {
        let latencies: Vec<u64> = self
            .requests(window, scope)
            .filter(|row| row.outcome.succeeded())
            .map(|row| row.latency_us)
            .collect();
        let evidence = latencies.len() as u64;
        quantile_ms(latencies, quantile).map_or_else(Taken::nothing, |ms| Taken::new(ms, evidence))
    }
}

pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    Tally { requests: whole, failures: part }.share()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list"
)]
fn quantile_ms(mut latencies_us: Vec<u64>, quantile: f64) -> Option<f64> {
    latencies_us.sort_unstable();
    let last = latencies_us.len().checked_sub(1)?;
    let at = (last as f64 * quantile).round() as usize;
    latencies_us.get(at.min(last)).map(|us| *us as f64 / 1_000.0)
}

/// Wilson's score interval at 95 %.
fn wilson(tally: Tally) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    let (n, p) = (count(tally.requests), tally.share());
    let center = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    ((center - spread) / scale, (center + spread) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confidence_interval_is_wilson_s() {
        // 15 of 100: 9.3 % to 23.3 %, from the literature.
        let (low, high) = wilson(Tally { requests: 100, failures: 15 });
        assert!((low - 0.0931).abs() < 5e-4 && (high - 0.2328).abs() < 5e-4, "{low} {high}");
    }

    #[test]
    fn quantiles_of_nothing_are_nothing() {
        assert_eq!(quantile_ms(vec![], 0.5), None);
        assert_eq!(quantile_ms(vec![3_000, 1_000, 2_000], 0.5), Some(2.0));
    }
}
