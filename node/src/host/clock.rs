//! The clock door on the operating system.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kv_node::env::{BoxFuture, Clock, Timestamp};

/// Wall-clock time that never goes backwards within the process.
///
/// It is the monotonic clock plus the greatest distance seen so far between that and the wall clock. Where somebody sets
/// the wall clock back, this one goes on at its pace and is ahead until the process is started again; versions of writes
/// stay in order that way. More than a minute ahead, peers refuse what this node signs.
#[derive(Debug)]
pub(super) struct OsClock {
    origin: Instant,
    ahead_us: AtomicU64,
}

impl OsClock {
    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), ahead_us: AtomicU64::new(0) }
    }

    /// `wall` was read before `elapsed`: a pause between the two makes the distance smaller, which does no harm.
    fn at(&self, wall: Duration, elapsed: Duration) -> Timestamp {
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        let elapsed = micros(elapsed);
        let seen = micros(wall).saturating_sub(elapsed);
        let ahead = self.ahead_us.fetch_max(seen, Ordering::Relaxed).max(seen);
        Timestamp(elapsed.saturating_add(ahead))
    }
}

impl Clock for OsClock {
    fn now(&self) -> Timestamp {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at(wall, self.origin.elapsed())
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
        let s = Duration::from_secs;
        assert_eq!(clock.at(s(1_000), s(0)).unix_s(), 1_000);
        assert_eq!(clock.at(s(1_010), s(10)).unix_s(), 1_010);
        assert_eq!(clock.at(s(500), s(20)).unix_s(), 1_020, "set back: on at its own pace");
        assert_eq!(clock.at(s(2_000), s(30)).unix_s(), 2_000, "set forward: followed");
    }
}
