//! A connection: two sockets and a lane each way, in one task.
//!
//! Nothing here waits for one direction while the other could move, and no lock is taken for a byte. Toxics are looked at
//! again after each read, so that what was sent after the API had answered meets the toxics that it answered for.

use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{Either, poll_fn, select};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use super::flow::{End, Event};
use super::http::Exchange;
use super::lane::{Lane, earlier};
use super::metrics::Traffic;
use super::toxic::{Direction, Toxic};

/// Bytes that are read at once.
const READ_BYTES_MAX: usize = 32 << 10;

/// Chunks that are written at once: the head of a message and what there is of its body. Each write is a walk through the kernel, to the
/// receiver on the same machine.
const CHUNKS_AT_ONCE: usize = 8;

/// What a proxy tells its connections.
#[derive(Clone, Debug)]
pub(super) struct Active {
    /// Whether the proxy is enabled.
    pub(super) on: bool,
    pub(super) toxics: Arc<[Arc<Toxic>]>,
}

/// A client's connection through a proxy.
pub(super) struct Connection {
    pub(super) client: TcpStream,
    pub(super) number: u64,
    pub(super) upstream: String,
    pub(super) active: watch::Receiver<Active>,
    pub(super) traffic: Arc<Traffic>,
}

impl Connection {
    /// Connects to the upstream and carries bytes until both directions have ended, a toxic ends them, or the proxy does.
    pub(super) async fn run(self) {
        let Self { client, number, upstream, mut active, traffic } = self;
        let server = {
            let stopped = pin!(active.wait_for(|active| !active.on));
            match select(stopped, pin!(TcpStream::connect(upstream))).await {
                Either::Right((Ok(server), _)) => server,
                // The client sees an end where there is nobody to talk to, as with Toxiproxy.
                Either::Right((Err(_), _)) | Either::Left(_) => return,
            }
        };
        // A socket that cannot do it still works.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let lane = |direction| Lane::new(direction, number);
        let mut pipes = Pipes {
            client,
            server,
            lanes: Direction::BOTH.map(lane),
            exchange: Exchange::default(),
            changes: active.clone(),
            traffic,
            scratch: vec![0; READ_BYTES_MAX].into_boxed_slice(),
            timer: None,
            on: true,
        };
        pipes.change();
        loop {
            let changed = pin!(active.changed());
            match select(changed, poll_fn(|cx| pipes.poll(cx))).await {
                Either::Left((Ok(()), _)) => {}
                Either::Left((Err(_), _)) | Either::Right(_) => return,
            }
        }
    }
}

/// Both directions.
struct Pipes {
    client: TcpStream,
    server: TcpStream,
    lanes: [Lane; 2],
    exchange: Exchange,
    changes: watch::Receiver<Active>,
    traffic: Arc<Traffic>,
    scratch: Box<[u8]>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the proxy is enabled, as last heard.
    on: bool,
}

enum Read {
    Bytes(Bytes),
    End(End),
}

