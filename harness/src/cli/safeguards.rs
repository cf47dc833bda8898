//! `relapse safeguards` and `relapse ablate`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{complain, counted, err, out, tell};
use crate::ablation::Ablation;
use crate::ablation::bench::{Bench, BenchError};
use crate::ablation::hardened::{hardened, history, incident};
use crate::ablation::matrix::Matrix;
use crate::ablation::study::{Subject, study};
use crate::exit::Exit;
use crate::feature::{Library, Selection};
use crate::report;
use crate::runs::{self, Event, Run, Store};
use crate::spec::Scenario;

#[derive(Debug, Args)]
pub(super) struct Safeguards {
    /// What `ablate --out` wrote: what each is good for, and what it saves
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// As a table in Markdown
    #[arg(long)]
    markdown: bool,
}

#[derive(Debug, Args)]
pub(super) struct Ablate {
    /// Beginnings of ids of incidents; none means all
    #[arg(value_name = "INCIDENT")]
    ids: Vec<String>,
    /// All chance comes from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs at once; 0 means as many as the machine has cores
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Writes what was found here, for `safeguards --from`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn safeguards(root: &Path, args: &Safeguards) -> Exit {
    let library = Library::read(root);
    if !library.problems.is_empty() {
        return tell(&library.problems);
    }
    let ablation = match args.from.as_deref().map(read) {
        None => None,
        Some(Ok(ablation)) => Some(ablation),
        Some(Err(exit)) => return exit,
    };
    let matrix = Matrix::of(&library, ablation.as_ref());
    if args.markdown {
        out(report::matrix_markdown(&matrix).trim_end());
    } else {
        out(&report::matrix(&matrix));
        if let Some(ablation) = &ablation {
            out(&report::ablation(ablation));
        }
    }
    Exit::Pass
}

fn read(file: &Path) -> Result<Ablation, Exit> {
    let shown = file.display();
    let bytes = std::fs::read(file).map_err(|error| {
        complain(&format!("{shown} cannot be read: {error}"), Exit::Environment)
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        complain(
            &format!("{shown} is nothing that `ablate --out` writes: {error}"),
            Exit::Specification,
        )
    })
}

pub(super) fn ablate(root: &Path, args: &Ablate) -> Exit {
    let library = Library::read(root);
    if !library.problems.is_empty() {
        return tell(&library.problems);
    }
    let subject = match chosen(root, &library, &args.ids) {
        Ok(chosen) => chosen,
        Err(exit) => return exit,
    };
    let binary = match runs::binary_hash() {
        Ok(binary) => binary,
        Err(error) => {
            return complain(&format!("this program cannot be read: {error}"), Exit::Environment);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let store = Store::of(root);
    let jobs = if args.jobs == 0 { cores } else { args.jobs };
    let bench = Bench { store: &store, seed: args.seed, jobs, binary };
    let found = study(&subject, args.seed, &mut |what, trials| {
        if !trials.is_empty() {
            err(&format!("{what}: {}", counted(trials.len(), "trial")));
        }
        bench.run(trials, &mut told)
    });
    if let Err(error) = store.forget_oldest() {
        err(&format!("old runs cannot be removed: {error}"));
    }
    match found {
        Ok(ablation) => {
            let exit = write(&ablation, args.out.as_deref());
            exit.or(shown(&library, &ablation))
        }
        Err(error @ BenchError::Runs(Exit::Interrupted, _)) => {
            complain("interrupted", error.exit())
        }
        Err(error) => complain(&error.to_string(), error.exit()),
    }
}

fn shown(library: &Library, ablation: &Ablation) -> Exit {
    out(&report::matrix(&Matrix::of(library, Some(ablation))));
    out(&report::ablation(ablation));
    let findings = ablation.findings();
    for finding in &findings {
        out(&format!("finding: {finding}"));
    }
    let seed = ablation.seed;
    if findings.is_empty() {
        out(&format!("relapse: no safeguard is idle; seed {seed}"));
        Exit::Pass
    } else {
        out(&format!("relapse: {}; seed {seed}", counted(findings.len(), "finding")));
        Exit::Failed
    }
}

fn write(ablation: &Ablation, to: Option<&Path>) -> Exit {
    let Some(to) = to else { return Exit::Pass };
    let json = serde_json::to_vec_pretty(ablation).map_err(std::io::Error::other);
    match json.and_then(|json| std::fs::write(to, json)) {
        Ok(()) => Exit::Pass,
        Err(error) => {
            complain(&format!("{} cannot be written: {error}", to.display()), Exit::Environment)
        }
    }
}

/// The chosen incidents, and the scenarios that show them.
fn chosen(root: &Path, library: &Library, ids: &[String]) -> Result<Subject, Exit> {
    let selection = Selection { ids: ids.to_vec(), tags: None };
    let scenarios = library.select(root, &selection).map_err(|problem| tell(&[problem]))?;
    let about = |scenario: &Scenario| {
        let truth = library.catalog.incidents.get(incident(scenario)?)?;
        Some((truth.incident.clone(), truth.title.clone()))
    };
    let mut incidents: Vec<(String, String)> = scenarios.iter().filter_map(about).collect();
    incidents.sort();
    incidents.dedup();
    if incidents.is_empty() {
        return Err(complain("none of these is an incident", Exit::Specification));
    }
    let histories =
        incidents.iter().filter_map(|(id, _)| history(id, &scenarios)).cloned().collect();
    let hardened = scenarios.into_iter().filter(|one| hardened(one, &library.catalog)).collect();
    Ok(Subject { incidents, hardened, histories })
}

/// Runs are many and short: one line for each that is done.
fn told(runs: &[Run], event: &Event) {
    match event {
        Event::Finished(at, about, known) => {
            let how = if *known { "known" } else { "done" };
            let run = &runs[*at];
            err(&format!(
                "  {how} {} of {}: {} failures, {:.0} s of CPU",
                run.hash,
                runs.len(),
                about.failures,
                about.cpu_s
            ));
        }
        Event::Failed(at, why) => err(&format!("  failed {}: {why}", runs[*at].hash)),
        Event::Progress(..) | Event::Interrupted => {}
    }
}
