//! The Workers-like runtime.
//!
//! A data center runs two scripts, each with a pipeline of builds and isolates of its own. The worker picks a build and an
//! isolate for a request, hands the script one [`Ctx`], and catches what nobody handled at its boundary. It answers nothing
//! itself: an [`Outcome`] says what came of the request, and the listener turns that into an answer. It does not know what
//! a key is.

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

pub use exception::Thrown;
pub use isolate::{Isolate, IsolateStarts};
pub use script_env::{Bindings, ScriptEnv};

use crate::config::{Config, PipelineEntry};
use crate::env::{NodeEnv, Stream};
use crate::ids::Dc;
use crate::safeguards::{Build, Safeguard};
use crate::telemetry::{ExceptionReport, Lifecycle};

/// Which of a data center's two scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptName {
    /// Takes every request of a customer.
    Gateway,
    /// The new backend: serves tier requests.
    Supercache,
}

/// All that one request may look at, taken once when it enters a script.
#[derive(Debug)]
pub struct Ctx {
    /// Which data center this is.
    pub dc: Dc,
    /// The configuration for the whole of the request.
    pub config: Arc<Config>,
    /// The build that serves it.
    pub build: Arc<Build>,
    /// The env as the script sees it.
    pub env: ScriptEnv,
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
        env: NodeEnv,
    ) -> Self {
        let starts = IsolateStarts::new(dc.clone(), script, env.clone());
        let slots: Vec<Slot> = pipeline
            .iter()
            .map(|entry| {
                let build = Arc::new(entry.build.clone());
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
            starts,
        }
    }

    /// Runs the script for one request and catches what it throws.
    pub async fn run<F, R>(&self, config: Arc<Config>, script: F) -> Outcome
    where
        F: FnOnce(Arc<Ctx>) -> R,
        R: Future<Output = Result<Response<Bytes>, Thrown>> + Send,
    {
        let slot = self.slot();
        let isolate = slot.isolate();
        let bindings = if slot.build.has(Safeguard::RequestScopedEnv) {
            ScriptEnv::request_scoped(isolate.clone())
        } else {
            ScriptEnv::isolate_scoped(isolate.clone())
        };
        let ctx =
            Arc::new(Ctx { dc: self.dc.clone(), config, build: slot.build.clone(), env: bindings });
        let outcome = AssertUnwindSafe(script(ctx.clone())).catch_unwind().await;
        self.observe_env(&isolate, &ctx);
        let thrown = match outcome {
            Ok(Ok(response)) => return Outcome::Answered(response),
            Ok(Err(thrown)) => thrown,
            Err(panic) => Thrown::from_panic(panic.as_ref()),
        };
        self.report(&isolate, &ctx, thrown);
        Outcome::Exception
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

    fn report(&self, isolate: &Isolate, ctx: &Ctx, thrown: Thrown) {
        let wanted = if ctx.build.has(Safeguard::UnconditionalReports) {
            report_always()
        } else {
            report_where_switched_on(&ctx.env)
        };
        if wanted {
            let report = ExceptionReport {
                dc: self.dc.clone(),
                script: self.script,
                isolate: isolate.id,
                build: ctx.build.id.clone(),
                revision: ctx.config.snapshot.revision,
                kind: thrown.kind.to_owned(),
                message: thrown.message,
            };
            self.env.sink.exception(self.env.clock.now(), report);
        }
    }
}

fn report_always() -> bool {
    true
}

/// As it was in July 2023: the switch lies in the env, and whoever switches it off switches it off for the isolate.
fn report_where_switched_on(env: &ScriptEnv) -> bool {
    env.read().error_reporting
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
