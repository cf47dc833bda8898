//! Sealing: AES-256-GCM over a value, bound to its key and version.
//!
//! Sealed bytes are `ciphertext ‖ tag (16) ‖ nonce (12) ‖ key id (1)`: what is added stands at the end, so that a value of
//! 25 MiB is sealed in the buffer that it came in. The namespace, key, version and part (value or metadata) are
//! authenticated with them, so what is moved to another key or passed off as another write does not open. Nonces come from a
//! stream named by the node's life: a restarted node must not draw the same ones again.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use bytes::{Bytes, BytesMut};

use crate::env::Stream;
use crate::ids::{Name, Version};

const KEY_ID_BYTES: usize = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// A buffer may be longer than what is sealed in it by so much.
const SPARE_BYTES: usize = 64;
/// What sealing adds.
pub const SEAL_BYTES: usize = TAG_BYTES + NONCE_BYTES + KEY_ID_BYTES;

/// What of a write is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The value.
    Value,
    /// The metadata.
    Metadata,
}

/// Why something could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No key, or none of that id: configure it.
    #[error("no such sealing key")]
    NoKey,
    /// The bytes are not what was sealed for this key and version.
    #[error("damaged")]
    Damaged,
}

/// Seals with the newest key, opens with any.
pub struct Sealer {
    keys: Vec<(u8, Aes256Gcm)>,
    nonces: Stream,
}

impl Sealer {
    /// From keys by id; the last one seals.
    pub fn new(keys: &[(u8, [u8; 32])], nonces: Stream) -> Self {
        let keys = keys.iter().map(|(id, key)| (*id, Aes256Gcm::new(key.into()))).collect();
        Self { keys, nonces }
    }

    /// Seals a part of a write: where the bytes are, if nobody else holds them and there is just room for what is added. Else
    /// they are copied, so that what is kept for long never holds on to a larger buffer.
    pub fn seal(
        &self,
        (name, version, part): (&Name, Version, Part),
        plain: Bytes,
    ) -> Result<Bytes, SealError> {
        let (id, key) = self.keys.last().ok_or(SealError::NoKey)?;
        let mut nonce = [0; NONCE_BYTES];
        self.nonces.fill(&mut nonce);
        let sealed_bytes = plain.len() + SEAL_BYTES;
        let copied = |plain: &[u8]| {
            let mut own = BytesMut::with_capacity(sealed_bytes);
            own.extend_from_slice(plain);
            own
        };
        let mut bytes = match plain.try_into_mut() {
            Ok(own) if (sealed_bytes..=sealed_bytes + SPARE_BYTES).contains(&own.capacity()) => own,
            Ok(larger) => copied(&larger),
            Err(shared) => copied(&shared),
        };
        let tag = key
            .encrypt_inout_detached(
                &Nonce::from(nonce),
                &bound_to(name, version, part),
                InOutBuf::from(&mut bytes[..]),
            )
            .map_err(|_| SealError::Damaged)?;
        bytes.extend_from_slice(&tag);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&[*id]);
        Ok(bytes.freeze())
    }

    /// Opens what [`Self::seal`] made for the same key, version and part; anything else is an error, never other bytes.
    pub fn unseal(
        &self,
        (name, version, part): (&Name, Version, Part),
        sealed: &[u8],
    ) -> Result<Bytes, SealError> {
        let (id, rest) = sealed.split_last().ok_or(SealError::Damaged)?;
        let (rest, nonce) = rest.split_last_chunk::<NONCE_BYTES>().ok_or(SealError::Damaged)?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(SealError::Damaged)?;
        let (_, key) = self.keys.iter().find(|(known, _)| known == id).ok_or(SealError::NoKey)?;
        let mut plain = BytesMut::from(text);
        key.decrypt_inout_detached(
            &Nonce::from(*nonce),
            &bound_to(name, version, part),
            InOutBuf::from(&mut plain[..]),
            &Tag::from(*tag),
        )
        .map_err(|_| SealError::Damaged)?;
        Ok(plain.freeze())
    }
}

