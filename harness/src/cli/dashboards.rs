//! `relapse dashboards`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{complain, err, out};
use crate::dashboards::{Dashboards, Size};
use crate::exit::Exit;
use crate::recording::Recording;
use crate::spec::problem::Problem;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Finds what is wrong in dashboards, rules and runbooks: queries, labels, panels, alerts
    Check(Check),
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Also finds panels without data in the recording of one run of `run --out`
    #[arg(long, value_name = "DIR")]
    recording: Option<PathBuf>,
}

pub(super) fn dashboards(root: &Path, command: &Command) -> Exit {
    let Command::Check(Check { recording }) = command;
    let (dashboards, problems) = Dashboards::read(root);
    if !problems.is_empty() {
        return tell(&problems);
    }
    let mut shown = String::new();
    if let Some(dir) = recording {
        let beside = dir.join("recording");
        let scrapes = match Recording::read_scrapes(if beside.is_dir() { &beside } else { dir }) {
            Ok(scrapes) => scrapes,
            Err(error) => return complain(&error.to_string(), Exit::Environment),
        };
        let over = dashboards.over(&scrapes);
        if !over.problems.is_empty() {
            return tell(&over.problems);
        }
        for zero in &over.zeros {
            err(&zero.to_string());
        }
        let zeros = over.zeros.len();
        shown = format!("; on this recording every query has data, {zeros} of them only a zero");
    }
    let Size { dashboards, panels, queries, rules } = dashboards.size();
    out(&format!(
        "{dashboards} dashboards with {panels} panels and {queries} queries, {rules} rules: nothing is wrong{shown}"
    ));
    Exit::Pass
}

fn tell(problems: &[Problem]) -> Exit {
    for problem in problems {
        err(&problem.to_string());
    }
    let n = problems.len();
    let s = if n == 1 { "" } else { "s" };
    complain(&format!("{n} problem{s} in dashboards, rules and runbooks"), Exit::Specification)
}
