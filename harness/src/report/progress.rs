//! Progress while runs are under way, on standard error.

use std::io::{IsTerminal, Write};

use crate::lab::Progress;
use crate::runs::about::Stopwatch;
use crate::runs::{Event, Run};
use crate::spec::time;

/// A terminal is told this often, anything else (a CI log) this often.
const TERMINAL_S: f64 = 0.5;
const LOG_S: f64 = 15.0;

/// Watches runs and says how far they are.
#[derive(Debug)]
pub struct Watcher<'a> {
    runs: &'a [Run],
    latest: Vec<Option<Progress>>,
    started: Vec<Option<f64>>,
    watch: Stopwatch,
    said_at: f64,
    terminal: bool,
}

impl<'a> Watcher<'a> {
    /// A watcher of these runs.
    pub fn new(runs: &'a [Run]) -> Self {
        Self {
            runs,
            latest: vec![None; runs.len()],
            started: vec![None; runs.len()],
            watch: Stopwatch::start(),
            said_at: 0.0,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Takes an event and says it, not too often.
    pub fn event(&mut self, event: &Event) {
        let now = self.watch.seconds();
        match event {
            Event::Progress(at, progress) => {
                self.latest[*at] = Some(*progress);
                self.started[*at].get_or_insert(now);
                if now - self.said_at >= if self.terminal { TERMINAL_S } else { LOG_S } {
                    self.said_at = now;
                    self.say(&self.line(now), false);
                }
            }
            Event::Finished(at, about, known) => {
                self.latest[*at] = None;
                let run = &self.runs[*at];
                let how = if *known { "known" } else { "done" };
                self.say(&format!("run {} {how}: {}", run.hash, super::cost(about)), true);
            }
            Event::Failed(at, why) => {
                self.latest[*at] = None;
                self.say(&format!("run {} failed: {why}", self.runs[*at].hash), true);
            }
            Event::Interrupted => self.say("interrupted: stopping every run", true),
        }
    }

    fn line(&self, now: f64) -> String {
        let parts: Vec<String> = self
            .latest
            .iter()
            .enumerate()
            .filter_map(|(at, progress)| {
                let progress = (*progress)?;
                let run = &self.runs[at];
                let passed = progress.at.since(run.spec.start).as_secs_f64();
                let speed = passed / (now - self.started[at]?).max(0.1);
                Some(format!(
                    "run {}: {} of {}, {speed:.0}x, {} requests, {} failures",
                    &run.hash[..6],
                    time::format(progress.at),
                    time::clock(run.spec.end),
                    progress.requests,
                    progress.failures
                ))
            })
            .collect();
        parts.join("   ")
    }

    fn say(&self, line: &str, stays: bool) {
        let mut err = std::io::stderr().lock();
        let (begin, end) = match (self.terminal, stays) {
            (true, true) => ("\r\x1b[2K", "\n"),
            (true, false) => ("\r\x1b[2K", ""),
            (false, _) => ("", "\n"),
        };
        // Nobody to tell is no reason to stop.
        let _ = write!(err, "{begin}{line}{end}").and_then(|()| err.flush());
    }
}
