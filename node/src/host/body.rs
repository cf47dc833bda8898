//! Bodies within bounds: their size, their pace, and the sum of those that are held at once.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use kv_node::gateway::SEAL_BYTES;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::limits::{LINGER, Pace, ServerLimits, UNCOUNTED_BYTES};
use super::paced::Turn;

/// A body that came whole.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    /// Its share of what may be held; given back when the request is answered.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Of a request without a body.
    pub(super) fn nothing() -> Self {
        Self { bytes: Bytes::new(), room: None }
    }
}

/// Why a body is not taken: what to answer, after which the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is longer than this listener takes.
    TooLarge,
    /// It came too slowly.
    TooSlow,
    /// Too much is held already.
    NoRoom,
    /// It broke off, or is not what its headers say.
    Broken,
}

impl Refused {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

/// Room for bodies: one for those of requests, one for those of answers. A request never waits for room for its answer
/// while others wait for the room that it has.
#[derive(Clone, Debug)]
pub(super) struct Room {
    free: Arc<Semaphore>,
    all: usize,
    wait: Duration,
}

impl Room {
    pub(super) fn new(limits: &ServerLimits) -> Self {
        let all = limits.held_bytes as usize;
        let wait = Duration::from_millis(limits.held_wait_ms);
        Self { free: Arc::new(Semaphore::new(all)), all, wait }
    }

    /// Bytes that nobody holds.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Room for so many bytes; `None` where that is few. What is larger than all the room takes all of it.
    pub(super) async fn take(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Refused> {
        if bytes <= UNCOUNTED_BYTES {
            return Ok(None);
        }
        let permits = u32::try_from(bytes.min(self.all)).unwrap_or(u32::MAX);
        let taken = timeout(self.wait, self.free.clone().acquire_many_owned(permits));
        match Box::pin(taken).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            Ok(Err(_)) | Err(_) => Err(Refused::NoRoom),
        }
    }
}

/// Reads a body of at most `most` bytes.
///
/// Room for a declared length is taken before the first byte, so that bodies do not wait for each other half-way. One
/// without a declared length takes it as it grows.
pub(super) async fn collect(
    body: &mut Incoming,
    most: usize,
    pace: Pace,
    room: &Room,
) -> Result<Held, Refused> {
    let declared = body.size_hint().exact();
    if declared.is_some_and(|length| length > most as u64) {
        return Err(Refused::TooLarge);
    }
    if body.is_end_stream() {
        return Ok(Held::nothing());
    }
    let declared = declared.map(|length| usize::try_from(length).unwrap_or(most));
    let mut held = room.take(declared.unwrap_or(0)).await?;
    let since = Instant::now();
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    let mut length = 0;
    loop {
        let due = since + pace.allows(length as u64);
        let frame = timeout_at(due, next(body)).await.map_err(|_| Refused::TooSlow)?;
        let Some(frame) = frame else { break };
        // Trailers mean nothing here.
        let Ok(data) = frame.map_err(|_| Refused::Broken)?.into_data() else { continue };
        length += data.len();
        if length > most {
            return Err(Refused::TooLarge);
        }
        if declared.is_none() {
            held = grow(held, length, room).await?;
        }
        match &mut rest {
            // A body in one piece, which small ones are, is not copied.
            None if first.is_empty() => first = data,
            None => {
                // A value is sealed in this buffer.
                let mut all = BytesMut::with_capacity(declared.unwrap_or(2 * length) + SEAL_BYTES);
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                rest = Some(all);
            }
            Some(all) => all.extend_from_slice(&data),
        }
    }
    Ok(Held { bytes: rest.map_or(first, BytesMut::freeze), room: held })
}

async fn grow(
    held: Option<OwnedSemaphorePermit>,
    length: usize,
    room: &Room,
) -> Result<Option<OwnedSemaphorePermit>, Refused> {
    let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    if length <= has.max(UNCOUNTED_BYTES) {
        return Ok(held);
    }
    // Twice what is there: a body grows a few times, not with every piece.
    let more = room.take((2 * length).min(room.all) - has.min(room.all)).await?;
    Ok(match (held, more) {
        (Some(mut held), Some(more)) => {
            held.merge(more);
            Some(held)
        }
        (held, more) => held.or(more),
    })
}

async fn next(body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

/// Throws away what is still coming, for a short while: a client that is sending reads an answer only when it is done, or
/// loses it to a reset.
pub(super) async fn linger(mut body: Incoming) {
    let rest = async { while let Some(Ok(_)) = next(&mut body).await {} };
    let _ = timeout(LINGER, rest).await;
}

/// The body of a request or an answer that is there whole.
pub(super) struct Whole {
    bytes: Option<Bytes>,
    /// Told when the last of it is handed over.
    turn: Option<Turn>,
}

impl Whole {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes: (!bytes.is_empty()).then_some(bytes), turn: None }
    }

    /// An answer on a connection whose turn it ends. The room is given back when its last byte has left the process.
    pub(super) fn answer(bytes: Bytes, room: Option<OwnedSemaphorePermit>, turn: Turn) -> Self {
        let bytes = match room {
            Some(room) => Bytes::from_owner(Roomy { bytes, _room: room }),
            None => bytes,
        };
        Self { bytes: (!bytes.is_empty()).then_some(bytes), turn: Some(turn) }
    }
}

struct Roomy {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Roomy {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(turn) = &self.turn {
            turn.answered();
        }
    }
}
