//! The telemetry door: JSON lines on stderr, and intakes where some are configured.
//!
//! Lines are written by a thread of its own, so that a terminal or a pipe that stands still does not hold up requests.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use kv_node::env::{TelemetrySink, Timestamp};
use kv_node::telemetry::ship::{Fate, Shipper, Signal};
use kv_node::telemetry::{ExceptionReport, Lifecycle, ResponseLine, SpanRecord};
use serde::Serialize;

use super::limits::CONSOLE_LINES_MAX;

/// Tells on stderr what happens in the node's life and what nobody caught, and ships everything where it knows intakes.
pub(super) struct ConsoleSink {
    lines: SyncSender<Vec<u8>>,
    told: Told,
    shipper: Option<Shipper>,
    counts: [Counts; 3],
}

/// What is told on stderr besides exceptions and what happens in the node's life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Answers that are no success, as the response log is sampled.
    pub(super) responses: bool,
    /// Each isolate that begins as well.
    pub(super) isolates: bool,
}

#[derive(Default)]
struct Counts {
    told: AtomicU64,
    lost: AtomicU64,
}

#[derive(Serialize)]
struct Line<'a, T> {
    signal: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(flatten)]
    record: &'a T,
}

/// The thread that writes; it ends once every [`ConsoleSink`] is gone.
pub(super) fn console() -> std::io::Result<(SyncSender<Vec<u8>>, JoinHandle<()>)> {
    let (lines, written) = sync_channel(CONSOLE_LINES_MAX);
    let writer = move || write(&written);
    Ok((lines, std::thread::Builder::new().name("console".into()).spawn(writer)?))
}

fn write(lines: &Receiver<Vec<u8>>) {
    for line in lines {
        // Where stderr is closed there is nobody left to tell.
        let _ = std::io::stderr().write_all(&line);
    }
}

impl ConsoleSink {
    pub(super) fn new(lines: SyncSender<Vec<u8>>, told: Told, shipper: Option<Shipper>) -> Self {
        Self { lines, told, shipper, counts: Default::default() }
    }

    fn tell(&self, signal: &'static str, at: Option<Timestamp>, record: &impl Serialize) -> bool {
        // Records are plain data: they can always be written.
        let Ok(mut line) = serde_json::to_vec(&Line { signal, at, record }) else { return false };
        line.push(b'\n');
        self.lines.try_send(line).is_ok()
    }

    fn count(&self, signal: Signal, told: bool) {
        let counts = &self.counts[signal as usize];
        let count = if told { &counts.told } else { &counts.lost };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl TelemetrySink for ConsoleSink {
    fn lifecycle(&self, at: Timestamp, event: Lifecycle) {
        // Isolates begin by the dozen, and nothing follows from it for who has started a node to try it.
        if !self.told.isolates && matches!(event, Lifecycle::IsolateStarted { .. }) {
            return;
        }
        self.tell("lifecycle", Some(at), &event);
    }

    fn line(&self, line: ResponseLine) {
        if let Some(shipper) = &self.shipper {
            shipper.line(&line);
        }
        if self.told.responses && !(200..300).contains(&line.status) {
            self.count(Signal::Logs, self.tell(Signal::Logs.name(), None, &line));
        }
    }

    fn exception(&self, report: ExceptionReport) {
        if let Some(shipper) = &self.shipper {
            shipper.exception(&report);
        }
        self.count(Signal::Exceptions, self.tell(Signal::Exceptions.name(), None, &report));
    }

    fn span(&self, span: SpanRecord) {
        if let Some(shipper) = &self.shipper {
            shipper.span(&span);
        }
    }

    /// Of the intakes where there are some; otherwise of stderr, which is never "refused-upstream".
    fn fate(&self) -> Vec<Fate> {
        if let Some(shipper) = &self.shipper {
            return shipper.fate();
        }
        let fate = |signal: Signal| {
            let counts = &self.counts[signal as usize];
            let lost = counts.lost.load(Ordering::Relaxed);
            Fate {
                signal: signal.name(),
                sent: counts.told.load(Ordering::Relaxed),
                lost: [("queue-full", lost), ("refused-upstream", 0)],
                waiting: 0,
            }
        };
        Signal::ALL.into_iter().map(fate).collect()
    }
}
