//! What an incident came of, and what it was taken for: `[cause]` and `[[decoys]]` of `truth.toml`.
//!
//! A cause is told by labels, as alerts, reports and lines carry them. Whoever looks for it never sees this: the judge compares.

use std::collections::{BTreeMap, BTreeSet};

use kv_node::safeguards::Safeguard;
use serde::{Deserialize, Serialize};

use super::expectation::{Basis, Window};
use super::problem::{Problem, line_at};
use super::time::IncidentTime;

/// Labels that a cause or a decoy may be told by: those that alerts, exception reports or lines of the response log carry.
pub const LABELS: [&str; 14] = [
    "build",
    "context",
    "dc",
    "dependent",
    "environment",
    "feature",
    "fingerprint",
    "namespace",
    "owner",
    "region",
    "revision",
    "script",
    "store",
    "type",
];

/// Labels with the values that name something; of each label one value is enough.
pub type Names = BTreeMap<String, BTreeSet<String>>;

/// What an incident came of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// In words.
    pub says: String,
    /// When it begins to act.
    pub at: IncidentTime,
    /// When nothing of it was to be seen: what customers meet there they meet anyway.
    pub baseline: Window,
    /// How customers meet it: statuses, `timeout`, `broken`. Empty: any failure, 401 or 403.
    pub outcomes: BTreeSet<String>,
    /// What names it: all of these labels together.
    pub names: Names,
    /// The safeguards that would have prevented it.
    pub lacks: BTreeSet<String>,
    /// What it might be taken for.
    pub decoys: Vec<Decoy>,
}

/// Something that went on beside an incident and was not its cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoy {
    /// In words.
    pub says: String,
    /// What names it: all of these labels together.
    pub names: Names,
}

/// `[cause]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CauseText {
    says: String,
    #[serde(rename = "basis")]
    _basis: Basis,
    #[serde(rename = "source")]
    _source: String,
    at: String,
    baseline: [String; 2],
    #[serde(default)]
    outcomes: BTreeSet<String>,
    #[serde(default)]
    lacks: BTreeSet<String>,
    names: BTreeMap<String, OneOrMore>,
}

/// An element of `[[decoys]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecoyText {
    says: String,
    #[serde(rename = "basis")]
    _basis: Basis,
    #[serde(rename = "source")]
    _source: String,
    names: BTreeMap<String, OneOrMore>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(BTreeSet<String>),
}

impl From<OneOrMore> for BTreeSet<String> {
    fn from(text: OneOrMore) -> Self {
        match text {
            OneOrMore::One(one) => Self::from([one]),
            OneOrMore::More(more) => more,
        }
    }
}

/// Where the text stands, for whoever says what is wrong with it.
pub(super) struct Written<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    pub(super) moments: &'a BTreeMap<String, IncidentTime>,
}

impl Written<'_> {
    fn problem(&self, path: &[&str], message: String) -> Problem {
        Problem::new(self.file, line_at(self.text, path), message)
    }

    fn moment(&self, path: &[&str], name: &str) -> Result<IncidentTime, Problem> {
        self.moments.get(name).copied().ok_or_else(|| {
            let problem = self.problem(path, format!("there is no moment \"{name}\""));
            problem.did_you_mean(name, self.moments.keys().map(String::as_str))
        })
    }

    fn names(&self, path: &[&str], names: BTreeMap<String, OneOrMore>) -> Result<Names, Problem> {
        let names: Names = names.into_iter().map(|(label, text)| (label, text.into())).collect();
        let key = |key| [path, &[key]].concat();
        for (label, values) in &names {
            if !LABELS.contains(&label.as_str()) {
                let problem = format!("nothing is told by a label \"{label}\"");
                return Err(self.problem(&key(label), problem).did_you_mean(label, LABELS));
            }
            if values.is_empty() {
                return Err(self.problem(&key(label), format!("\"{label}\" has no value")));
            }
        }
        if names.is_empty() {
            return Err(self.problem(path, "there is no label that names it".to_owned()));
        }
        Ok(names)
    }

    /// A cause and its decoys, or the first thing that is wrong with them.
    pub(super) fn cause(&self, cause: CauseText, decoys: Vec<DecoyText>) -> Result<Cause, Problem> {
        let at = self.moment(&["cause", "at"], &cause.at)?;
        let [from, to] = &cause.baseline;
        let way = ["cause", "baseline"];
        let baseline = Window { from: self.moment(&way, from)?, to: self.moment(&way, to)? };
        if baseline.from >= baseline.to || baseline.to > at {
            let message = "the baseline is no time before the cause begins".to_owned();
            return Err(self.problem(&way, message));
        }
        for outcome in &cause.outcomes {
            let known = ["timeout", "broken"].contains(&outcome.as_str());
            if !known && outcome.parse().is_ok_and(|status: u16| (400..600).contains(&status)) {
                continue;
            }
            if !known {
                let message = format!("no request ends with \"{outcome}\"");
                let problem = self.problem(&["cause", "outcomes"], message);
                return Err(problem.hint("a status from 400 to 599, \"timeout\" or \"broken\""));
            }
        }
        for name in &cause.lacks {
            if Safeguard::from_name(name).is_none() {
                let message = format!("there is no safeguard \"{name}\"");
                let problem = self.problem(&["cause", "lacks"], message);
                return Err(problem.did_you_mean(name, Safeguard::ALL.map(Safeguard::name)));
            }
        }
        let mut known = Vec::new();
        for (number, decoy) in decoys.into_iter().enumerate() {
            let number = number.to_string();
            let names = self.names(&["decoys", &number, "names"], decoy.names)?;
            known.push(Decoy { says: decoy.says, names });
        }
        Ok(Cause {
            names: self.names(&["cause", "names"], cause.names)?,
            says: cause.says,
            at,
            baseline,
            outcomes: cause.outcomes,
            lacks: cause.lacks,
            decoys: known,
        })
    }
}
