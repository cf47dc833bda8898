//! The first draft of an incident: a story to be told, facts with their provenance, and a feature that runs at once.
//!
//! * [`kinds`]: the mechanisms that a draft can begin with, on the topology "small".
//!
//! It only writes files; what they say is checked by whoever reads every other incident.

mod kinds;

pub use kinds::Like;

use std::path::{Path, PathBuf};

use crate::feature::Catalog;
use crate::spec::time;

/// A draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The incident's id, which is also the name of its folder and of its feature.
    pub id: String,
    /// Its title.
    title: String,
    /// Its day, as 2024-02-29.
    day: String,
    /// The number of its rows: R7 of R7-1.
    number: u32,
    /// What happens in it.
    like: Like,
}

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The name cannot be one of a folder: choose another.
    #[error(
        "\"{0}\" is no name: write it in lowercase letters, digits and hyphens, such as a-slow-link"
    )]
    Name(String),
    /// The day is none: write it as 2024-02-29.
    #[error("\"{0}\" is no day: write it as 2024-02-29")]
    Day(String),
    /// A file of that name is there: a draft never overwrites. Choose another name, or remove it.
    #[error("{} is there already, and a draft overwrites nothing", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{} cannot be written: {error}", file.display())]
    Write {
        /// Which one.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

impl Draft {
    /// A draft under a name, which may begin with its day; else it is of `day`.
    pub fn new(catalog: &Catalog, name: &str, day: &str, like: Like) -> Result<Self, DraftError> {
        let (day, words) = match name.get(..11).and_then(|head| head.strip_suffix('-')) {
            Some(head) if is_day(head) => (head, &name[11..]),
            _ => (day, name),
        };
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if words.is_empty() || !words.chars().all(fits) || words.starts_with('-') {
            return Err(DraftError::Name(name.to_owned()));
        }
        if !is_day(day) {
            return Err(DraftError::Day(day.to_owned()));
        }
        let mut title = words.replace('-', " ");
        title[..1].make_ascii_uppercase();
        let rows = catalog.incidents.values().flat_map(|truth| truth.rows.keys());
        let numbers = rows.filter_map(|id| id.strip_prefix('R')?.split('-').next()?.parse().ok());
        let number = numbers.max().unwrap_or(0) + 1;
        Ok(Self { id: format!("{day}-{words}"), title, day: day.to_owned(), number, like })
    }

    /// Writes its files below the root of a repository: all of them, or none where one is there. Their paths from there.
    pub fn write(&self, root: &Path) -> Result<Vec<PathBuf>, DraftError> {
        let folder = PathBuf::from("incidents").join(&self.id);
        let feature = PathBuf::from("features").join(format!("{}.feature", self.id));
        for taken in [&folder, &feature] {
            if root.join(taken).exists() {
                return Err(DraftError::Exists(taken.clone()));
            }
        }
        let files = [
            (folder.join("README.md"), self.story()),
            (folder.join("truth.toml"), self.truth()),
            (feature, self.feature()),
        ];
        let mut written = Vec::new();
        for (file, text) in files {
            let path = root.join(&file);
            let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.and_then(|()| std::fs::write(&path, text))
                .map_err(|error| DraftError::Write { file: file.clone(), error })?;
            written.push(file);
        }
        Ok(written)
    }

    /// The row that it begins with.
    fn row(&self) -> String {
        format!("R{}-1", self.number)
    }

    fn story(&self) -> String {
        let Self { id, title, day, like, .. } = self;
        let row = self.row();
        let mechanism = like.mechanism();
        format!(
            "# {day}: {title}

## What happened

… In your own words: who noticed what, when, and what ended it.

| UTC | event | since it began |
|---|---|---|
| {day} 12:00 | {mechanism} | |

## Mechanism

1. {mechanism}.
2. … What followed from that, step by step, and what nobody could see.

## Published, derived, assumed

| | |
|---|---|
| published | … what a source states |
| assumed | all that stands in `truth.toml` so far |

## How the replay does it

`features/{id}.feature`, on the topology \"small\". … Say how it follows from the mechanism, and what was calibrated.

## Rows

As it happened: {row}. … With safeguards: what would have prevented it, each layer judged with those above it taken away.

## Sources

- A: chosen for the replay. … Replace it with what you read.
"
        )
    }

    fn truth(&self) -> String {
        let Self { id, title, day, like, .. } = self;
        let row = self.row();
        let (says, measure, bound) = like.claim();
        let warm_up = like.warm_up_min();
        let start = format!("11:{:02}", 60 - warm_up);
        format!(
            "# The facts of the incident and what a replay must show of them. Bounds stand here and nowhere else.
# basis: \"published\" where the named source states the figure, \"assumed\" where we chose it.

incident = \"{id}\"
title = \"{title}\"

[sources]
A = \"chosen for the replay\"

[moments]
start = {{ at = \"{day} {start}\", basis = \"assumed\", source = \"A: {warm_up} minutes for caches to fill\" }}
begins = {{ at = \"{day} 12:00\", basis = \"assumed\", source = \"A\" }}
ends = {{ at = \"{day} 12:05\", basis = \"assumed\", source = \"A: five minutes later\" }}

[rows.{row}]
says = \"{says}\"
source = \"A\"
window = [\"begins\", \"ends\"]
checks = [{{ of = {{ {measure} }}, {bound}, basis = \"assumed\" }}]
"
        )
    }

    fn feature(&self) -> String {
        let Self { id, title, like, .. } = self;
        let steps: Vec<String> =
            like.steps().lines().map(|step| format!("      {step}\n")).collect();
        let (says, row) = (like.claim().0, self.row());
        format!(
            "@incident:{id}
Feature: {title}

  Rule: as it happened
    Scenario: {says}
{}      Then {row} holds
",
            steps.concat()
        )
    }
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && time::parse(&format!("{text} 00:00")).is_some()
}
