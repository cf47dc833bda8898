//! What one request may look at, and what is noted of it on its way.

use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;

use super::isolate::Isolate;
use super::script_env::{RequestEnv, ScriptEnv};
use super::{Ground, Thrown};
use crate::cache::CacheResult;
use crate::env::{BoxFuture, Tasks};
use crate::ids::{Dc, Name};
use crate::safeguards::Safeguard;
use crate::telemetry::{Place, Role, Trace};

/// All that one request may look at, taken once when it enters a script. What it shares with others is read through it.
#[derive(Debug)]
pub struct Ctx {
    /// Its way through stages, tiers and stores.
    pub trace: Trace,
    pub(super) ground: Arc<Ground>,
    /// Which of the ground's isolates serves it.
    pub(super) isolate_at: usize,
    pub(super) env: RequestEnv,
    pub(super) notes: Mutex<Notes>,
}

impl Deref for Ctx {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

/// What the stages note of a request, for whoever logs it. Nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The key that it is about.
    pub name: Option<Name>,
    /// In which role the script serves it.
    pub role: Role,
    /// The data center that was asked last as the key's owner.
    pub owner: Option<Dc>,
    /// What the cache did.
    pub cache: Option<CacheResult>,
}

impl Ctx {
    /// The isolate that serves it.
    pub fn isolate(&self) -> &Isolate {
        &self.ground.isolates[self.isolate_at]
    }

    /// The env as the script sees it.
    pub fn env(&self) -> ScriptEnv<'_> {
        self.env.within(self.isolate())
    }

    /// Notes something of the request.
    pub fn note(&self, note: impl FnOnce(&mut Notes)) {
        note(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes what has been noted: for whoever comes last.
    pub fn take_notes(&self) -> Notes {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What has been noted so far.
    pub fn notes(&self) -> Notes {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An exception with the stages at which it is thrown.
    pub fn thrown(&self, mut thrown: Thrown) -> Thrown {
        thrown.stack = self.trace.stages();
        thrown
    }

    /// Runs work beside the request. What it throws is reported like what the request throws.
    pub fn spawn_beside(self: &Arc<Self>, tasks: &dyn Tasks, work: BoxFuture<()>) {
        let ctx = self.clone();
        tasks.spawn(Box::pin(async move {
            ctx.catch(work).await;
        }));
    }

    /// Waits for work that no handler guards; `None` where it threw, which has been reported then.
    pub async fn catch<T>(&self, work: impl Future<Output = T> + Send) -> Option<T> {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(value) => Some(value),
            Err(panic) => {
                self.report(Thrown::from_panic(panic.as_ref()), Place::Beside);
                None
            }
        }
    }

    /// Reports an exception that nobody handled, once.
    pub(super) fn report(&self, thrown: Thrown, place: Place) {
        let wanted = if self.build.has(Safeguard::UnconditionalReports) {
            report_always()
        } else {
            report_where_switched_on(self.env())
        };
        if wanted {
            self.telemetry.exception(self, thrown, place);
        }
    }
}

fn report_always() -> bool {
    true
}

/// As it was in July 2023: the switch lies in the env, and whoever switches it off switches it off for the isolate.
fn report_where_switched_on(env: ScriptEnv<'_>) -> bool {
    env.read().error_reporting
}
