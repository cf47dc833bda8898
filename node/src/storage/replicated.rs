//! The replicated store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};

use super::health::Health;
use super::layout;
use super::object_store::{ObjectStore, StoreError, Written};
use super::{Found, Repaired, StorageError};
use crate::env::{BoxFuture, NodeEnv};
use crate::ids::Name;
use crate::telemetry::trace::Attribute;
use crate::telemetry::{Metrics, Stage, TraceContext};

/// How often a store that missed a write is tried again.
const WRITE_RETRY_PAUSE: Duration = Duration::from_secs(5);
/// So many writes may wait for a store; what comes on top is left to the repair of a later read.
const WRITES_WAITING_MAX: usize = 10_000;
/// A key has one index object; more are left behind by changes of its expiration, a few at the most.
const INDEX_OBJECTS_MAX: usize = 16;

/// One or two stores as one.
#[derive(Clone)]
pub struct Storage {
    stores: Arc<[(Arc<dyn ObjectStore>, Health)]>,
    env: NodeEnv,
    metrics: Arc<Metrics>,
}

/// What a read answers at once, and what it still does.
pub struct ReadAnswer {
    /// The first answer that counts.
    pub found: Found,
    /// The comparison with the slower store: to be spawned.
    pub rest: Option<BoxFuture<Option<Repaired>>>,
}

/// What a write still does once it is acknowledged: to be spawned.
pub struct WriteAnswer {
    /// The slower store and the index.
    pub rest: BoxFuture<()>,
}

type Copy = Result<Found, StoreError>;
type Rest = BoxFuture<Result<Written, StoreError>>;

/// What one store said.
struct Said {
    store: usize,
    copy: Copy,
}

impl Storage {
    /// Storage over one or two stores.
    pub fn new(stores: Vec<Arc<dyn ObjectStore>>, env: NodeEnv, metrics: Arc<Metrics>) -> Self {
        let stores = stores.into_iter().map(|store| (store, Health::default())).collect();
        Self { stores, env, metrics }
    }

    /// Reads a key from all stores at once.
    ///
    /// A value counts as soon as one store has it. That there is none counts only when every store says so, since a store
    /// may lack a write that another acknowledged, or where the other is known to be down; a store that failed is asked a
    /// second time before [`StorageError::Unavailable`].
    pub async fn read(&self, name: &Name, stage: &Stage) -> Result<ReadAnswer, StorageError> {
        let object = layout::value_object(name);
        let mut asked = (0..self.stores.len()).map(|store| self.fetch(store, &object, stage));
        let Some(one) = asked.next() else {
            return Err(StorageError::Unavailable);
        };
        let Some(other) = asked.next() else {
            let found = match one.await {
                Ok(found) => found,
                Err(_) => {
                    self.fetch(0, &object, stage).await.map_err(|_| StorageError::Unavailable)?
                }
            };
            return Ok(ReadAnswer { found, rest: None });
        };
        let (first, (fast, slow), rest) = match select(one, other).await {
            Either::Left((first, rest)) => (first, (0, 1), rest),
            Either::Right((first, rest)) => (first, (1, 0), rest),
        };
        // A store that has only just come back may still lack what was written meanwhile.
        let trusted = !self.stores[fast].1.recovering(self.env.clock.now());
        if let Ok(found @ Found::Value(_)) = &first
            && trusted
        {
            let found = found.clone();
            let answered = (fast, found.clone());
            let this = self.clone();
            let compare = this.compare(name.clone(), answered, (slow, rest), stage.context());
            return Ok(ReadAnswer { found, rest: Some(Box::pin(compare)) });
        }
        let second = rest.await;
        let first = self.unless_decided(first, &second, fast, (&object, stage)).await;
        let second = self.unless_decided(second, &first, slow, (&object, stage)).await;
        let said = [Said { store: fast, copy: first }, Said { store: slow, copy: second }];
        self.decide(name, said, stage.context())
    }

