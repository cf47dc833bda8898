//! Measures of requests that nobody ever answered. What a customer gave up by themselves is none of them.

use std::collections::BTreeMap;

use kv_node::ids::{Name, Namespace};

use super::measure::{Judge, Taken, ratio};
use super::ownership::Owner;
use crate::recording::{Outcome, RequestRow};
use crate::spec::expectation::Window;
use crate::spec::measure::{Parts, Scope};
use crate::spec::time::IncidentTime;

impl Judge<'_> {
    /// Of the requests that were sent, the share that nobody answered.
    pub(super) fn unanswered(&self, window: Window, scope: &Scope) -> Taken {
        let (mut unanswered, mut sent) = (0, 0);
        for row in self.truth(window, scope) {
            sent += row.count;
            unanswered += if row.outcome == Outcome::Timeout { row.count } else { 0 };
        }
        Taken::new(ratio(unanswered, sent), sent).note(format!("{unanswered} of {sent}"))
    }

    /// The greatest difference of that share between parts of the traffic.
    pub(super) fn unanswered_spread(
        &self,
        window: Window,
        between: Parts,
        (requests_min, parts_min): (u64, usize),
    ) -> Taken {
        let mut parts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut add = |part: String, outcome: Outcome, requests: u64| {
            let (unanswered, sent) = parts.entry(part).or_default();
            *sent += requests;
            *unanswered += if outcome == Outcome::Timeout { requests } else { 0 };
        };
        let all = Scope::default();
        if between == Parts::Owner {
            for row in self.requests(window, &all) {
                if let Some(owner) = self.owner(row) {
                    add(owner, row.outcome, row.weight);
                }
            }
        } else {
            for row in self.truth(window, &all) {
                let part = match between {
                    Parts::Namespace => row.namespace.to_string(),
                    _ => self.history.region(&row.dc).map(ToString::to_string).unwrap_or_default(),
                };
                add(part, row.outcome, row.count);
            }
        }
        parts.retain(|_, (_, sent)| *sent >= requests_min);
        let share = |(_, (unanswered, sent)): &(&String, &(u64, u64))| ratio(*unanswered, *sent);
        let by_share = |a: &_, b: &_| share(a).total_cmp(&share(b));
        let (least, most) = (parts.iter().min_by(by_share), parts.iter().max_by(by_share));
        let (Some(least), Some(most)) = (least, most) else { return Taken::nothing() };
        if parts.len() < parts_min.max(2) {
            let parts = parts.len();
            return Taken::nothing().note(format!("{parts} have {requests_min} requests"));
        }
        let evidence = parts.values().map(|(_, sent)| sent).sum();
        let told =
            |part: &(&String, &(u64, u64))| format!("{} {:.2} %", part.0, share(part) * 100.0);
        Taken::new(share(&most) - share(&least), evidence).note(format!(
            "{} to {}",
            told(&least),
            told(&most)
        ))
    }

    fn owner(&self, row: &RequestRow) -> Option<String> {
        let name = Name::new(Namespace::from(row.namespace.as_ref()), &row.key);
        match self.history.owner(row.at, &row.dc, &name) {
            Owner::Is(dc) => Some(dc.to_string()),
            Owner::Nobody | Owner::Unsettled => None,
        }
    }

    /// Seconds until the last request of a window that nobody answered.
    pub(super) fn last_unanswered(&self, window: Window, scope: &Scope) -> Taken {
        let requests = || self.requests(window, scope);
        let last: Option<IncidentTime> =
            requests().filter(|row| row.outcome == Outcome::Timeout).map(|row| row.at).max();
        let seconds = last.map_or(0.0, |last| last.since(window.from).as_secs_f64());
        Taken::new(seconds, requests().map(|row| row.weight).sum())
    }
}
