//! Isolates: what a script keeps between requests.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ScriptName;
use super::script_env::Bindings;
use crate::env::NodeEnv;
use crate::ids::Dc;
use crate::safeguards::Build;
use crate::telemetry::Lifecycle;

/// One isolate. Its life does not depend on the state of its data center.
#[derive(Debug)]
pub struct Isolate {
    /// Its number within the node's life.
    pub id: u32,
    bindings: Mutex<Bindings>,
    written: AtomicBool,
}

impl Isolate {
    /// The env object that lives as long as the isolate.
    pub(super) fn bindings(&self) -> MutexGuard<'_, Bindings> {
        // Scripts that panic do not hold the lock while they run, so a poisoned one still holds a whole object.
        self.bindings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its env is not what a fresh isolate of a data center has.
    pub(super) fn env_changed(&self, dc: &Dc) -> bool {
        *self.bindings() != Bindings::configured(dc)
    }

    /// Whether this is the first write to an env that anyone saw in it.
    pub(super) fn first_write(&self) -> bool {
        !self.written.swap(true, Ordering::Relaxed)
    }
}

/// Starts isolates of one script and numbers them.
#[derive(Debug)]
pub struct IsolateStarts {
    dc: Dc,
    script: ScriptName,
    env: NodeEnv,
    next: AtomicU32,
}

impl IsolateStarts {
    pub(super) fn new(dc: Dc, script: ScriptName, env: NodeEnv) -> Self {
        Self { dc, script, env, next: AtomicU32::new(0) }
    }

    /// Stands where a build has no isolates: nothing ever runs in it.
    pub(super) fn none(&self) -> Arc<Isolate> {
        Arc::new(Isolate {
            id: u32::MAX,
            bindings: Mutex::new(Bindings::configured(&self.dc)),
            written: AtomicBool::new(false),
        })
    }

    pub(super) fn start(&self, build: &Build) -> Arc<Isolate> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let event = Lifecycle::IsolateStarted {
            dc: self.dc.clone(),
            script: self.script,
            isolate: id,
            build: build.id.clone(),
        };
        self.env.sink.lifecycle(self.env.clock.now(), event);
        Arc::new(Isolate {
            id,
            bindings: Mutex::new(Bindings::configured(&self.dc)),
            written: AtomicBool::new(false),
        })
    }
}
