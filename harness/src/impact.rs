//! What an incident cost its customers, in one unit for every comparison of two histories: failed requests, and minutes in
//! which more failed than usual.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::recording::{INTERVAL_S, Outcome, Recording};
use crate::spec::Spec;
use crate::spec::expectation::Window;
use crate::spec::time::IncidentTime;

/// Of the requests of quiet times at least so many fail: one in ten thousand, the tolerance of the hardened rows. A baseline
/// of a few minutes without a failure would make an impact of every failure later on.
const USUAL_MIN: f64 = 1e-4;
/// A minute counts where its failures come by chance in one of so many minutes at the most.
const CHANCE: f64 = 1e-3;

/// The cost of a span of time. Requests are those that customers sent in it; one counts as failed where the service is to
/// blame, and where it refuses its own customers (401, 403): whoever sends requests in a lab has the right to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// Requests sent.
    pub requests: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Minutes in which more failed than the share of before the first action explains.
    pub minutes: u64,
}

/// The unit, as it stands below every table of impacts.
pub const UNIT: &str = "minutes: those in which more requests fail than chance makes of the share of before the first \
action (at least 0.01 %; one minute in 1,000 is more by chance); failed: answers 500 and above, 401 and 403, broken \
connections, no answer in time";

impl Impact {
    /// What a window cost, against a quiet span of the same recording.
    pub fn of(recording: &Recording, window: Window, quiet: Window) -> Self {
        let mut impact =
            Self { minutes: above(recording, window, quiet).len() as u64, ..Self::default() };
        for (requests, failed) in counted(recording, window).into_values() {
            impact.requests += requests;
            impact.failed += failed;
        }
        impact
    }
}

/// The minutes of a window in which more failed than the share of a quiet span explains.
pub fn above(recording: &Recording, window: Window, quiet: Window) -> Vec<IncidentTime> {
    let before = counted(recording, quiet);
    let (requests, failed) = before.values().fold((0, 0), |(r, f), one| (r + one.0, f + one.1));
    let usual = share(failed, requests).max(USUAL_MIN);
    counted(recording, window)
        .into_iter()
        .filter(|(_, (requests, failed))| beyond_chance(*failed, usual * number(*requests)))
        .map(|(minute, _)| minute)
        .collect()
}

/// What comes before the first action of a timeline; all of it where there is none.
pub fn quiet(spec: &Spec) -> Window {
    let first = spec.timeline.first().map_or(spec.end, |planned| planned.at);
    Window { from: spec.start, to: first }
}

/// Whether a request counts as failed.
pub fn failed(outcome: Outcome) -> bool {
    outcome.failed() || matches!(outcome, Outcome::Status(401 | 403))
}

/// Requests and failed ones, by minute.
fn counted(recording: &Recording, window: Window) -> BTreeMap<IncidentTime, (u64, u64)> {
    const { assert!(INTERVAL_S == 60, "an interval is a minute") };
    let mut minutes: BTreeMap<IncidentTime, (u64, u64)> = BTreeMap::new();
    for row in recording.truth.iter().filter(|row| window.contains(row.from)) {
        let minute = minutes.entry(row.from).or_default();
        minute.0 += row.count;
        minute.1 += if failed(row.outcome) { row.count } else { 0 };
    }
    minutes
}

/// Whether so many failures are more than chance makes of an expected number of them: the tail of Poisson's distribution.
fn beyond_chance(failures: u64, expected: f64) -> bool {
    if expected > 100.0 {
        // 3.09 standard deviations leave a thousandth above them.
        return number(failures) > expected + 3.09 * expected.sqrt();
    }
    let mut term = libm::exp(-expected);
    let mut fewer = 0.0;
    for k in 0..failures {
        fewer += term;
        term *= expected / number(k + 1);
    }
    1.0 - fewer < CHANCE
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { number(part) / number(whole) }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_counts_where_chance_does_not_explain_it() {
        // Poisson with mean 0.3: P(X >= 3) = 0.0036, P(X >= 4) = 0.00027.
        assert!(!beyond_chance(0, 0.3));
        assert!(!beyond_chance(3, 0.3));
        assert!(beyond_chance(4, 0.3));
        // With mean 1,000 a thousandth lies above 1,098.
        assert!(!beyond_chance(1_090, 1_000.0));
        assert!(beyond_chance(1_100, 1_000.0));
    }

    #[test]
    fn refusing_the_own_customers_is_a_failure() {
        assert!(failed(Outcome::Status(401)) && failed(Outcome::Status(503)));
        assert!(failed(Outcome::Timeout) && failed(Outcome::Broken));
        assert!(!failed(Outcome::Status(404)) && !failed(Outcome::Aborted));
    }
}
