//! The replicated store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::{Either, join, join_all, select};

use super::health::{Health, RECOVERY};
use super::layout;
use super::object_store::{ObjectStore, StoreError, StoredObject, Written};
use super::pace::Pace;
use super::queue::Behind;
use super::{Found, Repaired, StorageError};
use crate::admission::{Busy, Gate, RetryBudget};
use crate::env::{BoxFuture, NodeEnv, Timestamp};
use crate::ids::{Name, Namespace, Version};
use crate::telemetry::trace::Attribute;
use crate::telemetry::{Metrics, Stage, TraceContext};

/// One store and what this node knows of it.
pub(super) struct Replica {
    pub(super) store: Arc<dyn ObjectStore>,
    gate: Gate,
    health: Health,
    pace: Pace,
    behind: Behind,
}

/// One or two stores as one.
#[derive(Clone)]
pub struct Storage {
    pub(super) stores: Arc<[Replica]>,
    /// From when on one store alone is believed, in microseconds since 1970.
    settled_us: Arc<AtomicU64>,
    /// Until then one store is not even believed where the other does not answer.
    alone_from: Timestamp,
    retries: Arc<RetryBudget>,
    /// Whether a store that comes back is spared a rush.
    paces: bool,
    /// Whose work that is which no customer waits for.
    pub(super) nobody: Namespace,
    pub(super) env: NodeEnv,
    pub(super) metrics: Arc<Metrics>,
}

/// What a read answers at once, and what it still does.
pub struct ReadAnswer {
    /// The first answer that counts.
    pub found: Found,
    /// Whether it is what one of two stores said while the other did not answer.
    pub alone: bool,
    /// The comparison with the slower store: to be spawned.
    pub rest: Option<BoxFuture<Option<Repaired>>>,
}

/// What a write still does once it is acknowledged: to be spawned.
pub struct WriteAnswer {
    /// The slower store and the index.
    pub rest: BoxFuture<()>,
}

type Copy = Result<Found, StoreError>;
pub(super) type Rest = BoxFuture<Result<Written, StoreError>>;

/// What one store said.
struct Said {
    store: usize,
    copy: Copy,
}

/// A write, as metrics name it.
pub(super) const PUT: &str = "put";

/// As it was in June 2025: whoever misses asks.
fn all_at_once() -> bool {
    true
}

impl Storage {
    /// Storage over one or two stores. A node that begins does not know what a store may have missed while nobody watched, so
    /// at first it believes none alone: until the crawler has been through, or where none runs here, for a minute.
    pub fn new(
        stores: Vec<Arc<dyn ObjectStore>>,
        (crawls, paces): (bool, bool),
        env: NodeEnv,
        metrics: Arc<Metrics>,
    ) -> Self {
        let alone_from = env.clock.now().after(RECOVERY);
        let settled = if crawls { Timestamp(u64::MAX) } else { alone_from };
        let replica = |store: Arc<dyn ObjectStore>| Replica {
            behind: Behind::new(env.chance.stream(&format!("catch-up/{}", store.peer()))),
            gate: Gate::default(),
            health: Health::default(),
            pace: Pace::default(),
            store,
        };
        let stores = stores.into_iter().map(replica).collect();
        let retries = Arc::new(RetryBudget::new(env.chance.stream("retries/stores")));
        let (settled_us, nobody) = (Arc::new(settled.0.into()), Namespace::from(""));
        Self { stores, settled_us, alone_from, retries, paces, nobody, env, metrics }
    }

