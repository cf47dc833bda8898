//! Toxics that act on bytes: one stage each of a connection's chain.
//!
//! A stage is no task and reads no clock: it is run with the present moment, takes from its own queue, puts into the next
//! one, and says when it wants to be run again. So that everything after a moment depends on the moment alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kv_node::env::Stream;
use tokio::time::Instant;

use super::flow::{End, Event, Queue};
use super::toxic::{Kind, Toxic, millis};

/// Bytes that a stage without latency may hold: more stays in the socket, so that the sender notices.
const HELD_BYTES_MAX: usize = 64 << 10;
/// Bytes that wait out a latency: 100 ms at 160 MB a second.
const DELAYED_BYTES_MAX: usize = 16 << 20;
/// Bandwidth is given out in portions of this length at the most, as Toxiproxy does.
const PORTION_MS: u64 = 100;

/// A toxic on one direction of one connection.
pub(super) struct Stage {
    pub(super) toxic: Arc<Toxic>,
    /// Whether it acts on this connection: drawn once.
    drawn: f64,
    counted: bool,
    draws: Stream,
    state: State,
    /// What it has not passed on yet.
    pub(super) queue: Queue,
    /// It has ended the direction: what still comes is dropped.
    over: bool,
}

enum State {
    /// What waits for its moment, in order.
    Latency(Queue),
    Bandwidth(Portions),
    SlowClose {
        until: Option<Instant>,
    },
    Timeout {
        since: Instant,
    },
    ResetPeer {
        until: Option<Instant>,
    },
    Slicer {
        pieces: VecDeque<Bytes>,
        next: Instant,
    },
    LimitData {
        passed: u64,
    },
}

/// Bandwidth that is given out.
struct Portions {
    /// When all that was given out so far is used up.
    free: Instant,
    /// When the portion at the front of the queue may go.
    due: Option<Instant>,
}

impl Stage {
    /// A stage for a toxic; none for one that acts on messages.
    pub(super) fn new(toxic: &Arc<Toxic>, connection: u64, now: Instant) -> Option<Self> {
        let state = match toxic.kind {
            Kind::Latency { .. } => State::Latency(Queue::default()),
            Kind::Bandwidth { .. } => State::Bandwidth(Portions { free: now, due: None }),
            Kind::SlowClose { .. } => State::SlowClose { until: None },
            Kind::Timeout { .. } => State::Timeout { since: now },
            Kind::ResetPeer { .. } => State::ResetPeer { until: None },
            Kind::Slicer { .. } => State::Slicer { pieces: VecDeque::new(), next: now },
            Kind::LimitData { .. } => State::LimitData { passed: 0 },
            _ => return None,
        };
        let draws = toxic.draws(connection);
        let toxic = toxic.clone();
        let drawn = draws.unit();
        let queue = Queue::default();
        Some(Self { toxic, drawn, counted: false, draws, state, queue, over: false })
    }

    /// Goes on with other attributes. What waits does so no longer, but for what a bandwidth still holds back.
    pub(super) fn update(&mut self, toxic: &Arc<Toxic>, now: Instant) {
        self.toxic = toxic.clone();
        match &mut self.state {
            State::Latency(waiting) => waiting.hurry(now),
            State::Bandwidth(portions) => *portions = Portions { free: now, due: None },
            State::SlowClose { until } | State::ResetPeer { until } => *until = None,
            State::Timeout { since } => *since = now,
            State::Slicer { .. } | State::LimitData { .. } => {}
        }
    }

    /// Gives up what it still holds, in order. A `timeout` that goes ends the connection.
    pub(super) fn remove(mut self) -> Queue {
        let mut held = match self.state {
            State::Latency(waiting) => waiting,
            State::Slicer { pieces, next } => {
                let mut held = Queue::default();
                for piece in pieces {
                    held.push(Event::Chunk(piece, next));
                }
                held
            }
            State::Timeout { .. } if self.drawn < self.toxic.toxicity => {
                let mut held = Queue::default();
                held.push(Event::End(End::Whole));
                return held;
            }
            _ => Queue::default(),
        };
        held.append(&mut self.queue);
        held
    }

