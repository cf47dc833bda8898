//! Runs and judges what a study asks for. A run that is known is only judged; nothing is judged twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use kv_node::ids::Dc;
use kv_node::safeguards::Build;

use super::study::{Ran, Trial};
use crate::exit::Exit;
use crate::impact::{Impact, quiet};
use crate::judge::{Judge, Judgement, Verdict};
use crate::lab::Kind;
use crate::recording::RecordingError;
use crate::runs::about::About;
use crate::runs::{self, Event, Plan, Reader, Run, Store};
use crate::spec::expectation::Window;
use crate::spec::{Scenario, Spec};

/// Where runs are done, and from which seed.
#[derive(Debug)]
pub struct Bench<'a> {
    /// Where they are kept.
    pub store: &'a Store,
    /// The seed of all of them.
    pub seed: u64,
    /// How many at once.
    pub jobs: usize,
    /// The hash of this program.
    pub binary: String,
}

/// Why a batch came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A run did not come to its end, or somebody pressed the key: how the program ends, and why.
    #[error("{1}")]
    Runs(Exit, String),
    /// A recording cannot be read: run again.
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

impl BenchError {
    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Runs(exit, _) => *exit,
            Self::Recording(_) => Exit::Environment,
        }
    }
}

impl Bench<'_> {
    /// Runs trials in the simulated lab and judges them, in their order. `tell` hears of each run.
    pub fn run(
        &self,
        trials: &[Trial],
        tell: &mut dyn FnMut(&[Run], &Event),
    ) -> Result<Vec<Ran>, BenchError> {
        let scenarios: Vec<Scenario> = trials.iter().map(Trial::ablated).collect();
        let runs = runs::distinct(&scenarios, Kind::Simulated, self.seed, &self.binary);
        let plan = Plan { runs: &runs, jobs: self.jobs, again: false, store: self.store };
        let batch = Batch {
            trials: trials.to_vec(),
            scenarios,
            runs: runs.clone(),
            store: self.store.clone(),
        };
        let reader: Reader<_> = Arc::new(move |at, about| batch.judge(at, about));
        let mut why = "interrupted".to_owned();
        let (exit, read) = runs::execute_and_read(&plan, &reader, |event| {
            tell(&runs, event);
            if let Event::Failed(_, failed) = event {
                why.clone_from(failed);
            }
        });
        if exit != Exit::Pass {
            return Err(BenchError::Runs(exit, why));
        }
        let mut ran: BTreeMap<usize, Ran> = BTreeMap::new();
        for read in read.into_iter().flatten() {
            ran.extend(read?);
        }
        Ok(ran.into_values().collect())
    }
}

/// What is judged while other runs go on.
struct Batch {
    trials: Vec<Trial>,
    /// The trials as they are run.
    scenarios: Vec<Scenario>,
    runs: Vec<Run>,
    store: Store,
}

impl Batch {
    /// What became of every trial that a run serves, by the trial's place.
    fn judge(&self, at: usize, about: &About) -> Result<Vec<(usize, Ran)>, RecordingError> {
        let run = &self.runs[at];
        let mut recording = self.store.recording(&run.hash, run.lab)?;
        let mut ran = Vec::new();
        for (builds, served) in held_to(&self.trials, &run.scenarios) {
            // What was taken away is missed: promises are those of the builds that still had it.
            (recording.spec.build, recording.spec.builds) = builds;
            let judge = Judge::new(&recording);
            for served in served {
                let scenario = &self.scenarios[served];
                let judgement = judge.scenario(scenario);
                let ended = Ran {
                    falls: falls(&judgement),
                    silent: silent(&judgement),
                    impact: Impact::of(&recording, acted(&scenario.spec), quiet(&scenario.spec)),
                    asked: about.asked.clone(),
                };
                ran.push((served, ended));
            }
        }
        Ok(ran)
    }
}

type Builds = (Build, BTreeMap<Dc, Build>);

/// The trials of a run, by the builds to whose promises they are held.
fn held_to(trials: &[Trial], served: &[usize]) -> Vec<(Builds, Vec<usize>)> {
    let mut held: Vec<(Builds, Vec<usize>)> = Vec::new();
    for at in served {
        let spec = &trials[*at].scenario.spec;
        let builds = (spec.build.clone(), spec.builds.clone());
        match held.iter_mut().find(|(known, _)| *known == builds) {
            Some((_, served)) => served.push(*at),
            None => held.push((builds, vec![*at])),
        }
    }
    held
}

/// From the first action of a scenario to its end.
fn acted(spec: &Spec) -> Window {
    let from = quiet(spec).to;
    Window { from: if from < spec.end { from } else { spec.start }, to: spec.end }
}

/// The rows that do not hold, and what every scenario promises: each promise once, by its kind.
fn falls(judgement: &Judgement) -> Vec<String> {
    let rows = judgement.expectations.iter().filter(|row| row.verdict == Verdict::Fail);
    let promises = judgement.findings.iter().filter(|found| found.verdict == Verdict::Fail);
    let mut falls: Vec<String> = rows.map(|row| row.title.clone()).collect();
    for found in promises {
        let kind = match found.text.strip_prefix("safety: ") {
            Some(text) => format!("safety: {}", text.split(':').next().unwrap_or(text)),
            None => "the honesty of telemetry".to_owned(),
        };
        if !falls.contains(&kind) {
            falls.push(kind);
        }
    }
    falls
}

/// What leaves it open whether a scenario holds.
fn silent(judgement: &Judgement) -> Vec<String> {
    let open = judgement.findings.iter().filter(|found| found.verdict == Verdict::Inconclusive);
    open.map(|found| found.text.clone()).collect()
}