/// The lengths keep two different names from having the same bytes.
fn bound_to(name: &Name, version: Version, part: Part) -> Vec<u8> {
    let (namespace, key) = (name.namespace.as_str().as_bytes(), name.key.as_bytes());
    let mut bytes = Vec::with_capacity(namespace.len() + key.len() + 21);
    bytes.extend_from_slice(&(namespace.len() as u64).to_le_bytes());
    bytes.extend_from_slice(namespace);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&version.at_us.to_le_bytes());
    bytes.extend_from_slice(&version.tie.to_le_bytes());
    bytes.push(match part {
        Part::Value => b'v',
        Part::Metadata => b'm',
    });
    bytes
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::SeedableRng;

    const VERSION: Version = Version { at_us: 1, tie: 2 };

    fn sealer(keys: &[(u8, [u8; 32])]) -> Sealer {
        Sealer::new(keys, Stream::new(Xoshiro256PlusPlus::seed_from_u64(1)))
    }

    fn name() -> Name {
        Name::new("ns".into(), "key")
    }

    fn value(name: &Name, version: Version) -> (&Name, Version, Part) {
        (name, version, Part::Value)
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_one_flipped_bit_does_not(plain: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let sealer = sealer(&[(1, [7; 32])]);
            let sealed = sealer.seal(value(&name(), VERSION), plain.clone().into()).unwrap();
            prop_assert_eq!(sealer.unseal(value(&name(), VERSION), &sealed).unwrap(), plain.clone());
            let mut damaged = sealed.to_vec();
            damaged[at.index(sealed.len())] ^= 1u8 << bit;
            prop_assert!(sealer.unseal(value(&name(), VERSION), &damaged).is_err());
        }

        #[test]
        fn any_bytes_are_an_error_and_never_a_value(bytes: Vec<u8>) {
            prop_assert!(sealer(&[(1, [7; 32])]).unseal(value(&name(), VERSION), &bytes).is_err());
        }
    }

    #[test]
    fn a_buffer_with_just_the_room_is_used_and_a_larger_one_is_not_kept() {
        let sealer = sealer(&[(1, [7; 32])]);
        for (capacity, in_place) in [(1_000 + SEAL_BYTES, true), (1_000, false), (8_192, false)] {
            let mut plain = BytesMut::with_capacity(capacity);
            plain.resize(1_000, b'x');
            let at = plain.as_ptr();
            let sealed = sealer.seal(value(&name(), VERSION), plain.freeze()).unwrap();
            assert_eq!(sealed.as_ptr() == at, in_place, "{capacity}");
            let kept = sealed.try_into_mut().unwrap().capacity();
            assert!(kept <= 1_000 + SEAL_BYTES + SPARE_BYTES, "{capacity}: {kept} kept");
        }
    }

    #[test]
    fn a_value_opens_only_for_its_key_and_version() {
        let sealer = sealer(&[(1, [7; 32])]);
        let sealed = sealer.seal(value(&name(), VERSION), "x".into()).unwrap();
        let other = Name::new("ns".into(), "other");
        assert_eq!(sealer.unseal(value(&other, VERSION), &sealed), Err(SealError::Damaged));
        let later = Version { at_us: 2, tie: 2 };
        assert_eq!(sealer.unseal(value(&name(), later), &sealed), Err(SealError::Damaged));
        let metadata = (&name(), VERSION, Part::Metadata);
        assert_eq!(sealer.unseal(metadata, &sealed), Err(SealError::Damaged));
    }

    #[test]
    fn no_nonce_is_drawn_twice() {
        let sealer = sealer(&[(1, [7; 32])]);
        let mut nonces = std::collections::BTreeSet::new();
        for _ in 0..100_000 {
            // The same value under the same name: nothing but the nonce tells two of them apart.
            let sealed = sealer.seal(value(&name(), VERSION), "x".into()).unwrap();
            let end = sealed.len() - KEY_ID_BYTES;
            assert!(nonces.insert(sealed.slice(end - NONCE_BYTES..end)));
        }
    }

    #[test]
    fn a_new_key_seals_and_the_old_one_still_opens() {
        let old = sealer(&[(1, [7; 32])]);
        let both = sealer(&[(1, [7; 32]), (2, [8; 32])]);
        let sealed = old.seal(value(&name(), VERSION), "x".into()).unwrap();
        assert_eq!(both.unseal(value(&name(), VERSION), &sealed).unwrap(), "x");
        let newer = both.seal(value(&name(), VERSION), "x".into()).unwrap();
        assert_eq!(old.unseal(value(&name(), VERSION), &newer), Err(SealError::NoKey));
    }
}
