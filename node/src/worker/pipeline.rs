//! What a script runs: shares of its traffic, each with a build and with isolates of its own, or with nothing behind it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::ScriptName;
use super::isolate::{Isolate, IsolateStarts};
use crate::config::{PipelineEntry, Share, Snapshot};
use crate::ids::BuildId;
use crate::safeguards::{Build, Environment};
use crate::striped::Apart;
use crate::telemetry::registry::Counter;
use crate::telemetry::{Telemetry, TraceIds};

/// What stands behind a build's id in a data center.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// The build, with isolates.
    Here,
    /// A build of another environment: it has no rights in this one, and runs nowhere in it.
    Elsewhere,
    /// Nothing: there is no build of that id.
    Nowhere,
}

/// A build in a pipeline.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) build: Arc<Build>,
    pub(super) stands: Stands,
    isolates: Mutex<Vec<Arc<Isolate>>>,
    pub(super) trace_ids: TraceIds,
    /// Numbers of requests that are given out.
    numbered: Apart<AtomicU64>,
    /// Requests that fell to it.
    pub(super) received: Counter,
}

/// So many numbers a thread takes at once.
const NUMBERS: u64 = 64;

impl Slot {
    pub(super) fn isolates(&self) -> Vec<Arc<Isolate>> {
        self.isolates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next numbers for whoever takes many at once.
    pub(super) fn numbers(&self) -> std::ops::Range<u64> {
        let first = self.numbered.fetch_add(NUMBERS, Ordering::Relaxed);
        first..first + NUMBERS
    }
}

/// Shares by weight, at least one of them above zero.
pub(super) type Pipeline = Vec<(u64, Arc<Slot>)>;

/// Makes the pipelines of one script.
pub(super) struct Pipelines {
    script: ScriptName,
    environment: Environment,
    isolates: usize,
    starts: IsolateStarts,
    telemetry: Arc<Telemetry>,
    /// What the node was started with.
    base: Pipeline,
    current: Mutex<Arc<Pipeline>>,
}

impl Pipelines {
    /// Starts the isolates of the first pipeline: `isolates` for each of its builds.
    pub(super) fn new(
        script: ScriptName,
        environment: Environment,
        pipeline: &[PipelineEntry],
        isolates: usize,
        (starts, telemetry): (IsolateStarts, Arc<Telemetry>),
    ) -> Self {
        let mut pipelines = Self {
            script,
            environment,
            isolates,
            starts,
            telemetry,
            base: Vec::new(),
            current: Mutex::default(),
        };
        pipelines.base = pipeline
            .iter()
            .map(|entry| (u64::from(entry.weight), pipelines.slot(&entry.build, Stands::Here)))
            .inspect(|(_, slot)| pipelines.restart(slot))
            .collect();
        pipelines.current = Mutex::new(Arc::new(pipelines.base.clone()));
        pipelines
    }

    /// What runs now.
    pub(super) fn current(&self) -> Arc<Pipeline> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The build that the node was started with: the platform's own, whatever is released on it.
    pub(super) fn platform(&self) -> &Build {
        &self.base[0].1.build
    }

    /// Takes what a configuration says. A build that was in the pipeline goes on with the isolates that it has; any other
    /// begins with fresh ones.
    pub(super) fn configure(&self, snapshot: &Snapshot, shares: &[Share]) {
        let old = self.current();
        let mut new = Pipeline::new();
        let base: u64 = self.base.iter().map(|(weight, _)| weight).sum();
        for share in shares.iter().filter(|share| share.weight > 0) {
            match &share.build {
                None => {
                    new.extend(self.base.iter().map(|(w, slot)| (share.weight * w, slot.clone())));
                }
                Some(id) => {
                    new.push((share.weight * base, self.released(id, snapshot, &old)));
                }
            }
        }
        if new.is_empty() {
            new.clone_from(&self.base);
        }
        for (_, slot) in &new {
            if !old.iter().any(|(_, known)| Arc::ptr_eq(known, slot)) {
                self.restart(slot);
            }
        }
        for (_, slot) in old.iter() {
            if !new.iter().any(|(_, known)| Arc::ptr_eq(known, slot)) {
                self.tell(slot, 0);
            }
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
    }

    /// The slot of a build that a release names; without isolates where it is new.
    fn released(&self, id: &BuildId, snapshot: &Snapshot, old: &Pipeline) -> Arc<Slot> {
        let known = snapshot.builds.get(id);
        let stands = match known {
            Some(build) if build.environment == self.environment => Stands::Here,
            Some(_) => Stands::Elsewhere,
            None => Stands::Nowhere,
        };
        let nothing = || Build { id: id.clone(), ..Build::current() };
        let build = known.cloned().unwrap_or_else(nothing);
        let same = |slot: &&Arc<Slot>| *slot.build == build && slot.stands == stands;
        let there = self.base.iter().chain(old.iter()).map(|(_, slot)| slot).find(same);
        there.cloned().unwrap_or_else(|| self.slot(&build, stands))
    }

    fn slot(&self, build: &Build, stands: Stands) -> Arc<Slot> {
        Arc::new(Slot {
            build: Arc::new(build.clone()),
            stands,
            isolates: Mutex::default(),
            trace_ids: self.telemetry.trace_ids(),
            numbered: Apart::default(),
            received: self.telemetry.metrics.received(self.script, Some(&build.id)),
        })
    }

    /// Gives every build of the pipeline fresh isolates.
    pub(super) fn restart_isolates(&self) {
        for (_, slot) in self.current().iter() {
            self.restart(slot);
        }
    }

    fn restart(&self, slot: &Slot) {
        let fresh: Vec<Arc<Isolate>> = match slot.stands {
            Stands::Here => (0..self.isolates).map(|_| self.starts.start(&slot.build)).collect(),
            Stands::Elsewhere | Stands::Nowhere => vec![self.starts.none()],
        };
        *slot.isolates.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.tell(slot, self.isolates);
    }

    fn tell(&self, slot: &Slot, isolates: usize) {
        if slot.stands == Stands::Here {
            self.telemetry.metrics.build(self.script, &slot.build, isolates);
        }
    }
}
