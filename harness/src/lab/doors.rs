//! The doors of whatever runs within a lab: simulated nodes, and in every lab the control plane, the monitor and customers.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use kv_node::config::DcState;
use kv_node::env::{BoxFuture, Chance, Clock, Stream, Tasks, TelemetrySink, Timestamp};
use kv_node::ids::Dc;
use kv_node::telemetry::ship::{Fate, Shipper};
use kv_node::telemetry::{ExceptionReport, Lifecycle, ResponseLine, SpanRecord};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use crate::recording::Journal;
use crate::spec::time::IncidentTime;

pub(super) use super::lock;

/// The runtime's time, virtual or real, told as incident time, which may pass several times as fast.
#[derive(Debug)]
pub(super) struct LabClock {
    epoch: IncidentTime,
    /// When the runtime's time is the epoch; until that is known, it is the epoch.
    origin: OnceLock<Instant>,
    speed: u32,
}

impl LabClock {
    /// A clock that shows `epoch` now.
    pub(super) fn new(epoch: IncidentTime) -> Self {
        Self { epoch, origin: Instant::now().into(), speed: 1 }
    }

    /// A clock that shows `epoch` and does not go on before [`Self::begin`]; then it is `speed` times as fast as the runtime's.
    pub(super) fn waiting(epoch: IncidentTime, speed: u32) -> Self {
        Self { epoch, origin: OnceLock::new(), speed }
    }

    /// Lets a clock that waited show its epoch so long from now.
    pub(super) fn begin(&self, ahead: Duration) {
        // Whoever begins twice began with the first.
        let _ = self.origin.set(Instant::now() + ahead);
    }

    pub(super) fn timestamp(&self) -> Timestamp {
        let Some(origin) = self.origin.get() else { return self.epoch };
        let now = Instant::now();
        match now.checked_duration_since(*origin) {
            Some(passed) => self.epoch.after(passed * self.speed),
            None => self.epoch.before((*origin - now) * self.speed),
        }
    }

    /// Waits for a moment, once the clock goes.
    pub(super) async fn sleep_until(&self, until: IncidentTime) {
        if let Some(origin) = self.origin.get() {
            tokio::time::sleep_until(*origin + until.since(self.epoch) / self.speed).await;
        }
    }

    /// Lets incident time pass.
    pub(super) async fn pause(&self, duration: Duration) {
        if !duration.is_zero() {
            tokio::time::sleep(duration / self.speed).await;
        }
    }

    /// Waits for a future, but not longer than `limit` of incident time.
    pub(super) async fn timeout<T>(
        &self,
        limit: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        tokio::time::timeout(limit / self.speed, future).await
    }
}

impl Clock for LabClock {
    fn now(&self) -> Timestamp {
        self.timestamp()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration / self.speed))
    }
}

/// Streams of chance by name, all from one seed.
#[derive(Clone, Debug)]
pub(crate) struct Seeds {
    seed: u64,
    prefix: Arc<str>,
}

impl Seeds {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, prefix: "".into() }
    }

    /// Streams whose names begin with a prefix.
    pub(crate) fn below(&self, prefix: &str) -> Self {
        Self { seed: self.seed, prefix: format!("{}{prefix}/", self.prefix).into() }
    }
}

impl Chance for Seeds {
    fn stream(&self, name: &str) -> Stream {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(self.prefix.as_bytes());
        hash.update(name.as_bytes());
        Stream::new(Xoshiro256PlusPlus::from_seed(hash.finalize().into()))
    }
}

/// Tasks that end together, and stand still together.
#[derive(Debug, Default)]
pub(super) struct TaskSet {
    gate: Arc<Gate>,
    running: Mutex<Running>,
    arrivals: Mutex<Vec<AbortHandle>>,
}

/// What tasks go through each time they do something.
#[derive(Debug, Default)]
struct Gate {
    closed: AtomicBool,
    /// Whoever came while it was closed, in the order in which they came.
    waiting: Mutex<Vec<Waker>>,
}

impl Gate {
    /// Whether it is open; whoever finds it closed is woken when it opens.
    fn pass(&self, cx: &Context<'_>) -> bool {
        if !self.closed.load(Ordering::Relaxed) {
            return true;
        }
        lock(&self.waiting).push(cx.waker().clone());
        false
    }

    fn close(&self, on: bool) {
        self.closed.store(on, Ordering::Relaxed);
        if !on {
            lock(&self.waiting).drain(..).for_each(Waker::wake);
        }
    }
}

/// Handles in the order in which the tasks began. Those of ended tasks are looked through now and then, which costs less
/// than being told of each end.
#[derive(Debug, Default)]
struct Running {
    handles: Vec<JoinHandle<()>>,
    reap_at: usize,
    panics: u64,
}

