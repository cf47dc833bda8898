//! What flows through one direction of a connection: chunks with the moment they arrived, and an end.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use tokio::time::Instant;

/// One thing that flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Bytes, and when they arrived; a toxic that delays them moves that moment.
    Chunk(Bytes, Instant),
    /// Nothing follows.
    End(End),
}

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Whoever sent has sent everything. The other direction goes on.
    Half,
    /// A toxic closes the connection, both ways.
    Whole,
    /// Both sockets are reset.
    Reset,
}

/// What waits at one place, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: VecDeque<Event>,
    bytes: usize,
}

impl Queue {
    pub(super) fn push(&mut self, event: Event) {
        if let Event::Chunk(bytes, _) = &event {
            if bytes.is_empty() {
                return;
            }
            self.bytes += bytes.len();
        }
        self.events.push_back(event);
    }

    /// Puts back what was only looked at, or the rest of it.
    pub(super) fn push_front(&mut self, event: Event) {
        if let Event::Chunk(bytes, _) = &event {
            self.bytes += bytes.len();
        }
        self.events.push_front(event);
    }

    /// Shows the chunks in front, as many as there is room for; how many.
    pub(super) fn chunks<'a>(&'a self, room: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (place, event) in room.iter_mut().zip(&self.events) {
            let Event::Chunk(bytes, _) = event else { break };
            *place = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// Takes out so many bytes in front, which are of chunks.
    pub(super) fn advance(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let Some(Event::Chunk(mut chunk, arrived)) = self.pop() else { return };
            let taken = chunk.len().min(bytes);
            bytes -= taken;
            chunk.advance(taken);
            if !chunk.is_empty() {
                self.push_front(Event::Chunk(chunk, arrived));
            }
        }
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Chunk(bytes, _) = &event {
            self.bytes -= bytes.len();
        }
        Some(event)
    }

    pub(super) fn front(&self) -> Option<&Event> {
        self.events.front()
    }

    /// Takes everything out of another queue.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.events.append(&mut other.events);
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }

    /// Moves on what is due; when the next is.
    pub(super) fn release(&mut self, now: Instant, out: &mut Self) -> Option<Instant> {
        loop {
            match self.front()? {
                Event::Chunk(_, due) if *due > now => return Some(*due),
                _ => {}
            }
            if let Some(event) = self.pop() {
                out.push(event);
            }
        }
    }

    /// Lets everything that waits be due.
    pub(super) fn hurry(&mut self, now: Instant) {
        for event in &mut self.events {
            if let Event::Chunk(_, due) = event {
                *due = (*due).min(now);
            }
        }
    }
}
