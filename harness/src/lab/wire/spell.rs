//! When a fault acts: for a time, now and then, always.

use std::sync::Mutex;
use std::time::Duration;

use kv_node::env::Stream;

use super::super::lock;
use crate::spec::time::IncidentTime;
use crate::spec::topology::Noise;

/// When a fault acts.
pub(in crate::lab) enum Spell {
    /// Until a moment.
    Until(IncidentTime),
    /// Between two moments.
    Between(IncidentTime, IncidentTime),
    /// Now and then.
    Bursts(Mutex<Bursts>),
    /// In bursts that make up a share of the time, until a moment.
    Spread(Mutex<Spread>, IncidentTime),
    /// Always.
    Always,
}

/// Bursts of one length, with drawn pauses between them.
pub(in crate::lab) struct Bursts {
    length: Duration,
    pause_mean: Duration,
    draws: Stream,
    next: IncidentTime,
}

impl Spell {
    pub(in crate::lab) fn covers(&self, now: IncidentTime) -> bool {
        match self {
            Self::Until(until) => now < *until,
            Self::Between(from, to) => *from <= now && now < *to,
            Self::Bursts(bursts) => lock(bursts).covers(now),
            Self::Spread(bursts, until) => now < *until && lock(bursts).covers(now),
            Self::Always => true,
        }
    }
}

impl Bursts {
    /// Bursts as a topology's noise has them; the first comes after a drawn pause like any other.
    pub(in crate::lab) fn new(noise: &Noise, draws: Stream, start: IncidentTime) -> Self {
        let mut bursts = Self {
            length: Duration::from_secs_f64(noise.burst_s),
            pause_mean: Duration::from_secs_f64(noise.burst_every_s),
            draws,
            next: start,
        };
        bursts.next = start.after(bursts.pause());
        bursts
    }

    fn pause(&self) -> Duration {
        let mean = self.pause_mean.as_secs_f64();
        Duration::from_secs_f64(-mean * libm::log(1.0 - self.draws.unit()))
    }

    /// Whether a burst is on; asked at moments that never go back.
    pub(in crate::lab) fn covers(&mut self, now: IncidentTime) -> bool {
        while self.next.after(self.length) <= now {
            self.next = self.next.after(self.length).after(self.pause());
        }
        self.next <= now
    }
}

/// One burst of a length in each period, at a drawn moment of it.
pub(crate) struct Spread {
    length: Duration,
    period: Duration,
    draws: Stream,
    /// When the present period begins, and when its burst does.
    at: (IncidentTime, IncidentTime),
}

impl Spread {
    /// Bursts that make up a share of the time, above zero and below one.
    pub(crate) fn new(length: Duration, share: f64, draws: Stream, start: IncidentTime) -> Self {
        let mut spread = Self { length, period: length.div_f64(share), draws, at: (start, start) };
        spread.begin(start);
        spread
    }

    fn begin(&mut self, period: IncidentTime) {
        self.at =
            (period, period.after(self.draws.jitter(self.period.saturating_sub(self.length))));
    }

    /// Whether a burst is on; asked at moments that never go back.
    pub(crate) fn covers(&mut self, now: IncidentTime) -> bool {
        while self.at.0.after(self.period) <= now {
            self.begin(self.at.0.after(self.period));
        }
        self.at.1 <= now && now < self.at.1.after(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::doors::Seeds;
    use kv_node::env::Chance;

    #[test]
    fn bursts_make_up_their_share_of_any_period() {
        let start = IncidentTime::from_unix_s(0);
        let draws = Seeds::new(1).stream("fault/0");
        let mut spread = Spread::new(Duration::from_secs(4), 0.01, draws, start);
        for period in 0..100 {
            let second = |s: u64| start.after(Duration::from_secs(400 * period + s));
            let on = (0..400).filter(|s| spread.covers(second(*s))).count();
            assert_eq!(on, 4, "period {period}");
        }
    }
}
