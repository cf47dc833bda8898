//! `relapse fork`.

use std::path::Path;

use clap::Args;

use super::{complain, err, out, tell};
use crate::ablation::hardened::as_it_happened;
use crate::exit::Exit;
use crate::feature::fork::{Branch, Forked, done, fork as branch_off};
use crate::feature::{Library, Selection};
use crate::fork::{Alike, Comparison};
use crate::lab::Kind;
use crate::report::{self, Watcher};
use crate::runs::{self, Plan, Store};
use crate::spec::Scenario;
use crate::spec::problem::Problem;

#[derive(Debug, Args)]
pub(super) struct Fork {
    /// The beginning of an incident's id; or one scenario of a feature, as ID:NAME or the beginning of its name
    #[arg(value_name = "ID[:SCENARIO]")]
    id: String,
    /// From when on people do something else: 00:09, or 2023-07-18 00:09
    #[arg(long, value_name = "MOMENT")]
    at: String,
    /// What they do: a sentence that can stand after When, its table or text in the lines below it
    #[arg(long, value_name = "SENTENCE", required = true)]
    then: Vec<String>,
    /// When both histories end, where that is not the scenario's own end
    #[arg(long, value_name = "MOMENT")]
    until: Option<String>,
    /// All chance comes from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs at once; 0 means as many as the machine has cores
    #[arg(long, default_value_t = 0)]
    jobs: usize,
}

pub(super) fn fork(root: &Path, args: &Fork) -> Exit {
    let library = Library::read(root);
    if !library.problems.is_empty() {
        return tell(&library.problems);
    }
    let scenario = match scenario(root, &library, &args.id) {
        Ok(scenario) => scenario,
        Err(problem) => return tell(&[problem]),
    };
    let file = root.join(&scenario.place.file);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) => {
            return complain(&format!("{}: {error}", file.display()), Exit::Environment);
        }
    };
    let branch = Branch { at: args.at.clone(), then: args.then.clone(), until: args.until.clone() };
    match branch_off(&library.catalog, &text, &scenario, &branch) {
        Ok(forked) => compare(root, args, &scenario, &forked),
        Err(problems) => tell(&problems),
    }
}

/// The one scenario that is meant: of an incident the longest that shows it as it happened.
fn scenario(root: &Path, library: &Library, wanted: &str) -> Result<Scenario, Problem> {
    let (id, name) = match wanted.split_once(':') {
        Some((id, name)) => (id, Some(name.trim())),
        None => (wanted, None),
    };
    let selection = Selection { ids: vec![id.to_owned()], tags: None };
    let all = library.select(root, &selection)?;
    let wrong = |message: String| Problem::new("command line", 0, message);
    let features: Vec<&str> = {
        let mut ids: Vec<&str> = all.iter().map(|scenario| scenario.feature.as_str()).collect();
        ids.dedup();
        ids
    };
    if features.len() > 1 {
        return Err(wrong(format!("\"{id}\" is the beginning of {}", features.join(", "))));
    }
    let begins = |scenario: &&Scenario| match name {
        Some(name) => scenario.name.starts_with(name) || scenario.title().starts_with(name),
        None => as_it_happened(scenario),
    };
    let length = |scenario: &&Scenario| scenario.spec.end.since(scenario.spec.start);
    let fitting: Vec<&Scenario> = all.iter().filter(begins).collect();
    let longest = fitting.iter().copied().map(|one| length(&one)).max();
    let first = fitting.iter().find(|one| Some(length(one)) == longest);
    match (first, name) {
        (Some(one), None) => Ok((*one).clone()),
        (Some(one), Some(_)) if fitting.len() == 1 => Ok((*one).clone()),
        _ => {
            let names: Vec<String> =
                all.iter().map(|one| format!("\"{id}:{}\"", one.name)).collect();
            let which = if fitting.is_empty() { "no scenario" } else { "more than one scenario" };
            Err(wrong(format!("\"{wanted}\" names {which}"))
                .hint(format!("there are: {}", names.join(", "))))
        }
    }
}

fn compare(root: &Path, args: &Fork, scenario: &Scenario, forked: &Forked) -> Exit {
    let binary = match runs::binary_hash() {
        Ok(binary) => binary,
        Err(error) => {
            return complain(&format!("this program cannot be read: {error}"), Exit::Environment);
        }
    };
    let sides = [&forked.original, &forked.other]
        .map(|spec| Scenario { spec: spec.clone(), ..scenario.clone() });
    let runs = runs::distinct(&sides, Kind::Simulated, args.seed, &binary);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let store = Store::of(root);
    let jobs = if args.jobs == 0 { cores } else { args.jobs };
    let mut watcher = Watcher::new(&runs);
    let plan = Plan { runs: &runs, jobs, again: false, store: &store };
    let exit = runs::execute(&plan, |event| watcher.event(event));
    if exit != Exit::Pass {
        return complain("not every run came to its end", exit);
    }
    let mut recordings = Vec::new();
    for at in 0..sides.len() {
        let run = runs.iter().find(|run| run.scenarios.contains(&at));
        match run.map(|run| store.recording(&run.hash, run.lab)) {
            Some(Ok(recording)) => recordings.push(recording),
            Some(Err(error)) => return complain(&error.to_string(), Exit::Environment),
            None => return complain("a run is missing", Exit::Environment),
        }
    }
    if let Err(error) = store.forget_oldest() {
        err(&format!("old runs cannot be removed: {error}"));
    }
    let [original, other] = recordings.as_slice() else {
        return complain("a run is missing", Exit::Environment);
    };
    let comparison = Comparison::of([original, other], forked.at);
    out(&format!("{}\n      {}\n", scenario.title(), scenario.place));
    for (name, spec) in [("as it was", &forked.original), ("instead", &forked.other)] {
        out(&format!("   {name}:"));
        for line in done(spec, forked.at) {
            out(&format!("      {line}"));
        }
    }
    out("");
    out(&report::fork(&comparison, forked.at));
    let [minutes, failed] = comparison.saved();
    out(&format!(
        "relapse: {minutes} minutes and {failed} failed requests saved; seed {}",
        args.seed
    ));
    match comparison.alike {
        Alike::Requests(_) if comparison.never_acted.is_empty() => Exit::Pass,
        _ => Exit::Inconclusive,
    }
}
