//! Labs: where a specification becomes a recording.
//!
//! * [`world`]: what all labs have in common, and what a lab must bring; [`stage`]: its members in this process; [`sim`]: the simulated lab; [`containers`]: that of
//!   containers.
//! * [`wire`]: links between all members, and faults; [`customers`] and [`visitors`] of products: traffic, and [`truth`], what it saw; [`noise`]: background
//!   errors; [`doors`]: clock, chance, tasks and telemetry of whatever runs in this process.
//! * [`traffic`]: the customers alone, for nodes that run elsewhere.
//! * [`monitor`]: the lab's own Prometheus; [`intake`]: where lines, reports and spans arrive. The same in every lab.
//! * [`cost`]: what monitoring costs.
//!
//! A [`Lab`] is synchronous and owns its runtime. [`drive`] is the same for every lab: it lets time pass and applies the
//! timeline. Nothing but a spec goes in and nothing but a recording comes out.

pub mod containers;
pub mod cost;
mod customers;
mod data;
mod doors;
pub mod intake;
pub mod monitor;
mod noise;
pub mod sim;
mod stage;
pub mod traffic;
mod truth;
mod visitors;
mod wire;
mod world;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use self::doors::Seeds;
pub(crate) use self::wire::Spread;
use crate::recording::RecordingWriter;
use crate::spec::time::IncidentTime;
use crate::spec::{Action, Planned, Spec, Triggered};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The labs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// In this process, in virtual time.
    #[default]
    Simulated,
    /// In containers, in real time.
    Containers,
}

impl Kind {
    /// Its name, as a command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Containers => "containers",
        }
    }

    /// A lab of this kind, for a run that may leave files in a folder.
    pub fn lab(self, seed: u64, run: &str, folder: &Path) -> Box<dyn Lab> {
        match self {
            Self::Simulated => sim::lab(seed),
            Self::Containers => containers::lab(seed, run, folder),
        }
    }
}

/// Ties an action to its witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionId(pub u64);

/// Why a lab cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The runtime could not be built: look at the machine.
    #[error("the lab's runtime does not start: {0}")]
    Runtime(std::io::Error),
    /// A node refuses its configuration: a spec that compiled should not lead here.
    #[error("a node does not start: {0}")]
    Node(#[from] kv_node::StartError),
    /// Something panicked outside of every exception boundary: a bug in the node or in the lab.
    #[error("{0} background tasks panicked")]
    Panicked(u64),
    /// The action names something that is not there.
    #[error("{0} is not in this lab")]
    Unknown(String),
    /// The lab has not been started.
    #[error("the lab has not been started")]
    NotStarted,
    /// No Docker engine answers: start one.
    #[error(
        "no Docker engine answers: {0}\n    start one (on Debian: `.ci/engine --install`), or leave out `--on containers`"
    )]
    NoEngine(String),
    /// An image is not here and cannot be pulled: build it, or name another.
    #[error(
        "image {0} is not here and cannot be pulled: {1}\n    `.ci/images` builds what tests need"
    )]
    Image(String, String),
    /// The engine refuses something: the message is its own.
    #[error("{0}")]
    Engine(String),
    /// A node or a store does not do what it should: the message is its own.
    #[error("{0}: {1}")]
    Host(String, String),
    /// A link's socket cannot be opened.
    #[error("a link {0} cannot be opened: {1}")]
    Link(String, std::io::Error),
    /// Containers took longer to start than was given them.
    #[error("this machine is too slow or too busy: containers were not ready after {0:?}")]
    Slow(Duration),
    /// The recording cannot be written: look at the disk.
    #[error("the recording cannot be written to {0}: {1}")]
    Write(String, std::io::Error),
}

/// A place to run a spec.
pub trait Lab {
    /// Builds everything that the spec describes, at its start.
    fn start(&mut self, spec: &Spec) -> Result<(), LabError>;
    /// Lets time pass. The only place where it does.
    fn advance(&mut self, until: IncidentTime) -> Result<(), LabError>;
    /// Begins an action now.
    fn apply(&mut self, action: &Action) -> Result<ActionId, LabError>;
    /// When an alert began to fire for the first time since a moment, where it has.
    fn fired(&self, alert: &str, since: IncidentTime) -> Option<IncidentTime>;
    /// Writes down that something was never done, since nothing led to it.
    fn missed(&mut self, text: String) -> Result<(), LabError>;
    /// How far it is.
    fn progress(&self) -> Progress;
    /// Ends the run and hands over what was recorded.
    fn finish(self: Box<Self>) -> Result<RecordingWriter, LabError>;
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// Incident time, in microseconds since 1970.
    pub at: IncidentTime,
    /// Requests sent so far.
    pub requests: u64,
    /// Failures so far.
    pub failures: u64,
}

/// How much incident time passes between two reports of progress.
const STRIDE: Duration = Duration::from_mins(5);
/// The same while something hangs on an alert: rules are evaluated as often.
const WATCH: Duration = Duration::from_millis(crate::alerts::INTERVAL_MS);

