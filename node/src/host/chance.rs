//! The chance door on the operating system.

use std::sync::{Mutex, PoisonError};

use chacha20::ChaCha20Rng;
use kv_node::env::{Chance, Stream};
use rand_core::{Rng, SeedableRng};

/// Streams that nobody can guess and that never come again.
///
/// One generator is seeded with 256 bits of the operating system's entropy when the process starts, and seeds every
/// stream. Each call of [`Chance::stream`] gives a fresh one, also under a name that was given before, so neither a
/// restart nor a second node in the process draws the same sealing nonces. Nonces have 96 random bits: below 2³² writes
/// with one sealing key a repeated one has a chance of less than 2⁻³²; change the key before that.
pub(super) struct OsChance(Mutex<ChaCha20Rng>);

impl OsChance {
    /// Fails where the system has no entropy to give.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self(Mutex::new(ChaCha20Rng::from_seed(seed))))
    }

    /// Random bytes, as for keys.
    pub(super) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }
}

impl Chance for OsChance {
    fn stream(&self, _name: &str) -> Stream {
        Stream::new(ChaCha20Rng::from_seed(self.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_the_same_name_is_another_one() {
        let chance = OsChance::new().unwrap();
        assert_ne!(chance.stream("nonces").bits(), chance.stream("nonces").bits());
    }
}
