//! `relapse run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::{Chosen, complain, counted, err, out, scenarios_of};
use crate::exit::Exit;
use crate::feature::Catalog;
use crate::judge::Judge;
use crate::judge::detection::Detection;
use crate::lab::Kind;
use crate::recording::Recording;
use crate::report::junit::{Junit, Source};
use crate::report::{self, Watcher};
use crate::runs::about::{self, About, Stopwatch};
use crate::runs::{self, Event, Plan, Store};
use crate::spec::cause::Cause;
use crate::spec::{Scenario, StoresSpeak};

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    chosen: Chosen,
    /// All chance comes from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where: containers take the scenarios that say how fast they run there, one at a time, always anew
    #[arg(long, value_enum, default_value_t)]
    on: Kind,
    /// How many runs at once; 0 means as many as the machine has cores
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Writes recordings and verdicts here, a folder per run
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Writes the verdicts here as JUnit XML, whatever they are
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// What the object stores speak; the verdicts must not depend on it
    #[arg(long, value_enum, default_value_t)]
    stores: StoresSpeak,
    /// Does every run again, also one that is known
    #[arg(long)]
    no_cache: bool,
}

pub(super) fn run(root: &Path, args: &Run) -> Exit {
    let mut junit = Junit::default();
    let exit = run_all(root, args, &mut junit);
    exit.or(written(&junit, args.junit.as_deref()))
}

/// Writes the verdicts as JUnit XML where asked.
pub(super) fn written(junit: &Junit, to: Option<&Path>) -> Exit {
    match to.map(|to| (to, junit.write(to))) {
        None | Some((_, Ok(()))) => Exit::Pass,
        Some((to, Err(error))) => {
            complain(&format!("{} cannot be written: {error}", to.display()), Exit::Environment)
        }
    }
}

fn run_all(root: &Path, args: &Run, junit: &mut Junit) -> Exit {
    let watch = Stopwatch::start();
    let (scenarios, catalog) = match chosen(root, args) {
        Ok(chosen) => chosen,
        Err(exit) => {
            junit.nothing_judged("specification", "the specification is wrong: `relapse check`");
            return exit;
        }
    };
    let binary = match runs::binary_hash() {
        Ok(binary) => binary,
        Err(error) => {
            let said = format!("this program cannot be read: {error}");
            junit.nothing_judged("environment", &said);
            return complain(&said, Exit::Environment);
        }
    };
    let runs = runs::distinct(&scenarios, args.on, args.seed, &binary);
    let frame = frame(args);
    let (these, those) = (counted(scenarios.len(), "scenario"), counted(runs.len(), "run"));
    out(&format!("relapse: {these} in {those}; {frame}"));

    let cores = match args.on {
        // Two labs of containers would share the machine, and each would be measured as half of it.
        Kind::Containers => 1,
        Kind::Simulated => super::cores(),
    };
    let jobs = if args.jobs == 0 { cores } else { args.jobs };
    let store = Store::of(root);
    let plan = Plan { runs: &runs, jobs, again: args.no_cache, store: &store };
    let mut watcher = Watcher::new(&runs);
    let mut costs = vec![Err("it was interrupted".to_owned()); runs.len()];
    let mut exit = runs::execute(&plan, |event| {
        watcher.event(event);
        match event {
            Event::Finished(at, about, _) => costs[*at] = Ok(about.clone()),
            Event::Failed(at, why) => costs[*at] = Err(why.clone()),
            Event::Progress(..) | Event::Interrupted => {}
        }
    });
    let interrupted = exit == Exit::Interrupted;
    for (run, cost) in runs.iter().zip(&costs) {
        let served = Served { run, scenarios: &scenarios, catalog: &catalog };
        match cost {
            Ok(cost) if !interrupted => {
                let folder = store.run(&run.hash);
                exit = exit.or(judge_run(&folder, &served, args.out.as_deref(), (cost, junit)));
                out(&format!("run {}: {}\n", run.hash, report::cost(cost)));
            }
            Ok(_) => served.not_judged("it was interrupted", junit),
            Err(why) => served.not_judged(why, junit),
        }
    }
    if interrupted {
        return complain("interrupted", exit);
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

/// The scenarios that are to be run, as the lab is to run them.
fn chosen(root: &Path, args: &Run) -> Result<(Vec<Scenario>, Arc<Catalog>), Exit> {
    let (mut scenarios, catalog) = scenarios_of(root, &args.chosen)?;
    if args.on == Kind::Containers {
        scenarios.retain(|scenario| scenario.spec.speed.is_some());
        if scenarios.is_empty() {
            let said = "none of these scenarios says how fast containers run it";
            return Err(complain(said, Exit::Specification));
        }
    }
    for scenario in &mut scenarios {
        scenario.spec.stores = args.stores;
    }
    Ok((scenarios, catalog))
}

/// What it takes to do the same again: on the first line and on the last.
fn frame(args: &Run) -> String {
    let mut again = vec!["relapse".to_owned(), "run".to_owned()];
    again.extend(args.chosen.ids.iter().cloned());
    if let Some(tags) = &args.chosen.tags {
        again.push(format!("--tags \"{tags}\""));
    }
    if args.on == Kind::Containers {
        again.push("--on containers".to_owned());
    }
    if args.stores == StoresSpeak::S3 {
        again.push("--stores s3".to_owned());
    }
    again.push(format!("--seed {}", args.seed));
    format!("seed {}, commit {}; again: {}", args.seed, about::commit(), again.join(" "))
}

/// A run, the scenarios among which it finds its own, and the files that they name.
struct Served<'a> {
    run: &'a runs::Run,
    scenarios: &'a [Scenario],
    catalog: &'a Catalog,
}

impl Served<'_> {
    /// The scenarios that the run serves, in the order of the features.
    fn served(&self) -> impl Iterator<Item = &Scenario> {
        let mut places = self.run.scenarios.clone();
        places.sort_unstable();
        places.into_iter().map(|at| &self.scenarios[at])
    }

    /// What the incident came of that the run is about, where it is about one.
    fn cause(&self) -> Option<&Cause> {
        let feature = &self.served().next()?.feature;
        self.catalog.incidents.get(feature)?.cause.as_ref()
    }

    fn not_judged(&self, why: &str, junit: &mut Junit) {
        let (hash, seed) = (Some(self.run.hash.clone()), Some(self.run.seed));
        let source = Source { hash, seed, commit: Some(about::commit()), wall_s: None };
        self.served().for_each(|scenario| junit.not_judged(scenario, &source, why));
    }
}

/// Judges every scenario of a run, prints the verdicts, and writes them where asked.
fn judge_run(
    folder: &Path,
    served: &Served<'_>,
    to: Option<&Path>,
    (cost, junit): (&About, &mut Junit),
) -> Exit {
    let run = served.run;
    let recording = match Recording::read(&folder.join("recording")) {
        Ok(recording) => recording,
        Err(error) => {
            served.not_judged(&error.to_string(), junit);
            return complain(&format!("run {}: {error}", run.hash), Exit::Environment);
        }
    };
    let mut exit = Exit::Pass;
    let mut judgements = Vec::new();
    let judge = Judge::new(&recording);
    for scenario in served.served() {
        let judgement = judge.scenario(scenario);
        out(&report::judgement(scenario, &judgement));
        junit.judged(scenario, &judgement, &Source::of(cost));
        exit = exit.or(judgement.verdict.into());
        judgements.push((scenario, judgement));
    }
    if let Some(cause) = served.cause() {
        let detection = Detection::of(&recording, cause, &served.catalog.rules);
        out(&report::seen(cause, &detection));
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