    /// Reads a key from all stores at once.
    ///
    /// A value counts as soon as one store has it. That there is none counts only when every store says so, since a store
    /// may lack a write that another acknowledged, or where the other is known to be down; a store that failed is asked a
    /// second time before [`StorageError::Unavailable`].
    pub async fn read(&self, name: &Name, stage: &Stage) -> Result<ReadAnswer, StorageError> {
        let object = layout::value_object(name);
        let key = (name, object.as_str());
        let mut asked = (0..self.stores.len()).map(|store| self.fetch(store, key, stage));
        let Some(one) = asked.next() else {
            return Err(StorageError::Unavailable);
        };
        let Some(other) = asked.next() else {
            let found = self.again_if_failed(0, key, (one.await, stage)).await;
            let found = found.map_err(|_| StorageError::Unavailable)?;
            return Ok(ReadAnswer { found, alone: false, rest: None });
        };
        let (first, (fast, slow), rest) = match select(one, other).await {
            Either::Left((first, rest)) => (first, (0, 1), rest),
            Either::Right((first, rest)) => (first, (1, 0), rest),
        };
        // A store that has only just come back may still lack what was written meanwhile.
        let now = self.env.clock.now();
        let trusted = now.0 >= self.settled_us.load(Ordering::Relaxed)
            && !self.stores[fast].health.recovering(now)
            && !self.stores[fast].behind.holds(name);
        if let Ok(found @ Found::Value(_)) = &first
            && trusted
        {
            let found = found.clone();
            let answered = (fast, found.clone());
            let this = self.clone();
            let compare = this.compare(name.clone(), answered, (slow, rest), stage.context());
            let rest: BoxFuture<_> = Box::pin(compare);
            return Ok(ReadAnswer { found, alone: false, rest: Some(rest) });
        }
        let second = rest.await;
        let first = self.unless_decided(fast, key, (first, stage), &second).await;
        let second = self.unless_decided(slow, key, (second, stage), &first).await;
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
            let (this, name) = (self.clone(), name.clone());
            return Ok(WriteAnswer {
                rest: Box::pin(async move { this.tidy(0, &name, (written, &state), trace).await }),
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
                // At once: the slower write may have a place that others wait for.
                let slower = async {
                    match rest.await {
                        Ok(written) => this.tidy(open, &name, (written, &state), trace).await,
                        Err(_) => this.catch_up(open, &name).await,
                    }
                };
                join(this.tidy(taken, &name, (written, &state), trace), slower).await;
            }),
        })
    }

    fn fetch(&self, store: usize, (name, object): (&Name, &str), stage: &Stage) -> BoxFuture<Copy> {
        let here = self.at_store("store.get", store, stage);
        let get = self.stores[store].store.get(object, here.context());
        let asked = self.ask((store, "get"), &name.namespace, get);
        Box::pin(async move { state_of(here.ended(asked.await)) })
    }

    /// A write as a stage of the request that waits for it.
    fn store(&self, store: usize, name: &Name, state: &Found, stage: &Stage) -> Rest {
        let here = self.at_store("store.put", store, stage);
        let put = self.put(store, name, state, here.context());
        Box::pin(async move { here.ended(put.await) })
    }

    fn at_store(&self, what: &'static str, store: usize, stage: &Stage) -> Stage {
        let mut here = stage.beside(what);
        here.attribute("relapse.store", Attribute::Peer(self.stores[store].store.peer().clone()));
        here
    }

    /// Writes the value object and, beside it, the index object: a key that is acknowledged can be listed.
    fn put(&self, store: usize, name: &Name, state: &Found, trace: TraceContext) -> Rest {
        let (object, content) = (layout::value_object(name), layout::to_object(state));
        let mut put = self.stores[store].store.put(&object, content, trace);
        if let Found::Value(sealed) = state {
            let index = self.index_put(store, name, sealed, trace);
            // What fails of the index a listing finds out, and the crawler mends.
            put = Box::pin(async move { join(put, index).await.0 });
        }
        Box::pin(self.ask((store, PUT), &name.namespace, put))
    }

    /// The crawler has been through all keys: from now on one store alone is believed.
    pub(super) fn settled(&self, now: Timestamp) {
        self.settled_us.fetch_min(now.0, Ordering::Relaxed);
    }

    /// How many stores there are.
    pub(super) fn stores(&self) -> usize {
        self.stores.len()
    }

    /// Names in a store, for a customer or for nobody; once more where that fails.
    pub(super) async fn ask_list(
        &self,
        store: usize,
        customer: Option<&Namespace>,
        (prefix, after): (&str, &str),
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let list = || {
            let list = self.stores[store].store.list(prefix, after, limit);
            self.ask((store, "list"), customer.unwrap_or(&self.nobody), list)
        };
        self.retries.earn();
        match list().await {
            Err(error) if error.asked() && self.retries.spend(&self.env).await => list().await,
            names => names,
        }
    }

    /// Asks a store for a customer, unless it is known to be down or has no place for the call, and takes note of how that
    /// went.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        (store, operation): (usize, &'static str),
        customer: &Namespace,
        call: BoxFuture<Result<T, StoreError>>,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T> {
        let (this, customer) = (self.clone(), customer.clone());
        async move {
            let Replica { store: object_store, gate, health, pace, .. } = &this.stores[store];
            // Where no other store is up either, or none would be believed alone, asking is better than knowing.
            let now = this.env.clock.now();
            let another = now >= this.alone_from
                && this.stores.iter().any(|replica| !replica.health.is_down());
            let admitted = !another || health.admits(now);
            // Empty caches multiply what customers read and nothing else; and while a write is not in this store, whoever asks
            // it reads what was before.
            let refills = operation != PUT && customer != this.nobody;
            if health.is_down() {
                pace.found_down(now);
            }
            let in_time = !refills
                || if this.paces { pace.admits(now, health.is_down()) } else { all_at_once() };
            let outcome = if admitted && !in_time {
                Err(StoreError::Busy)
            } else if admitted {
                match gate.enter(&this.env, &customer).await {
                    Ok(_turn) => call.await,
                    Err(Busy) => Err(StoreError::Busy),
                }
            } else {
                Err(StoreError::KnownDown)
            };
            let now = this.env.clock.now();
            let others_up = || {
                let mut others = this.stores.iter().enumerate().filter(|(at, _)| *at != store);
                others.any(|(_, other)| !other.health.is_down())
            };
            if health.observe(&outcome, now) {
                pace.back(now, !others_up());
            }
            this.metrics.store_request(object_store.peer(), operation, &outcome);
            this.metrics.store_up(store, !health.is_down());
            outcome
        }
    }

    /// Asks a store again that failed, unless the other one has a value.
    async fn unless_decided(
        &self,
        store: usize,
        key: (&Name, &str),
        (copy, stage): (Copy, &Stage),
        other: &Copy,
    ) -> Copy {
        match other {
            Ok(Found::Value(_)) => copy,
            _ => self.again_if_failed(store, key, (copy, stage)).await,
        }
    }

    /// Asks a store again that failed, while there are second tries left.
    async fn again_if_failed(
        &self,
        store: usize,
        key: (&Name, &str),
        (copy, stage): (Copy, &Stage),
    ) -> Copy {
        self.retries.earn();
        match copy {
            Err(error) if error.asked() && self.retries.spend(&self.env).await => {
                self.fetch(store, key, stage).await
            }
            copy => copy,
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
                Ok(ReadAnswer { found: one, alone: false, rest: None })
            }
            (Ok(one), Ok(other)) => {
                let (found, behind) = if other.version() > one.version() {
                    (other, fast.store)
                } else {
                    (one, slow.store)
                };
                let level = self.clone().level(name.clone(), found.clone(), behind, trace);
                Ok(ReadAnswer { found, alone: false, rest: Some(Box::pin(level)) })
            }
            (Ok(found), Err(other)) if self.counts_alone(name, fast.store, &found, other) => {
                Ok(ReadAnswer { found, alone: true, rest: None })
            }
            (Err(other), Ok(found)) if self.counts_alone(name, slow.store, &found, other) => {
                Ok(ReadAnswer { found, alone: true, rest: None })
            }
            _ => Err(StorageError::Unavailable),
        }
    }

    /// Whether what one store says counts while the other does not answer: a value, and "there is none" where the other is
    /// known to be down.
    fn counts_alone(&self, name: &Name, store: usize, found: &Found, other: StoreError) -> bool {
        let said = matches!(found, Found::Value(_)) || other == StoreError::KnownDown;
        said && self.believed_alone(store, |behind| behind.holds(name))
    }

    /// Whether a store may be believed that cannot be compared with the other one: not where it is known to be behind, nor in
    /// the first minute of a node, which cannot know yet. After that availability goes before what nobody here knows of.
    pub(super) fn believed_alone(&self, store: usize, behind: impl Fn(&Behind) -> bool) -> bool {
        self.env.clock.now() >= self.alone_from && !behind(&self.stores[store].behind)
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
        let Ok(written) = self.put(behind, name, newest, trace).await else {
            self.catch_up(behind, name).await;
            return false;
        };
        self.tidy(behind, name, (written, newest), trace).await;
        written == Written::Stored
    }

    /// What every store has of a key; `None` where one of them cannot say.
    pub(super) async fn copies(&self, name: &Name, trace: TraceContext) -> Option<Vec<Found>> {
        let object = layout::value_object(name);
        let gets = (0..self.stores.len()).map(|store| {
            let get = self.stores[store].store.get(&object, trace);
            self.ask((store, "get"), &self.nobody, get)
        });
        join_all(gets).await.into_iter().map(|copy| state_of(copy).ok()).collect()
    }

    /// Writes the newest of a key's states to every store that has an older one; that state, or `None` where a store did not
    /// take it.
    pub(super) async fn level_out(
        &self,
        name: &Name,
        copies: &[Found],
        trace: TraceContext,
    ) -> Option<Found> {
        let newest = copies.iter().max_by_key(|copy| copy.version())?;
        for (store, copy) in copies.iter().enumerate() {
            if copy.version() < newest.version() {
                let written = self.put(store, name, newest, trace).await.ok()?;
                self.tidy(store, name, (written, newest), trace).await;
            }
        }
        Some(newest.clone())
    }

    /// The keys that a store is behind with.
    pub(super) fn behind(&self, store: usize) -> &Behind {
        &self.stores[store].behind
    }

    /// Removes an object from a store unless what that holds is newer.
    pub(super) async fn ask_delete(
        &self,
        store: usize,
        object: &str,
        up_to: Version,
    ) -> Result<(), StoreError> {
        let delete = self.stores[store].store.delete(object, up_to);
        self.ask((store, "delete"), &self.nobody, delete).await
    }
}

/// What a store's answer says of a key.
pub(super) fn state_of(answer: Result<Option<StoredObject>, StoreError>) -> Copy {
    match answer? {
        Some(object) => layout::from_object(object),
        None => Ok(Found::Absent(Version::ZERO)),
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("stores", &self.stores.len()).finish_non_exhaustive()
    }
}
