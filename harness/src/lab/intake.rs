//! Intakes of telemetry: peers that take lines, reports and spans from nodes, the same in every lab.
//!
//! An intake of logs has a rate limit for each sender, as the one upstream had in 2023; what it refuses it counts and says.
//! Exceptions have an intake of their own, where the first reports of each fingerprint are exempt from every limit. A batch
//! that comes twice, because the answer to it was lost, is taken once.
//!
//! An intake takes records of ours, one a line, and OTLP in JSON, as OpenTelemetry's collectors do: nodes in containers speak that.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use indexmap::IndexMap;
use kv_node::api::admin::METRICS;
use kv_node::env::{Clock, Timestamp};
use kv_node::telemetry::registry::{Counter, Registry};
use kv_node::telemetry::ship::{BATCH, IntakeAnswer, PartialSuccess, Signal};
use kv_node::telemetry::{ExceptionReport, ResponseLine, SpanRecord, catalogue, otlp};
use rustc_hash::FxBuildHasher;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::lock;
use crate::recording::Exception;
use crate::spec::topology::TelemetryAbout;

/// One intake.
pub struct Intake {
    clock: Arc<dyn Clock>,
    limits: TelemetryAbout,
    registry: Registry,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    senders: IndexMap<(Signal, String), Sender, FxBuildHasher>,
    prints: IndexMap<(String, String), u64, FxBuildHasher>,
    taken: Taken,
}

/// What an intake has taken.
#[derive(Debug, Default)]
pub struct Taken {
    /// Lines, in the order in which they came.
    pub lines: Vec<ResponseLine>,
    /// Reports.
    pub exceptions: Vec<Exception>,
    /// Spans.
    pub spans: Vec<SpanRecord>,
}

/// One sender of one signal.
struct Sender {
    life: String,
    next: u64,
    /// What the answer to the last batch said, for a batch that comes again.
    rejected: u64,
    tokens: f64,
    filled: Timestamp,
    records: Counter,
    dropped: Counter,
}

impl Intake {
    /// An intake with the limits of a topology.
    pub fn new(clock: Arc<dyn Clock>, limits: TelemetryAbout) -> Self {
        Self { clock, limits, registry: Registry::default(), state: Mutex::default() }
    }

    /// Answers one request: 200 where a batch was taken, 400 where it is none, 404 elsewhere.
    pub fn serve(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path();
        if *request.method() == Method::GET && path == METRICS {
            return Response::new(Bytes::from(self.registry.text()));
        }
        let signal = Signal::ALL.into_iter().find(|signal| signal.path() == path);
        let Some(signal) = signal.filter(|_| *request.method() == Method::POST) else {
            return status(StatusCode::NOT_FOUND);
        };
        if request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json") {
            return self.serve_otlp(signal, request);
        }
        let text = std::str::from_utf8(request.body()).ok();
        match text.and_then(|text| self.take(signal, request, text)) {
            Some(rejected) => {
                let answer = IntakeAnswer { partial_success: PartialSuccess { rejected } };
                Response::new(Bytes::from(serde_json::to_vec(&answer).unwrap_or_default()))
            }
            None => status(StatusCode::BAD_REQUEST),
        }
    }

    /// The same for a request that holds its records as OTLP has them. Exceptions are log records there.
    fn serve_otlp(&self, signal: Signal, request: &Request<Bytes>) -> Response<Bytes> {
        let told: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let (signal, text, rejected_field) = match signal {
            Signal::Traces => (signal, lines(otlp::read_spans(&told)), "rejectedSpans"),
            _ if otlp::are_exceptions(&told) => {
                (Signal::Exceptions, lines(otlp::read_exceptions(&told)), "rejectedLogRecords")
            }
            _ => (Signal::Logs, lines(otlp::read_lines(&told)), "rejectedLogRecords"),
        };
        match text.and_then(|text| self.take(signal, request, &text)) {
            Some(rejected) => {
                let answer = json!({ "partialSuccess": { rejected_field: rejected.to_string() } });
                Response::new(Bytes::from(answer.to_string()))
            }
            None => status(StatusCode::BAD_REQUEST),
        }
    }

    /// What was taken since this was asked last.
    pub fn taken(&self) -> Taken {
        std::mem::take(&mut lock(&self.state).taken)
    }

    /// Takes a batch; how many of it were refused, or `None` where it is no batch.
    fn take(&self, signal: Signal, request: &Request<Bytes>, text: &str) -> Option<u64> {
        let mut batch = request.headers().get(BATCH)?.to_str().ok()?.split(';');
        let (name, life, number) = (batch.next()?, batch.next()?, batch.next()?);
        let number: u64 = number.parse().ok()?;
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let state = &mut *state;
        let sender = state
            .senders
            .entry((signal, name.to_owned()))
            .or_insert_with(|| self.sender(signal, name, now));
        if sender.life != life {
            (sender.life, sender.next) = (life.to_owned(), 0);
        }
        if number < sender.next {
            return Some(sender.rejected);
        }
        sender.next = number + 1;
        sender.fill(&self.limits, now);
        let mut rejected = 0;
        for record in text.lines() {
            let mut admit = |exempt: bool| {
                let admitted = exempt || sender.token();
                rejected += u64::from(!admitted);
                admitted
            };
            let malformed = match signal {
                Signal::Logs => {
                    admit(false) && push(&mut state.taken.lines, parsed(record)).is_none()
                }
                Signal::Traces => push(&mut state.taken.spans, parsed(record)).is_none(),
                Signal::Exceptions => match parsed::<ExceptionReport>(record) {
                    Some(report) => {
                        let print = (name.to_owned(), report.fingerprint.clone());
                        let seen = state.prints.entry(print).or_insert(0);
                        *seen += 1;
                        if admit(*seen <= self.limits.reports_exempt) {
                            state.taken.exceptions.push(Exception { at: now, report });
                        }
                        false
                    }
                    None => true,
                },
            };
            rejected += u64::from(malformed);
        }
        let count = text.lines().count() as u64;
        sender.records.add(count - rejected);
        sender.dropped.add(rejected);
        sender.rejected = rejected;
        Some(rejected)
    }

    fn sender(&self, signal: Signal, name: &str, now: Timestamp) -> Sender {
        let labels = [signal.name(), name];
        Sender {
            life: String::new(),
            next: 0,
            rejected: 0,
            tokens: self.limits.burst,
            filled: now,
            records: self.registry.counter(&catalogue::INTAKE_RECORDS, &labels),
            dropped: self.registry.counter(&catalogue::INTAKE_DROPPED, &labels),
        }
    }
}

impl Sender {
    fn fill(&mut self, limits: &TelemetryAbout, now: Timestamp) {
        let gained = now.since(self.filled).as_secs_f64() * limits.records_per_s;
        self.tokens = (self.tokens + gained).min(limits.burst);
        self.filled = now;
    }

    fn token(&mut self) -> bool {
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }
}

/// Records as our own protocol has them, one a line.
fn lines<T: Serialize>(records: Option<Vec<T>>) -> Option<String> {
    let lines = records?.iter().map(serde_json::to_string).collect::<Result<Vec<String>, _>>();
    lines.ok().map(|lines| lines.join("\n"))
}

fn parsed<T: DeserializeOwned>(record: &str) -> Option<T> {
    serde_json::from_str(record).ok()
}

fn push<T>(rows: &mut Vec<T>, row: Option<T>) -> Option<()> {
    rows.push(row?);
    Some(())
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("limits", &self.limits).finish_non_exhaustive()
    }
}
