//! When a fault acts: for a time, now and then, always.

use std::sync::Mutex;
use std::time::Duration;

use kv_node::env::Stream;

use super::doors::lock;
use crate::spec::time::IncidentTime;
use crate::spec::topology::Noise;

/// When a fault acts.
pub(super) enum Spell {
    /// Until a moment.
    Until(IncidentTime),
    /// Between two moments.
    Between(IncidentTime, IncidentTime),
    /// Now and then.
    Bursts(Mutex<Bursts>),
    /// Always.
    Always,
}

/// Bursts of one length, with drawn pauses between them.
pub(super) struct Bursts {
    length: Duration,
    pause_mean: Duration,
    draws: Stream,
    next: IncidentTime,
}

impl Spell {
    pub(super) fn covers(&self, now: IncidentTime) -> bool {
        match self {
            Self::Until(until) => now < *until,
            Self::Between(from, to) => *from <= now && now < *to,
            Self::Bursts(bursts) => lock(bursts).covers(now),
            Self::Always => true,
        }
    }
}

impl Bursts {
    /// Bursts as a topology's noise has them; the first comes after a drawn pause like any other.
    pub(super) fn new(noise: &Noise, draws: Stream, start: IncidentTime) -> Self {
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
    pub(super) fn covers(&mut self, now: IncidentTime) -> bool {
        while self.next.after(self.length) <= now {
            self.next = self.next.after(self.length).after(self.pause());
        }
        self.next <= now
    }
}
