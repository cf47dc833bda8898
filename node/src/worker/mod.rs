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
mod script_env;

use std::fmt;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use http::Response;
use serde::{Deserialize, Serialize};

pub use ctx::{Ctx, Notes};
pub use exception::Thrown;
pub use ground::Ground;
pub use isolate::{Isolate, IsolateStarts};
pub use script_env::{Bindings, ScriptEnv};

use self::script_env::RequestEnv;
use crate::config::{ConfigStore, PipelineEntry};
use crate::env::{NodeEnv, Stream};
use crate::ids::Dc;
use crate::safeguards::{Build, Safeguard};
use crate::striped::{Apart, Striped};
use crate::telemetry::{Lifecycle, Place, Telemetry, Trace, TraceContext, TraceIds};

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
    trace_ids: TraceIds,
    /// Numbers of requests that are given out.
    numbered: Apart<AtomicU64>,
    threads: Striped<Mutex<Thread>>,
}

/// What a thread that serves requests has of a slot.
#[derive(Default)]
struct Thread {
    /// What they stand on, where it has served one and nothing has changed since.
    ground: Option<Arc<Ground>>,
    /// The numbers of its next ones.
    numbers: Range<u64>,
}

/// So many numbers a thread takes at once.
const NUMBERS: u64 = 64;

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
                    trace_ids: telemetry.trace_ids(),
                    numbered: Apart::default(),
                    threads: Striped::default(),
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
        self.telemetry.metrics.received(self.script);
        let slot = self.slot();
        let (ground, number) = self.enter(slot, config);
        let ctx = Arc::new(Ctx {
            trace: Trace::enter(ground.clone(), slot.trace_ids, number, caller),
            isolate_at: usize::try_from(number).unwrap_or(0) % ground.isolates.len(),
            env: if slot.build.has(Safeguard::RequestScopedEnv) {
                RequestEnv::request_scoped()
            } else {
                RequestEnv::isolate_scoped()
            },
            ground,
            notes: Mutex::default(),
        });
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

    /// Replaces every isolate by a fresh one. Requests under way end where they began.
    pub fn restart_isolates(&self) {
        for slot in &self.pipeline {
            let mut isolates = slot.isolates.lock().unwrap_or_else(PoisonError::into_inner);
            for isolate in isolates.iter_mut() {
                *isolate = self.starts.start(&slot.build);
            }
            drop(isolates);
            for thread in slot.threads.used() {
                thread.lock().unwrap_or_else(PoisonError::into_inner).ground = None;
            }
        }
    }

    /// What a request of this thread stands on, and its number, from which isolate and ids follow.
    fn enter(&self, slot: &Slot, config: &ConfigStore) -> (Arc<Ground>, u64) {
        let mut mine = slot.threads.mine().lock().unwrap_or_else(PoisonError::into_inner);
        let number = mine.numbers.next().unwrap_or_else(|| {
            let first = slot.numbered.fetch_add(NUMBERS, Ordering::Relaxed);
            mine.numbers = first + 1..first + NUMBERS;
            first
        });
        let ground = match &mine.ground {
            Some(ground) if ground.config.snapshot.revision == config.revision() => ground.clone(),
            // The configuration is another, or isolates were restarted.
            _ => mine.ground.insert(Arc::new(self.ground(slot, config))).clone(),
        };
        (ground, number)
    }

    fn ground(&self, slot: &Slot, config: &ConfigStore) -> Ground {
        Ground {
            dc: self.dc.clone(),
            script: self.script,
            config: config.current(),
            build: slot.build.clone(),
            isolates: slot.isolates.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            telemetry: self.telemetry.clone(),
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

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("dc", &self.dc)
            .field("script", &self.script)
            .finish_non_exhaustive()
    }
}
