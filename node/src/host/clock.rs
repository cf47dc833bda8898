//! The clock door on the operating system.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kv_node::env::{BoxFuture, Clock, Timestamp};

/// Wall-clock time that never goes backwards within the process.
///
/// It is the monotonic clock plus the greatest distance seen so far between that and the wall clock. Where somebody sets
/// the wall clock back, this one goes on at its pace and is ahead until the process is started again; versions of writes
/// stay in order that way. More than a minute ahead, peers refuse what this node signs.
///
/// A request asks a dozen times what time it is, and two readings cost twice as much as one: so the wall is looked at every
/// millisecond only.
#[derive(Debug)]
pub(super) struct OsClock {
    origin: Instant,
    ahead_us: AtomicU64,
    /// When the wall is looked at again, in microseconds after the origin.
    look_us: AtomicU64,
}

/// A wall clock that is corrected is followed after so long.
const LOOK_EVERY_US: u64 = 1_000;

impl OsClock {
    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), ahead_us: AtomicU64::new(0), look_us: AtomicU64::new(0) }
    }

    /// The time when so much has passed since the origin. The wall is read after that: the distance is greater by the pause
    /// between the two, at the most.
    fn at(&self, elapsed: Duration, wall: impl FnOnce() -> Duration) -> Timestamp {
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        let elapsed = micros(elapsed);
        let ahead = if elapsed < self.look_us.load(Ordering::Relaxed) {
            self.ahead_us.load(Ordering::Relaxed)
        } else {
            self.look_us.store(elapsed + LOOK_EVERY_US, Ordering::Relaxed);
            let seen = micros(wall()).saturating_sub(elapsed);
            self.ahead_us.fetch_max(seen, Ordering::Relaxed).max(seen)
        };
        Timestamp(elapsed.saturating_add(ahead))
    }
}

impl Clock for OsClock {
    fn now(&self) -> Timestamp {
        let wall = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at(self.origin.elapsed(), wall)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_wall_forwards_and_never_backwards() {
        let clock = OsClock::new();
        let at = |wall, elapsed| {
            clock.at(Duration::from_secs(elapsed), || Duration::from_secs(wall)).unix_s()
        };
        assert_eq!(at(1_000, 0), 1_000);
        assert_eq!(at(1_010, 10), 1_010);
        assert_eq!(at(500, 20), 1_020, "set back: on at its own pace");
        assert_eq!(at(2_000, 30), 2_000, "set forward: followed");
    }
}
