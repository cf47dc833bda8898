//! One request's way through scripts, tiers and stores: W3C trace context, stages, spans.
//!
//! A [`Trace`] belongs to one request in one script. Stages nest as the request goes down ([`Trace::stage`]); each ends as a
//! span. Spans leave the node only where the trace was drawn for it at its beginning, or where the request failed. When an
//! exception unwinds, the stages that it leaves make its logical stack.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::env::{Stream, Timestamp};
use crate::ids::{BuildId, Dc, Peer};
use crate::worker::{Ground, ScriptName};

/// The header of the W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// Of the traces that fail nowhere, one in so many is kept.
const SAMPLE: u64 = 1_024;
/// 2⁶⁴ by the golden ratio, odd: its multiples are far apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// A request that is answered from the edge goes through fewer stages.
const STAGES_USUAL: usize = 4;
/// A request's spans beyond this are not kept: no request goes through so many stages.
const SPANS_MAX: usize = 64;

/// The parts of a `traceparent`: which trace, which span of it calls, and whether it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace, not zero.
    pub trace: u128,
    /// The calling span, not zero.
    pub span: u64,
    /// Whether the trace is kept whatever comes of it.
    pub sampled: bool,
}

impl TraceContext {
    /// Of work that belongs to no request.
    pub const NONE: Self = Self { trace: 0, span: 0, sampled: false };

    /// The header's value; `None` where there is no trace.
    pub fn header(self) -> Option<HeaderValue> {
        if self.trace == 0 {
            return None;
        }
        // By hand: it goes with every request to a tier or a store.
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        put_hex(&mut text[3..35], self.trace);
        put_hex(&mut text[36..52], u128::from(self.span));
        text[54] = b'0' + u8::from(self.sampled);
        HeaderValue::from_bytes(&text).ok()
    }