    /// Whether it wants nothing for now.
    pub(super) fn is_full(&self) -> bool {
        let (held, room) = match &self.state {
            State::Latency(waiting) => (waiting.bytes(), DELAYED_BYTES_MAX),
            State::Slicer { pieces, .. } => (pieces.iter().map(Bytes::len).sum(), HELD_BYTES_MAX),
            _ => (0, HELD_BYTES_MAX),
        };
        held + self.queue.bytes() >= room
    }

    /// Passes on what it may; when it wants to be run again.
    pub(super) fn run(&mut self, now: Instant, out: &mut Queue) -> Option<Instant> {
        if self.over {
            self.queue.clear();
            return None;
        }
        if self.drawn >= self.toxic.toxicity {
            out.append(&mut self.queue);
            return None;
        }
        match self.toxic.kind {
            Kind::Latency { latency, jitter } => self.delay(now, latency, jitter, out),
            Kind::Bandwidth { rate } => self.throttle(now, u64::try_from(rate).unwrap_or(0), out),
            Kind::SlowClose { delay } => self.close_late(now, millis(delay), out),
            Kind::Timeout { timeout } => self.drop_until(now, millis(timeout), out),
            Kind::ResetPeer { timeout } => self.reset_after(now, millis(timeout), out),
            Kind::Slicer { average_size, size_variation, delay } => {
                let size = |bytes: i64| usize::try_from(bytes).unwrap_or(0);
                let pause = Duration::from_micros(u64::try_from(delay).unwrap_or(0));
                self.slice(now, (size(average_size).max(1), size(size_variation)), pause, out)
            }
            Kind::LimitData { bytes } => self.limit(u64::try_from(bytes).unwrap_or(0), out),
            _ => None,
        }
    }

    /// It has acted on this connection.
    fn acted(&mut self) {
        if !std::mem::replace(&mut self.counted, true) {
            self.toxic.count();
        }
    }

    fn finish(&mut self, end: End, out: &mut Queue) -> Option<Instant> {
        self.acted();
        out.push(Event::End(end));
        self.over = true;
        self.queue.clear();
        None
    }

    fn delay(
        &mut self,
        now: Instant,
        latency_ms: i64,
        jitter_ms: i64,
        out: &mut Queue,
    ) -> Option<Instant> {
        while let Some(event) = self.queue.pop() {
            let event = match event {
                Event::Chunk(bytes, at) => {
                    self.acted();
                    // From latency less jitter up to latency plus jitter.
                    let (earliest, width) = (latency_ms - jitter_ms.max(0), 2 * jitter_ms.max(0));
                    let drawn = self.draws.jitter(millis(width)) + millis(earliest);
                    // What a negative beginning takes away.
                    let drawn = drawn.saturating_sub(millis(earliest.saturating_neg()));
                    Event::Chunk(bytes, at + drawn)
                }
                end @ Event::End(_) => end,
            };
            if let State::Latency(waiting) = &mut self.state {
                waiting.push(event);
            }
        }
        match &mut self.state {
            State::Latency(waiting) => waiting.release(now, out),
            _ => None,
        }
    }

    fn throttle(&mut self, now: Instant, bytes_per_ms: u64, out: &mut Queue) -> Option<Instant> {
        loop {
            let State::Bandwidth(portions) = &mut self.state else { return None };
            let (mut bytes, at) = match self.queue.pop()? {
                Event::Chunk(bytes, at) => (bytes, at),
                end @ Event::End(_) => {
                    out.push(end);
                    continue;
                }
            };
            if bytes_per_ms == 0 {
                self.queue.push_front(Event::Chunk(bytes, at));
                self.acted();
                return None;
            }
            let portion = usize::try_from(bytes_per_ms * PORTION_MS).unwrap_or(usize::MAX);
            let portion = portion.min(bytes.len());
            let takes = Duration::from_nanos(portion as u64 * 1_000_000 / bytes_per_ms);
            let due = *portions.due.get_or_insert_with(|| portions.free.max(now) + takes);
            if now < due {
                self.queue.push_front(Event::Chunk(bytes, at));
                self.acted();
                return Some(due);
            }
            (portions.free, portions.due) = (due, None);
            out.push(Event::Chunk(bytes.split_to(portion), at));
            if !bytes.is_empty() {
                self.queue.push_front(Event::Chunk(bytes, at));
            }
        }
    }

