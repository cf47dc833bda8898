//! A node's metrics: handles for what is counted often, and what is looked up when a scraper asks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::catalogue;
use super::log::Role;
use super::registry::{Counter, Gauge, Histogram, Registry};
use super::ship::Fate;
use crate::cache::{CacheResult, TierError, TierRole};
use crate::config::Namespaces;
use crate::ids::{BuildId, Dc, Namespace, Peer};
use crate::resolver::NotResolved;
use crate::safeguards::Build;
use crate::storage::{Crawled, StoreError};
use crate::striped::Striped;
use crate::worker::ScriptName;

/// Namespaces that are counted by name; those that come after them in the order of their names share one.
const NAMESPACES_MAX: usize = 32;
/// The name that they share.
const OTHERS: &str = "others";

type Handles<K, V> = Mutex<IndexMap<K, V, FxBuildHasher>>;

/// What tells answers apart.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub script: ScriptName,
    pub role: Role,
    pub operation: &'static str,
    pub status: StatusCode,
    pub cache: Option<CacheResult>,
    pub namespace: Option<&'a Namespace>,
    pub build: Option<&'a BuildId>,
}

/// The same, short: a request is counted by it, so it holds no text that would have to be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Short {
    what: (ScriptName, Role, &'static str),
    how: (u16, Option<CacheResult>),
    namespace: Option<u16>,
    /// A hash of its id: a node knows a few builds.
    build: Option<u64>,
}

/// What an answer is counted by: one look-up for all of it.
#[derive(Clone, Debug)]
struct Counts {
    response: Counter,
    seconds: Histogram,
    namespace: Option<Counter>,
}

