//! What monitoring costs: CPU time of scraping, evaluating and taking telemetry in. Told beside a recording, never in it.

use std::cell::Cell;

use nix::time::{ClockId, clock_gettime};

thread_local! {
    // A simulated lab has a thread to itself.
    static MONITORING_NS: Cell<u64> = const { Cell::new(0) };
}

/// Does a piece of monitoring and takes its CPU time down.
pub fn of_monitoring<T>(work: impl FnOnce() -> T) -> T {
    let before = thread_ns();
    let done = work();
    let took = thread_ns().saturating_sub(before);
    MONITORING_NS.set(MONITORING_NS.get() + took);
    done
}

/// Seconds of CPU that monitoring has taken on this thread.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a run")]
pub fn monitoring_s() -> f64 {
    MONITORING_NS.get() as f64 / 1e9
}

fn thread_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| {
        let part = |number: i64| u64::try_from(number).unwrap_or(0);
        part(time.tv_sec()) * 1_000_000_000 + part(time.tv_nsec())
    })
}
