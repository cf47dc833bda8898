//! What depends on this execution alone: beside a recording, never in it.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use kv_node::env::Timestamp;
use kv_node::safeguards::Safeguard;
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How a run went on this machine: `run.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The run's name.
    pub hash: String,
    /// Its seed.
    pub seed: u64,
    /// The commit of the working directory, as far as git knows.
    pub commit: String,
    /// The machine's name.
    pub host: String,
    /// Seconds on the wall clock.
    pub wall_s: f64,
    /// Seconds of CPU.
    pub cpu_s: f64,
    /// Seconds of CPU that monitoring took: telling metrics, scraping, evaluating rules, taking telemetry in.
    pub monitoring_s: f64,
    /// Most memory used, in megabytes.
    pub memory_mb: f64,
    /// Seconds of incident time.
    pub incident_s: f64,
    /// Requests that customers sent.
    pub requests: u64,
    /// Failures that they saw.
    pub failures: u64,
    /// Size of the recording, in bytes.
    pub recording_bytes: u64,
    /// The safeguards that were asked for: no other can have made a difference to the run.
    pub asked: BTreeSet<Safeguard>,
    /// How long a fixed piece of work took, in milliseconds of CPU: compare machines by it.
    pub calibration_ms: f64,
}

impl About {
    /// Microseconds of CPU a request, all in.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub fn cpu_us_per_request(&self) -> f64 {
        self.cpu_s * 1e6 / (self.requests.max(1) as f64)
    }

    /// The share of the CPU time that monitoring took.
    pub fn monitoring_share(&self) -> f64 {
        self.monitoring_s / self.cpu_s.max(1e-9)
    }

    /// Incident time by CPU time.
    pub fn speed(&self) -> f64 {
        self.incident_s / self.cpu_s.max(1e-9)
    }
}

/// CPU seconds and peak memory in megabytes of this process so far.
#[expect(clippy::cast_precision_loss, reason = "seconds, kilobytes")]
pub fn usage() -> (f64, f64) {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return (0.0, 0.0) };
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    (seconds(usage.user_time()) + seconds(usage.system_time()), usage.max_rss() as f64 / 1024.0)
}

/// Milliseconds of CPU for 100,000 SHA-256 hashes of 64 bytes.
pub fn calibrate() -> f64 {
    let (before, _) = usage();
    let mut block = [0u8; 64];
    for _ in 0..100_000 {
        let hash: [u8; 32] = Sha256::digest(black_box(block)).into();
        block[..32].copy_from_slice(&hash);
    }
    black_box(block);
    let (after, _) = usage();
    (after - before) * 1_000.0
}

/// The commit of the working directory, `unknown` where git does not say.
pub fn commit() -> String {
    std::process::Command::new("git")
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// The wall clock, in microseconds since 1970: what processes of one machine have in common.
#[expect(
    clippy::disallowed_methods,
    reason = "where the wall clock is in an incident is not part of it"
)]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The machine's name.
pub fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

/// A stopwatch on the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts.
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a run takes here is not part of the run"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
