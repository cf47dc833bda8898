//! The states of one rule's alerts, as in Prometheus' `rules/alerting.go`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::file::AlertingRule;
use crate::{Labels, TimestampMs};

/// How long a resolved alert is remembered. From Prometheus: so that notifications of it can be repeated.
const RESOLVED_RETENTION_MS: i64 = 15 * 60_000;

/// The state of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its element is not in the result: there is no alert, or no longer.
    Inactive,
    /// Its element is there, but not for long enough.
    Pending,
    /// It notifies people.
    Firing,
}

impl State {
    /// As the label `alertstate` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An alert that a rule raised.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveAlert {
    /// The group of its rule.
    pub group: Arc<str>,
    /// The name of its rule.
    pub alert: Arc<str>,
    /// All its labels, with `alertname`.
    pub labels: Labels,
    /// What it tells people, as of the last evaluation that had its element.
    pub annotations: BTreeMap<String, String>,
    /// Its state.
    pub state: State,
    /// The value at the last evaluation that had its element.
    pub value: f64,
    /// The evaluation that raised it.
    pub active_at: TimestampMs,
    /// The evaluation at which it began to fire.
    pub fired_at: Option<TimestampMs>,
    /// The evaluation at which it ended; it is [`State::Inactive`] then.
    pub resolved_at: Option<TimestampMs>,
    /// The first evaluation without its element, if it fires on only because of `keep_firing_for`.
    pub keep_firing_since: Option<TimestampMs>,
}

/// A change of an alert's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The evaluation time.
    pub at: TimestampMs,
    /// The group of its rule.
    pub group: String,
    /// The name of its rule.
    pub alert: String,
    /// All its labels, with `alertname`.
    pub labels: Labels,
    /// What it tells people, as of the last evaluation that had its element.
    pub annotations: BTreeMap<String, String>,
    /// Its state before this evaluation.
    pub from: State,
    /// Its state after this evaluation. A rule without `for` takes its alerts from inactive to firing at once.
    pub to: State,
    /// The value at the last evaluation that had its element.
    pub value: f64,
    /// The evaluation that raised it.
    pub active_at: TimestampMs,
    /// The evaluation at which it began to fire, if it did.
    pub fired_at: Option<TimestampMs>,
    /// What its rule evaluates.
    pub query: Arc<str>,
}

/// What an evaluation says about one alert.
#[derive(Clone, Debug)]
pub(super) struct Element {
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// The alerts of one rule.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) group: Arc<str>,
    pub(super) alert: Arc<str>,
    pub(super) query: Arc<str>,
    pub(super) for_ms: i64,
    pub(super) keep_firing_for_ms: i64,
    /// The most alerts that may be active; 0 for any number.
    pub(super) limit: usize,
    alerts: BTreeMap<Labels, ActiveAlert>,
}

impl Machine {
    /// The alerts of `rule` in `group`, of which at most `limit` may be active: none.
    pub(super) fn new(group: &Arc<str>, rule: &AlertingRule, limit: usize) -> Self {
        Self {
            group: Arc::clone(group),
            alert: Arc::from(rule.name.as_str()),
            query: Arc::from(rule.query.text()),
            for_ms: rule.for_ms,
            keep_firing_for_ms: rule.keep_firing_for_ms,
            limit,
            alerts: BTreeMap::new(),
        }
    }

    /// Pending and firing alerts, by labels.
    pub(super) fn active(&self) -> impl Iterator<Item = &ActiveAlert> {
        self.alerts.values().filter(|alert| alert.state != State::Inactive)
    }

