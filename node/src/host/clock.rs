//! The clock door on the operating system.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kv_node::env::{BoxFuture, Clock, Timestamp};
use serde::Deserialize;

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
        let clock = Self {
            origin: Instant::now(),
            ahead_us: AtomicU64::new(0),
            look_us: AtomicU64::new(0),
        };
        // Nobody reads the clock before it knows the wall.
        clock.now();
        clock
    }

    /// The time, where so much has passed since the origin and the wall shows that. The wall is read before the time that has
    /// passed: a pause between the two makes the distance smaller, which does no harm.
    fn at(&self, elapsed: impl Fn() -> Duration, wall: impl FnOnce() -> Duration) -> Timestamp {
        let micros = |d: Duration| d.as_secs() * 1_000_000 + u64::from(d.subsec_micros());
        let passed = micros(elapsed());
        if passed < self.look_us.load(Ordering::Relaxed) {
            return Timestamp(passed.saturating_add(self.ahead_us.load(Ordering::Relaxed)));
        }
        self.look_us.store(passed + LOOK_EVERY_US, Ordering::Relaxed);
        let wall = micros(wall());
        let passed = micros(elapsed());
        let seen = wall.saturating_sub(passed);
        let ahead = self.ahead_us.fetch_max(seen, Ordering::Relaxed).max(seen);
        Timestamp(passed.saturating_add(ahead))
    }
}

impl Clock for OsClock {
    fn now(&self) -> Timestamp {
        let wall = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at(|| self.origin.elapsed(), wall)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The clock of a process that takes part in a replay: at a moment of the wall clock it shows a moment of the incident, and
/// from there, forwards and backwards, it is as many times as fast.
#[derive(Debug)]
pub(super) struct ReplayClock {
    wall: OsClock,
    replay: Replay,
}

/// Where in a replay the wall clock is, and how fast time passes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    /// At this moment of the wall clock, in microseconds since 1970,
    pub(super) wall_us: Timestamp,
    /// it is this moment in the incident, in microseconds since 1970.
    pub(super) incident_us: Timestamp,
    /// Seconds of the incident in one of the wall.
    pub(super) speed: NonZeroU32,
}

impl Replay {
    fn at(self, wall: Timestamp) -> Timestamp {
        let speed = self.speed.get();
        if wall >= self.wall_us {
            self.incident_us.after(wall.since(self.wall_us) * speed)
        } else {
            self.incident_us.before(self.wall_us.since(wall) * speed)
        }
    }
}

impl ReplayClock {
    pub(super) fn new(replay: Replay) -> Self {
        Self { wall: OsClock::new(), replay }
    }
}

impl Clock for ReplayClock {
    fn now(&self) -> Timestamp {
        self.replay.at(self.wall.now())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        self.wall.sleep(duration / self.replay.speed.get())
    }

    fn wall(&self) -> Timestamp {
        self.wall.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_passes_as_many_times_as_fast_from_its_moment_on_and_before_it() {
        let at = |wall_s| {
            let replay = Replay {
                wall_us: Timestamp::from_unix_s(2_000),
                incident_us: Timestamp::from_unix_s(500_000),
                speed: NonZeroU32::new(10).unwrap(),
            };
            replay.at(Timestamp::from_unix_s(wall_s)).unix_s()
        };
        assert_eq!([at(1_999), at(2_000), at(2_007)], [499_990, 500_000, 500_070]);
    }

    #[test]
    fn it_follows_the_wall_forwards_and_never_backwards() {
        let clock = OsClock {
            origin: Instant::now(),
            ahead_us: AtomicU64::new(0),
            look_us: AtomicU64::new(0),
        };
        let at = |wall, elapsed| {
            clock.at(|| Duration::from_secs(elapsed), || Duration::from_secs(wall)).unix_s()
        };
        assert_eq!(at(1_000, 0), 1_000);
        assert_eq!(at(1_010, 10), 1_010);
        assert_eq!(at(500, 20), 1_020, "set back: on at its own pace");
        assert_eq!(at(2_000, 30), 2_000, "set forward: followed");
    }

    #[test]
    fn a_pause_while_it_looks_at_the_wall_does_not_put_it_ahead() {
        let clock = OsClock {
            origin: Instant::now(),
            ahead_us: AtomicU64::new(0),
            look_us: AtomicU64::new(0),
        };
        // A minute passes between two readings.
        let readings = std::cell::Cell::new(0);
        let elapsed = || {
            readings.set(readings.get() + 1);
            Duration::from_secs(if readings.get() == 1 { 0 } else { 60 })
        };
        assert!(clock.at(elapsed, || Duration::from_secs(1_000)).unix_s() <= 1_060);
    }
}
