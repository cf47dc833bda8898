//! Which answer belongs to which request: what the two directions of a connection know of each other.

use std::collections::VecDeque;

use bytes::Bytes;

/// What matters of a request for the framing of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// HEAD: the answer has no body, whatever its head says.
    Head,
    /// CONNECT: after a success the connection is a tunnel.
    Tunnel,
    Other,
}

/// A request without its answer.
#[derive(Debug)]
struct Pending {
    asked: Asked,
    made_up: Option<MadeUp>,
}

/// An answer of the proxy.
#[derive(Debug)]
struct MadeUp {
    answer: Bytes,
    /// The request is complete, so it may be answered.
    due: bool,
    closes: bool,
}

/// Requests under way on one connection.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Exchange {
    pending: VecDeque<Pending>,
    /// A message has vanished: after what was under way before it nothing more is answered, since HTTP/1.1 could not tell
    /// whose answer it is.
    silent: bool,
    /// The connection is no HTTP, or no longer.
    pub(super) opaque: bool,
    /// The proxy has given the last answer of this connection.
    pub(in crate::proxy) closed: bool,
}

/// Requests without an answer, from which on no more are read.
const PENDING_MAX: usize = 1_024;

impl Exchange {
    /// A request goes to the upstream.
    pub(super) fn forwarded(&mut self, asked: Asked) {
        if !self.silent {
            self.pending.push_back(Pending { asked, made_up: None });
        }
    }

    /// A request is answered by the proxy, as soon as it is complete.
    pub(super) fn answered(&mut self, asked: Asked, answer: Bytes, closes: bool) {
        if !self.silent {
            let made_up = MadeUp { answer, due: false, closes };
            self.pending.push_back(Pending { asked, made_up: Some(made_up) });
        }
    }

    /// The request that came last is complete.
    pub(super) fn complete(&mut self) {
        if let Some(made_up) = self.pending.back_mut().and_then(|last| last.made_up.as_mut()) {
            made_up.due = true;
        }
    }

    /// A request has vanished.
    pub(super) fn vanished(&mut self) {
        self.silent = true;
    }

    /// The answer that is coming has vanished.
    pub(super) fn answer_vanished(&mut self) {
        self.silent = true;
        self.pending.clear();
    }

    /// Whose answer comes next from the upstream.
    pub(super) fn next(&self) -> Option<Asked> {
        self.pending.front().filter(|next| next.made_up.is_none()).map(|next| next.asked)
    }

    /// The answer that came is complete.
    pub(super) fn done(&mut self) {
        self.pending.pop_front();
    }

    /// The next answer, where it is one of the proxy, and whether the connection ends with it.
    pub(super) fn take_made_up(&mut self) -> Option<(Bytes, bool)> {
        let made_up = self.pending.front()?.made_up.as_ref()?;
        if !made_up.due {
            return None;
        }
        let made_up = self.pending.pop_front()?.made_up?;
        self.closed |= made_up.closes;
        Some((made_up.answer, made_up.closes))
    }

    /// Whether nothing more is ever answered.
    pub(in crate::proxy) fn is_silent(&self) -> bool {
        self.silent && self.pending.is_empty()
    }

    pub(in crate::proxy) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_MAX
    }
}
