//! Which stores are known to be down.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::object_store::StoreError;
use crate::env::Timestamp;

/// So many failures in a row, and a store counts as down.
const FAILURES_MAX: u32 = 3;
/// One request in this time finds out whether a store that is down has come back.
const PROBE_PAUSE: Duration = Duration::from_secs(5);

/// A store that has come back is not believed alone for so long: writes that it missed are on their way to it.
pub(super) const RECOVERY: Duration = Duration::from_mins(1);

/// The health of one store, as this node sees it.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: AtomicU32,
    probe_at_us: AtomicU64,
    recovered_at_us: AtomicU64,
}

impl Health {
    /// Whether a request may go to the store: always while it is up, now and then while it is down.
    pub(super) fn admits(&self, now: Timestamp) -> bool {
        if self.failures.load(Ordering::Relaxed) < FAILURES_MAX {
            return true;
        }
        if now.0 < self.probe_at_us.load(Ordering::Relaxed) {
            return false;
        }
        self.probe_at_us.store(now.after(PROBE_PAUSE).0, Ordering::Relaxed);
        true
    }

    /// Whether the store has failed again and again.
    pub(super) fn is_down(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= FAILURES_MAX
    }

    /// Whether the store came back a short time ago.
    pub(super) fn recovering(&self, now: Timestamp) -> bool {
        let at = Timestamp(self.recovered_at_us.load(Ordering::Relaxed));
        at != Timestamp::default() && now.since(at) < RECOVERY
    }

    /// Takes note of how a request went; true where the store was down and is back by it.
    pub(super) fn observe<T>(&self, outcome: &Result<T, StoreError>, now: Timestamp) -> bool {
        match outcome {
            // A store that holds something odd is there.
            Ok(_) | Err(StoreError::Malformed) => {
                if self.failures.swap(0, Ordering::Relaxed) >= FAILURES_MAX {
                    self.recovered_at_us.store(now.0, Ordering::Relaxed);
                    return true;
                }
            }
            Err(StoreError::KnownDown | StoreError::Busy) => {}
            Err(StoreError::Unreachable | StoreError::TimedOut | StoreError::Failed) => {
                if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX {
                    self.probe_at_us.store(now.after(PROBE_PAUSE).0, Ordering::Relaxed);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_fails_three_times_is_asked_every_five_seconds_until_it_answers() {
        let health = Health::default();
        let at = |s| Timestamp::from_unix_s(s);
        let failed: Result<(), _> = Err(StoreError::TimedOut);
        for s in 0..3 {
            assert!(health.admits(at(s)));
            health.observe(&failed, at(s));
        }
        assert!(!health.admits(at(3)));
        assert!(health.admits(at(7)));
        assert!(!health.admits(at(7)), "one probe at a time");
        health.observe(&Ok(()), at(8));
        assert!(health.admits(at(8)) && !health.is_down());
        assert!(health.recovering(at(67)) && !health.recovering(at(68)));
    }
}