    fn close_late(&mut self, now: Instant, delay: Duration, out: &mut Queue) -> Option<Instant> {
        while let Some(event) = self.queue.pop() {
            if let Event::Chunk(..) = event {
                out.push(event);
                continue;
            }
            let State::SlowClose { until } = &mut self.state else { return None };
            let until = *until.get_or_insert(now + delay);
            self.acted();
            if now < until {
                self.queue.push_front(event);
                return Some(until);
            }
            out.push(event);
        }
        None
    }

    fn drop_until(&mut self, now: Instant, timeout: Duration, out: &mut Queue) -> Option<Instant> {
        while let Some(event) = self.queue.pop() {
            if let Event::End(end) = event {
                return self.finish(end, out);
            }
            self.acted();
        }
        let State::Timeout { since } = self.state else { return None };
        match since + timeout {
            _ if timeout.is_zero() => None,
            until if now < until => Some(until),
            _ => self.finish(End::Whole, out),
        }
    }

    fn reset_after(&mut self, now: Instant, timeout: Duration, out: &mut Queue) -> Option<Instant> {
        self.queue.front()?;
        let State::ResetPeer { until } = &mut self.state else { return None };
        let until = *until.get_or_insert(now + timeout);
        if now < until {
            return Some(until);
        }
        self.finish(End::Reset, out)
    }

    fn slice(
        &mut self,
        now: Instant,
        (average, variation): (usize, usize),
        pause: Duration,
        out: &mut Queue,
    ) -> Option<Instant> {
        loop {
            if let State::Slicer { pieces, next } = &mut self.state {
                while let Some(piece) = pieces.pop_front() {
                    if now < *next {
                        pieces.push_front(piece);
                        return Some(*next);
                    }
                    out.push(Event::Chunk(piece, now));
                    *next = now + pause;
                }
            }
            match self.queue.pop()? {
                Event::Chunk(bytes, _) => {
                    let mut cut = VecDeque::new();
                    self.cut(bytes, average, variation, &mut cut);
                    if cut.len() > 1 {
                        self.acted();
                    }
                    if let State::Slicer { pieces, .. } = &mut self.state {
                        *pieces = cut;
                    }
                }
                end @ Event::End(_) => out.push(end),
            }
        }
    }

    /// Halves, give or take the variation, until what remains is of about the average size.
    fn cut(&self, mut bytes: Bytes, average: usize, variation: usize, to: &mut VecDeque<Bytes>) {
        if bytes.len() <= average.saturating_add(variation) {
            to.push_back(bytes);
            return;
        }
        let drawn = self.draws.below(variation as u64 * 2);
        let middle = bytes.len() / 2 + usize::try_from(drawn).unwrap_or(0);
        let middle = middle.saturating_sub(variation).clamp(1, bytes.len() - 1);
        let left = bytes.split_to(middle);
        self.cut(left, average, variation, to);
        self.cut(bytes, average, variation, to);
    }

    fn limit(&mut self, bytes_max: u64, out: &mut Queue) -> Option<Instant> {
        while let Some(event) = self.queue.pop() {
            let State::LimitData { passed } = &mut self.state else { return None };
            match event {
                Event::Chunk(mut bytes, at) => {
                    let left = bytes_max.saturating_sub(*passed);
                    bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    *passed += bytes.len() as u64;
                    let spent = *passed >= bytes_max;
                    out.push(Event::Chunk(bytes, at));
                    if spent {
                        return self.finish(End::Whole, out);
                    }
                }
                end @ Event::End(_) => out.push(end),
            }
        }
        None
    }
}
