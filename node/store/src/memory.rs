//! Objects in memory.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::backend::{self, Condition, Objects, Outcome, StoreError};
use crate::object::{Held, Object, Stat};
use crate::serve;

/// A store in memory. What it holds outlives the node that wrote it, and ends with the process.
///
/// Every call is carried out under one lock, so a conditional write has exactly one winner.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    objects: IndexMap<Arc<str>, Held, FxBuildHasher>,
    // Names begin alike, so looking one up in their order compares most of it at every step: the order is for lists only.
    names: BTreeSet<Arc<str>>,
}

impl Kept {
    fn insert(&mut self, name: &str, held: Held) {
        if let Some(place) = self.objects.get_mut(name) {
            *place = held;
        } else {
            let name: Arc<str> = name.into();
            self.names.insert(name.clone());
            self.objects.insert(name, held);
        }
    }

    fn remove(&mut self, name: &str) {
        self.objects.swap_remove(name);
        self.names.remove(name);
    }

    /// The version that is held where the condition does not hold.
    fn refuses(&self, name: &str, only: &Condition) -> Option<Outcome> {
        let held = self.objects.get(name);
        let version = held.map(|held| held.object.version.as_str());
        // Only a condition on a tag makes it, which for the longest body keeps the lock for 50 ms.
        let holds =
            only.holds(version, || held.map_or(crate::Etag([0; 16]), |held| held.stamp().etag));
        (!holds).then(|| Outcome::Refused(version.map(str::to_owned)))
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers one request of the [`plain`](crate::plain) protocol.
    pub fn serve(&self, request: Request<Bytes>) -> Response<Bytes> {
        serve::plain(self, request)
    }

    /// How many objects it holds.
    pub fn len(&self) -> usize {
        self.lock().objects.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.lock().objects.is_empty()
    }

    /// Puts an object there without asking for its version: how a lab lays the data that an incident starts with.
    pub fn seed(&self, name: &str, object: Object) {
        self.lock().insert(name, Held { object, stamp: None });
    }

    /// The object of a name, past the protocol: for who looks into a store.
    pub fn object(&self, name: &str) -> Option<Object> {
        self.lock().objects.get(name).map(|held| held.object.clone())
    }

    /// Removes an object, past the protocol: what a test or a fault does to a store.
    pub fn take(&self, name: &str) -> Option<Object> {
        let object = self.object(name);
        self.lock().remove(name);
        object
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // No code that can panic runs under the lock, so a poisoned one is still whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objects for MemoryStore {
    fn get(&self, name: &str) -> Result<Option<Held>, StoreError> {
        Ok(self.lock().objects.get(name).cloned())
    }

    fn stat(&self, name: &str) -> Result<Option<Stat>, StoreError> {
        Ok(self.get(name)?.map(|held| Stat {
            stamp: held.stamp(),
            body_bytes: held.object.body.len() as u64,
            version: held.object.version,
            meta: held.object.meta,
        }))
    }

    fn put(&self, name: &str, held: Held, only: Condition) -> Result<Outcome, StoreError> {
        backend::check(name, Some(&held.object))?;
        let mut kept = self.lock();
        if let Some(refused) = kept.refuses(name, &only) {
            return Ok(refused);
        }
        kept.insert(name, held);
        Ok(Outcome::Done)
    }

    fn remove(&self, name: &str, only: Condition) -> Result<Outcome, StoreError> {
        backend::check(name, None)?;
        let mut kept = self.lock();
        if let Some(Outcome::Refused(Some(held))) = kept.refuses(name, &only) {
            return Ok(Outcome::Refused(Some(held)));
        }
        kept.remove(name);
        Ok(Outcome::Done)
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Arc<str>>, StoreError> {
        let kept = self.lock();
        let names = kept.names.range::<str, _>((backend::start(prefix, after), Bound::Unbounded));
        Ok(names.take_while(|name| name.starts_with(prefix)).take(limit).cloned().collect())
    }

    fn blocks(&self) -> bool {
        false
    }
}
