//! The crawler: the third line, after the queue and after the comparison at each read.
//!
//! It walks over all keys of both stores, slowly and again and again. Where they differ it brings them level; where the index
//! does not say what the value says it mends the index; a tombstone that both stores hold, and a value that has ended, it
//! removes once nothing older can be under way any more.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{join, join_all};

use super::layout;
use super::object_store::StoreError;
use super::replicated::Storage;
use super::{Found, Repaired};
use crate::env::Timestamp;
use crate::ids::{Name, Namespace, Version};
use crate::telemetry::TraceContext;

/// Keys of one step.
pub const STEP_KEYS: usize = 100;
/// A tombstone is kept so long: longer than a write that it beats can be under way, in a request or in a retry.
const TOMBSTONE_LIFE: Duration = Duration::from_mins(10);

/// What one step came to.
#[derive(Debug, Default)]
pub struct Crawled {
    /// How many keys it looked at.
    pub keys: usize,
    /// Keys that the stores differed in.
    pub repaired: Vec<Repaired>,
    /// Tombstones and ended values that are gone from both stores.
    pub removed: usize,
    /// Index objects that were written or removed.
    pub reindexed: usize,
    /// Where the next step begins; `None` at the end.
    pub next: Option<String>,
}

impl Storage {
    /// Looks at the next keys after a name, from the beginning where that is empty.
    ///
    /// An error of a store ends the step without harm: the next one may begin at the same place.
    pub async fn crawl(&self, after: &str, now: Timestamp) -> Result<Crawled, StoreError> {
        let mut crawled = Crawled::default();
        let (names, next) = self.names_after(after).await?;
        crawled.next = next;
        crawled.keys = names.len();
        let old = Version { at_us: now.before(TOMBSTONE_LIFE).0, tie: 0 };
        let mut by_namespace: BTreeMap<Namespace, Vec<(Name, Found)>> = BTreeMap::new();
        let looked = join_all(names.iter().map(|name| self.look_at(name, now, old))).await;
        for (name, looked) in names.into_iter().zip(looked) {
            let (found, repaired, removed) = looked?;
            crawled.repaired.extend(repaired);
            crawled.removed += usize::from(removed);
            by_namespace.entry(name.namespace.clone()).or_default().push((name, found));
        }
        for (namespace, keys) in &by_namespace {
            for store in 0..self.stores() {
                crawled.reindexed += self.reindex(store, namespace, keys, old).await?;
            }
        }
        if crawled.next.is_none() {
            self.settled(now);
        }
        Ok(crawled)
    }

    /// The next names of value objects in any store, and where to go on.
    async fn names_after(&self, after: &str) -> Result<(Vec<Name>, Option<String>), StoreError> {
        let list = |store| self.ask_list(store, None, ("v/", after), STEP_KEYS);
        let lists = match self.stores() {
            1 => vec![list(0).await?],
            _ => {
                let (one, other) = join(list(0), list(1)).await;
                vec![one?, other?]
            }
        };
        // A list that is full ends there; beyond the nearest such end a store has not spoken.
        let full = lists.iter().filter(|names| names.len() >= STEP_KEYS);
        let end = full.filter_map(|names| names.last()).min().cloned();
        let mut objects: Vec<&String> = lists.iter().flatten().collect();
        objects.sort_unstable();
        objects.dedup();
        let within = |object: &&String| end.as_ref().is_none_or(|end| *object <= end);
        let names = objects.into_iter().filter(within).filter_map(|o| layout::from_value_object(o));
        Ok((names.collect(), end))
    }

    /// Brings one key level and removes what has had its time: what there is of it then, what was repaired, whether it is gone.
    async fn look_at(
        &self,
        name: &Name,
        now: Timestamp,
        old: Version,
    ) -> Result<(Found, Option<Repaired>, bool), StoreError> {
        let Some(copies) = self.copies(name, TraceContext::NONE).await else {
            return Err(StoreError::Failed);
        };
        let differing = copies.windows(2).any(|pair| pair[0].version() != pair[1].version());
        let Some(newest) = self.level_out(name, &copies, TraceContext::NONE).await else {
            return Err(StoreError::Failed);
        };
        if differing {
            let version = newest.version();
            let repaired = Repaired { name: name.clone(), version, was_newer: true };
            return Ok((newest, Some(repaired), false));
        }
        let over = match &newest {
            Found::Absent(version) => *version < old,
            Found::Value(_) => {
                newest.version() < old && newest.expired(now.before(TOMBSTONE_LIFE).unix_s())
            }
        };
        if over {
            self.remove(name, newest.version()).await?;
            return Ok((Found::Absent(newest.version()), None, true));
        }
        Ok((newest, None, false))
    }

    async fn remove(&self, name: &Name, version: Version) -> Result<(), StoreError> {
        let object = layout::value_object(name);
        let removals = (0..self.stores()).map(|store| self.ask_delete(store, &object, version));
        join_all(removals).await.into_iter().collect()
    }

    /// Makes the index of a range of keys say what their values say.
    async fn reindex(
        &self,
        store: usize,
        namespace: &Namespace,
        keys: &[(Name, Found)],
        old: Version,
    ) -> Result<usize, StoreError> {
        let mut changed = 0;
        for (name, found) in keys {
            let expected = match found {
                Found::Value(sealed) => Some((layout::index_object(name, sealed), sealed)),
                Found::Absent(_) => None,
            };
            let prefix = layout::index_prefix(name);
            let present = self.ask_list(store, None, (&prefix, ""), STEP_KEYS).await?;
            debug_assert!(present.iter().all(|object| {
                layout::from_index(namespace, object).is_none_or(|indexed| indexed.key == name.key)
            }));
            if let Some((object, sealed)) = &expected
                && !present.contains(object)
            {
                self.put_index(store, name, sealed, TraceContext::NONE).await?;
                changed += 1;
            }
            // An index object is as old as the write that made it; what may belong to a write under way stays.
            let up_to = found.version().max(old);
            let keep = expected.as_ref().map(|(object, _)| object);
            for object in present.iter().filter(|object| Some(*object) != keep) {
                self.ask_delete(store, object, up_to).await?;
                changed += 1;
            }
        }
        Ok(changed)
    }
}
