//! Toxics that act on messages: one direction of one connection.
//!
//! They act where bytes arrive, before the chain of those that act on bytes, since there the bounds of messages are known.
//! A request that is answered here never goes on; the answer joins the other direction when its turn comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use kv_node::env::Stream;
use tokio::time::Instant;

use super::super::flow::{End, Event, Queue};
use super::super::toxic::{Direction, Kind, Toxic};
use super::exchange::Exchange;
use super::fate::{Corruption, Fate, retransmitted};
use super::framing::{Body, Framer, Piece};
use super::head;

/// One direction of a connection, as messages.
pub(in crate::proxy) struct Messages {
    direction: Direction,
    connection: u64,
    framer: Framer,
    toxics: Vec<Acting>,
    /// How much of a head that is not complete has gone on already: then no toxic acts on the message.
    passed: usize,
    fate: Fate,
    /// What is coming is no answer proper, such as `100 Continue`.
    interim: bool,
}

/// A toxic on this connection.
struct Acting {
    toxic: Arc<Toxic>,
    draws: Stream,
    /// Whether it acts on a connection that is not HTTP: all of that is one message.
    on_bytes: Option<bool>,
    counted: bool,
}

/// What becomes of a head.
enum Heard {
    Goes(Bytes),
    Stays,
}

enum Verdict {
    Passes,
    Vanishes,
    Answered(StatusCode),
    Reset,
}

impl Messages {
    pub(in crate::proxy) fn new(direction: Direction, connection: u64) -> Self {
        Self {
            direction,
            connection,
            framer: Framer::new(direction),
            toxics: Vec::new(),
            passed: 0,
            fate: Fate::default(),
            interim: false,
        }
    }

    /// Goes on with other toxics.
    pub(in crate::proxy) fn change(
        &mut self,
        toxics: &[Arc<Toxic>],
        now: Instant,
        out: &mut Queue,
    ) {
        let mut before = std::mem::take(&mut self.toxics);
        let ours =
            |toxic: &&Arc<Toxic>| toxic.stream == self.direction && toxic.kind.is_of_messages();
        for toxic in toxics.iter().filter(ours) {
            let known = before.iter().position(|acting| acting.toxic.id == toxic.id);
            let acting = match known {
                Some(at) => Acting { toxic: toxic.clone(), ..before.swap_remove(at) },
                None => Acting {
                    toxic: toxic.clone(),
                    draws: toxic.draws(self.connection),
                    on_bytes: None,
                    counted: false,
                },
            };
            self.toxics.push(acting);
        }
        self.let_heads_by(now, out);
    }

    /// Takes bytes that arrived.
    pub(in crate::proxy) fn feed(
        &mut self,
        bytes: Bytes,
        at: Instant,
        exchange: &mut Exchange,
        out: &mut Queue,
    ) {
        let mut input = bytes;
        if exchange.opaque && !self.framer.is_opaque() {
            let held = self.framer.give_up();
            self.opaque(&held, at, exchange, out);
        }
        loop {
            if self.is_deaf(exchange) {
                return;
            }
            match self.framer.next(&mut input) {
                None => break,
                Some(Piece::Head(head)) => self.head(&head, at, exchange, out),
                Some(Piece::Frame(bytes)) => self.pass(bytes, at, out),
                Some(Piece::Body(bytes)) => {
                    let bytes = self.fate.corrupted(bytes);
                    self.pass(bytes, at, out);
                }
                Some(Piece::Done) => self.done(at, exchange, out),
                Some(Piece::Opaque(bytes)) => {
                    exchange.opaque = true;
                    self.opaque(&bytes, at, exchange, out);
                }
            }
        }
        self.let_heads_by(at, out);
    }

    /// Nothing more arrives; what was held back goes on.
    pub(in crate::proxy) fn end(&mut self, at: Instant, exchange: &mut Exchange, out: &mut Queue) {
        if self.is_deaf(exchange) {
            return;
        }
        if self.framer.end() {
            self.done(at, exchange, out);
        }
        let held = self.framer.give_up();
        if held.len() > self.passed {
            self.opaque(&held, at, exchange, out);
        }
    }

    /// Puts in the answers of the proxy whose turn has come.
    pub(in crate::proxy) fn answer(at: Instant, exchange: &mut Exchange, out: &mut Queue) {
        while let Some((answer, closes)) = exchange.take_made_up() {
            out.push(Event::Chunk(answer, at));
            if closes {
                out.push(Event::End(End::Half));
                return;
            }
        }
    }