impl Running {
    fn reap(&mut self) {
        let mut panics = 0;
        self.handles.retain_mut(|handle| {
            let ended = handle.is_finished();
            if ended && let Some(Err(error)) = handle.now_or_never() {
                panics += u64::from(error.is_panic());
            }
            !ended
        });
        self.panics += panics;
        self.reap_at = (self.handles.len() * 2).max(64);
    }
}

impl TaskSet {
    #[expect(clippy::disallowed_methods, reason = "the one place where a lab spawns")]
    pub(super) fn run(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let gate = self.gate.clone();
        let handle = tokio::spawn(async move {
            let mut future = pin!(future);
            poll_fn(|cx| if gate.pass(cx) { future.as_mut().poll(cx) } else { Poll::Pending })
                .await;
        });
        let abort = handle.abort_handle();
        let mut running = lock(&self.running);
        running.handles.push(handle);
        if running.handles.len() >= running.reap_at {
            running.reap();
        }
        abort
    }

    /// Lets all of them stand still, or go on.
    pub(super) fn pause(&self, on: bool) {
        self.gate.close(on);
    }

    /// Waits for as long as they stand still.
    pub(super) async fn pass(&self) {
        poll_fn(|cx| if self.gate.pass(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Runs a task that [`Self::stop_arrivals`] ends.
    pub(super) fn run_arrivals(&self, future: impl Future<Output = ()> + Send + 'static) {
        let handle = self.run(future);
        lock(&self.arrivals).push(handle);
    }

    pub(super) fn stop_arrivals(&self) {
        for handle in lock(&self.arrivals).drain(..) {
            handle.abort();
        }
    }

    /// Ends all of them, in the order in which they began.
    pub(super) fn abort(&self) {
        let mut running = lock(&self.running);
        running.reap();
        for handle in running.handles.drain(..) {
            handle.abort();
        }
    }

    /// How many tasks have panicked so far.
    pub(super) fn panics(&self) -> u64 {
        let mut running = lock(&self.running);
        running.reap();
        running.panics
    }
}

impl Tasks for TaskSet {
    fn spawn(&self, future: BoxFuture<()>) {
        self.run(future);
    }
}

/// Takes what happens in the lives of nodes: the journal, and who is announced to customers.
#[derive(Debug)]
pub(super) struct Recorder {
    start: IncidentTime,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    journal: Vec<(IncidentTime, Journal)>,
    announced: BTreeMap<Dc, bool>,
    revisions: BTreeMap<Dc, u64>,
}

impl Recorder {
    /// A recorder of a replay that begins at a moment: what happens before, happens then.
    pub(super) fn new(start: IncidentTime) -> Self {
        Self { start, told: Mutex::default() }
    }

    pub(super) fn journal(&self, at: IncidentTime, entry: Journal) {
        lock(&self.told).journal.push((at.max(self.start), entry));
    }

    /// Whether a data center takes customers.
    pub(super) fn announced(&self, dc: &Dc) -> bool {
        lock(&self.told).announced.get(dc).copied().unwrap_or(false)
    }

    /// A data center that died announces nothing.
    pub(super) fn withdraw(&self, dc: &Dc) {
        lock(&self.told).announced.insert(dc.clone(), false);
    }

    /// How many nodes have had a revision or a newer one.
    pub(super) fn nodes_with(&self, revision: u64) -> u64 {
        lock(&self.told).revisions.values().filter(|had| **had >= revision).count() as u64
    }

    pub(super) fn take(&self) -> Vec<(IncidentTime, Journal)> {
        let mut journal = std::mem::take(&mut lock(&self.told).journal);
        // What a container tells comes a moment later than it happened.
        journal.sort_by_key(|(at, _)| *at);
        journal
    }

    /// Takes down what happened in a node's life.
    pub(super) fn lifecycle(&self, at: Timestamp, event: Lifecycle) {
        let mut told = lock(&self.told);
        match &event {
            Lifecycle::State { dc, state } => {
                told.announced.insert(dc.clone(), *state == DcState::Serving);
            }
            Lifecycle::ConfigApplied { dc, revision } => {
                let had = told.revisions.entry(dc.clone()).or_default();
                *had = (*had).max(*revision);
            }
            _ => {}
        }
        told.journal.push((at.max(self.start), Journal::Life(event)));
    }
}

/// The telemetry door of one host: lifecycle goes into the journal, everything else to its intake.
pub(super) struct Sink {
    pub(super) recorder: Arc<Recorder>,
    pub(super) shipper: Shipper,
}

impl TelemetrySink for Sink {
    fn lifecycle(&self, at: Timestamp, event: Lifecycle) {
        self.recorder.lifecycle(at, event);
    }

    fn line(&self, line: ResponseLine) {
        self.shipper.line(&line);
    }

    fn exception(&self, report: ExceptionReport) {
        self.shipper.exception(&report);
    }

    fn span(&self, span: SpanRecord) {
        self.shipper.span(&span);
    }

    fn fate(&self) -> Vec<Fate> {
        self.shipper.fate()
    }
}
