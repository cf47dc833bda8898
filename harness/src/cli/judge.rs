//! `relapse judge`.

use std::path::{Path, PathBuf};

use super::{complain, err, out};
use crate::exit::Exit;
use crate::feature::{Library, Selection};
use crate::judge::Judge;
use crate::recording::Recording;
use crate::report;
use crate::spec::Scenario;

/// Judges every run in a folder. A scenario that today's features still have is judged by today's expectations; where
/// none fits the recording, it is judged by those that were written beside it.
pub(super) fn judge(root: &Path, dir: &Path) -> Exit {
    let folders = run_folders(dir);
    if folders.is_empty() {
        return complain(&format!("there is no recording in {}", dir.display()), Exit::Environment);
    }
    let library = Library::read(root);
    if !library.problems.is_empty() {
        return super::tell(&library.problems);
    }
    let known =
        library.select(root, &Selection { ids: Vec::new(), tags: None }).unwrap_or_default();
    let mut exit = Exit::Pass;
    for folder in folders {
        exit = exit.or(judge_folder(&folder, &known));
    }
    exit
}

fn judge_folder(folder: &Path, known: &[Scenario]) -> Exit {
    let recording = match Recording::read(&folder.join("recording")) {
        Ok(recording) => recording,
        Err(error) => return complain(&error.to_string(), Exit::Environment),
    };
    let fits = |scenario: &&Scenario| scenario.spec.is_beginning_of(&recording.spec);
    let mut scenarios: Vec<Scenario> = known.iter().filter(fits).cloned().collect();
    if scenarios.is_empty() {
        err(
            "no scenario of today's features fits this recording: judging by those written beside it",
        );
        scenarios = written_beside(folder);
    }
    if scenarios.is_empty() {
        return complain(
            &format!("{} has no verdicts.json to judge by", folder.display()),
            Exit::Environment,
        );
    }
    let mut exit = Exit::Pass;
    out(&format!("relapse: judging {} from seed {}", folder.display(), recording.seed));
    let judge = Judge::new(&recording);
    for scenario in &scenarios {
        let judgement = judge.scenario(scenario);
        out(&report::judgement(scenario, &judgement));
        exit = exit.or(judgement.verdict.into());
    }
    exit
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