    /// Takes the result of one evaluation, by labels, and adds what changed to `changes`, by labels.
    ///
    /// # Errors
    /// When there are more active alerts than the limit. All alerts are forgotten then, as in Prometheus, which sends
    /// no notice of it.
    pub(super) fn step(
        &mut self,
        at: TimestampMs,
        elements: BTreeMap<Labels, Element>,
        changes: &mut Vec<Transition>,
    ) -> Result<(), String> {
        let before: BTreeMap<Labels, State> =
            self.active().map(|alert| (alert.labels.clone(), alert.state)).collect();
        let present: Vec<Labels> = elements.keys().cloned().collect();
        for (labels, element) in elements {
            self.appear(at, labels, element);
        }
        let mut ended = Vec::new();
        let mut active = 0;
        let (for_ms, keep_ms) = (self.for_ms, self.keep_firing_for_ms);
        self.alerts.retain(|labels, alert| {
            if present.binary_search(labels).is_ok() {
                alert.keep_firing_since = None;
            } else if !stays(alert, keep_ms, at) {
                return disappear(alert, at, &mut ended);
            }
            active += 1;
            if alert.state == State::Pending && at - alert.active_at >= for_ms {
                alert.state = State::Firing;
                alert.fired_at = Some(at);
            }
            true
        });
        let exceeded = self.limit > 0 && active > self.limit;
        if exceeded {
            ended.extend(
                self.alerts.values().filter(|alert| before.contains_key(&alert.labels)).cloned(),
            );
            self.alerts.clear();
        }
        let now: BTreeMap<&Labels, &ActiveAlert> =
            ended.iter().chain(self.active()).map(|alert| (&alert.labels, alert)).collect();
        for (labels, alert) in now {
            let from = before.get(labels).copied().unwrap_or(State::Inactive);
            let to = self.alerts.get(labels).map_or(State::Inactive, |alert| alert.state);
            if from != to {
                changes.push(self.transition(at, alert, (from, to)));
            }
        }
        if exceeded {
            Err(format!("exceeded limit of {} with {active} alerts", self.limit))
        } else {
            Ok(())
        }
    }

    /// An element is in the result: it is a new alert, or the value of one that is active.
    fn appear(&mut self, at: TimestampMs, labels: Labels, element: Element) {
        if let Some(alert) =
            self.alerts.get_mut(&labels).filter(|alert| alert.state != State::Inactive)
        {
            alert.value = element.value;
            alert.annotations = element.annotations;
            return;
        }
        let alert = ActiveAlert {
            group: Arc::clone(&self.group),
            alert: Arc::clone(&self.alert),
            labels: labels.clone(),
            annotations: element.annotations,
            state: State::Pending,
            value: element.value,
            active_at: at,
            fired_at: None,
            resolved_at: None,
            keep_firing_since: None,
        };
        self.alerts.insert(labels, alert);
    }

    fn transition(
        &self,
        at: TimestampMs,
        alert: &ActiveAlert,
        (from, to): (State, State),
    ) -> Transition {
        Transition {
            at,
            group: alert.group.to_string(),
            alert: alert.alert.to_string(),
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            from,
            to,
            value: alert.value,
            active_at: alert.active_at,
            fired_at: alert.fired_at,
            query: Arc::clone(&self.query),
        }
    }
}

/// Whether an alert without element fires on because of `keep_firing_for`.
fn stays(alert: &mut ActiveAlert, keep_ms: i64, at: TimestampMs) -> bool {
    alert.state == State::Firing
        && keep_ms > 0
        && at - *alert.keep_firing_since.get_or_insert(at) < keep_ms
}

/// An alert without element ends. Returns whether it is still remembered: one that fired, for a while.
fn disappear(alert: &mut ActiveAlert, at: TimestampMs, ended: &mut Vec<ActiveAlert>) -> bool {
    match alert.state {
        State::Pending => {
            ended.push(alert.clone());
            false
        }
        State::Firing => {
            alert.state = State::Inactive;
            alert.resolved_at = Some(at);
            ended.push(alert.clone());
            true
        }
        State::Inactive => {
            alert.resolved_at.is_some_and(|resolved| at - resolved <= RESOLVED_RETENTION_MS)
        }
    }
}