    /// Writes a key's new state to all stores at once; the first success answers.
    ///
    /// [`StorageError::Unavailable`]: no store took it. The caller may write again: the version makes that harmless.
    pub async fn write(
        &self,
        name: &Name,
        state: Found,
        stage: &Stage,
    ) -> Result<WriteAnswer, StorageError> {
        let trace = stage.context();
        let mut asked = (0..self.stores.len()).map(|store| self.store(store, name, &state, stage));
        let Some(one) = asked.next() else {
            return Err(StorageError::Unavailable);
        };
        let Some(other) = asked.next() else {
            let written = one.await.map_err(|_| StorageError::Unavailable)?;
            let this = self.clone();
            let name = name.clone();
            return Ok(WriteAnswer {
                rest: Box::pin(async move {
                    if written == Written::Stored {
                        this.index(0, &name, &state, trace).await;
                    }
                }),
            });
        };
        let (first, (fast, slow), rest) = match select(one, other).await {
            Either::Left((first, rest)) => (first, (0, 1), rest),
            Either::Right((first, rest)) => (first, (1, 0), rest),
        };
        let (rest, (taken, written), open): (Rest, _, _) = match first {
            Ok(written) => (rest, (fast, written), slow),
            Err(error) => {
                let written = rest.await.map_err(|_| StorageError::Unavailable)?;
                (Box::pin(async move { Err(error) }), (slow, written), fast)
            }
        };
        let (this, name) = (self.clone(), name.clone());
        Ok(WriteAnswer {
            rest: Box::pin(async move {
                // Where a newer write won, the index is that one's.
                if written == Written::Stored {
                    this.index(taken, &name, &state, trace).await;
                }
                let other = match rest.await {
                    Err(_) => this.put_again(open, &name, &state, trace).await,
                    written => written.ok(),
                };
                if other == Some(Written::Stored) {
                    this.index(open, &name, &state, trace).await;
                }
            }),
        })
    }

    fn fetch(&self, store: usize, object: &str, stage: &Stage) -> BoxFuture<Copy> {
        let here = self.at_store("store.get", store, stage);
        let get = self.stores[store].0.get(object, here.context());
        let asked = self.ask(store, "get", get);
        Box::pin(async move {
            match here.ended(asked.await)? {
                Some(object) => layout::from_object(object),
                None => Ok(Found::Absent(crate::ids::Version::ZERO)),
            }
        })
    }

    /// A write as a stage of the request that waits for it.
    fn store(&self, store: usize, name: &Name, state: &Found, stage: &Stage) -> Rest {
        let here = self.at_store("store.put", store, stage);
        let put = self.put(store, name, state, here.context());
        Box::pin(async move { here.ended(put.await) })
    }

    fn at_store(&self, what: &'static str, store: usize, stage: &Stage) -> Stage {
        let mut here = stage.beside(what);
        here.attribute("relapse.store", Attribute::Peer(self.stores[store].0.peer().clone()));
        here
    }

    fn put(&self, store: usize, name: &Name, state: &Found, trace: TraceContext) -> Rest {
        let (object, content) = (layout::value_object(name), layout::to_object(state));
        let put = self.stores[store].0.put(&object, content, trace);
        Box::pin(self.ask(store, "put", put))
    }

    /// Asks a store unless it is known to be down, and takes note of how that went.
    fn ask<T: Send + 'static>(
        &self,
        store: usize,
        operation: &'static str,
        call: BoxFuture<Result<T, StoreError>>,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T> {
        let this = self.clone();
        async move {
            let (object_store, health) = &this.stores[store];
            // Where no other store is up either, asking is better than knowing.
            let another = this.stores.iter().any(|(_, health)| !health.is_down());
            let admitted = !another || health.admits(this.env.clock.now());
            let outcome = if admitted { call.await } else { Err(StoreError::KnownDown) };
            health.observe(&outcome, this.env.clock.now());
            this.metrics.store_request(object_store.peer(), operation, &outcome);
            this.metrics.store_up(store, !health.is_down());
            outcome
        }
    }

    /// Asks a store again that failed, unless the other one has a value.
    async fn unless_decided(
        &self,
        failed: Copy,
        other: &Copy,
        store: usize,
        (object, stage): (&str, &Stage),
    ) -> Copy {
        match (&failed, other) {
            (Ok(_) | Err(StoreError::KnownDown), _) | (_, Ok(Found::Value(_))) => failed,
            (Err(_), _) => self.fetch(store, object, stage).await,
        }
    }

