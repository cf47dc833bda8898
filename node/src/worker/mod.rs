//! The Workers-like runtime.
//!
//! A data center runs two scripts, each with a pipeline of builds and isolates of its own. The worker picks a build and an
//! isolate for a request, hands the script one [`Ctx`], and catches what nobody handled at its boundary. It answers nothing
//! itself: an [`Outcome`] says what came of the request, and the listener turns that into an answer. It does not know what
//! a key is.

mod ctx;
mod exception;
mod ground;
mod isolate;
mod pipeline;
mod script_env;

use std::fmt;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use http::Response;
use serde::{Deserialize, Serialize};

pub use ctx::{Ctx, Notes};
pub use exception::Thrown;
pub use ground::Ground;
pub use isolate::{Isolate, IsolateStarts};
pub use pipeline::Stands;
pub use script_env::{Bindings, ScriptEnv};

use self::pipeline::{Pipelines, Slot};
use self::script_env::RequestEnv;
use crate::config::{Config, ConfigStore, PipelineEntry};
use crate::env::{NodeEnv, Stream};
use crate::ids::Dc;
use crate::safeguards::{Build, Environment, Safeguard};
use crate::striped::Striped;
use crate::telemetry::{Lifecycle, Place, Telemetry, Trace, TraceContext};

/// Which of a data center's scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptName {
    /// Takes every request of a customer.
    Gateway,
    /// The new backend: serves tier requests.
    Supercache,
    /// Tells an upper tier where stores are. It takes no requests: the supercache asks it within the node.
    Resolver,
}

impl ScriptName {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Supercache => "supercache",
            Self::Resolver => "resolver",
        }
    }
}

/// What came of a request.
pub enum Outcome {
    /// The script answered.
    Answered(Response<Bytes>),
    /// An exception left the script: the caller gets 500 and nothing else.
    Exception,
    /// The request fell to a build of another environment, which has no rights here.
    WrongEnvironment,
    /// The request fell to a build that is not there.
    NoSuchBuild,
}

/// Runs one script.
pub struct Worker {
    dc: Dc,
    script: ScriptName,
    pipelines: Pipelines,
    threads: Striped<Mutex<Thread>>,
    draws: Stream,
    env: NodeEnv,
    telemetry: Arc<Telemetry>,
}

/// What a thread that serves requests has of a script.
#[derive(Default)]
struct Thread {
    /// The configuration under which it stands so; none where isolates were restarted since.
    revision: Option<u64>,
    weight_sum: u64,
    standing: Vec<Standing>,
}

/// The same, of one share of the traffic.
struct Standing {
    weight: u64,
    ground: Arc<Ground>,
    /// The numbers of its next requests.
    numbers: Range<u64>,
}

impl Worker {
    /// Starts a script's isolates: `isolates` for each build of the pipeline.
    pub fn new(
        dc: &Dc,
        (script, environment): (ScriptName, Environment),
        pipeline: &[PipelineEntry],
        isolates: usize,
        (env, telemetry): (NodeEnv, Arc<Telemetry>),
    ) -> Self {
        let starts = IsolateStarts::new(dc.clone(), script, env.clone());
        let parts = (starts, telemetry.clone());
        let stream = match script {
            ScriptName::Gateway => "pipeline/gateway",
            ScriptName::Supercache => "pipeline/supercache",
            ScriptName::Resolver => "pipeline/resolver",
        };
        Self {
            dc: dc.clone(),
            script,
            pipelines: Pipelines::new(script, environment, pipeline, isolates, parts),
            threads: Striped::default(),
            draws: env.chance.stream(stream),
            env,
            telemetry,
        }
    }

    /// Takes what a new configuration has the script run, before any request sees that.
    pub fn configure(&self, new: &Config) {
        let shares = new.snapshot.pipelines.get(&self.script).and_then(|of| of.get(&self.dc));
        self.pipelines.configure(&new.snapshot, shares.map_or(&[], Vec::as_slice));
    }

