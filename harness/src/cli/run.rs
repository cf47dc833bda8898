//! `relapse run`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Chosen, complain, err, out, scenarios};
use crate::exit::Exit;
use crate::judge::Judge;
use crate::recording::Recording;
use crate::report::{self, Watcher};
use crate::runs::about::{self, Stopwatch};
use crate::runs::{self, Event, Plan, Store};
use crate::spec::Scenario;

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    chosen: Chosen,
    /// All chance comes from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs at once; 0 means as many as the machine has cores
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Writes recordings and verdicts here, a folder per run
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Does every run again, also one that is known
    #[arg(long)]
    no_cache: bool,
}

pub(super) fn run(root: &Path, args: &Run) -> Exit {
    let watch = Stopwatch::start();
    let scenarios = match scenarios(root, &args.chosen) {
        Ok(scenarios) => scenarios,
        Err(exit) => return exit,
    };
    let binary = match runs::binary_hash() {
        Ok(binary) => binary,
        Err(error) => {
            return complain(&format!("this program cannot be read: {error}"), Exit::Environment);
        }
    };
    let runs = runs::distinct(&scenarios, args.seed, &binary);
    let frame = frame(args);
    let (these, those) = (counted(scenarios.len(), "scenario"), counted(runs.len(), "run"));
    out(&format!("relapse: {these} in {those}; {frame}"));

    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = if args.jobs == 0 { cores } else { args.jobs };
    let store = Store::of(root);
    let plan = Plan { runs: &runs, jobs, again: args.no_cache, store: &store };
    let mut watcher = Watcher::new(&runs);
    let mut costs = vec![None; runs.len()];
    let mut exit = runs::execute(&plan, |event| {
        watcher.event(event);
        if let Event::Finished(at, about, _) = event {
            costs[*at] = Some(about.clone());
        }
    });
    if exit == Exit::Interrupted {
        return complain("interrupted", exit);
    }
    for (run, cost) in runs.iter().zip(&costs) {
        let Some(cost) = cost else { continue };
        exit = exit.or(judge_run(&store.run(&run.hash), run, &scenarios, args.out.as_deref()));
        out(&format!("run {}: {}\n", run.hash, report::cost(cost)));
    }
    if let Err(error) = store.forget_oldest() {
        err(&format!("old runs cannot be removed: {error}"));
    }
    let said = match exit {
        Exit::Pass => "every expectation holds",
        Exit::Failed => "an expectation failed",
        Exit::Inconclusive => "inconclusive",
        Exit::Specification | Exit::Environment | Exit::Interrupted => {
            "not everything could be run"
        }
    };
    out(&format!("relapse: {said} after {:.0} s; {frame}", watch.seconds()));
    exit
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What it takes to do the same again: on the first line and on the last.
fn frame(args: &Run) -> String {
    let mut again = vec!["relapse".to_owned(), "run".to_owned()];
    again.extend(args.chosen.ids.iter().cloned());
    if let Some(tags) = &args.chosen.tags {
        again.push(format!("--tags \"{tags}\""));
    }
    again.push(format!("--seed {}", args.seed));
    format!("seed {}, commit {}; again: {}", args.seed, about::commit(), again.join(" "))
}

/// Judges every scenario of a run, prints the verdicts, and writes them where asked.
fn judge_run(folder: &Path, run: &runs::Run, scenarios: &[Scenario], to: Option<&Path>) -> Exit {
    let recording = match Recording::read(&folder.join("recording")) {
        Ok(recording) => recording,
        Err(error) => return complain(&format!("run {}: {error}", run.hash), Exit::Environment),
    };
    let mut exit = Exit::Pass;
    let mut judgements = Vec::new();
    let mut places = run.scenarios.clone();
    places.sort_unstable();
    let judge = Judge::new(&recording);
    for at in places {
        let scenario = &scenarios[at];
        let judgement = judge.scenario(scenario);
        out(&report::judgement(scenario, &judgement));
        exit = exit.or(judgement.verdict.into());
        judgements.push((scenario, judgement));
    }
    if let Some(to) = to {
        let to = to.join(&run.hash);
        let written = serde_json::to_vec_pretty(&judgements)
            .map_err(std::io::Error::other)
            .and_then(|verdicts| {
                runs::copy(folder, &to)?;
                std::fs::write(to.join("verdicts.json"), verdicts)
            });
        match written {
            Ok(()) => err(&format!("run {} is in {}", run.hash, to.display())),
            Err(error) => {
                let said =
                    format!("run {} cannot be written to {}: {error}", run.hash, to.display());
                exit = exit.or(complain(&said, Exit::Environment));
            }
        }
    }
    exit
}
