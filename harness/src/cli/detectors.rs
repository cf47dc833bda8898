//! `relapse detectors`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::{Chosen, complain, out, scenarios_of};
use crate::exit::Exit;
use crate::feature::Catalog;
use crate::judge::detection::Detection;
use crate::lab::Kind;
use crate::live;
use crate::recording::RecordingError;
use crate::report::{self, Heading, Watcher};
use crate::runs::{self, Plan, Reader, Run, Store};
use crate::spec::Scenario;
use crate::spec::truth::Truth;

#[derive(Debug, Args)]
pub(super) struct Detectors {
    #[command(flatten)]
    chosen: Chosen,
    /// All chance comes from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs at once; 0 means as many as the machine has cores
    #[arg(long, default_value_t = 0)]
    jobs: usize,
}

/// For each run of the chosen incidents: who saw it first, after how long, naming what. What was not run yet is run.
pub(super) fn detectors(root: &Path, args: &Detectors) -> Exit {
    let (mut scenarios, catalog) = match scenarios_of(root, &args.chosen) {
        Ok(chosen) => chosen,
        Err(exit) => return exit,
    };
    // Slices and what is played live are an incident in small: the whole of it stands beside them.
    scenarios.retain(|scenario| {
        cause_of(&catalog, scenario).is_some()
            && scenario.spec.speed.is_none()
            && !scenario.tags.iter().any(|tag| tag == live::TAG)
    });
    if scenarios.is_empty() {
        let said = "none of these scenarios is of an incident whose truth.toml has a [cause]";
        return complain(said, Exit::Specification);
    }
    let binary = match runs::binary_hash() {
        Ok(binary) => binary,
        Err(error) => {
            return complain(&format!("this program cannot be read: {error}"), Exit::Environment);
        }
    };
    let runs = runs::distinct(&scenarios, Kind::Simulated, args.seed, &binary);
    let store = Store::of(root);
    let jobs = if args.jobs == 0 { super::cores() } else { args.jobs };
    let mut watcher = Watcher::new(&runs);
    let plan = Plan { runs: &runs, jobs, again: false, store: &store };
    let reader: Reader<_> = {
        let (runs, store) = (runs.clone(), store.clone());
        Arc::new(move |at, _| table(&catalog, &scenarios, &store, &runs[at]))
    };
    let (exit, tables) = runs::execute_and_read(&plan, &reader, |event| watcher.event(event));
    if exit != Exit::Pass {
        return complain("not every run came to its end", exit);
    }
    let mut tables: Vec<_> =
        runs.iter().zip(tables).filter_map(|(run, table)| Some((run, table?))).collect();
    // In the order of the features, not of their lengths.
    tables.sort_by_key(|(run, _)| run.scenarios.iter().min().copied());
    tables.into_iter().fold(Exit::Pass, |exit, (run, table)| match table {
        Ok(table) => {
            if let Some(table) = table {
                out(&table);
            }
            exit
        }
        Err(error) => exit.or(complain(&format!("run {}: {error}", run.hash), Exit::Environment)),
    })
}

fn cause_of<'a>(catalog: &'a Catalog, scenario: &Scenario) -> Option<&'a Truth> {
    catalog.incidents.get(&scenario.feature).filter(|truth| truth.cause.is_some())
}

/// Who saw the incident first that a run is about; none where it is about none.
fn table(
    catalog: &Catalog,
    scenarios: &[Scenario],
    store: &Store,
    run: &Run,
) -> Result<Option<String>, RecordingError> {
    let mut served = run.scenarios.clone();
    served.sort_unstable();
    let served: Vec<&Scenario> = served.into_iter().map(|at| &scenarios[at]).collect();
    let Some((truth, cause)) = served
        .first()
        .and_then(|scenario| cause_of(catalog, scenario))
        .and_then(|truth| Some((truth, truth.cause.as_ref()?)))
    else {
        return Ok(None);
    };
    let recording = store.recording(&run.hash, run.lab)?;
    let titles: BTreeSet<String> = match &served[..] {
        [one] => [one.title()].into(),
        // Scenarios of one run are views of the same history: their rule says which.
        all => all.iter().map(|one| one.rule.clone().unwrap_or_else(|| one.title())).collect(),
    };
    let titles: Vec<String> = titles.into_iter().collect();
    let heading = Heading {
        incident: format!("{}  {}", truth.incident, truth.title),
        run: format!("{}; build {}; seed {}", titles.join("; "), run.spec.build.id, run.seed),
    };
    let detection = Detection::of(&recording, cause, &catalog.rules);
    Ok(Some(report::detection(&heading, cause, &detection)))
}