/// Runs a spec in a lab.
pub fn drive(
    mut lab: Box<dyn Lab>,
    spec: &Spec,
    mut report: impl FnMut(Progress),
) -> Result<RecordingWriter, LabError> {
    lab.start(spec)?;
    report(lab.progress());
    let mut agenda = Agenda::new(spec);
    let mut now = spec.start;
    while now < spec.end {
        now = agenda.next(now).min(spec.end);
        lab.advance(now)?;
        report(lab.progress());
        agenda.look(now, |alert, since| lab.fired(alert, since));
        while let Some(planned) = agenda.due(now).filter(|planned| planned.at < spec.end) {
            lab.apply(&planned.action)?;
        }
    }
    for triggered in agenda.waiting {
        lab.missed(triggered.text())?;
    }
    lab.finish()
}

/// What is still to be done.
struct Agenda {
    /// In order of time.
    planned: VecDeque<Planned>,
    /// What hangs on an alert that has not fired, or that fired too late for it.
    waiting: Vec<Triggered>,
    end: IncidentTime,
}

impl Agenda {
    fn new(spec: &Spec) -> Self {
        let (planned, waiting) = (spec.timeline.clone().into(), spec.triggered.clone());
        Self { planned, waiting, end: spec.end }
    }

    /// When somebody has to look next.
    fn next(&self, now: IncidentTime) -> IncidentTime {
        let stride = if self.waiting.is_empty() { STRIDE } else { WATCH };
        let next = now.after(stride);
        self.planned.front().map_or(next, |planned| planned.at.max(now).min(next))
    }

    /// Plans what follows from alerts that have begun to fire.
    fn look(
        &mut self,
        now: IncidentTime,
        fired: impl Fn(&str, IncidentTime) -> Option<IncidentTime>,
    ) {
        let waiting = std::mem::take(&mut self.waiting);
        for triggered in waiting {
            let due = fired(&triggered.alert, triggered.since)
                .map(|at| at.after(Duration::from_secs(triggered.after_s)).max(now))
                .filter(|at| *at < self.end);
            let Some(at) = due else {
                self.waiting.push(triggered);
                continue;
            };
            let place = self.planned.partition_point(|planned| planned.at <= at);
            self.planned.insert(place, Planned { at, action: triggered.action });
        }
    }

    /// What is to be done by now.
    fn due(&mut self, now: IncidentTime) -> Option<Planned> {
        if self.planned.front().is_some_and(|planned| planned.at <= now) {
            self.planned.pop_front()
        } else {
            None
        }
    }
}

/// Runs a spec in a lab and writes its recording; returns its size and the last progress.
pub fn run(
    lab: Box<dyn Lab>,
    (spec, seed): (&Spec, u64),
    folder: &Path,
    mut report: impl FnMut(Progress),
) -> Result<(u64, Progress), LabError> {
    let mut last = Progress::default();
    let recording = drive(lab, spec, |progress| {
        last = progress;
        report(progress);
    })?;
    let size = recording
        .write(folder, spec, seed)
        .map_err(|error| LabError::Write(folder.display().to_string(), error))?;
    Ok((size, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> IncidentTime {
        IncidentTime::from_unix_s(second)
    }

    fn switch(on: bool) -> Action {
        Action::NewBackend { on }
    }

    fn agenda() -> Agenda {
        Agenda {
            planned: VecDeque::from([Planned { at: at(1_000), action: switch(true) }]),
            waiting: vec![Triggered {
                alert: "OwnerFailing".to_owned(),
                since: at(0),
                after_s: 60,
                action: switch(false),
            }],
            end: at(1_100),
        }
    }

    #[test]
    fn what_hangs_on_an_alert_comes_so_long_after_it() {
        let mut agenda = agenda();
        assert_eq!(agenda.next(at(0)), at(15), "somebody looks at every evaluation");
        agenda.look(at(15), |_, _| None);
        agenda.look(at(30), |alert, _| (alert == "OwnerFailing").then(|| at(20)));
        assert_eq!(agenda.next(at(30)), at(80));
        assert!(agenda.due(at(79)).is_none());
        assert_eq!(agenda.due(at(80)).map(|planned| planned.action), Some(switch(false)));
        assert_eq!(agenda.next(at(80)), at(380), "nobody has to look any more");
        assert_eq!(agenda.due(at(1_000)).map(|planned| planned.action), Some(switch(true)));
    }

    #[test]
    fn what_is_planned_for_the_same_moment_comes_first() {
        let mut agenda = agenda();
        agenda.look(at(990), |_, _| Some(at(940)));
        let order: Vec<Action> = [agenda.due(at(1_000)), agenda.due(at(1_000))]
            .into_iter()
            .flatten()
            .map(|planned| planned.action)
            .collect();
        assert_eq!(order, [switch(true), switch(false)]);
    }

    #[test]
    fn what_hangs_on_an_alert_that_never_fires_is_left_over() {
        let mut agenda = agenda();
        agenda.look(at(1_050), |_, _| None);
        assert_eq!(agenda.waiting.len(), 1);
        agenda.look(at(1_050), |_, _| Some(at(1_045)));
        assert_eq!(agenda.waiting.len(), 1, "a minute after that the scenario has ended");
    }
}
