//! The node: the only wiring, used by every lab and by the binary.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

use crate::api::auth::Secret;
use crate::api::tier::TierClient;
use crate::api::{admin, rest, status, tier};
use crate::cache::{Cache, CacheParts};
use crate::config::{ConfigStore, NodeConfig, Snapshot};
use crate::control::Reporter;
use crate::env::{Listener, NodeEnv};
use crate::gateway::{Gateway, Sealer};
use crate::storage::{ObjectStore, PlainStore, Storage};
use crate::telemetry::{Lifecycle, Metrics};
use crate::worker::{ScriptName, Worker};

/// A node that starts asks for the configuration until it gets an answer, at first after so long.
const CATCH_UP_PAUSE_FIRST: Duration = Duration::from_secs(1);
const CATCH_UP_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration does not describe a node: correct it.
    #[error("{0}")]
    Config(&'static str),
    /// The metric catalogue contradicts itself.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// One data center's node.
pub struct Node {
    config: NodeConfig,
    env: NodeEnv,
    store: ConfigStore,
    secret: Secret,
    metrics: Arc<Metrics>,
    gateway_worker: Worker,
    supercache_worker: Worker,
    gateway: Arc<Gateway>,
    cache: Arc<Cache>,
}

impl Node {
    /// Builds a node. Where it knows a control plane it asks that for the newest configuration, and serves meanwhile.
    ///
    /// [`StartError::Config`] where the data center is not in the topology, or where stores, sealing keys, isolates or
    /// weights are missing.
    pub fn start(config: NodeConfig, env: NodeEnv) -> Result<Arc<Self>, StartError> {
        check(&config)?;
        let metrics = Arc::new(Metrics::new()?);
        let secret = Secret::new(&config.secret);
        let stores = config
            .stores
            .iter()
            .map(|peer| {
                Arc::new(PlainStore::new(peer.clone(), env.clone())) as Arc<dyn ObjectStore>
            })
            .collect();
        let cache = Cache::new(CacheParts {
            dc: config.dc.clone(),
            members: config.members.clone(),
            env: env.clone(),
            storage: Storage::new(stores, env.clone()),
            peers: Arc::new(TierClient::new(env.clone(), secret.clone())),
            control: config.control.clone(),
            suspects: Arc::new(Reporter::new(config.dc.clone(), env.clone(), secret.clone())),
            metrics: metrics.clone(),
            limits: config.limits.clone(),
        });
        let gateway = Gateway::new(
            cache.clone(),
            Sealer::new(&config.sealing_keys, env.chance.stream("nonces")),
            config.limits.clone(),
            config.namespaces.clone(),
            env.clone(),
        );
        let worker = |script, pipeline: &[_]| {
            Worker::new(&config.dc, script, pipeline, config.isolates, env.clone())
        };
        let node = Arc::new(Self {
            store: ConfigStore::new(config.members.clone(), config.initial.clone()),
            gateway_worker: worker(ScriptName::Gateway, &config.gateway_pipeline),
            supercache_worker: worker(ScriptName::Supercache, &config.supercache_pipeline),
            gateway: Arc::new(gateway),
            secret,
            metrics,
            cache,
            config,
            env,
        });
        node.announce();
        node.catch_up();
        Ok(node)
    }

    /// Answers one request to one of the node's listeners. 404 for a listener that a data center does not have.
    pub async fn serve(
        self: &Arc<Self>,
        listener: Listener,
        request: Request<Bytes>,
    ) -> Response<Bytes> {
        match listener {
            Listener::Rest => self.serve_rest(request).await,
            Listener::Tier => self.serve_tier(request).await,
            Listener::Admin => {
                let signed =
                    self.secret.verify(&request, &self.config.dc.peer(), self.env.clock.now());
                admin::serve(self.as_ref(), signed, &request)
            }
            Listener::Store | Listener::Control => status::bare(StatusCode::NOT_FOUND),
        }
    }

    async fn serve_rest(&self, request: Request<Bytes>) -> Response<Bytes> {
        let operation = rest::operation(request.method());
        let outcome = self
            .gateway_worker
            .run(self.store.current(), |ctx| rest::serve(self.gateway.clone(), ctx, request))
            .await;
        let response = status::answer(outcome);
        self.metrics.response("rest", operation, response.status());
        response
    }

    async fn serve_tier(&self, request: Request<Bytes>) -> Response<Bytes> {
        let operation = tier::operation(request.method());
        if !self.secret.verify(&request, &self.config.dc.peer(), self.env.clock.now()) {
            self.metrics.response("tier", operation, StatusCode::UNAUTHORIZED);
            return status::bare(StatusCode::UNAUTHORIZED);
        }
        let outcome = self
            .supercache_worker
            .run(self.store.current(), |ctx| tier::serve(self.cache.clone(), ctx, request))
            .await;
        let response = status::answer(outcome);
        self.metrics.response("tier", operation, response.status());
        response
    }

    fn announce(&self) {
        let state = self.store.current().snapshot.status(&self.config.dc).state;
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

impl admin::Admin for Node {
    fn configure(&self, snapshot: Snapshot) {
        let prepare = |old: &_, new: &_| self.cache.configured(old, new);
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

    fn metrics(&self) -> Option<String> {
        self.metrics.text().ok()
    }
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
