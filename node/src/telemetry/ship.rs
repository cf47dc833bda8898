//! Bringing telemetry to its intakes: the sender behind the telemetry door, used by every lab and by the binary.
//!
//! Each signal has a queue, a sender and an intake of its own, so that exceptions do not wait behind log lines. A queue is
//! bounded; what does not fit is lost and counted. A batch is sent until the intake answers; it carries sender, life and
//! number, so that an intake that has it already does not take it twice.
//!
//! A batch is `POST /v1/{signal}` with one JSON object a line. The answer says how many records were refused:
//! `{"partialSuccess":{"rejected":3}}`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde::{Deserialize, Serialize};

use super::{ExceptionReport, ResponseLine, SpanRecord};
use crate::env::{Clock, Listener, Network, Stream, Tasks};
use crate::ids::Peer;

/// `<sender>;<life in hexadecimal>;<number>`.
pub const BATCH: &str = "x-relapse-batch";
/// Records wait this long for company.
const LINGER: Duration = Duration::from_secs(2);
/// Records in one request.
const BATCH_MAX: usize = 500;
/// How long an intake may take.
const TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// So long after it was told a record has been taken or refused, where its intake answers, be it to a second try, and where no
/// more than one batch waits.
pub const HAND_OVER: Duration = LINGER
    .saturating_add(TIMEOUT)
    .saturating_add(RETRY_FIRST)
    .saturating_add(RETRY_FIRST)
    .saturating_add(TIMEOUT);
/// So long after its intake can be reached again a record that waited has been tried again: the call under way, the longest pause
/// with its jitter, the call after it.
pub const TRIED_AGAIN_WITHIN: Duration =
    TIMEOUT.saturating_add(RETRY_MAX).saturating_add(RETRY_MAX).saturating_add(TIMEOUT);

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// Lines of the response log.
    Logs,
    /// Exception reports.
    Exceptions,
    /// Spans.
    Traces,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Logs, Self::Exceptions, Self::Traces];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Exceptions => "exceptions",
            Self::Traces => "traces",
        }
    }

    /// The path of its intake.
    pub fn path(self) -> &'static str {
        match self {
            Self::Logs => "/v1/logs",
            Self::Exceptions => "/v1/exceptions",
            Self::Traces => "/v1/traces",
        }
    }

    /// Records that may wait. An exception is never many: a queue that holds an hour of one a second is enough.
    fn queue_max(self) -> usize {
        match self {
            Self::Logs => 2_000,
            Self::Exceptions | Self::Traces => 4_000,
        }
    }
}

/// What became of a signal's records so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The signal's name.
    pub signal: &'static str,
    /// Records that were accepted upstream.
    pub sent: u64,
    /// Records that were lost, by reason.
    pub lost: [(&'static str, u64); 2],
    /// Records that were neither yet.
    pub waiting: u64,
}

/// What an intake answers.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntakeAnswer {
    /// What it did not take.
    #[serde(default)]
    pub partial_success: PartialSuccess,
}

/// What an intake did not take.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PartialSuccess {
    /// How many records it refused for good.
    #[serde(default)]
    pub rejected: u64,
}

/// The doors that a shipper needs: the telemetry door itself is what stands in front of it.
#[derive(Clone)]
pub struct ShipperEnv {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Peers.
    pub network: Arc<dyn Network>,
    /// Background work.
    pub tasks: Arc<dyn Tasks>,
}

/// Sends a node's telemetry. Cheap to clone.
#[derive(Clone)]
pub struct Shipper(Arc<Inner>);

struct Inner {
    sender: Peer,
    life: u64,
    env: ShipperEnv,
    jitter: Stream,
    lanes: [Lane; 3],
}

struct Lane {
    signal: Signal,
    intake: Peer,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Vec<u8>>,
    sending: bool,
    next_batch: u64,
    /// Size of the batch under way: one that is sent again is the same one.
    under_way: Option<usize>,
    sent: u64,
    overflowed: u64,
    refused: u64,
}

