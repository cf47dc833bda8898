//! `relapse judge`.

use std::path::{Path, PathBuf};

use super::{complain, err, out};
use crate::exit::Exit;
use crate::feature::{Library, Selection};
use crate::judge::Judge;
use crate::recording::Recording;
use crate::report;
use crate::report::junit::{Junit, Source};
use crate::runs::about::About;
use crate::spec::Scenario;

/// Judges every run in a folder. A scenario that today's features still have is judged by today's expectations; where
/// none fits the recording, it is judged by those that were written beside it.
pub(super) fn judge(root: &Path, dir: &Path, to: Option<&Path>) -> Exit {
    let mut junit = Junit::default();
    let exit = judge_all(root, dir, &mut junit);
    exit.or(super::run::written(&junit, to))
}

fn judge_all(root: &Path, dir: &Path, junit: &mut Junit) -> Exit {
    let folders = run_folders(dir);
    if folders.is_empty() {
        let said = format!("there is no recording in {}", dir.display());
        junit.nothing_judged("environment", &said);
        return complain(&said, Exit::Environment);
    }
    let library = Library::read(root);
    if !library.problems.is_empty() {
        junit.nothing_judged("specification", "the specification is wrong: `relapse check`");
        return super::tell(&library.problems);
    }
    let known =
        library.select(root, &Selection { ids: Vec::new(), tags: None }).unwrap_or_default();
    let mut exit = Exit::Pass;
    for folder in folders {
        exit = exit.or(judge_folder(&folder, &known, junit));
    }
    exit
}

fn judge_folder(folder: &Path, known: &[Scenario], junit: &mut Junit) -> Exit {
    let recording = match Recording::read(&folder.join("recording")) {
        Ok(recording) => recording,
        Err(error) => {
            // Which scenarios it would have served stands beside it, if anywhere.
            let (beside, source, said) =
                (written_beside(folder), source(folder), error.to_string());
            for scenario in &beside {
                junit.not_judged(scenario, &source, &said);
            }
            if beside.is_empty() {
                junit.nothing_judged("environment", &said);
            }
            return complain(&said, Exit::Environment);
        }
    };
    let as_recorded = |scenario: &Scenario| {
        let mut scenario = scenario.clone();
        scenario.spec.stores = recording.spec.stores;
        scenario
    };
    let fits = |scenario: &Scenario| scenario.spec.is_beginning_of(&recording.spec);
    let mut scenarios: Vec<Scenario> = known.iter().map(as_recorded).filter(fits).collect();
    if scenarios.is_empty() {
        err(
            "no scenario of today's features fits this recording: judging by those written beside it",
        );
        scenarios = written_beside(folder);
    }
    if scenarios.is_empty() {
        let said = format!("{} has no verdicts.json to judge by", folder.display());
        junit.nothing_judged("environment", &said);
        return complain(&said, Exit::Environment);
    }
    let mut exit = Exit::Pass;
    out(&format!("relapse: judging {} from seed {}", folder.display(), recording.seed));
    let judge = Judge::new(&recording);
    let source = Source { seed: Some(recording.seed), ..source(folder) };
    for scenario in &scenarios {
        let judgement = judge.scenario(scenario);
        out(&report::judgement(scenario, &judgement));
        junit.judged(scenario, &judgement, &source);
        exit = exit.or(judgement.verdict.into());
    }
    exit
}

/// What `run.json` tells of the run, where it stands beside the recording.
fn source(folder: &Path) -> Source {
    let about = std::fs::read(folder.join("run.json")).ok();
    let about = about.and_then(|bytes| serde_json::from_slice::<About>(&bytes).ok());
    about.as_ref().map(Source::of).unwrap_or_default()
}

fn written_beside(folder: &Path) -> Vec<Scenario> {
    #[derive(serde::Deserialize)]
    struct Written(Scenario, #[expect(dead_code, reason = "judged anew")] serde_json::Value);
    std::fs::read(folder.join("verdicts.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Vec<Written>>(&bytes).ok())
        .unwrap_or_default()
        .into_iter()
        .map(|written| written.0)
        .collect()
}

fn run_folders(dir: &Path) -> Vec<PathBuf> {
    if dir.join("recording").is_dir() {
        return vec![dir.to_path_buf()];
    }
    let mut folders: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("recording").is_dir())
        .collect();
    folders.sort();
    folders
}
