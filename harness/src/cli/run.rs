//! `relapse run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::{Chosen, complain, counted, err, out, scenarios_of};
use crate::exit::Exit;
use crate::feature::Catalog;
use crate::judge::detection::Detection;
use crate::judge::{Judge, Judgement};
use crate::lab::Kind;
use crate::recording::RecordingError;
use crate::report::junit::{Junit, Source};
use crate::report::{self, Watcher};
use crate::runs::about::{self, About, Stopwatch};
use crate::runs::{self, Event, Plan, Reader, Store};
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
    let suite = Arc::new(Suite { runs, scenarios, catalog, store: store.clone() });
    let plan = Plan { runs: &suite.runs, jobs, again: args.no_cache, store: &store };
    let mut watcher = Watcher::new(&suite.runs);
    let mut costs = vec![Err("it was interrupted".to_owned()); suite.runs.len()];
    let judged = Arc::clone(&suite);
    let reader: Reader<Read> = Arc::new(move |at, _| judged.judge(at));
    let (mut exit, read) = runs::execute_and_read(&plan, &reader, |event| {
        watcher.event(event);
        match event {
            Event::Finished(at, about, _) => costs[*at] = Ok(about.clone()),
            Event::Failed(at, why) => costs[*at] = Err(why.clone()),
            Event::Progress(..) | Event::Interrupted => {}
        }
    });
    let interrupted = exit == Exit::Interrupted;
    for ((at, cost), read) in costs.iter().enumerate().zip(read) {
        match (cost, read) {
            (Ok(cost), Some(read)) if !interrupted => {
                exit = exit.or(suite.tell((at, cost), read, args.out.as_deref(), junit));
                out(&format!("run {}: {}\n", suite.runs[at].hash, report::cost(cost)));
            }
            (Ok(_), _) => suite.not_judged(at, "it was interrupted", junit),
            (Err(why), _) => suite.not_judged(at, why, junit),
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

/// What is run and judged.
struct Suite {
    runs: Vec<runs::Run>,
    scenarios: Vec<Scenario>,
    catalog: Arc<Catalog>,
    store: Store,
}

/// What a recording told, or why it cannot be read.
type Read = Result<Told, RecordingError>;

/// What a recording told.
struct Told {
    /// By the place of the scenario.
    judgements: Vec<(usize, Judgement)>,
    /// Who saw an incident first, and who named its cause.
    seen: Option<String>,
}

impl Suite {
    /// The scenarios that a run serves, in the order of the features.
    fn served(&self, at: usize) -> impl Iterator<Item = (usize, &Scenario)> {
        let mut places = self.runs[at].scenarios.clone();
        places.sort_unstable();
        places.into_iter().map(|place| (place, &self.scenarios[place]))
    }

    /// What the incident came of that a run is about, where it is about one.
    fn cause(&self, at: usize) -> Option<&Cause> {
        let (_, first) = self.served(at).next()?;
        self.catalog.incidents.get(&first.feature)?.cause.as_ref()
    }

    fn not_judged(&self, at: usize, why: &str, junit: &mut Junit) {
        let run = &self.runs[at];
        let (hash, seed) = (Some(run.hash.clone()), Some(run.seed));
        let source = Source { hash, seed, commit: Some(about::commit()), wall_s: None };
        self.served(at).for_each(|(_, scenario)| junit.not_judged(scenario, &source, why));
    }

    /// Judges every scenario of a run.
    fn judge(&self, at: usize) -> Read {
        let recording = self.store.recording(&self.runs[at].hash, self.runs[at].lab)?;
        let judge = Judge::new(&recording);
        let judgements: Vec<(usize, Judgement)> =
            self.served(at).map(|(place, one)| (place, judge.scenario(one))).collect();
        let seen = self.cause(at).map(|cause| {
            report::seen(cause, &Detection::of(&recording, cause, &self.catalog.rules))
        });
        Ok(Told { judgements, seen })
    }

    /// Writes run and verdicts.
    fn write(
        &self,
        at: usize,
        judgements: &[(usize, Judgement)],
        to: &Path,
    ) -> Result<PathBuf, String> {
        let hash = &self.runs[at].hash;
        let to = to.join(hash);
        let named: Vec<(&Scenario, &Judgement)> =
            judgements.iter().map(|(place, one)| (&self.scenarios[*place], one)).collect();
        serde_json::to_vec_pretty(&named)
            .map_err(std::io::Error::other)
            .and_then(|verdicts| {
                runs::copy(&self.store.run(hash), &to)?;
                std::fs::write(to.join("verdicts.json"), verdicts)
            })
            .map_err(|error| {
                format!("run {hash} cannot be written to {}: {error}", to.display())
            })?;
        Ok(to)
    }

    /// Prints what a recording told, and writes it where asked.
    fn tell(
        &self,
        (at, cost): (usize, &About),
        read: Read,
        to: Option<&Path>,
        junit: &mut Junit,
    ) -> Exit {
        let hash = &self.runs[at].hash;
        let told = match read {
            Ok(told) => told,
            Err(error) => {
                self.not_judged(at, &error.to_string(), junit);
                return complain(&format!("run {hash}: {error}"), Exit::Environment);
            }
        };
        let mut exit = Exit::Pass;
        for (place, judgement) in &told.judgements {
            let scenario = &self.scenarios[*place];
            out(&report::judgement(scenario, judgement));
            junit.judged(scenario, judgement, &Source::of(cost));
            exit = exit.or(judgement.verdict.into());
        }
        if let Some(seen) = &told.seen {
            out(seen);
        }
        match to.map(|to| self.write(at, &told.judgements, to)) {
            Some(Ok(to)) => err(&format!("run {hash} is in {}", to.display())),
            Some(Err(said)) => exit = exit.or(complain(&said, Exit::Environment)),
            None => {}
        }
        exit
    }
}
