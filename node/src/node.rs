//! The node: the only wiring, used by every lab and by the binary.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

use crate::api::access::Access;
use crate::api::auth::Secret;
use crate::api::tier::TierClient;
use crate::api::{admin, binding, rest, status, tier};
use crate::cache::{Cache, CacheParts};
use crate::config::{
    Config, ConfigStore, DcState, NodeConfig, Snapshot, StoreAbout, StoreProtocol,
};
use crate::control::Reporter;
use crate::env::{Listener, NodeEnv, Timestamp};
use crate::gateway::{Gateway, Sealer};
use crate::ids::Peer;
use crate::resolver::{Resolver, StoreHosts};
use crate::safeguards::Safeguard;
use crate::storage::{ObjectStore, PlainStore, S3Client, STEP_KEYS, Storage};
use crate::telemetry::{Answered, ErrorClass, Lifecycle, Metrics, Telemetry};
use crate::worker::{Ctx, ScriptName, Thrown, Worker};

/// A node that starts asks for the configuration until it gets an answer, at first after so long.
const CATCH_UP_PAUSE_FIRST: Duration = Duration::from_secs(1);
const CATCH_UP_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration does not describe a node: correct it.
    #[error("{0}")]
    Config(&'static str),
}

/// One data center's node.
pub struct Node {
    config: NodeConfig,
    env: NodeEnv,
    store: Arc<ConfigStore>,
    secret: Secret,
    telemetry: Arc<Telemetry>,
    gateway_worker: Worker,
    supercache_worker: Worker,
    gateway: Arc<Gateway>,
    access: Access,
    cache: Arc<Cache>,
    resolver: Option<Arc<Resolver>>,
}

impl Node {
    /// Builds a node. Where it knows a control plane it asks that for the newest configuration, and serves meanwhile.
    ///
    /// [`StartError::Config`] where the data center is not in the topology, or where stores, sealing keys, isolates or
    /// weights are missing.
    pub fn start(config: NodeConfig, env: NodeEnv) -> Result<Arc<Self>, StartError> {
        check(&config)?;
        let peers: Vec<Peer> = config.stores.iter().map(|store| store.peer.clone()).collect();
        let metrics = Arc::new(Metrics::new(config.namespaces.clone(), &peers));
        let telemetry = Arc::new(Telemetry::new(config.dc.clone(), env.clone(), metrics.clone()));
        let secret = Secret::new(&config.secret);
        let stores = config.stores.iter().map(|about| client_of(about, &env)).collect();
        let store = Arc::new(ConfigStore::new(
            config.members.clone(),
            config.namespaces.clone(),
            config.initial.clone(),
        ));
        let worker = |script, pipeline: &[_]| {
            let parts = (env.clone(), telemetry.clone());
            let script = (script, config.environment);
            Worker::new(&config.dc, script, pipeline, config.isolates, parts)
        };
        let resolver = hosts_to_resolve(&config).map(|hosts| {
            // A node is started with the same builds for whatever serves tiers.
            let worker = worker(ScriptName::Resolver, &config.supercache_pipeline);
            Arc::new(Resolver::new(hosts, worker, store.clone(), metrics.clone()))
        });
        let platform = &config.gateway_pipeline[0].build;
        let cache = Cache::new(CacheParts {
            dc: config.dc.clone(),
            members: config.members.clone(),
            env: env.clone(),
            storage: Storage::new(
                stores,
                (config.limits.crawl_keys_per_s > 0, platform.has(Safeguard::PacedRefill)),
                env.clone(),
                metrics.clone(),
            ),
            peers: Arc::new(TierClient::new(env.clone(), secret.clone())),
            control: config.control.clone(),
            suspects: Arc::new(Reporter::new(config.dc.clone(), env.clone(), secret.clone())),
            metrics,
            namespaces: config.namespaces.clone(),
            limits: config.limits.clone(),
            resolver: resolver.clone(),
        });
        let gateway = Gateway::new(
            cache.clone(),
            Sealer::new(&config.sealing_keys, env.chance.stream("nonces")),
            config.limits.clone(),
            config.namespaces.clone(),
            env.clone(),
        );
        let node = Arc::new(Self {
            gateway_worker: worker(ScriptName::Gateway, &config.gateway_pipeline),
            supercache_worker: worker(ScriptName::Supercache, &config.supercache_pipeline),
            gateway: Arc::new(gateway),
            access: Access::new(config.tokens.clone()),
            secret,
            telemetry,
            cache,
            resolver,
            store,
            config,
            env,
        });
        let config = node.store.current();
        node.gateway_worker.configure(&config);
        node.supercache_worker.configure(&config);
        if let Some(resolver) = &node.resolver {
            resolver.configure(&config);
        }
        node.announce();
        node.env.tasks.spawn(Box::pin(node.cache.clone().stay_awake()));
        node.catch_up();
        node.crawl();
        Ok(node)
    }

