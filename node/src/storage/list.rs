//! Listing: an ordered merge of what the stores' index objects say.
//!
//! An index object is written beside its value and may be missing, or left over, where a write or a repair was cut short.
//! Where the stores agree they are believed; where they differ the value object decides. So a listing is as right as a read.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{join, join_all};

use super::layout::{self, Indexed};
use super::object_store::StoreError;
use super::replicated::Storage;
use super::{Found, StorageError};
use crate::ids::{Name, Namespace, Version};
use crate::telemetry::Stage;

/// Names that a store is asked for at once (S3 gives no more).
const NAMES_MAX: usize = 1_000;
/// Value objects that are read at once for one listing.
const READS_AT_ONCE: usize = 32;

/// Which keys of a namespace are listed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListRange {
    /// Whose keys.
    pub namespace: Namespace,
    /// What they begin with, byte for byte.
    pub prefix: Arc<str>,
    /// Only keys after this one; empty for all.
    pub after: Arc<str>,
    /// So many at the most, at least one.
    pub limit: usize,
}

/// A key as a listing has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: Arc<str>,
    /// When its value ends, in seconds since 1970.
    pub expiration_s: Option<u64>,
    /// Its metadata, sealed, with the version that it was sealed for.
    pub metadata: Option<(Version, Bytes)>,
}

/// A part of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys in byte order; there may be fewer than asked for, also none, though more follow.
    pub keys: Vec<Listed>,
    /// The key after which the listing goes on; `None` where it is complete.
    pub next: Option<Arc<str>>,
}

/// What one store says of a range: its index objects by key, and the key up to which that is all it has.
#[derive(Default)]
struct Said {
    keys: BTreeMap<Arc<str>, Vec<Indexed>>,
    up_to: Option<Arc<str>>,
}

/// A page as the stores have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPage {
    /// The page.
    pub page: Page,
    /// Whether it is what one of two stores said while the other did not answer.
    pub alone: bool,
}

impl Storage {
    /// Lists keys from all stores at once.
    ///
    /// A store that is down is left out while another answers that is not known to be behind. [`StorageError::Unavailable`]:
    /// none such answered, or the value object that had to decide could not be read.
    pub async fn list(
        &self,
        range: &ListRange,
        now_s: u64,
        stage: &Stage,
    ) -> Result<ListedPage, StorageError> {
        let said = match self.stores() {
            1 => vec![self.names(0, range).await.map_err(|_| StorageError::Unavailable)?],
            _ => {
                let (one, other) = join(self.names(0, range), self.names(1, range)).await;
                let alone = |store| {
                    self.believed_alone(store, |behind| behind.holds_any_of(&range.namespace))
                };
                match (one, other) {
                    (Ok(one), Ok(other)) => vec![one, other],
                    // A store that was not asked for want of a place is not one that is away.
                    (Ok(_), Err(StoreError::Busy)) | (Err(StoreError::Busy), Ok(_)) => {
                        return Err(StorageError::Unavailable);
                    }
                    (Ok(said), Err(_)) if alone(0) => vec![said],
                    (Err(_), Ok(said)) if alone(1) => vec![said],
                    _ => return Err(StorageError::Unavailable),
                }
            }
        };
        // Beyond the nearest end of what the stores said, one of them has not spoken.
        let up_to = said.iter().filter_map(|said| said.up_to.clone()).min();
        let mut merged: BTreeMap<Arc<str>, Vec<Option<Indexed>>> = BTreeMap::new();
        for (store, Said { keys, .. }) in said.iter().enumerate() {
            for (key, found) in keys {
                if up_to.as_ref().is_none_or(|up_to| key <= up_to) {
                    let sure = if found.len() == 1 { found.first().cloned() } else { None };
                    let opinions = merged.entry(key.clone()).or_default();
                    opinions.resize(store, None);
                    opinions.push(sure);
                }
            }
        }
        let more = up_to.is_some() || merged.len() > range.limit;
        let chosen: Vec<_> = merged.into_iter().take(range.limit).collect();
        let next = match chosen.last() {
            Some((last, _)) if more => Some(last.clone()),
            _ => up_to,
        };
        let mut keys = Vec::with_capacity(chosen.len());
        for some in chosen.chunks(READS_AT_ONCE) {
            let settle = some.iter().map(|(key, opinions)| {
                let first = opinions.first().cloned().flatten();
                let agreed = opinions.len() == said.len()
                    && opinions.iter().all(|opinion| opinion.is_some() && *opinion == first);
                self.settle((range, key), first.filter(|_| agreed), now_s, stage)
            });
            for listed in join_all(settle).await {
                keys.extend(listed?);
            }
        }
        Ok(ListedPage { page: Page { keys, next }, alone: said.len() < self.stores() })
    }

    /// What a listing says of a key: what the index says, or where that is not sure or not enough, the value object.
    async fn settle(
        &self,
        (range, key): (&ListRange, &Arc<str>),
        sure: Option<Indexed>,
        now_s: u64,
        stage: &Stage,
    ) -> Result<Option<Listed>, StorageError> {
        if let Some(Indexed { key, expiration_s, has_metadata: false }) = sure {
            let ended = expiration_s.is_some_and(|end| end <= now_s);
            return Ok((!ended).then_some(Listed { key, expiration_s, metadata: None }));
        }
        let name = Name { namespace: range.namespace.clone(), key: key.clone() };
        let read = self.read(&name, stage).await?;
        Ok(match read.found.live(now_s) {
            Found::Value(sealed) => Some(Listed {
                key: key.clone(),
                expiration_s: sealed.expiration_s,
                metadata: sealed.metadata.clone().map(|metadata| (sealed.version, metadata)),
            }),
            Found::Absent(_) => None,
        })
    }

    /// The index objects of a range in one store. One more key than asked for, so that it is known whether more follow.
    async fn names(&self, store: usize, range: &ListRange) -> Result<Said, StoreError> {
        let prefix = layout::listing_prefix(&range.namespace, &range.prefix);
        let mut after = match &*range.after {
            "" => String::new(),
            key => layout::listing_after(&range.namespace, key),
        };
        let mut said = Said::default();
        loop {
            let limit = NAMES_MAX.min(range.limit + 1);
            let customer = Some(&range.namespace);
            let names = self.ask_list(store, customer, (&prefix, &after), limit).await?;
            let complete = names.len() < limit;
            for object in &names {
                if let Some(indexed) = layout::from_index(&range.namespace, object) {
                    said.keys.entry(indexed.key.clone()).or_default().push(indexed);
                }
            }
            if complete {
                return Ok(said);
            }
            if said.keys.len() > range.limit {
                // The last key may have more index objects than were given.
                said.up_to = said
                    .keys
                    .pop_last()
                    .and_then(|_| said.keys.last_key_value().map(|(last, _)| last.clone()));
                return Ok(said);
            }
            after = names.last().cloned().unwrap_or_default();
        }
    }
}