    /// What a header says; `None` where that is no trace context of the version known here.
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        let mut parts = value.to_str().ok()?.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length| {
            text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        if version != "00" || parts.next().is_some() || !hex(trace, 32) || !hex(span, 16) {
            return None;
        }
        let (trace, span) =
            (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        let flags = u8::from_str_radix(flags, 16).ok()?;
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// Writes a number as hexadecimal digits that fill a place.
fn put_hex(place: &mut [u8], mut number: u128) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// One stage of a request, ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanRecord {
    /// The trace, as 32 hexadecimal digits.
    pub trace: String,
    /// The span, as 16.
    pub span: String,
    /// The span that it is part of; in another data center for the first one of a tier request.
    pub parent: Option<String>,
    /// Where.
    pub dc: Dc,
    /// In which script.
    pub script: ScriptName,
    /// Which build.
    pub build: BuildId,
    /// The stage, such as `cache.edge.read`.
    pub name: String,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Whether it failed.
    pub failed: bool,
    /// What is known of it, by OpenTelemetry's names where it has one.
    pub attributes: Vec<(String, String)>,
}

/// What the ids of many traces follow from, drawn once: a draw for each would be a lock that all requests pass.
#[derive(Clone, Copy, Debug)]
pub struct TraceIds([u64; 3]);

impl TraceIds {
    /// Drawn from a stream.
    pub fn drawn(draws: &Stream) -> Self {
        Self(draws.many())
    }

    /// The trace of a request by its number, and its first span. No two numbers have the same trace.
    fn of(self, number: u64) -> (u128, u64) {
        let [high, low, span] = self.0.map(|drawn| scattered(drawn, number));
        ((u128::from(high) << 64) | u128::from(low | 1), span | 1)
    }
}

/// The output of `SplitMix64` at a place of its sequence: each number comes once.
fn scattered(seed: u64, place: u64) -> u64 {
    let state = seed.wrapping_add(place.wrapping_mul(GOLDEN));
    let half = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let whole = (half ^ (half >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    whole ^ (whole >> 31)
}

/// One request's trace within one script. Cheap to clone.
#[derive(Clone)]
pub struct Trace(Arc<Inner>);

struct Inner {
    ground: Arc<Ground>,
    context: TraceContext,
    /// The first span's id; the others follow from it.
    first: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: u64,
    open: Vec<(u64, &'static str)>,
    ended: Vec<Ended>,
    kept: Option<bool>,
    unwound: Vec<&'static str>,
}

/// A stage that has ended, before anybody knows whether it is told.
struct Ended {
    span: u64,
    parent: Option<u64>,
    name: &'static str,
    start: Timestamp,
    end: Timestamp,
    failed: bool,
    attributes: Attributes,
}

/// What is known of a stage: mostly nothing.
type Attributes = Vec<(&'static str, Attribute)>;
/// So much is kept of what is known of one.
const ATTRIBUTES_MAX: usize = 2;

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum Attribute {
    /// A data center.
    Dc(Dc),
    /// A peer.
    Peer(Peer),
    /// A text.
    Text(String),
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dc(dc) => dc.fmt(f),
            Self::Peer(peer) => peer.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Trace {
    /// The trace of a request that enters a script: the caller's where it brought one, else one that begins here.
    pub fn enter(
        ground: Arc<Ground>,
        ids: TraceIds,
        number: u64,
        caller: Option<TraceContext>,
    ) -> Self {
        let (trace, first) = ids.of(number);
        let sampled = trace & (u128::from(SAMPLE) - 1) == 1;
        Self(Arc::new(Inner {
            ground,
            context: caller.unwrap_or(TraceContext { trace, span: 0, sampled }),
            first,
            state: Mutex::new(State {
                open: Vec::with_capacity(STAGES_USUAL),
                ended: Vec::with_capacity(STAGES_USUAL),
                ..State::default()
            }),
        }))
    }

    /// The trace as 32 hexadecimal digits.
    pub fn id(&self) -> String {
        format!("{:032x}", self.0.context.trace)
    }

    /// Enters a stage within the one that was entered last. It ends when it is dropped.
    pub fn stage(&self, name: &'static str) -> Stage {
        // Asked first: a door that panics leaves no stage half open.
        let start = self.now();
        let mut state = self.lock();
        let parent = state.open.last().map(|(span, _)| *span);
        let span = self.next(&mut state);
        state.open.push((span, name));
        drop(state);
        self.begin(name, (span, parent.or(self.caller())), start, true)
    }

    /// Ends the request: its spans leave the node if the trace is kept or the request failed. A stage that goes on behind
    /// follows the same decision.
    pub fn finish(&self, failed: bool) {
        let mut state = self.lock();
        let kept = self.0.context.sampled || failed;
        state.kept = Some(kept);
        let ended = std::mem::take(&mut state.ended);
        drop(state);
        if kept {
            for ended in ended {
                self.tell(ended);
            }
        }
    }

    /// The stages that are open, the outermost first.
    pub fn stages(&self) -> Vec<&'static str> {
        self.lock().open.iter().map(|(_, name)| *name).collect()
    }

    /// The stages that a panic left on its way out, the outermost first.
    pub fn take_unwound(&self) -> Vec<&'static str> {
        let mut stages = std::mem::take(&mut self.lock().unwound);
        stages.reverse();
        stages
    }

    fn tell(&self, ended: Ended) {
        let hex = |span: u64| format!("{span:016x}");
        let ground = &self.0.ground;
        ground.telemetry.env.sink.span(SpanRecord {
            trace: self.id(),
            span: hex(ended.span),
            parent: ended.parent.map(hex),
            dc: ground.dc.clone(),
            script: ground.script,
            build: ground.build.id.clone(),
            name: ended.name.to_owned(),
            start: ended.start,
            end: ended.end,
            failed: ended.failed,
            attributes: ended
                .attributes
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_string()))
                .collect(),
        });
    }

    fn now(&self) -> Timestamp {
        self.0.ground.telemetry.env.clock.now()
    }

    fn caller(&self) -> Option<u64> {
        Some(self.0.context.span).filter(|span| *span != 0)
    }

    fn next(&self, state: &mut State) -> u64 {
        state.begun += 1;
        self.0.first.wrapping_add(state.begun.wrapping_mul(GOLDEN)).max(1)
    }

    fn begin(
        &self,
        name: &'static str,
        (span, parent): (u64, Option<u64>),
        start: Timestamp,
        nested: bool,
    ) -> Stage {
        let attributes = Attributes::default();
        Stage { trace: self.clone(), name, span, parent, start, nested, failed: false, attributes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stage that is under way.
pub struct Stage {
    trace: Trace,
    name: &'static str,
    span: u64,
    parent: Option<u64>,
    start: Timestamp,
    nested: bool,
    failed: bool,
    attributes: Attributes,
}

impl Stage {
    /// A stage beside others of the same parent, such as one of two stores that are asked at once.
    #[must_use]
    pub fn beside(&self, name: &'static str) -> Self {
        let start = self.trace.now();
        let span = self.trace.next(&mut self.trace.lock());
        self.trace.begin(name, (span, Some(self.span)), start, false)
    }

    /// When it began: for whoever would otherwise ask the clock a second time.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// What a request that this stage sends must carry.
    pub fn context(&self) -> TraceContext {
        let TraceContext { trace, sampled, .. } = self.trace.0.context;
        TraceContext { trace, span: self.span, sampled }
    }

    /// Adds what is known. There is room for two attributes; a third one is not taken.
    pub fn attribute(&mut self, name: &'static str, value: Attribute) {
        if self.attributes.len() < ATTRIBUTES_MAX {
            self.attributes.push((name, value));
        }
    }

    /// Marks the stage as failed where `outcome` is an error; returns it.
    pub fn ended<T, E: fmt::Display>(mut self, outcome: Result<T, E>) -> Result<T, E> {
        if let Err(error) = &outcome {
            self.failed = true;
            self.attribute("error.type", Attribute::Text(error.to_string()));
        }
        outcome
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        let mut state = self.trace.lock();
        if self.nested {
            if let Some(at) = state.open.iter().rposition(|(span, _)| *span == self.span) {
                state.open.remove(at);
            }
            if panicking {
                state.unwound.push(self.name);
            }
        }
        if state.kept == Some(false) || state.ended.len() >= SPANS_MAX {
            return;
        }
        let ended = Ended {
            span: self.span,
            parent: self.parent,
            name: self.name,
            start: self.start,
            end: self.trace.now(),
            failed: self.failed || panicking,
            attributes: std::mem::take(&mut self.attributes),
        };
        if state.kept == Some(true) {
            drop(state);
            self.trace.tell(ended);
        } else {
            state.ended.push(ended);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trace").field(&self.id()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_follow_from_one_draw_and_are_all_different() {
        let traces = |seed| (0..10_000).map(move |number| TraceIds([seed, 2, 3]).of(number));
        let different: std::collections::BTreeSet<_> = traces(1).map(|(trace, _)| trace).collect();
        assert_eq!(different.len(), 10_000);
        assert!(traces(1).eq(traces(1)) && traces(1).ne(traces(4)));
        let sampled = different.iter().filter(|trace| *trace & u128::from(SAMPLE - 1) == 1).count();
        assert!((10..=30).contains(&sampled), "{sampled} of 10,000");
    }

    #[test]
    fn a_trace_context_survives_as_a_header() {
        let context = TraceContext { trace: 0xabc, span: 7, sampled: true };
        let header = context.header().unwrap();
        assert_eq!(header, "00-00000000000000000000000000000abc-0000000000000007-01");
        assert_eq!(TraceContext::parse(&header), Some(context));
    }

    #[test]
    fn what_is_no_trace_context_is_none() {
        for text in [
            "",
            "00-00000000000000000000000000000000-0000000000000007-01",
            "00-00000000000000000000000000000abc-0000000000000000-01",
            "01-00000000000000000000000000000abc-0000000000000007-01",
            "00-00000000000000000000000000000ABC-0000000000000007-01",
            "00-abc-7-01",
            "00-00000000000000000000000000000abc-0000000000000007-01-x",
        ] {
            assert_eq!(TraceContext::parse(&HeaderValue::from_static(text)), None, "{text}");
        }
    }
}
