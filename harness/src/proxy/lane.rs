//! One direction of a connection, without its sockets: messages, then the chain of stages, then what may be written.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::flow::{End, Event, Queue};
use super::http::{Exchange, Messages};
use super::stage::Stage;
use super::toxic::{Direction, Toxic};

#[cfg(test)]
mod tests;

/// Bytes that wait to be written: where the receiver is slow, the sender notices.
const UNWRITTEN_BYTES_MAX: usize = 256 << 10;
/// Bytes that wait for delayed messages before them.
const DELAYED_BYTES_MAX: usize = 16 << 20;

/// One direction of a connection.
pub(super) struct Lane {
    pub(super) direction: Direction,
    connection: u64,
    messages: Messages,
    /// What toxics of messages let by, each chunk with its moment.
    gate: Queue,
    chain: Vec<Stage>,
    /// What may be written now.
    pub(super) out: Queue,
    /// How the source ended, while nobody may see it.
    ending: Option<End>,
    /// Nothing more arrives.
    pub(super) is_read: bool,
    /// Nothing more is written.
    pub(super) is_written: bool,
    /// The proxy has ended it. What still arrives is read and dropped: unread, it would turn the end into a reset.
    lingers: bool,
}

impl Lane {
    pub(super) fn new(direction: Direction, connection: u64) -> Self {
        Self {
            direction,
            connection,
            messages: Messages::new(direction, connection),
            gate: Queue::default(),
            chain: Vec::new(),
            out: Queue::default(),
            ending: None,
            is_read: false,
            is_written: false,
            lingers: false,
        }
    }

    /// Goes on with other toxics. Nothing that is under way is lost.
    pub(super) fn change(&mut self, toxics: &[Arc<Toxic>], now: Instant) {
        self.messages.change(toxics, now, &mut self.gate);
        let wanted: Vec<&Arc<Toxic>> =
            toxics.iter().filter(|toxic| toxic.stream == self.direction).collect();
        // From the end: what a stage gives up comes after what the next one still holds.
        let mut kept: Vec<Stage> = Vec::new();
        for mut stage in std::mem::take(&mut self.chain).into_iter().rev() {
            match wanted.iter().find(|toxic| toxic.id == stage.toxic.id) {
                Some(toxic) => {
                    if !Arc::ptr_eq(toxic, &stage.toxic) {
                        stage.update(toxic, now);
                    }
                    kept.push(stage);
                }
                None => {
                    let next = kept.last_mut().map_or(&mut self.out, |next| &mut next.queue);
                    next.append(&mut stage.remove());
                }
            }
        }
        kept.reverse();
        // Toxics are only ever added at the end.
        let added = wanted.iter().filter(|toxic| kept.iter().all(|old| old.toxic.id != toxic.id));
        let added: Vec<Stage> =
            added.filter_map(|toxic| Stage::new(toxic, self.connection, now)).collect();
        kept.extend(added);
        self.chain = kept;
    }

    /// Whether more may be read.
    pub(super) fn wants(&self, exchange: &Exchange) -> bool {
        let is_full = self.out.bytes() >= UNWRITTEN_BYTES_MAX
            || self.gate.bytes() >= DELAYED_BYTES_MAX
            || self.chain.iter().any(Stage::is_full)
            || self.direction == Direction::Upstream && exchange.is_full();
        !(self.is_read || self.is_written && !self.lingers || is_full)
    }

    pub(super) fn arrived(&mut self, bytes: Bytes, now: Instant, exchange: &mut Exchange) {
        self.messages.feed(bytes, now, exchange, &mut self.gate);
    }

    /// The source has ended.
    pub(super) fn ended(&mut self, end: End, now: Instant, exchange: &mut Exchange) {
        self.is_read = true;
        self.messages.end(now, exchange, &mut self.gate);
        self.ending = Some(end);
    }

    /// Puts in answers of the proxy.
    pub(super) fn answer(&mut self, now: Instant, exchange: &mut Exchange) {
        Messages::answer(now, exchange, &mut self.gate);
    }

    /// Ends it after what is under way.
    pub(super) fn close(&mut self) {
        self.lingers = true;
        self.gate.push(Event::End(End::Half));
    }

    /// Whether no toxic acts on bytes here.
    pub(super) fn is_bare(&self) -> bool {
        self.chain.is_empty()
    }

    /// Whether nothing more can happen here.
    pub(super) fn is_over(&self) -> bool {
        self.is_written && (self.is_read || !self.lingers)
    }

    /// Whether what still comes is seen by nobody, not even its end.
    pub(super) fn is_cut(&self, exchange: &Exchange) -> bool {
        self.ending.is_some() || exchange.is_silent()
    }

    /// Nobody takes what is written any more.
    pub(super) fn fail(&mut self) {
        self.is_written = true;
        self.lingers = false;
        self.gate.clear();
        self.chain.clear();
        self.out.clear();
    }

    /// Moves everything as far as it may go now; when there is more to move.
    pub(super) fn run(&mut self, now: Instant, exchange: &Exchange) -> Option<Instant> {
        if self.is_written {
            return None;
        }
        if let Some(end) = self.ending
            && !self.messages.holds_end(exchange)
        {
            self.ending = None;
            self.gate.push(Event::End(end));
        }
        let first = self.chain.first_mut().map_or(&mut self.out, |first| &mut first.queue);
        let mut wake = self.gate.release(now, first);
        for at in 0..self.chain.len() {
            let (until, after) = self.chain.split_at_mut(at + 1);
            let next = after.first_mut().map_or(&mut self.out, |next| &mut next.queue);
            wake = earlier(wake, until[at].run(now, next));
        }
        wake
    }
}

/// The earlier of two moments, where there are any.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