    fn decide(
        &self,
        name: &Name,
        [fast, slow]: [Said; 2],
        trace: TraceContext,
    ) -> Result<ReadAnswer, StorageError> {
        match (fast.copy, slow.copy) {
            (Ok(one), Ok(other)) if one.version() == other.version() => {
                Ok(ReadAnswer { found: one, rest: None })
            }
            (Ok(one), Ok(other)) => {
                let (found, behind) = if other.version() > one.version() {
                    (other, fast.store)
                } else {
                    (one, slow.store)
                };
                let level = self.clone().level(name.clone(), found.clone(), behind, trace);
                Ok(ReadAnswer { found, rest: Some(Box::pin(level)) })
            }
            (Ok(found @ Found::Value(_)), Err(_)) | (Err(_), Ok(found @ Found::Value(_))) => {
                Ok(ReadAnswer { found, rest: None })
            }
            (Ok(absent), Err(StoreError::KnownDown)) | (Err(StoreError::KnownDown), Ok(absent)) => {
                Ok(ReadAnswer { found: absent, rest: None })
            }
            _ => Err(StorageError::Unavailable),
        }
    }

    /// Waits for the slower store and brings the older of the two level.
    async fn compare(
        self,
        name: Name,
        (fast, answered): (usize, Found),
        (slow, rest): (usize, BoxFuture<Copy>),
        trace: TraceContext,
    ) -> Option<Repaired> {
        let slower = rest.await.ok()?;
        let (newest, behind, was_newer) = match slower.version().cmp(&answered.version()) {
            std::cmp::Ordering::Equal => return None,
            std::cmp::Ordering::Greater => (slower, fast, true),
            std::cmp::Ordering::Less => (answered, slow, false),
        };
        let level = self.repair(&name, &newest, behind, trace).await;
        // What was answered is too old whether or not the older store takes the newer version now.
        (level || was_newer).then_some(Repaired { name, version: newest.version(), was_newer })
    }

    /// Brings the store level that is behind with what was answered.
    async fn level(
        self,
        name: Name,
        newest: Found,
        behind: usize,
        trace: TraceContext,
    ) -> Option<Repaired> {
        let version = newest.version();
        self.repair(&name, &newest, behind, trace).await.then_some(Repaired {
            name,
            version,
            was_newer: false,
        })
    }

    /// Writes the newest state to the store that is behind; false where it was not.
    async fn repair(
        &self,
        name: &Name,
        newest: &Found,
        behind: usize,
        trace: TraceContext,
    ) -> bool {
        let repaired = self.put(behind, name, newest, trace).await == Ok(Written::Stored);
        if repaired {
            self.index(behind, name, newest, trace).await;
        }
        repaired
    }

    /// Tries a write again on a store that missed it, until that takes it; `None` where too many wait already.
    async fn put_again(
        &self,
        store: usize,
        name: &Name,
        state: &Found,
        trace: TraceContext,
    ) -> Option<Written> {
        let (_, health) = &self.stores[store];
        let _place = health.wait_for_retry(WRITES_WAITING_MAX)?;
        loop {
            self.env.clock.sleep(WRITE_RETRY_PAUSE).await;
            if let Ok(written) = self.put(store, name, state, trace).await {
                return Some(written);
            }
        }
    }

    /// Makes a store's index say what its value object says. What fails here the crawler mends.
    async fn index(&self, store: usize, name: &Name, state: &Found, trace: TraceContext) {
        let store = &self.stores[store].0;
        let keep = match state {
            Found::Value(sealed) => {
                let index = layout::index_object(name, sealed);
                let content = super::StoredObject {
                    version: sealed.version,
                    meta: String::new(),
                    body: bytes::Bytes::new(),
                };
                if store.put(&index, content, trace).await.is_err() {
                    return;
                }
                Some(index)
            }
            Found::Absent(_) => None,
        };
        let Ok(present) = store.list(&layout::index_prefix(name), "", INDEX_OBJECTS_MAX).await
        else {
            return;
        };
        let left_over = present
            .iter()
            .filter(|object| Some(*object) != keep.as_ref() && layout::is_index_of(name, object));
        join_all(left_over.map(|object| store.delete(object))).await;
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("stores", &self.stores.len()).finish_non_exhaustive()
    }
}