impl Shipper {
    /// A shipper of one node to the intake of each signal.
    pub fn new(
        sender: Peer,
        env: ShipperEnv,
        jitter: Stream,
        intake: impl Fn(Signal) -> Peer,
    ) -> Self {
        let lane = |signal| Lane { signal, intake: intake(signal), queue: Mutex::default() };
        let life = env.clock.now().0;
        Self(Arc::new(Inner { sender, life, env, jitter, lanes: Signal::ALL.map(lane) }))
    }

    /// Ships a line.
    pub fn line(&self, line: &ResponseLine) {
        self.ship(Signal::Logs, line);
    }

    /// Ships a report.
    pub fn exception(&self, report: &ExceptionReport) {
        self.ship(Signal::Exceptions, report);
    }

    /// Ships a span.
    pub fn span(&self, span: &SpanRecord) {
        self.ship(Signal::Traces, span);
    }

    /// What became of everything so far.
    pub fn fate(&self) -> Vec<Fate> {
        let fate = |lane: &Lane| {
            let queue = lane.lock();
            Fate {
                signal: lane.signal.name(),
                sent: queue.sent,
                lost: [("queue-full", queue.overflowed), ("refused-upstream", queue.refused)],
                waiting: queue.waiting.len() as u64,
            }
        };
        self.0.lanes.iter().map(fate).collect()
    }

    fn ship(&self, signal: Signal, record: &impl Serialize) {
        // Records are plain data: they can always be written.
        let Ok(record) = serde_json::to_vec(record) else { return };
        let lane = &self.0.lanes[signal as usize];
        let begins = {
            let mut queue = lane.lock();
            if queue.waiting.len() >= signal.queue_max() {
                queue.overflowed += 1;
                return;
            }
            queue.waiting.push_back(record);
            !std::mem::replace(&mut queue.sending, true)
        };
        if begins {
            let this = self.clone();
            self.0.env.tasks.spawn(Box::pin(async move { this.deliver(signal).await }));
        }
    }

    async fn deliver(&self, signal: Signal) {
        let inner = &self.0;
        let lane = &inner.lanes[signal as usize];
        let mut pause = RETRY_FIRST;
        inner.env.clock.sleep(LINGER).await;
        while let Some((number, count, body)) = lane.batch() {
            if let Some(refused) = self.send(lane, number, body).await {
                lane.delivered(count, refused);
                pause = RETRY_FIRST;
            } else {
                inner.env.clock.sleep(pause + inner.jitter.jitter(pause)).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }

    /// Sends one batch; how many of it were refused, or `None` where it has to be sent again.
    async fn send(&self, lane: &Lane, number: u64, body: Bytes) -> Option<u64> {
        let inner = &self.0;
        let request = Request::post(lane.signal.path())
            .header(BATCH, format!("{};{:x};{number}", inner.sender, inner.life))
            .body(body)
            .ok()?;
        let call = inner.env.network.call(&lane.intake, Listener::Intake, request);
        let answer = match futures_util::future::select(call, inner.env.clock.sleep(TIMEOUT)).await
        {
            futures_util::future::Either::Left((answer, _)) => answer.ok()?,
            futures_util::future::Either::Right(_) => return None,
        };
        if answer.status() != StatusCode::OK {
            return None;
        }
        let answer: IntakeAnswer = serde_json::from_slice(answer.body()).unwrap_or_default();
        Some(answer.partial_success.rejected)
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch with its number and size; `None`, and nobody sends any more, where nothing waits.
    fn batch(&self) -> Option<(u64, usize, Bytes)> {
        let mut queue = self.lock();
        if queue.waiting.is_empty() {
            queue.sending = false;
            return None;
        }
        let count = queue.under_way.unwrap_or(queue.waiting.len().min(BATCH_MAX));
        queue.under_way = Some(count);
        let mut body = Vec::with_capacity(count * 256);
        for record in queue.waiting.iter().take(count) {
            body.extend_from_slice(record);
            body.push(b'\n');
        }
        Some((queue.next_batch, count, Bytes::from(body)))
    }

    fn delivered(&self, count: usize, refused: u64) {
        let mut queue = self.lock();
        queue.waiting.drain(..count);
        queue.under_way = None;
        queue.next_batch += 1;
        queue.refused += refused;
        queue.sent += (count as u64).saturating_sub(refused);
    }
}

impl std::fmt::Debug for Shipper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shipper").field("sender", &self.0.sender).finish_non_exhaustive()
    }
}