    /// Runs the script for one request, under the configuration of now, and catches what it throws. `caller` is the trace that
    /// the request brought.
    pub async fn run<F, R>(
        &self,
        config: &ConfigStore,
        caller: Option<TraceContext>,
        script: F,
    ) -> (Outcome, Arc<Ctx>)
    where
        F: FnOnce(Arc<Ctx>) -> R,
        R: Future<Output = Result<Response<Bytes>, Thrown>> + Send,
    {
        let (ground, number) = self.enter(config);
        ground.slot.received.inc();
        let ctx = Arc::new(Ctx {
            trace: Trace::enter(ground.clone(), ground.slot.trace_ids, number, caller),
            isolate_at: usize::try_from(number).unwrap_or(0) % ground.isolates.len(),
            env: if ground.build.has(Safeguard::RequestScopedEnv) {
                RequestEnv::request_scoped()
            } else {
                RequestEnv::isolate_scoped()
            },
            ground,
            notes: Mutex::default(),
        });
        match ctx.slot.stands {
            Stands::Here => {}
            Stands::Elsewhere => return (Outcome::WrongEnvironment, ctx),
            Stands::Nowhere => {
                let platform = self.pipelines.platform();
                return if platform.has(Safeguard::UnknownBuildAnswered) {
                    (answer_for_nobody(), ctx)
                } else {
                    wait_for_nobody().await
                };
            }
        }
        let outcome = AssertUnwindSafe(async { script(ctx.clone()).await }).catch_unwind().await;
        self.observe_env(&ctx);
        let outcome = match outcome {
            Ok(Ok(response)) => Outcome::Answered(response),
            Ok(Err(thrown)) => {
                ctx.report(thrown, Place::Request);
                Outcome::Exception
            }
            Err(panic) => {
                ctx.report(Thrown::from_panic(panic.as_ref()), Place::Request);
                Outcome::Exception
            }
        };
        (outcome, ctx)
    }

    /// The build that something falls to which is no request, and whether that is there.
    pub fn falls_to(&self, config: &ConfigStore) -> (Arc<Build>, Stands) {
        let (ground, _) = self.enter(config);
        (ground.build.clone(), ground.slot.stands)
    }

    /// Replaces every isolate by a fresh one. Requests under way end where they began.
    pub fn restart_isolates(&self) {
        self.pipelines.restart_isolates();
        for thread in self.threads.used() {
            thread.lock().unwrap_or_else(PoisonError::into_inner).revision = None;
        }
    }

    /// What a request of this thread stands on, and its number, from which isolate and ids follow.
    fn enter(&self, config: &ConfigStore) -> (Arc<Ground>, u64) {
        let mut mine = self.threads.mine().lock().unwrap_or_else(PoisonError::into_inner);
        if mine.revision != Some(config.revision()) {
            // The configuration is another, or isolates were restarted.
            *mine = self.stand(config);
        }
        let at = if mine.standing.len() == 1 { 0 } else { self.draw(&mine) };
        let standing = &mut mine.standing[at];
        let number = standing.numbers.next().unwrap_or_else(|| {
            standing.numbers = standing.ground.slot.numbers();
            standing.numbers.next().unwrap_or_default()
        });
        (standing.ground.clone(), number)
    }

    /// Which share a request falls to.
    fn draw(&self, thread: &Thread) -> usize {
        let mut drawn = self.draws.below(thread.weight_sum);
        for (at, standing) in thread.standing.iter().enumerate() {
            if drawn < standing.weight {
                return at;
            }
            drawn -= standing.weight;
        }
        thread.standing.len() - 1
    }

    fn stand(&self, store: &ConfigStore) -> Thread {
        let config = store.current();
        let standing: Vec<Standing> = self
            .pipelines
            .current()
            .iter()
            .map(|(weight, slot)| Standing {
                weight: *weight,
                ground: Arc::new(self.ground(&config, slot)),
                numbers: 0..0,
            })
            .collect();
        Thread {
            revision: Some(config.snapshot.revision),
            weight_sum: standing.iter().map(|standing| standing.weight).sum(),
            standing,
        }
    }

    fn ground(&self, config: &Arc<Config>, slot: &Arc<Slot>) -> Ground {
        Ground {
            dc: self.dc.clone(),
            script: self.script,
            config: config.clone(),
            build: slot.build.clone(),
            isolates: slot.isolates(),
            slot: slot.clone(),
            telemetry: self.telemetry.clone(),
        }
    }

    /// In how many isolates the env is not what they were configured with.
    pub fn isolates_with_changed_env(&self) -> usize {
        let changed = |slot: &Slot| {
            slot.isolates().iter().filter(|isolate| isolate.env_changed(&self.dc)).count()
        };
        self.pipelines.current().iter().map(|(_, slot)| changed(slot)).sum()
    }

    /// Tells of a write to the env once per isolate and way of scoping, not once per request.
    fn observe_env(&self, ctx: &Ctx) {
        let Some(stays) = ctx.env.written() else { return };
        let isolate = ctx.isolate();
        if isolate.first_write() {
            let event = Lifecycle::EnvWritten {
                dc: self.dc.clone(),
                script: self.script,
                isolate: isolate.id,
                stays,
            };
            self.env.sink.lifecycle(self.env.clock.now(), event);
        }
    }
}

fn answer_for_nobody() -> Outcome {
    Outcome::NoSuchBuild
}

/// As it was in July 2023: what takes the request has nobody behind it.
async fn wait_for_nobody<T>() -> T {
    std::future::pending().await
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("dc", &self.dc)
            .field("script", &self.script)
            .finish_non_exhaustive()
    }
}
