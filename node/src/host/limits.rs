//! Every number of the sockets, in one place. Those of time, and of what is open or held at once, can be configured.

use std::time::Duration;

use kv_node::env::Listener;
use serde::Deserialize;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A request's line and headers: what the documented service allows a URL and headers is well below.
pub(super) const HEAD_BYTES_MAX: usize = 64 * KIB;
/// Headers of a request. It is hyper's default, which it keeps on the stack: [`super::server`] does not set it.
#[cfg(test)]
pub(super) const HEADERS_MAX: usize = 100;
/// Bodies up to this size are not counted against [`ServerLimits::held_bytes`]: connections bound them well enough.
pub(super) const UNCOUNTED_BYTES: usize = 16 * KIB;
/// What a connection that is refused a body may still send, so that it reads the refusal instead of a reset.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Connections that the system holds until they are taken; one more waits a second for its next try. With tokio's 128, two
/// thousand that begin together take fourteen seconds.
pub(super) const BACKLOG: u32 = 2_048;
/// Pause after the system had no descriptor left for a new connection.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests that one node sends to one listener of one peer at once; more wait.
pub(super) const CALLS_PER_PEER_MAX: usize = 256;
/// Connections to one listener of one peer that are kept open for the next request.
pub(super) const IDLE_PER_PEER_MAX: usize = 64;
/// How long a peer may take to accept a connection.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// An answer of a peer: a value as sealed, or a page of a list.
pub(super) const PEER_ANSWER_BYTES_MAX: usize = 32 * MIB;
/// Threads that read and write a store's files. A write waits in one for its batch to reach the disk, and a thread keeps some two MiB
/// for what it may need next: a burst of writes must not take all memory.
pub(super) const FILE_THREADS_MAX: usize = 32;
/// Lines that wait for stderr; what comes on top of them is lost and counted.
pub(super) const CONSOLE_LINES_MAX: usize = 1_024;
/// How long work beside requests may take to finish when the node ends, such as the second of two stores.
pub(super) const BESIDE: Duration = Duration::from_secs(1);

/// The longest body of a request to a listener, in bytes.
pub(super) fn body_bytes_max(listener: Listener) -> usize {
    match listener {
        // A bulk write of 100 MiB, and what encloses it.
        Listener::Rest => 100 * MIB + 64 * KIB,
        // A value of 25 MiB, and what encloses it.
        Listener::Binding => 25 * MIB + 64 * KIB,
        // A value as sealed.
        Listener::Tier | Listener::Store => 26 * MIB,
        // A configuration, or a batch of telemetry.
        Listener::Admin | Listener::Control | Listener::Intake | Listener::Product => 4 * MIB,
    }
}

/// What a server allows: `[server]` in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerLimits {
    /// Connections of customers (REST and binding) at once; more are answered 503 and closed.
    pub(super) connections: usize,
    /// Connections of peers (tier, admin, store) at once: customers cannot take these away.
    pub(super) peer_connections: usize,
    /// A request's head must be here so soon after its first byte, or after the connection began.
    pub(super) head_ms: u64,
    /// A connection without a request is closed after so long.
    pub(super) idle_ms: u64,
    /// A body must keep up with [`Self::body_bytes_per_s`] after so long: 25 MiB have a minute.
    pub(super) body_grace_ms: u64,
    /// The slowest that a body may come in, on average.
    pub(super) body_bytes_per_s: u64,
    /// Whoever reads an answer must keep up with [`Self::answer_bytes_per_s`] after so long.
    pub(super) answer_grace_ms: u64,
    /// The slowest that an answer may be read, on average.
    pub(super) answer_bytes_per_s: u64,
    /// Bytes of bodies being held at once, those of requests and those of answers each; more wait.
    pub(super) held_bytes: u32,
    /// They wait no longer than this, then it is 503.
    pub(super) held_wait_ms: u64,
    /// Requests under way have so long when the node is asked to end.
    pub(super) stop_ms: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 2_048,
            peer_connections: 512,
            head_ms: 10_000,
            idle_ms: 60_000,
            body_grace_ms: 10_000,
            body_bytes_per_s: 512 << 10,
            answer_grace_ms: 10_000,
            answer_bytes_per_s: 64 << 10,
            held_bytes: 256 << 20,
            held_wait_ms: 5_000,
            stop_ms: 10_000,
        }
    }
}

/// When something that began with a grace and must keep up with a rate has fallen behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) grace: Duration,
    pub(super) bytes_per_s: u64,
}

impl Pace {
    /// How long it may have taken to get this far.
    pub(super) fn allows(self, bytes: u64) -> Duration {
        self.grace
            + Duration::from_micros(bytes.saturating_mul(1_000_000) / self.bytes_per_s.max(1))
    }
}

impl ServerLimits {
    pub(super) fn body_pace(&self) -> Pace {
        Pace {
            grace: Duration::from_millis(self.body_grace_ms),
            bytes_per_s: self.body_bytes_per_s,
        }
    }

    pub(super) fn answer_pace(&self) -> Pace {
        Pace {
            grace: Duration::from_millis(self.answer_grace_ms),
            bytes_per_s: self.answer_bytes_per_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_value_has_a_minute() {
        let pace = ServerLimits::default().body_pace();
        assert_eq!(pace.allows(25 << 20), Duration::from_mins(1));
    }
}
