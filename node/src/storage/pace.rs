//! How many of customers' reads a store gets that has just come back, where all caches behind it have run empty meanwhile.
//!
//! Everybody asks at once then, and what has just come back goes down again, or limits the rate for all. So for as long as there
//! are more of them than usual they are let through at little more than the rate from before the outage. What is refused is an
//! error for its customer, as it was a moment before; the keys that are asked for most are in the caches first, and with each
//! of them the rush is smaller.

use std::sync::{Mutex, PoisonError};

use crate::env::Timestamp;

/// Over so long the usual rate is told.
const USUAL_OVER_S: f64 = 300.0;
/// So many times the usual rate is let through.
const PACED: f64 = 1.2;
/// The least that is let through, for a node that was hardly asked before.
const LEAST_PER_S: f64 = 0.2;
/// For so long; then twice as much with each further minute, so that a rate that was told at another time of day, or by a node that
/// had only just begun, refuses nobody for ever.
const HELD_S: f64 = 900.0;
/// When nothing was refused for so long, the rush is over.
const QUIET_S: f64 = 10.0;
/// What was away for less has left the caches full: an enrolled value is fresh for a minute.
const AWAY_MIN_S: f64 = 60.0;

/// The pace of customers' reads from one store.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Calls a second, weighted towards the latest minutes; not of a time in which the store was down.
    usual_per_s: f64,
    /// When it was last told.
    at: Timestamp,
    /// Since when the store has been down.
    down_since: Option<Timestamp>,
    /// While calls are paced: what may go at once, and when one was last refused.
    rush: Option<Rush>,
}

#[derive(Debug)]
struct Rush {
    since: Timestamp,
    tokens: f64,
    refused: Timestamp,
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_secs_f64()
}

impl Pace {
    /// The store is known to be down: by whatever was asked of it, since customers' reads may come from caches all the while.
    pub(super) fn found_down(&self, now: Timestamp) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.down_since.get_or_insert(now);
    }

    /// Whether a read may go now. While the store is `down` every one may: it finds out whether it is back.
    pub(super) fn admits(&self, now: Timestamp, down: bool) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { usual_per_s, at, down_since, rush } = &mut *state;
        let passed = seconds(*at, now);
        *at = now;
        if down {
            down_since.get_or_insert(now);
            return true;
        }
        *down_since = None;
        let Some(rushing) = rush else {
            *usual_per_s =
                usual_per_s.mul_add(libm::exp(-passed / USUAL_OVER_S), 1.0 / USUAL_OVER_S);
            return true;
        };
        let over_min = ((seconds(rushing.since, now) - HELD_S) / 60.0).max(0.0);
        let per_s = (*usual_per_s * PACED).max(LEAST_PER_S) * libm::exp2(over_min);
        rushing.tokens = (rushing.tokens + passed * per_s).min(per_s.max(1.0));
        if rushing.tokens >= 1.0 {
            rushing.tokens -= 1.0;
            if seconds(rushing.refused, now) >= QUIET_S {
                *rush = None;
            }
            return true;
        }
        rushing.refused = now;
        false
    }

    /// The store has come back. Where no other was there meanwhile, and it was away for long, a rush begins.
    pub(super) fn back(&self, now: Timestamp, alone: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let away_s = state.down_since.take().map_or(0.0, |since| seconds(since, now));
        if alone && away_s >= AWAY_MIN_S {
            state.rush = Some(Rush { since: now, tokens: 1.0, refused: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many calls a second for so many seconds, evenly; how many of them went.
    fn calls(pace: &Pace, from_s: u64, seconds: u64, per_s: u64, down: bool) -> u64 {
        let at = |call: u64| Timestamp(from_s * 1_000_000 + call * 1_000_000 / per_s);
        (0..seconds * per_s).map(|call| u64::from(pace.admits(at(call), down))).sum()
    }

    #[test]
    fn a_rush_is_let_through_at_little_more_than_the_usual_rate_until_it_is_over() {
        let pace = Pace::default();
        assert_eq!(calls(&pace, 0, 3_000, 10, false), 30_000, "nothing is refused in good times");
        assert_eq!(calls(&pace, 3_000, 60, 50, true), 3_000, "nor while the store is down");
        pace.back(Timestamp::from_unix_s(3_060), true);
        let through = calls(&pace, 3_060, 20, 50, false);
        assert!(
            (230..=250).contains(&through),
            "{through} of 1,000, of which 10 a second are usual"
        );
        let through = calls(&pace, 3_080, 12, 10, false);
        assert!(through >= 119, "{through} of 120: the rush is over");
        assert_eq!(calls(&pace, 3_092, 5, 50, false), 250, "and then nothing is refused");
    }

    #[test]
    fn a_store_has_been_away_since_anything_found_it_down_though_reads_came_late() {
        let pace = Pace::default();
        calls(&pace, 0, 600, 10, false);
        (600..660).for_each(|s| pace.found_down(Timestamp::from_unix_s(s)));
        calls(&pace, 660, 10, 10, true);
        pace.back(Timestamp::from_unix_s(670), true);
        let through = calls(&pace, 670, 5, 50, false);
        assert!(through < 70, "{through} of 250, of which 50 are usual");
    }

    #[test]
    fn a_rate_that_was_told_too_low_refuses_nobody_for_ever() {
        let pace = Pace::default();
        assert!(pace.admits(Timestamp::from_unix_s(0), false), "a node that was hardly asked");
        calls(&pace, 10, 60, 5, true);
        pace.back(Timestamp::from_unix_s(70), true);
        assert!(calls(&pace, 70, 60, 50, false) <= 13, "a call in five seconds at first");
        calls(&pace, 130, 1_500, 50, false);
        assert_eq!(
            calls(&pace, 1_630, 10, 50, false),
            500,
            "all of them, less than half an hour later"
        );
    }

    #[test]
    fn a_short_outage_or_one_that_another_store_bridged_is_no_reason_to_refuse_anybody() {
        for (away_s, alone) in [(59, true), (3_600, false)] {
            let pace = Pace::default();
            calls(&pace, 0, 600, 10, false);
            calls(&pace, 600, away_s, 10, true);
            pace.back(Timestamp::from_unix_s(600 + away_s), alone);
            assert_eq!(calls(&pace, 600 + away_s, 5, 50, false), 250, "{away_s} s, {alone}");
        }
    }
}
