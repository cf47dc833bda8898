//! The Workers-like runtime.
//!
//! A data center runs two scripts, each with a pipeline of builds and isolates of its own. The worker picks a build and an
//! isolate for a request, hands the script one [`Ctx`], and catches what nobody handled at its boundary. It answers nothing
//! itself: an [`Outcome`] says what came of the request, and the listener turns that into an answer. It does not know what
//! a key is.

mod ctx;
mod exception;
mod isolate;
mod script_env;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use http::Response;
use serde::{Deserialize, Serialize};

pub use ctx::{Ctx, Notes};
pub use exception::Thrown;
pub use isolate::{Isolate, IsolateStarts};
pub use script_env::{Bindings, ScriptEnv};

use crate::config::{Config, PipelineEntry};
use crate::env::{NodeEnv, Stream};
use crate::ids::Dc;
use crate::safeguards::{Build, Safeguard};
use crate::telemetry::{Lifecycle, Place, Telemetry, TraceContext};

/// Which of a data center's two scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptName {
    /// Takes every request of a customer.
    Gateway,
    /// The new backend: serves tier requests.
    Supercache,
}

impl ScriptName {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Supercache => "supercache",
        }
    }
}

/// What came of a request.
pub enum Outcome {
    /// The script answered.
    Answered(Response<Bytes>),
    /// An exception left the script: the caller gets 500 and nothing else.
    Exception,
}

/// Runs one script.
pub struct Worker {
    dc: Dc,
    script: ScriptName,
    pipeline: Vec<Slot>,
    weight_sum: u64,
    draws: Stream,
    env: NodeEnv,
    telemetry: Arc<Telemetry>,
    starts: IsolateStarts,
}

struct Slot {
    weight: u64,
    build: Arc<Build>,
    isolates: Mutex<Vec<Arc<Isolate>>>,
    next: AtomicUsize,
}

impl Worker {
    /// Starts a script's isolates: `isolates` for each build of the pipeline.
    pub fn new(
        dc: &Dc,
        script: ScriptName,
        pipeline: &[PipelineEntry],
        isolates: usize,
        (env, telemetry): (NodeEnv, Arc<Telemetry>),
    ) -> Self {
        let starts = IsolateStarts::new(dc.clone(), script, env.clone());
        let slots: Vec<Slot> = pipeline
            .iter()
            .map(|entry| {
                let build = Arc::new(entry.build.clone());
                telemetry.metrics.build(script, &build, isolates);
                Slot {
                    weight: u64::from(entry.weight),
                    isolates: Mutex::new((0..isolates).map(|_| starts.start(&build)).collect()),
                    build,
                    next: AtomicUsize::new(0),
                }
            })
            .collect();
        let stream = match script {
            ScriptName::Gateway => "pipeline/gateway",
            ScriptName::Supercache => "pipeline/supercache",
        };
        Self {
            dc: dc.clone(),
            script,
            weight_sum: slots.iter().map(|slot| slot.weight).sum(),
            pipeline: slots,
            draws: env.chance.stream(stream),
            env,
            telemetry,
            starts,
        }
    }

    /// Runs the script for one request and catches what it throws. `caller` is the trace that the request brought.
    pub async fn run<F, R>(
        &self,
        config: Arc<Config>,
        caller: Option<TraceContext>,
        script: F,
    ) -> (Outcome, Arc<Ctx>)
    where
        F: FnOnce(Arc<Ctx>) -> R,
        R: Future<Output = Result<Response<Bytes>, Thrown>> + Send,
    {
        self.telemetry.metrics.received(self.script);
        let slot = self.slot();
        let isolate = slot.isolate();
        let bindings = if slot.build.has(Safeguard::RequestScopedEnv) {
            ScriptEnv::request_scoped(isolate.clone())
        } else {
            ScriptEnv::isolate_scoped(isolate.clone())
        };
        let trace = self.telemetry.traces.enter(self.script, &slot.build, caller);
        let ctx = Arc::new(Ctx {
            dc: self.dc.clone(),
            script: self.script,
            isolate: isolate.id,
            config,
            build: slot.build.clone(),
            env: bindings,
            trace,
            telemetry: self.telemetry.clone(),
            notes: Mutex::default(),
        });
        let outcome = AssertUnwindSafe(async { script(ctx.clone()).await }).catch_unwind().await;
        self.observe_env(&isolate, &ctx);
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

    /// Replaces every isolate by a fresh one. Requests under way end where they began.
    pub fn restart_isolates(&self) {
        for slot in &self.pipeline {
            let mut isolates = slot.isolates.lock().unwrap_or_else(PoisonError::into_inner);
            for isolate in isolates.iter_mut() {
                *isolate = self.starts.start(&slot.build);
            }
        }
    }

    /// How many isolates it runs.
    pub fn isolates(&self) -> usize {
        let count =
            |slot: &Slot| slot.isolates.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.pipeline.iter().map(count).sum()
    }

    /// In how many isolates the env is not what they were configured with.
    pub fn isolates_with_changed_env(&self) -> usize {
        let changed = |slot: &Slot| {
            let isolates = slot.isolates.lock().unwrap_or_else(PoisonError::into_inner);
            isolates.iter().filter(|isolate| isolate.env_changed(&self.dc)).count()
        };
        self.pipeline.iter().map(changed).sum()
    }

    fn slot(&self) -> &Slot {
        let last = &self.pipeline[self.pipeline.len() - 1];
        if self.pipeline.len() == 1 {
            return last;
        }
        let mut drawn = self.draws.below(self.weight_sum);
        for slot in &self.pipeline {
            if drawn < slot.weight {
                return slot;
            }
            drawn -= slot.weight;
        }
        last
    }

    /// Tells of a write to the env once per isolate and way of scoping, not once per request.
    fn observe_env(&self, isolate: &Isolate, ctx: &Ctx) {
        let Some(stays) = ctx.env.written() else { return };
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

impl Slot {
    fn isolate(&self) -> Arc<Isolate> {
        let isolates = self.isolates.lock().unwrap_or_else(PoisonError::into_inner);
        isolates[self.next.fetch_add(1, Ordering::Relaxed) % isolates.len()].clone()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("dc", &self.dc)
            .field("script", &self.script)
            .finish_non_exhaustive()
    }
}