/// A node's metrics, in a registry of its own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    namespaces: Arc<Namespaces>,
    /// Each thread looks up for itself: a series is begun once all the same.
    answers: Striped<Handles<Short, Counts>>,
    // Answers that differ in their namespace alone share these.
    responses: Handles<Vec<String>, Counter>,
    by_namespace: Handles<(Option<u16>, &'static str), Counter>,
    seconds: Handles<(ScriptName, &'static str), Histogram>,
    tiers: Handles<(Dc, TierRole, &'static str), Counter>,
    stores: Handles<(Peer, &'static str, &'static str), Counter>,
    exceptions: Handles<(ScriptName, BuildId, String, String), Counter>,
    dropped: Handles<(&'static str, &'static str), Counter>,
    sent: Handles<&'static str, Counter>,
    waiting: Handles<&'static str, Gauge>,
    crawled: Handles<&'static str, Counter>,
    control_hosts: Handles<BuildId, [Counter; 2]>,
    resolved: Handles<(BuildId, &'static str), Counter>,
    isolates: Handles<(ScriptName, BuildId), Gauge>,
    builds: Handles<(ScriptName, BuildId), Gauge>,
    received: Handles<(ScriptName, Option<BuildId>), Counter>,
    env_changed: [Gauge; 2],
    stores_up: Vec<Gauge>,
    writes_waiting: Vec<Gauge>,
    /// Do nodes agree on who owns a key?
    pub ownership_disagreements: Counter,
    /// Do control headers reach the tiers?
    pub missing_context: Counter,
    /// Does the trace context reach the tiers?
    pub missing_trace: Counter,
    /// Are purges reaching the tiers?
    pub purges_sent: Counter,
    /// How often must a purge be sent again?
    pub purge_retries: Counter,
    /// How many purges does another data center pass on?
    pub purges_passed_on: Counter,
    /// Do the stores hold the same?
    pub repairs: Counter,
    /// How many keys of those that a store missed could not be kept in mind?
    pub writes_given_up: Counter,
    /// How often is an owner passed over because it failed?
    pub fallbacks: Counter,
    /// Do background refreshes fail while stale values hide it?
    pub refresh_failures: Counter,
    /// Which configuration does the node have?
    pub config_revision: Gauge,
    /// Is the node in service?
    pub serving: Gauge,
    /// Is the new backend on here?
    pub new_backend: Gauge,
}

impl Metrics {
    /// The metrics of a node with these namespaces and stores.
    pub fn new(namespaces: Arc<Namespaces>, stores: &[Peer]) -> Self {
        let registry = Registry::default();
        let scripts = [ScriptName::Gateway, ScriptName::Supercache];
        let env_changed =
            scripts.map(|s| registry.gauge(&catalogue::ISOLATES_ENV_CHANGED, &[s.name()]));
        let counter = |metric| registry.counter(metric, &[]);
        let gauge = |metric| registry.gauge(metric, &[]);
        gauge(&catalogue::STORES_CONFIGURED).set(i64::try_from(stores.len()).unwrap_or(i64::MAX));
        Self {
            received: Mutex::default(),
            env_changed,
            stores_up: stores
                .iter()
                .map(|store| {
                    let up = registry.gauge(&catalogue::STORE_UP, &[store.as_str()]);
                    up.set(1);
                    up
                })
                .collect(),
            writes_waiting: stores
                .iter()
                .map(|store| registry.gauge(&catalogue::WRITES_WAITING, &[store.as_str()]))
                .collect(),
            writes_given_up: counter(&catalogue::WRITES_GIVEN_UP),
            ownership_disagreements: counter(&catalogue::OWNERSHIP_DISAGREEMENTS),
            missing_context: registry.counter(&catalogue::MISSING_CONTEXT, &["control"]),
            missing_trace: registry.counter(&catalogue::MISSING_CONTEXT, &["trace"]),
            purges_sent: counter(&catalogue::PURGES_SENT),
            purge_retries: counter(&catalogue::PURGE_RETRIES),
            purges_passed_on: counter(&catalogue::PURGES_PASSED_ON),
            repairs: counter(&catalogue::REPAIRS),
            fallbacks: counter(&catalogue::TIER_FALLBACKS),
            refresh_failures: counter(&catalogue::REFRESH_FAILURES),
            config_revision: gauge(&catalogue::CONFIG_REVISION),
            serving: gauge(&catalogue::SERVING),
            new_backend: gauge(&catalogue::NEW_BACKEND),
            registry,
            namespaces,
            answers: Striped::default(),
            responses: Mutex::default(),
            by_namespace: Mutex::default(),
            seconds: Mutex::default(),
            tiers: Mutex::default(),
            stores: Mutex::default(),
            exceptions: Mutex::default(),
            dropped: Mutex::default(),
            sent: Mutex::default(),
            waiting: Mutex::default(),
            crawled: Mutex::default(),
            control_hosts: Mutex::default(),
            resolved: Mutex::default(),
            isolates: Mutex::default(),
            builds: Mutex::default(),
        }
    }

    /// What requests are counted by that enter a script and fall to a build; to none where they are refused before.
    pub fn received(&self, script: ScriptName, build: Option<&BuildId>) -> Counter {
        handle(&self.received, (script, build.cloned()), |(script, build)| {
            let labels = [script.name(), build.as_ref().map_or("none", BuildId::as_str)];
            self.registry.counter(&catalogue::REQUESTS_RECEIVED, &labels)
        })
    }

    /// Counts an answer.
    pub(super) fn response(&self, answer: &Answer<'_>, took: Duration) {
        let Answer { script, role, operation, status, cache, namespace, build } = *answer;
        let known = namespace.and_then(|namespace| self.namespaces.place(namespace));
        let short = Short {
            what: (script, role, operation),
            how: (status.as_u16(), cache),
            namespace: known.and_then(|place| u16::try_from(place).ok()),
            build: build.map(|build| rapidhash::v3::rapidhash_v3(build.as_str().as_bytes())),
        };
        let mut answers = self.answers.mine().lock().unwrap_or_else(PoisonError::into_inner);
        let counts = answers.entry(short).or_insert_with(|| self.begin(answer, known));
        counts.response.inc();
        counts.seconds.observe(took);
        if let Some(namespace) = &counts.namespace {
            namespace.inc();
        }
    }

    fn begin(&self, answer: &Answer<'_>, known: Option<usize>) -> Counts {
        let Answer { script, role, operation, status, cache, build, .. } = *answer;
        let known = known.and_then(|place| self.namespaces.at(place));
        let labels = [
            script.name(),
            role.name(),
            operation,
            status.as_str(),
            cache.map_or("none", CacheResult::name),
            known.map_or("none", |(_, about)| about.class.as_str()),
            build.map_or("none", BuildId::as_str),
        ];
        let key = labels.iter().map(|label| (*label).to_owned()).collect();
        Counts {
            response: handle(&self.responses, key, |_| {
                self.registry.counter(&catalogue::RESPONSES, &labels)
            }),
            seconds: handle(&self.seconds, (script, operation), |(script, operation)| {
                let labels = [script.name(), operation];
                self.registry.histogram(&catalogue::RESPONSE_SECONDS, &labels)
            }),
            namespace: (script == ScriptName::Gateway)
                .then(|| self.of_namespace(known.map(|(name, _)| name), status)),
        }
    }

    /// What answers of a namespace are counted by. A name that no namespace has is anybody's: it must not begin a series.
    fn of_namespace(&self, known: Option<&Namespace>, status: StatusCode) -> Counter {
        let result = match status.as_u16() {
            500.. => "error",
            400.. => "client-error",
            _ => "ok",
        };
        let place = known
            .and_then(|name| self.namespaces.place(name))
            .filter(|place| *place < NAMESPACES_MAX)
            .and_then(|place| u16::try_from(place).ok());
        handle(&self.by_namespace, (place, result), |_| {
            let name = place.and(known).map_or(OTHERS, Namespace::as_str);
            self.registry.counter(&catalogue::NAMESPACE_RESPONSES, &[name, result])
        })
    }

    /// Counts a request to an owner.
    pub fn tier_request<T>(&self, owner: &Dc, role: TierRole, outcome: &Result<T, TierError>) {
        let result = match outcome {
            Ok(_) => "ok",
            Err(error) => error.name(),
        };
        handle(&self.tiers, (owner.clone(), role, result), |(owner, role, result)| {
            let labels = [owner.as_str(), Role::from(*role).name(), result];
            self.registry.counter(&catalogue::TIER_REQUESTS, &labels)
        })
        .inc();
    }

    /// Counts a request to an upper tier that reached what serves it with its control host, or that lacked one.
    pub fn control_host(&self, build: &BuildId, there: bool) {
        // Both begin together, so that the first of either is an increase.
        let counters = handle(&self.control_hosts, build.clone(), |build| {
            let (role, build) = (Role::Upper.name(), build.as_str());
            let script = ScriptName::Supercache.name();
            [
                self.registry.counter(&catalogue::MISSING_CONTROL_CONTEXT, &[role, script, build]),
                self.registry.counter(&catalogue::CONTROL_HOSTS, &[role, build]),
            ]
        });
        counters[usize::from(there)].inc();
    }

    /// Counts a name that was looked up.
    pub fn resolved(&self, build: &BuildId, outcome: Result<(), NotResolved>) {
        let result = outcome.err().map_or("ok", NotResolved::name);
        handle(&self.resolved, (build.clone(), result), |(build, result)| {
            self.registry.counter(&catalogue::RESOLVER_QUERIES, &[build.as_str(), result])
        })
        .inc();
    }

    /// Counts a request to a store.
    pub fn store_request<T>(
        &self,
        store: &Peer,
        operation: &'static str,
        outcome: &Result<T, StoreError>,
    ) {
        let result = match outcome {
            Ok(_) => "ok",
            Err(error) => error.name(),
        };
        handle(&self.stores, (store.clone(), operation, result), |(store, operation, result)| {
            self.registry.counter(&catalogue::STORE_REQUESTS, &[store.as_str(), operation, result])
        })
        .inc();
    }

    /// Says whether the store at a place is known to be down.
    pub fn store_up(&self, place: usize, up: bool) {
        if let Some(gauge) = self.stores_up.get(place) {
            gauge.set(i64::from(up));
        }
    }

    /// Says how many keys wait for the store at a place.
    pub fn writes_waiting(&self, place: usize, keys: usize) {
        if let Some(gauge) = self.writes_waiting.get(place) {
            gauge.set(i64::try_from(keys).unwrap_or(i64::MAX));
        }
    }

    /// Counts what a step of the crawler came to.
    pub fn crawled(&self, crawled: &Crawled) {
        for (found, keys) in [
            ("looked-at", crawled.keys),
            ("differing", crawled.repaired.len()),
            ("over", crawled.removed),
            ("wrongly-indexed", crawled.reindexed),
        ] {
            handle(&self.crawled, found, |found| {
                self.registry.counter(&catalogue::CRAWLED, &[*found])
            })
            .add(keys as u64);
        }
    }

    /// Counts a reported exception.
    pub(super) fn exception(&self, report: &super::ExceptionReport) {
        let key =
            (report.script, report.build.clone(), report.kind.clone(), report.fingerprint.clone());
        handle(&self.exceptions, key, |(script, build, kind, fingerprint)| {
            let labels = [script.name(), build.as_str(), kind, fingerprint];
            self.registry.counter(&catalogue::EXCEPTIONS, &labels)
        })
        .inc();
    }

    /// Sets how many records of a signal were accepted upstream, how many were lost for which reason, and how many wait.
    pub(super) fn telemetry(&self, fate: &Fate) {
        let Fate { signal, sent, lost, waiting } = *fate;
        let set = |counter: &Counter, total: u64| counter.add(total.saturating_sub(counter.get()));
        set(
            &handle(&self.sent, signal, |signal| {
                self.registry.counter(&catalogue::TELEMETRY_SENT, &[signal])
            }),
            sent,
        );
        let waits = handle(&self.waiting, signal, |signal| {
            self.registry.gauge(&catalogue::TELEMETRY_WAITING, &[signal])
        });
        waits.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        for (reason, count) in lost {
            let counter = handle(&self.dropped, (signal, reason), |(signal, reason)| {
                self.registry.counter(&catalogue::TELEMETRY_DROPPED, &[signal, reason])
            });
            set(&counter, count);
        }
    }

    /// Says what a script runs: a build, or no longer that build where it has no isolates.
    pub fn build(&self, script: ScriptName, build: &Build, isolates: usize) {
        let labels = [script.name(), build.id.as_str(), build.environment.name()];
        let runs = handle(&self.builds, (script, build.id.clone()), |_| {
            self.registry.gauge(&catalogue::BUILD_INFO, &labels)
        });
        runs.set(i64::from(isolates > 0));
        handle(&self.isolates, (script, build.id.clone()), |(script, build)| {
            self.registry.gauge(&catalogue::ISOLATES, &[script.name(), build.as_str()])
        })
        .set(i64::try_from(isolates).unwrap_or(i64::MAX));
    }

    /// Says in how many of a script's isolates the env is not what it was configured with.
    pub fn env_changed(&self, script: ScriptName, isolates: usize) {
        self.env_changed[script as usize].set(i64::try_from(isolates).unwrap_or(i64::MAX));
    }

    /// The metrics in Prometheus' text format.
    pub fn text(&self) -> String {
        self.registry.text()
    }
}

/// A handle by what tells its series apart. Looking it up by its labels' text would cost several times as much.
fn handle<K: std::hash::Hash + Eq, V: Clone>(
    handles: &Handles<K, V>,
    key: K,
    begin: impl FnOnce(&K) -> V,
) -> V {
    let mut handles = handles.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = handles.get(&key) {
        return known.clone();
    }
    let new = begin(&key);
    handles.insert(key, new.clone());
    new
}
