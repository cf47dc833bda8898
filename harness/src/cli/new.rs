//! `relapse new`.

use std::path::Path;

use clap::{Args, Subcommand};

use super::{complain, out, tell};
use crate::draft::{Draft, DraftError, Like};
use crate::exit::Exit;
use crate::feature::Library;
use crate::runs::about;
use crate::spec::time;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// A folder with a story and its facts, and a feature that runs at once
    Incident(Incident),
}

#[derive(Debug, Args)]
pub(super) struct Incident {
    /// In lowercase words with hyphens, such as a-slow-link; its day may stand before it: 2024-02-29-a-slow-link
    name: String,
    /// Its day, where the name does not begin with it; today unless given
    #[arg(long, value_name = "YYYY-MM-DD")]
    day: Option<String>,
    /// What goes wrong in the draft
    #[arg(long, value_enum, default_value = "partition")]
    like: Like,
}

pub(super) fn new(root: &Path, command: &Command) -> Exit {
    let Command::Incident(args) = command;
    let library = Library::read(root);
    if !library.problems.is_empty() {
        return tell(&library.problems);
    }
    let day = args.day.clone().unwrap_or_else(|| time::format(about::wall())[..10].to_owned());
    let draft = Draft::new(&library.catalog, &args.name, &day, args.like);
    match draft.and_then(|draft| Ok((draft.write(root)?, draft.id))) {
        Ok((files, id)) => {
            for file in files {
                out(&format!("written: {}", file.display()));
            }
            out(&format!("\nnext:\n  relapse check {id}\n  relapse plan {id}\n  relapse run {id}"));
            Exit::Pass
        }
        Err(error @ DraftError::Write { .. }) => complain(&error.to_string(), Exit::Environment),
        Err(error) => complain(&error.to_string(), Exit::Specification),
    }
}
