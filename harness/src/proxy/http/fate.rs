//! What becomes of one message on its way: later, other, or nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kv_node::env::Stream;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::super::toxic::Toxic;

/// The first retransmission of a lost message comes after this, each further one after twice the time before.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// After so many a message is given up.
const RETRANSMISSIONS_MAX: u32 = 5;
/// One byte is corrupted in about so many.
const CORRUPTED_EVERY_BYTES: u64 = 1_024;

/// What becomes of the message that is coming.
#[derive(Default)]
pub(super) struct Fate {
    pub(super) delay: Duration,
    pub(super) vanishes: bool,
    pub(super) corruption: Option<Corruption>,
}

pub(super) struct Corruption {
    toxic: Arc<Toxic>,
    /// Bytes of the body that are left as they are before the next one that is not.
    untouched: u64,
    draws: Stream,
    counted: bool,
}

/// How much later a lost message arrives; `None` where it never does.
pub(super) fn retransmitted(draws: &Stream, share: f64) -> Option<Duration> {
    let mut pause = RETRANSMISSION;
    let mut later = pause;
    for _ in 1..RETRANSMISSIONS_MAX {
        if draws.unit() >= share {
            return Some(later);
        }
        pause *= 2;
        later += pause;
    }
    None
}

impl Fate {
    pub(super) fn corrupted(&mut self, bytes: Bytes) -> Bytes {
        match &mut self.corruption {
            Some(corruption) if !self.vanishes => corruption.act(&bytes),
            _ => bytes,
        }
    }
}

impl Corruption {
    /// The first byte of a body is always among those that are others.
    pub(super) fn new(toxic: Arc<Toxic>, draws: &Stream) -> Self {
        // A generator of its own: what it draws must not depend on when the body's bytes come.
        let draws = Stream::new(Xoshiro256PlusPlus::seed_from_u64(draws.bits()));
        Self { toxic, untouched: 0, draws, counted: false }
    }

    fn act(&mut self, bytes: &[u8]) -> Bytes {
        let mut to = bytes.to_vec();
        let mut at = 0;
        loop {
            let left = (to.len() - at) as u64;
            if self.untouched >= left {
                self.untouched -= left;
                return to.into();
            }
            at += usize::try_from(self.untouched).unwrap_or(0);
            // Any other byte.
            to[at] ^= u8::try_from(self.draws.below(255)).unwrap_or(0) + 1;
            at += 1;
            self.untouched = self.draws.below(2 * CORRUPTED_EVERY_BYTES);
            if !std::mem::replace(&mut self.counted, true) {
                self.toxic.count();
            }
        }
    }
}
