//! What the gateway refuses before it asks anybody.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

use super::{GatewayError, ListAsk};
use crate::cache::Ttl;
use crate::config::Limits;
use crate::env::Timestamp;
use crate::ids::Name;

/// When a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiration {
    /// Not by itself.
    Never,
    /// At a second since 1970.
    At(u64),
    /// In so many seconds.
    In(u64),
}

/// Keys on one page of a list.
pub const LIST_KEYS_MAX: usize = 1_000;

pub(super) fn key(bytes_max: usize, key: &str) -> Result<(), GatewayError> {
    if matches!(key, "" | "." | "..") {
        return Err(GatewayError::KeyNotAllowed);
    }
    if key.len() > bytes_max {
        return Err(GatewayError::KeyTooLong { length: key.len(), limit: bytes_max });
    }
    Ok(())
}

pub(super) fn list(limits: &Limits, ask: &ListAsk) -> Result<(), GatewayError> {
    if ask.prefix.len() > limits.key_bytes_max {
        let (length, limit) = (ask.prefix.len(), limits.key_bytes_max);
        return Err(GatewayError::KeyTooLong { length, limit });
    }
    if ask.limit == 0 || ask.limit > LIST_KEYS_MAX {
        return Err(GatewayError::ListLimit { asked: ask.limit, limit: LIST_KEYS_MAX });
    }
    Ok(())
}

/// Metadata that may be stored: JSON, not too long; `null` is none.
pub(super) fn metadata(
    limits: &Limits,
    metadata: Option<Bytes>,
) -> Result<Option<Bytes>, GatewayError> {
    let Some(metadata) = metadata else { return Ok(None) };
    let text = metadata.trim_ascii();
    // What is only skimmed may hold bytes that are no text.
    let json = std::str::from_utf8(text).map(serde_json::from_str::<serde::de::IgnoredAny>);
    if !matches!(json, Ok(Ok(_))) {
        return Err(GatewayError::MetadataNotJson);
    }
    if text.len() > limits.metadata_bytes_max {
        let (length, limit) = (text.len(), limits.metadata_bytes_max);
        return Err(GatewayError::MetadataTooLarge { length, limit });
    }
    Ok((text != b"null").then(|| metadata.slice_ref(text)))
}

pub(super) fn value(limits: &Limits, value: &[u8]) -> Result<(), GatewayError> {
    if value.len() > limits.value_bytes_max {
        return Err(GatewayError::ValueTooLarge {
            length: value.len(),
            limit: limits.value_bytes_max,
        });
    }
    Ok(())
}

pub(super) fn expiration(
    limits: &Limits,
    expiration: Expiration,
    now_s: u64,
) -> Result<Option<u64>, GatewayError> {
    let ahead_s = limits.expiration_ahead_min_s;
    match expiration {
        Expiration::Never => Ok(None),
        Expiration::At(at_s) if at_s < now_s.saturating_add(ahead_s) => {
            Err(GatewayError::ExpirationTooSoon { at_s, ahead_s })
        }
        Expiration::At(at_s) => Ok(Some(at_s)),
        Expiration::In(ttl_s) if ttl_s < ahead_s => {
            Err(GatewayError::ExpirationTtlTooShort { ttl_s, min_s: ahead_s })
        }
        Expiration::In(ttl_s) => Ok(Some(now_s.saturating_add(ttl_s))),
    }
}

pub(super) fn cache_ttl(limits: &Limits, ttl: Option<Ttl>) -> Result<Ttl, GatewayError> {
    let min_s = limits.cache_ttl_min_s;
    match ttl {
        None => Ok(Ttl(Duration::from_mins(1))),
        Some(ttl) if ttl.0.as_secs() < min_s => {
            Err(GatewayError::CacheTtlTooShort { ttl_s: ttl.0.as_secs(), min_s })
        }
        Some(ttl) => Ok(ttl),
    }
}

/// Refuses a second write of a key within a second, where that is switched on.
#[derive(Debug)]
pub(super) struct WritePace {
    on: bool,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    names: IndexSet<Name, FxBuildHasher>,
    ends: VecDeque<(Timestamp, Name)>,
}

impl WritePace {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { on: limits.one_write_per_key_and_second, recent: Mutex::default() }
    }

    pub(super) fn admit(&self, name: &Name, now: Timestamp) -> Result<(), GatewayError> {
        if !self.on {
            return Ok(());
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.ends.front().is_some_and(|(end, _)| *end <= now) {
            if let Some((_, name)) = recent.ends.pop_front() {
                recent.names.swap_remove(&name);
            }
        }
        if !recent.names.insert(name.clone()) {
            return Err(GatewayError::TooManyWrites);
        }
        recent.ends.push_back((now.after(Duration::from_secs(1)), name.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_accepted_up_to_their_limit() {
        let limits = Limits::default();
        assert_eq!(key(512, &"k".repeat(512)), Ok(()));
        assert_eq!(
            key(512, &"é".repeat(257)),
            Err(GatewayError::KeyTooLong { length: 514, limit: 512 })
        );
        for name in ["", ".", ".."] {
            assert_eq!(key(512, name), Err(GatewayError::KeyNotAllowed));
        }
        let megabytes = |bytes: usize| vec![0; 25 * 1024 * 1024 + bytes];
        assert_eq!(value(&limits, &megabytes(0)), Ok(()));
        assert!(value(&limits, &megabytes(1)).is_err());
    }

    #[test]
    fn an_expiration_lies_a_minute_ahead_at_least() {
        let limits = Limits::default();
        let ask = |asked| expiration(&limits, asked, 1_000);
        assert_eq!(ask(Expiration::Never), Ok(None));
        assert_eq!(ask(Expiration::At(1_060)), Ok(Some(1_060)));
        assert!(ask(Expiration::At(1_059)).is_err());
        assert_eq!(ask(Expiration::In(60)), Ok(Some(1_060)));
        assert!(ask(Expiration::In(59)).is_err());
    }

    #[test]
    fn a_key_is_written_once_a_second_where_that_is_the_limit() {
        let limits = Limits { one_write_per_key_and_second: true, ..Limits::default() };
        let pace = WritePace::new(&limits);
        let (one, other) = (Name::new("n".into(), "1"), Name::new("n".into(), "2"));
        assert_eq!(pace.admit(&one, Timestamp(0)), Ok(()));
        assert_eq!(pace.admit(&one, Timestamp(999_999)), Err(GatewayError::TooManyWrites));
        assert_eq!(pace.admit(&other, Timestamp(999_999)), Ok(()));
        assert_eq!(pace.admit(&one, Timestamp(1_000_000)), Ok(()));
        let off = WritePace::new(&Limits::default());
        assert_eq!(off.admit(&one, Timestamp(0)).and(off.admit(&one, Timestamp(0))), Ok(()));
    }
}
