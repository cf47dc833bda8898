//! When a status was most frequent.

use std::collections::BTreeMap;

use super::measure::{Judge, Taken, count, ratio};
use crate::recording::{INTERVAL_S, Outcome};
use crate::spec::expectation::Window;
use crate::spec::measure::Scope;
use crate::spec::time::{self, IncidentTime};

impl Judge<'_> {
    /// Seconds to the middle of the `minutes` in which the share of a status is greatest.
    pub(super) fn peak(&self, window: Window, status: u16, minutes: u64, scope: &Scope) -> Taken {
        let mut by_minute: BTreeMap<IncidentTime, (u64, u64)> = BTreeMap::new();
        for row in self.truth(window, scope) {
            let (with, all) = by_minute.entry(row.from).or_default();
            *all += row.count;
            *with += if row.outcome == Outcome::Status(status) { row.count } else { 0 };
        }
        let by_minute: Vec<(IncidentTime, (u64, u64))> = by_minute.into_iter().collect();
        let length = usize::try_from(minutes).unwrap_or(usize::MAX).max(1);
        let shares = by_minute.windows(length).map(|part| {
            let sum = |of: fn(&(u64, u64)) -> u64| part.iter().map(|(_, tally)| of(tally)).sum();
            let (with, all): (u64, u64) = (sum(|tally| tally.0), sum(|tally| tally.1));
            (part[0].0, ratio(with, all), with)
        });
        let Some((from, share, with)) = shares.max_by(|(_, a, _), (_, b, _)| a.total_cmp(b)) else {
            return Taken::nothing().note(format!("the window has less than {minutes} minutes"));
        };
        let to_its_middle =
            count(from.since(window.from).as_secs()) + count(length as u64 * INTERVAL_S) / 2.0;
        Taken::new(to_its_middle, with).note(format!(
            "{:.2} % in the {minutes} minutes from {}",
            share * 100.0,
            time::format(from)
        ))
    }
}
