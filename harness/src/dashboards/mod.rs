//! Dashboards, rules and runbooks as they are in the repository: whether they ask for what there is, and whether on-call
//! would see anything.
//!
//! Everything that is wrong is a [`Problem`] with the line where it stands. [`Dashboards::read`] finds what the files alone
//! tell; [`Dashboards::over`] asks every panel's queries of a recording.

mod board;
mod fill;
mod lines;
mod names;
mod panels;
mod queries;
mod recorded;
mod rules;

use std::collections::BTreeMap;
use std::path::Path;

use board::Board;
use names::Names;
use rules::Rules;

pub use recorded::Shown;

use crate::spec::problem::Problem;

const DASHBOARDS: &str = "dashboards/grafana/dashboards";

/// The dashboards of a repository, with the rules that they read.
#[derive(Debug)]
pub struct Dashboards {
    boards: Vec<Board>,
    rules: Rules,
}

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Dashboards.
    pub dashboards: usize,
    /// Panels in them.
    pub panels: usize,
    /// Queries of the panels.
    pub queries: usize,
    /// Rules.
    pub rules: usize,
}

impl Dashboards {
    /// Reads all of it below the root of a repository, with everything that is wrong there.
    pub fn read(root: &Path) -> (Self, Vec<Problem>) {
        let (rules, mut problems) = rules::read_rules(root);
        let names = Names::new(&rules.files);
        problems.extend(rules::check(root, &rules, &names));
        let mut boards = Vec::new();
        for file in files(root, DASHBOARDS, "json") {
            match Board::read(root, &file) {
                Ok(board) => boards.push(board),
                Err(problem) => problems.push(problem),
            }
        }
        for board in &boards {
            problems.extend(panels::check(board));
            problems.extend(queries::check(board, &names));
        }
        problems.extend(same_uids(&boards));
        (Self { boards, rules }, problems)
    }

    /// The names by which Grafana's addresses know them.
    pub fn uids(&self) -> impl Iterator<Item = &str> {
        self.boards.iter().map(|board| board.whole().get("uid").text())
    }

    /// How much there is.
    pub fn size(&self) -> Size {
        let groups = self.rules.files.iter().flat_map(|file| &file.groups);
        Size {
            dashboards: self.boards.len(),
            panels: self.boards.iter().map(|board| board.panels().len()).sum(),
            queries: self.boards.iter().map(|board| board.targets().len()).sum(),
            rules: groups.map(|group| group.rules.len()).sum(),
        }
    }
}

/// Dashboards that a server would take for one.
fn same_uids(boards: &[Board]) -> Vec<Problem> {
    let mut known: BTreeMap<&str, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for board in boards {
        let uid = board.whole().get("uid");
        if let Some(other) = known.insert(uid.text(), &board.file)
            && !uid.text().is_empty()
        {
            let message = format!("the uid \"{}\" is that of {other}", uid.text());
            problems.push(board.problem(&uid, message));
        }
    }
    problems
}

/// The files of a folder with an ending, as paths from the root, sorted.
fn files(root: &Path, folder: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten();
    let mut files: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|own| own == ending))
        .filter_map(|path| Some(format!("{folder}/{}", path.file_name()?.to_str()?)))
        .collect();
    files.sort();
    files
}

fn read(root: &Path, file: &str) -> Result<String, Problem> {
    std::fs::read_to_string(root.join(file))
        .map_err(|error| Problem::new(file, 0, format!("cannot be read: {error}")))
}