    /// Answers one request to one of the node's listeners. 404 for a listener that a data center does not have.
    ///
    /// What a future may have to hold is moved about with every request, so all roads but the shortest one, a hit over REST, are
    /// boxed: here, in [`rest`], in the gateway and at the edge.
    pub async fn serve(
        self: &Arc<Self>,
        listener: Listener,
        mut request: Request<Bytes>,
    ) -> Response<Bytes> {
        match listener {
            Listener::Rest => self.serve_rest(&mut request).await,
            Listener::Binding => Box::pin(self.serve_binding(&mut request)).await,
            Listener::Tier => Box::pin(self.serve_tier(request)).await,
            Listener::Admin => {
                let signed =
                    self.secret.verify(&request, &self.config.dc.peer(), self.env.clock.now());
                admin::serve(self.as_ref(), signed, &request)
            }
            Listener::Store | Listener::Control | Listener::Intake | Listener::Product => {
                status::bare(StatusCode::NOT_FOUND)
            }
        }
    }

    async fn serve_rest<'a>(&'a self, request: &'a mut Request<Bytes>) -> Response<Bytes> {
        let operation = rest::operation(request.method(), request.uri().path());
        self.serve_gateway(operation, request, rest::serve).await
    }

    async fn serve_binding<'a>(&'a self, request: &'a mut Request<Bytes>) -> Response<Bytes> {
        let operation = binding::operation(request.method(), request.uri().path());
        self.serve_gateway(operation, request, binding::serve).await
    }

    /// Runs the gateway script for a request of a customer.
    async fn serve_gateway<'a, F, R>(
        &'a self,
        operation: &'static str,
        request: &'a mut Request<Bytes>,
        script: F,
    ) -> Response<Bytes>
    where
        F: FnOnce((&'a Arc<Gateway>, &'a Access), Arc<Ctx>, &'a mut Request<Bytes>) -> R,
        R: Future<Output = Result<Response<Bytes>, Thrown>> + Send,
    {
        let since = self.env.clock.now();
        let caller = tier::caller(request);
        let parts = (&self.gateway, &self.access);
        let (outcome, ctx) =
            self.gateway_worker.run(&self.store, caller, |ctx| script(parts, ctx, request)).await;
        let answer = status::answer(outcome);
        self.told(answer, (ScriptName::Gateway, operation), since, Some(&ctx))
    }

    async fn serve_tier(&self, request: Request<Bytes>) -> Response<Bytes> {
        let since = self.env.clock.now();
        let script =
            (ScriptName::Supercache, tier::operation(request.method(), request.uri().path()));
        if !self.secret.verify(&request, &self.config.dc.peer(), since) {
            self.telemetry.metrics.received(script.0, None).inc();
            let answer = status::refused(StatusCode::UNAUTHORIZED, ErrorClass::Unsigned);
            return self.told(answer, script, since, None);
        }
        let caller = tier::caller(&request);
        let about = tier::About::of(&request);
        let (outcome, ctx) = self
            .supercache_worker
            .run(&self.store, caller, |ctx| tier::serve(self.cache.clone(), ctx, request))
            .await;
        about.note_unless_noted(&ctx);
        self.told(status::answer(outcome), script, since, Some(&ctx))
    }

    /// Lets telemetry see an answer, and gives it back.
    fn told(
        &self,
        mut answer: Response<Bytes>,
        (script, operation): (ScriptName, &'static str),
        since: Timestamp,
        ctx: Option<&Ctx>,
    ) -> Response<Bytes> {
        let error = status::take_error(&mut answer);
        let status = answer.status();
        self.telemetry.answered(&Answered { script, operation, status, error, since, ctx });
        answer
    }

    fn announce(&self) {
        let snapshot = &self.store.current().snapshot;
        let state = snapshot.status(&self.config.dc).state;
        let event = Lifecycle::State { dc: self.config.dc.clone(), state };
        self.env.sink.lifecycle(self.env.clock.now(), event);
    }

    /// Asks the control plane for the configuration that was pushed while this node was not there.
    fn catch_up(self: &Arc<Self>) {
        let Some(control) = self.config.control.clone() else { return };
        let this = self.clone();
        self.env.tasks.spawn(Box::pin(async move {
            let mut pause = CATCH_UP_PAUSE_FIRST;
            loop {
                let request = Request::builder()
                    .method(Method::GET)
                    .uri(crate::control::CONFIG)
                    .body(Bytes::new());
                let Ok(request) = request else { return };
                let answer =
                    admin::call(&this.env, &this.secret, &control, Listener::Control, request)
                        .await;
                if let Some(snapshot) =
                    answer.and_then(|answer| serde_json::from_slice(answer.body()).ok())
                {
                    admin::Admin::configure(this.as_ref(), snapshot);
                    return;
                }
                this.env.clock.sleep(pause).await;
                pause = (pause * 2).min(CATCH_UP_PAUSE_MAX);
            }
        }));
    }
}

impl Node {
    /// Compares the stores for as long as the node lives.
    fn crawl(self: &Arc<Self>) {
        let keys_per_s = self.config.limits.crawl_keys_per_s;
        if keys_per_s == 0 {
            return;
        }
        let this = self.clone();
        let pause =
            Duration::from_secs(1) * u32::try_from(STEP_KEYS).unwrap_or(u32::MAX) / keys_per_s;
        self.env.tasks.spawn(Box::pin(async move {
            let mut after = String::new();
            loop {
                this.env.clock.sleep(pause).await;
                // A step that failed is done again: the store that could not be asked will be back.
                if let Ok(next) = this.cache.crawl(&this.store.current(), &after).await {
                    after = next.unwrap_or_default();
                }
            }
        }));
    }
}

impl admin::Admin for Node {
    fn configure(&self, snapshot: Snapshot) {
        let prepare = |old: &Config, new: &Config| {
            self.cache.configured(old, new);
            if old.snapshot.pipelines != new.snapshot.pipelines
                || old.snapshot.builds != new.snapshot.builds
            {
                self.gateway_worker.configure(new);
                self.supercache_worker.configure(new);
                if let Some(resolver) = &self.resolver {
                    resolver.configure(new);
                }
            }
        };
        let Some((old, new)) = self.store.offer(snapshot, prepare) else { return };
        let dc = &self.config.dc;
        let event = Lifecycle::ConfigApplied { dc: dc.clone(), revision: new.snapshot.revision };
        self.env.sink.lifecycle(self.env.clock.now(), event);
        if old.snapshot.status(dc).state != new.snapshot.status(dc).state {
            self.announce();
        }
    }

    fn restart_isolates(&self) {
        self.supercache_worker.restart_isolates();
    }

    fn metrics(&self) -> String {
        let metrics = &self.telemetry.metrics;
        let config = self.store.current();
        metrics.config_revision.set(i64::try_from(config.snapshot.revision).unwrap_or(i64::MAX));
        let serving = config.snapshot.status(&self.config.dc).state == DcState::Serving;
        metrics.serving.set(i64::from(serving));
        let on = config.snapshot.new_backend && config.snapshot.status(&self.config.dc).new_backend;
        metrics.new_backend.set(i64::from(on));
        for (script, worker) in [
            (ScriptName::Gateway, &self.gateway_worker),
            (ScriptName::Supercache, &self.supercache_worker),
        ] {
            metrics.env_changed(script, worker.isolates_with_changed_env());
        }
        self.telemetry.scrape()
    }
}

fn client_of(StoreAbout { peer, protocol }: &StoreAbout, env: &NodeEnv) -> Arc<dyn ObjectStore> {
    match protocol {
        StoreProtocol::Plain => Arc::new(PlainStore::new(peer.clone(), env.clone())),
        StoreProtocol::S3(access) => {
            Arc::new(S3Client::new(peer.clone(), access.clone(), env.clone()))
        }
    }
}

/// The names of stores that a node has to resolve: none where it is no upper tier, or where stores have no names.
fn hosts_to_resolve(config: &NodeConfig) -> Option<StoreHosts> {
    let member = config.members.dcs.get(&config.dc)?;
    config.members.store_hosts.clone().filter(|_| member.upper_weight > 0)
}

fn check(config: &NodeConfig) -> Result<(), StartError> {
    let weights =
        |pipeline: &[crate::config::PipelineEntry]| pipeline.iter().any(|entry| entry.weight > 0);
    let wrong = if !config.members.dcs.contains_key(&config.dc) {
        "this data center is not in the topology"
    } else if config.stores.is_empty() {
        "there is no object store"
    } else if config.sealing_keys.is_empty() {
        "there is no sealing key"
    } else if config.isolates == 0 {
        "a script needs at least one isolate"
    } else if !weights(&config.gateway_pipeline) || !weights(&config.supercache_pipeline) {
        "a pipeline needs an entry with a weight"
    } else {
        return Ok(());
    };
    Err(StartError::Config(wrong))
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("dc", &self.config.dc).finish_non_exhaustive()
    }
}
