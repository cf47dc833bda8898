//! A connection that does not hang: it fails when its peer is silent for too long where it is its turn.
//!
//! Whose turn it is, the server says in [`Turn`]: hyper's own limit on heads would also close a connection that waits for
//! its next request, and it has none on answers that nobody reads.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::{Pace, ServerLimits};

/// What a connection is at.
#[derive(Clone, Debug)]
pub(super) struct Turn(Arc<AtomicU8>);

/// Between two requests.
const AWAITED: u8 = 0;
/// A head has begun.
const HEAD: u8 = 1;
/// The head is here: body and answer have limits of their own.
const BUSY: u8 = 2;
/// The answer is handed over; the next read is for the next request.
const ANSWERED: u8 = 3;

impl Turn {
    fn new() -> Self {
        Self(Arc::new(AtomicU8::new(HEAD)))
    }

    /// A head is complete.
    pub(super) fn busy(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// An answer's last bytes are handed over.
    pub(super) fn answered(&self) {
        self.0.store(ANSWERED, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, turn: u8) {
        self.0.store(turn, Ordering::Relaxed);
    }
}

/// A stream with the limits of [`ServerLimits`].
pub(super) struct Paced<S> {
    stream: S,
    turn: Turn,
    head: Duration,
    idle: Duration,
    answer: Pace,
    /// When reading must have come to something; for a head that has begun, once it is waited for: most come in one piece.
    due: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// Whom the timer wakes, once it has been asked.
    wakes: Option<Waker>,
    /// Since when somebody has been reading an answer too slowly to take it at once, and what they took of it.
    behind: Option<(Instant, u64)>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, limits: &ServerLimits) -> Self {
        let head = Duration::from_millis(limits.head_ms);
        let due = Instant::now() + head;
        Self {
            stream,
            turn: Turn::new(),
            head,
            idle: Duration::from_millis(limits.idle_ms),
            answer: limits.answer_pace(),
            due: Some(due),
            timer: Box::pin(sleep_until(due)),
            wakes: None,
            behind: None,
        }
    }

    pub(super) fn turn(&self) -> Turn {
        self.turn.clone()
    }

    fn await_request(&mut self) -> Instant {
        self.turn.set(AWAITED);
        *self.due.insert(Instant::now() + self.idle)
    }

    /// Ready once `due` has passed. The timer is moved only where it would ring too late: a busy connection hardly ever.
    fn poll_late(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.deadline() > due {
            self.timer.as_mut().reset(due);
        }
        // A timer that runs is not asked again by whom it wakes anyway: that is at every request.
        if !self.timer.is_elapsed() && self.wakes.as_ref().is_some_and(|w| w.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        self.wakes = Some(cx.waker().clone());
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(due);
        }
    }

    fn wrote(
        &mut self,
        result: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Pending => {
                let (since, taken) = *self.behind.get_or_insert_with(|| (Instant::now(), 0));
                ready!(self.poll_late(since + self.answer.allows(taken), cx));
                Poll::Ready(Err(late("the answer is read too slowly")))
            }
            Poll::Ready(Ok(bytes)) => {
                if let Some((_, taken)) = &mut self.behind {
                    *taken += bytes as u64;
                }
                Poll::Ready(Ok(bytes))
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.turn.get() == ANSWERED {
            this.await_request();
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                if this.turn.get() == AWAITED && buf.filled().len() > before {
                    this.turn.set(HEAD);
                    this.due = None;
                }
                Poll::Ready(Ok(()))
            }
            // It is not for the client to speak while it still reads.
            Poll::Pending if this.behind.is_none() && this.turn.get() <= HEAD => {
                let due = *this.due.get_or_insert_with(|| Instant::now() + this.head);
                ready!(this.poll_late(due, cx));
                Poll::Ready(Err(late("no request came in time")))
            }
            result => result,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.wrote(result, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.wrote(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        let was_behind = this.behind.take().is_some();
        if this.turn.get() == ANSWERED || (was_behind && this.turn.get() == AWAITED) {
            // Hyper does not read again where a read is already waiting, so this is where the wait for a request begins.
            let due = this.await_request();
            if this.poll_late(due, cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