    /// Whether not even the end of the connection may be seen.
    pub(in crate::proxy) fn holds_end(&self, exchange: &Exchange) -> bool {
        let cut = |acting: &Acting| {
            acting.toxic.kind == Kind::Partition {}
                && !acting.toxic.is_in_bursts()
                && (acting.toxic.toxicity >= 1.0 || acting.on_bytes == Some(true))
        };
        self.direction == Direction::Downstream
            && (exchange.is_silent() || self.toxics.iter().any(cut))
    }

    /// Whether what arrives is dropped, whatever it is.
    fn is_deaf(&self, exchange: &Exchange) -> bool {
        exchange.closed || self.direction == Direction::Downstream && exchange.is_silent()
    }

    fn pass(&self, bytes: Bytes, at: Instant, out: &mut Queue) {
        if !self.fate.vanishes {
            out.push(Event::Chunk(bytes, at + self.fate.delay));
        }
    }

    /// Where no toxic waits for whole heads, the parts of one go on as they come.
    fn let_heads_by(&mut self, at: Instant, out: &mut Queue) {
        let held = self.framer.held();
        if self.toxics.is_empty() && held.len() > self.passed {
            out.push(Event::Chunk(Bytes::copy_from_slice(&held[self.passed..]), at));
            self.passed = held.len();
        }
    }

    fn done(&mut self, at: Instant, exchange: &mut Exchange, out: &mut Queue) {
        self.fate = Fate::default();
        match self.direction {
            Direction::Upstream => exchange.complete(),
            Direction::Downstream => {
                if !std::mem::take(&mut self.interim) {
                    exchange.done();
                }
                Self::answer(at, exchange, out);
            }
        }
    }

    fn head(&mut self, head: &Bytes, at: Instant, exchange: &mut Exchange, out: &mut Queue) {
        self.fate = Fate::default();
        let read = match self.direction {
            Direction::Upstream => self.request(head, at, exchange),
            Direction::Downstream => self.answered(head, at, exchange),
        };
        match read {
            Some(Heard::Goes(head)) => {
                let passed = std::mem::take(&mut self.passed);
                self.pass(head.slice(passed.min(head.len())..), at, out);
            }
            Some(Heard::Stays) => {
                self.passed = 0;
                if exchange.closed {
                    out.push(Event::End(End::Reset));
                }
            }
            None => {
                exchange.opaque = true;
                self.framer.give_up();
                self.opaque(head, at, exchange, out);
            }
        }
    }

    /// A request's head; `None` where it is none.
    fn request(&mut self, head: &Bytes, at: Instant, exchange: &mut Exchange) -> Option<Heard> {
        let said = head::request(head)?;
        self.framer.expect(said.body);
        let mut head = head.clone();
        match self.judge(&mut head, said.body != Body::Length(0), at) {
            Verdict::Passes => {
                exchange.forwarded(said.asked);
                return Some(Heard::Goes(head));
            }
            Verdict::Vanishes => exchange.vanished(),
            Verdict::Answered(status) => {
                let closes = said.closes || said.waits;
                exchange.answered(said.asked, head::made_up(status, closes), closes);
                if said.waits {
                    // The body never comes.
                    exchange.complete();
                }
            }
            Verdict::Reset => exchange.closed = true,
        }
        self.fate.vanishes = true;
        Some(Heard::Stays)
    }

    /// The same for an answer's head.
    fn answered(&mut self, head: &Bytes, at: Instant, exchange: &mut Exchange) -> Option<Heard> {
        let said = head::answer(head, exchange.next()?)?;
        let Some(body) = said.body else {
            // A tunnel: its bytes are nobody's messages.
            exchange.opaque = true;
            self.framer.give_up();
            return Some(Heard::Goes(head.clone()));
        };
        self.framer.expect(body);
        if said.is_interim() {
            self.interim = true;
            self.fate.vanishes = self.holds_end(exchange);
            return Some(Heard::Goes(head.clone()));
        }
        let mut head = head.clone();
        match self.judge(&mut head, body != Body::Length(0), at) {
            Verdict::Passes => return Some(Heard::Goes(head)),
            Verdict::Answered(status) => return Some(Heard::Goes(head::restated(&head, status))),
            Verdict::Vanishes => exchange.answer_vanished(),
            Verdict::Reset => exchange.closed = true,
        }
        self.fate.vanishes = true;
        Some(Heard::Stays)
    }

