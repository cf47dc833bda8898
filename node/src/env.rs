//! The five doors: clock, network, chance, tasks, telemetry sink.
//!
//! Everything that a node cannot compute by itself comes through one of these, handed over once in [`NodeEnv`]. Nothing in
//! this crate goes round them (`clippy.toml` says what is banned and what to use instead); that is what makes a simulated
//! day honest. A lab implements the doors in virtual time, the binary on the operating system.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, Response};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::ids::Peer;
use crate::telemetry::ship::Fate;
use crate::telemetry::{ExceptionReport, Lifecycle, ResponseLine, SpanRecord};

/// A future on the heap, as the doors hand them out.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A moment: microseconds since 1970-01-01T00:00:00Z, by the clock door.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// The moment `duration` earlier, at the earliest 1970.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since 1970.
    pub fn unix_s(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The moment at whole seconds since 1970.
    pub fn from_unix_s(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The first door: time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Completes `duration` from now. May round up to the next millisecond.
    fn sleep(&self, duration: Duration) -> BoxFuture<()>;
    /// What the rest of the world takes for now: for signatures towards those who take no part in a replay.
    fn wall(&self) -> Timestamp {
        self.now()
    }
}

/// What of a peer is called: each is a socket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Listener {
    /// Customers: the REST API.
    Rest,
    /// Other data centers: the tier protocol.
    Tier,
    /// The control plane: configuration, isolates, metrics. Never through the worker.
    Admin,
    /// A store's objects.
    Store,
    /// The control plane's own API.
    Control,
    /// An intake of telemetry.
    Intake,
    /// Customers' Workers: the protocol of their bindings.
    Binding,
    /// Users of a product that needs the node. Last, since recordings tell listeners by their order.
    Product,
}

/// Why a call got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// Nobody listens there, or no such peer. The request was not carried out.
    Refused,
    /// The connection broke. Whether the request was carried out is unknown.
    Reset,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Reset => "connection reset",
        })
    }
}

impl std::error::Error for NetworkError {}

/// The second door: peers. A lost answer is silence: callers bring their own timeout ([`NodeEnv::timeout`]).
pub trait Network: Send + Sync {
    /// Sends a request to a peer's listener and waits for the answer.
    fn call(
        &self,
        to: &Peer,
        listener: Listener,
        request: Request<Bytes>,
    ) -> BoxFuture<Result<Response<Bytes>, NetworkError>>;
}

/// The third door: randomness, one named stream per use, so that a draw added in one place moves nothing elsewhere.
pub trait Chance: Send + Sync {
    /// The stream of that name, from its beginning.
    fn stream(&self, name: &str) -> Stream;
}

/// One stream of random numbers.
pub struct Stream(Mutex<Box<dyn Rng + Send>>);

impl Stream {
    /// Wraps a generator.
    pub fn new(generator: impl Rng + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(generator)))
    }

    /// 64 random bits.
    pub fn bits(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// Several times 64 random bits, drawn at once.
    pub fn many<const N: usize>(&self) -> [u64; N] {
        let mut generator = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::array::from_fn(|_| generator.next_u64())
    }

    /// A number in `0..bound`; 0 where the bound is 0. The bias for bounds far below 2⁶⁴ is not measurable.
    pub fn below(&self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.bits()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// A number in `[0, 1)` with 53 random bits.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub fn unit(&self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Fills a buffer.
    pub fn fill(&self, buffer: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(buffer);
    }

    /// A duration in `[0, bound)`: jitter.
    pub fn jitter(&self, bound: Duration) -> Duration {
        Duration::from_micros(self.below(micros(bound)))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

/// The fourth door: work that goes on beside a request. Whatever is spawned dies with the node.
pub trait Tasks: Send + Sync {
    /// Runs a future to its end, or to the node's.
    fn spawn(&self, future: BoxFuture<()>);
}

/// The fifth door: what a node tells besides its answers and its metrics.
pub trait TelemetrySink: Send + Sync {
    /// Something began, ended or changed in the node's life.
    fn lifecycle(&self, at: Timestamp, event: Lifecycle);
    /// A line of the response log.
    fn line(&self, line: ResponseLine);
    /// An exception that nobody handled.
    fn exception(&self, report: ExceptionReport);
    /// A stage of a request that is kept.
    fn span(&self, span: SpanRecord);
    /// What became of what was told so far: a node tells of its losses.
    fn fate(&self) -> Vec<Fate>;
}

/// The time given to [`NodeEnv::timeout`] ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// The five doors, cheap to clone.
#[derive(Clone)]
pub struct NodeEnv {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Peers.
    pub network: Arc<dyn Network>,
    /// Randomness.
    pub chance: Arc<dyn Chance>,
    /// Background work.
    pub tasks: Arc<dyn Tasks>,
    /// Telemetry.
    pub sink: Arc<dyn TelemetrySink>,
}

impl NodeEnv {
    /// Waits for a future, but not longer than `limit`. The future is asked first, so an answer in the last instant counts.
    pub async fn timeout<T>(
        &self,
        limit: Duration,
        future: impl Future<Output = T> + Send + Unpin,
    ) -> Result<T, Elapsed> {
        match select(future, self.clock.sleep(limit)).await {
            Either::Left((value, _)) => Ok(value),
            Either::Right(_) => Err(Elapsed),
        }
    }
}

impl fmt::Debug for NodeEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeEnv")
    }
}

/// Doors for tests of single parts.
#[cfg(test)]
pub(crate) mod doors_of_tests {
    use std::convert::Infallible;

    use rand_core::TryRng;

    use super::*;
    use crate::telemetry::ship::Fate;

    struct Still;

    /// An env in which no time passes, nobody answers and nothing is told.
    pub(crate) fn still() -> NodeEnv {
        let door = Arc::new(Still);
        NodeEnv {
            clock: door.clone(),
            network: door.clone(),
            chance: door.clone(),
            tasks: door.clone(),
            sink: door,
        }
    }

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::default()
        }

        fn sleep(&self, _: Duration) -> BoxFuture<()> {
            Box::pin(std::future::pending())
        }
    }

    impl Network for Still {
        fn call(
            &self,
            _: &Peer,
            _: Listener,
            _: Request<Bytes>,
        ) -> BoxFuture<Result<Response<Bytes>, NetworkError>> {
            Box::pin(std::future::pending())
        }
    }

    impl Tasks for Still {
        fn spawn(&self, _: BoxFuture<()>) {}
    }

    impl TelemetrySink for Still {
        fn lifecycle(&self, _: Timestamp, _: Lifecycle) {}
        fn line(&self, _: ResponseLine) {}
        fn exception(&self, _: ExceptionReport) {}
        fn span(&self, _: SpanRecord) {}
        fn fate(&self) -> Vec<Fate> {
            Vec::new()
        }
    }

    struct Counting(u64);

    impl TryRng for Counting {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            self.0 += 1;
            Ok(u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(0))
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            self.0 += 1;
            Ok(self.0)
        }

        fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
            to.fill(0);
            Ok(())
        }
    }

    impl Chance for Still {
        fn stream(&self, _: &str) -> Stream {
            Stream::new(Counting(0))
        }
    }
}
