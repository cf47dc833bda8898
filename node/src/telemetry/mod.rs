//! What a node tells about itself.
//!
//! * [`catalogue`]: every metric, with the question that it answers; [`registry`] holds them, [`Metrics`] counts.
//! * [`log`]: which answers make a line of the response log.
//! * [`exception`]: reports of exceptions that nobody handled.
//! * [`trace`]: a request's way through scripts, tiers and stores.
//! * [`ship`]: bringing lines, reports and spans to their intakes.
//! * [`otlp`]: the same records as OpenTelemetry has them, for collectors and files.
//! * [`lifecycle`]: moments in a node's life.
//!
//! Metrics are asked for over the admin listener; everything else leaves through the telemetry door. Nothing here is
//! global, and nothing here decides what is answered.

pub mod catalogue;
pub mod exception;
pub mod lifecycle;
pub mod log;
mod metrics;
pub mod otlp;
pub mod registry;
pub mod ship;
pub mod trace;

use std::fmt::Write as _;
use std::sync::Arc;

use http::StatusCode;

pub use exception::{ExceptionReport, Place};
pub use lifecycle::Lifecycle;
pub use log::{ErrorClass, LineContext, ResponseLine, Role};
pub use metrics::Metrics;
pub use trace::{SpanRecord, Stage, Trace, TraceContext, TraceIds};

use self::metrics::Answer;
use crate::env::{NodeEnv, Stream, Timestamp};
use crate::ids::{Dc, Name};
use crate::safeguards::Safeguard;
use crate::worker::{Ctx, Notes, ScriptName, Thrown};

/// What a request came to, as telemetry sees it.
#[derive(Debug)]
pub struct Answered<'a> {
    /// By which script.
    pub script: ScriptName,
    /// `get`, `put`, `delete`, `purge`, `other`.
    pub operation: &'static str,
    /// The status.
    pub status: StatusCode,
    /// Why it is no success.
    pub error: Option<ErrorClass>,
    /// When the request came.
    pub since: Timestamp,
    /// The request's context; absent where it was refused before any script ran.
    pub ctx: Option<&'a Ctx>,
}

/// One node's telemetry.
#[derive(Debug)]
pub struct Telemetry {
    dc: Dc,
    env: NodeEnv,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    traces: Stream,
    sampler: log::Sampler,
    reports: exception::Reports,
}

impl Telemetry {
    /// The telemetry of a node.
    pub fn new(dc: Dc, env: NodeEnv, metrics: Arc<Metrics>) -> Self {
        Self {
            traces: env.chance.stream("traces"),
            sampler: log::Sampler::default(),
            reports: exception::Reports::new(&dc, env.clock.now()),
            dc,
            env,
            metrics,
        }
    }

    /// Draws what the ids of many traces follow from.
    pub(crate) fn trace_ids(&self) -> TraceIds {
        TraceIds::drawn(&self.traces)
    }

    /// Takes down what a request came to: counts it, logs it where it makes a line, ends its trace.
    pub fn answered(&self, answered: &Answered<'_>) {
        let now = self.env.clock.now();
        let Answered { script, operation, status, error, since, ctx } = *answered;
        let notes = ctx.map(Ctx::take_notes).unwrap_or_default();
        self.metrics.response(
            &Answer {
                script,
                role: notes.role,
                operation,
                status,
                cache: notes.cache,
                namespace: notes.name.as_ref().map(|name| &name.namespace),
                build: ctx.map(|ctx| &ctx.build.id),
            },
            now.since(since),
        );
        let chosen = if ctx.is_none_or(|ctx| ctx.build.has(Safeguard::BoundaryLog)) {
            self.log_at_the_boundary(now, answered, notes)
        } else {
            log_inside_the_script(error)
        };
        if let Some((stands_for, context)) = chosen {
            self.env.sink.line(ResponseLine {
                at: now,
                stands_for,
                dc: self.dc.clone(),
                script,
                operation: operation.to_owned(),
                status: status.as_u16(),
                took_us: u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX),
                context,
            });
        }
        if let Some(ctx) = ctx {
            ctx.trace.finish(status.is_server_error());
        }
    }

    fn log_at_the_boundary(
        &self,
        now: Timestamp,
        answered: &Answered<'_>,
        notes: Notes,
    ) -> Option<(u32, Option<LineContext>)> {
        let Answered { script, status, error, ctx, .. } = *answered;
        let stands_for = self.sampler.draw(now, (script, status.as_u16(), error))?;
        Some((stands_for, ctx.map(|ctx| line_context(ctx, notes, error))))
    }

    /// Reports an exception that nobody handled.
    pub fn exception(&self, ctx: &Ctx, mut thrown: Thrown, place: Place) {
        let now = self.env.clock.now();
        if thrown.stack.is_empty() {
            thrown.stack = ctx.trace.take_unwound();
        }
        thrown.stack.insert(0, ctx.script.name());
        let report = ExceptionReport {
            id: self.reports.id(),
            at: now,
            dc: self.dc.clone(),
            script: ctx.script,
            place,
            isolate: ctx.isolate().id,
            build: ctx.build.id.clone(),
            revision: ctx.config.snapshot.revision,
            trace: ctx.trace.id(),
            fingerprint: exception::fingerprint(ctx.script, &thrown),
            kind: thrown.kind.to_owned(),
            message: thrown.message,
            stack: thrown.stack.iter().map(|stage| (*stage).to_owned()).collect(),
        };
        self.metrics.exception(&report);
        self.env.sink.exception(report);
    }

    /// The metrics in Prometheus' text format, with what became of the telemetry that was sent.
    pub fn scrape(&self) -> String {
        for fate in self.env.sink.fate() {
            self.metrics.telemetry(&fate);
        }
        self.metrics.text()
    }
}

/// As it was in July 2023: the script logged itself, every answer alike and without context. What threw had left the script
/// before that line.
fn log_inside_the_script(error: Option<ErrorClass>) -> Option<(u32, Option<LineContext>)> {
    (error != Some(ErrorClass::Exception)).then_some((1, None))
}

fn line_context(ctx: &Ctx, notes: Notes, error: Option<ErrorClass>) -> LineContext {
    LineContext {
        trace: ctx.trace.id(),
        build: ctx.build.id.clone(),
        revision: ctx.config.snapshot.revision,
        isolate: ctx.isolate().id,
        role: notes.role,
        key_hash: notes.name.as_ref().map(key_hash),
        namespace: notes.name.map(|name| name.namespace),
        owner: notes.owner,
        cache: notes.cache,
        error,
    }
}

/// Tells keys apart without telling them.
fn key_hash(name: &Name) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update((name.namespace.as_str().len() as u64).to_le_bytes());
    hash.update(name.namespace.as_str());
    hash.update(name.key.as_bytes());
    hex(&hash.finalize()[..8])
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