    /// Lets each toxic act on a message, in order.
    fn judge(&mut self, head: &mut Bytes, has_body: bool, at: Instant) -> Verdict {
        let Self { toxics, fate, passed, direction, .. } = self;
        if *passed > 0 {
            return Verdict::Passes;
        }
        let mut verdict = Verdict::Passes;
        for acting in toxics {
            let Acting { toxic, draws, .. } = acting;
            if !toxic.acts(draws, at) {
                continue;
            }
            let acted = match &toxic.kind {
                Kind::StripHeader { name } => edit(head, head::without(head, name)),
                Kind::ReplaceHeader { name, value } => {
                    edit(head, head::replaced(head, name, value))
                }
                Kind::DuplicateHeader { name } => edit(head, head::duplicated(head, name)),
                Kind::CorruptBody {} => {
                    // It counts when the body comes.
                    fate.corruption = has_body.then(|| Corruption::new(toxic.clone(), draws));
                    false
                }
                Kind::Delay { latency, jitter } => {
                    fate.delay += Duration::from_millis(*latency);
                    fate.delay += draws.jitter(Duration::from_millis(*jitter));
                    true
                }
                Kind::Loss {} => {
                    match retransmitted(draws, toxic.toxicity) {
                        Some(delay) => fate.delay += delay,
                        None => verdict = Verdict::Vanishes,
                    }
                    true
                }
                Kind::Reset {} => {
                    verdict = Verdict::Reset;
                    true
                }
                Kind::Partition {} => {
                    verdict = Verdict::Vanishes;
                    true
                }
                Kind::Status { status } => {
                    let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
                    verdict = Verdict::Answered(status);
                    true
                }
                _ => false,
            };
            if acted {
                toxic.count();
            }
            match verdict {
                Verdict::Passes => {}
                // An answer that is rewritten is still on its way.
                Verdict::Answered(_) if *direction == Direction::Downstream => {}
                _ => return verdict,
            }
        }
        verdict
    }

    /// Bytes that are not HTTP. What needs no message acts on them all the same: a partition holds for whatever is said.
    fn opaque(&mut self, bytes: &Bytes, at: Instant, exchange: &mut Exchange, out: &mut Queue) {
        let passed = std::mem::take(&mut self.passed);
        let bytes = bytes.slice(passed.min(bytes.len())..);
        let mut at = at;
        if bytes.is_empty() {
            return;
        }
        self.fate.delay = Duration::ZERO;
        for acting in &mut self.toxics {
            if !acting.acts_on_bytes(at) {
                continue;
            }
            match acting.toxic.kind {
                Kind::Partition {} => return,
                Kind::Reset {} => {
                    exchange.closed = true;
                    out.push(Event::End(End::Reset));
                    return;
                }
                Kind::Delay { latency, jitter } => {
                    at += Duration::from_millis(latency);
                    at += acting.draws.jitter(Duration::from_millis(jitter));
                }
                Kind::Loss {} => match retransmitted(&acting.draws, acting.toxic.toxicity) {
                    Some(delay) => at += delay,
                    None => self.fate.vanishes = true,
                },
                _ => {}
            }
        }
        self.pass(bytes, at, out);
    }
}

/// Takes an edited head in place of the one that there was; whether there is one.
fn edit(head: &mut Bytes, edited: Option<Bytes>) -> bool {
    let acted = edited.is_some();
    if let Some(edited) = edited {
        *head = edited;
    }
    acted
}

impl Acting {
    fn acts_on_bytes(&mut self, now: Instant) -> bool {
        let needs_none = matches!(
            self.toxic.kind,
            Kind::Partition {} | Kind::Reset {} | Kind::Delay { .. } | Kind::Loss {}
        );
        if !needs_none {
            return false;
        }
        let Self { toxic, draws, .. } = self;
        let acts = if toxic.is_in_bursts() {
            toxic.acts(draws, now)
        } else {
            *self.on_bytes.get_or_insert_with(|| toxic.acts(draws, now))
        };
        if acts && !std::mem::replace(&mut self.counted, true) {
            toxic.count();
        }
        acts
    }
}
