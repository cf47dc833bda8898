//! What monitoring costs: CPU time of scraping, evaluating and taking telemetry in. Told beside a recording, never in it.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::time::{ClockId, clock_gettime};

static MONITORING_NS: AtomicU64 = AtomicU64::new(0);

/// Does a piece of monitoring and takes its CPU time down.
pub fn of_monitoring<T>(work: impl FnOnce() -> T) -> T {
    let before = thread_ns();
    let done = work();
    MONITORING_NS.fetch_add(thread_ns().saturating_sub(before), Ordering::Relaxed);
    done
}

/// Seconds of CPU that monitoring has taken in this process.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a run")]
pub fn monitoring_s() -> f64 {
    MONITORING_NS.load(Ordering::Relaxed) as f64 / 1e9
}

fn thread_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| {
        let part = |number: i64| u64::try_from(number).unwrap_or(0);
        part(time.tv_sec()) * 1_000_000_000 + part(time.tv_nsec())
    })
}