impl Pipes {
    /// Moves whatever can be moved. Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut moved = false;
            for at in 0..2 {
                if self.lanes[at].wants(&self.exchange)
                    && let Poll::Ready(read) = self.read(at, cx)
                {
                    moved = true;
                    self.take(at, read);
                }
            }
            if self.changes.has_changed().unwrap_or(false) {
                self.change();
            }
            if !self.on {
                return Poll::Ready(());
            }
            let now = Instant::now();
            let mut wake = None;
            for lane in &mut self.lanes {
                wake = earlier(wake, lane.run(now, &self.exchange));
            }
            for at in 0..2 {
                match self.write(at, cx) {
                    Ok(wrote) => moved |= wrote,
                    Err(end) => {
                        self.end(end);
                        return Poll::Ready(());
                    }
                }
            }
            if self.is_over() {
                return Poll::Ready(());
            }
            if !moved && !self.is_due(wake, cx) {
                return Poll::Pending;
            }
        }
    }

    /// Goes on with the toxics that there are now.
    fn change(&mut self) {
        let Active { on, toxics } = self.changes.borrow_and_update().clone();
        self.on = on;
        let now = Instant::now();
        for lane in &mut self.lanes {
            lane.change(&toxics, now);
        }
    }

    fn read(&mut self, at: usize, cx: &mut Context<'_>) -> Poll<Read> {
        let source = if at == 0 { &mut self.client } else { &mut self.server };
        let mut buffer = ReadBuf::new(&mut self.scratch);
        Pin::new(source).poll_read(cx, &mut buffer).map(|read| match read {
            Ok(()) if buffer.filled().is_empty() => Read::End(End::Half),
            Ok(()) => Read::Bytes(Bytes::copy_from_slice(buffer.filled())),
            // A connection that was reset is reset on the other side too.
            Err(_) => Read::End(End::Reset),
        })
    }

    fn take(&mut self, at: usize, read: Read) {
        if self.changes.has_changed().unwrap_or(false) {
            self.change();
        }
        let now = Instant::now();
        let lane = &mut self.lanes[at];
        match read {
            Read::Bytes(bytes) => {
                self.traffic.received(lane.direction, bytes.len());
                lane.arrived(bytes, now, &mut self.exchange);
            }
            Read::End(end) => lane.ended(end, now, &mut self.exchange),
        }
        let closed = self.exchange.closed;
        self.lanes[1].answer(now, &mut self.exchange);
        if self.exchange.closed && !closed {
            self.lanes[0].close();
        }
    }

    /// Writes what may be written; an error is the end of the connection.
    fn write(&mut self, at: usize, cx: &mut Context<'_>) -> Result<bool, End> {
        let lane = &mut self.lanes[at];
        let sink = if at == 0 { &mut self.server } else { &mut self.client };
        let mut moved = false;
        loop {
            if lane.is_written {
                lane.out.clear();
                return Ok(moved);
            }
            let mut chunks = [IoSlice::new(&[]); CHUNKS_AT_ONCE];
            // What a toxic has cut apart goes out apart.
            let most = if lane.is_bare() { CHUNKS_AT_ONCE } else { 1 };
            let written = match lane.out.chunks(&mut chunks[..most]) {
                0 => match lane.out.pop() {
                    Some(Event::End(End::Half)) => {
                        moved = true;
                        // Whoever is gone already need not be told.
                        let _ = Pin::new(&mut *sink).poll_shutdown(cx);
                        lane.is_written = true;
                        continue;
                    }
                    Some(Event::End(end)) => return Err(end),
                    // No chunk is empty.
                    Some(Event::Chunk(..)) | None => return Ok(moved),
                },
                1 => Pin::new(&mut *sink).poll_write(cx, &chunks[0]),
                count => Pin::new(&mut *sink).poll_write_vectored(cx, &chunks[..count]),
            };
            match written {
                Poll::Ready(Ok(written)) => {
                    self.traffic.sent(lane.direction, written);
                    lane.out.advance(written);
                }
                Poll::Ready(Err(_)) => lane.fail(),
                Poll::Pending => return Ok(moved),
            }
            moved = true;
        }
    }

    /// Whether both directions have ended, or nobody is left who waits for anything.
    fn is_over(&self) -> bool {
        let [up, down] = &self.lanes;
        up.is_over() && (down.is_over() || up.is_read && down.is_cut(&self.exchange))
    }

    /// Closes both sockets.
    fn end(&mut self, end: End) {
        for socket in [&self.client, &self.server] {
            if end == End::Reset {
                // A socket that is gone already needs none.
                let _ = socket.set_zero_linger();
            } else {
                // What lies unread would turn the end into a reset, and take along what was just written.
                while matches!(socket.try_read(&mut self.scratch), Ok(1..)) {}
            }
        }
    }

    /// Whether a moment has come; if not, the task is woken then.
    fn is_due(&mut self, wake: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(wake) = wake else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(wake)));
        if timer.deadline() != wake {
            timer.as_mut().reset(wake);
        }
        timer.as_mut().poll(cx).is_ready()
    }
}
