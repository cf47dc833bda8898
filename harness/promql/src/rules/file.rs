//! Rule files: what they hold once they are known to be right.

use std::collections::BTreeMap;
use std::fmt;

use serde_saphyr::{MessageFormatter, UserMessageFormatter};

use super::template::Template;
use super::{check, yaml};
use crate::Query;

/// A rule file without problems.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// The name it was parsed under; groups of different files may have the same name.
    pub name: String,
    /// Its groups, in the file's order.
    pub groups: Vec<Group>,
}

/// Rules that are evaluated one after the other at the same time.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name, which no other group of the file has.
    pub name: String,
    /// Milliseconds between evaluations, if not the global ones.
    pub interval_ms: Option<i64>,
    /// How many milliseconds before the evaluation time its rules are evaluated.
    pub query_offset_ms: i64,
    /// How many series or alerts a rule may have; 0 for any number.
    pub limit: usize,
    /// Its rules, in the file's order.
    pub rules: Vec<Rule>,
    /// Where it begins in the file, from 1.
    pub line: usize,
}

/// A rule.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Writes what its query returns.
    Record(RecordingRule),
    /// Raises an alert for each element that its query returns.
    Alert(AlertingRule),
}

impl Rule {
    /// The name of the metric that it writes, or of its alert.
    pub fn name(&self) -> &str {
        match self {
            Self::Record(rule) => &rule.name,
            Self::Alert(rule) => &rule.name,
        }
    }

    /// What it evaluates.
    pub fn query(&self) -> &Query {
        match self {
            Self::Record(rule) => &rule.query,
            Self::Alert(rule) => &rule.query,
        }
    }

    /// Where it begins in the file, from 1.
    pub fn line(&self) -> usize {
        match self {
            Self::Record(rule) => rule.line,
            Self::Alert(rule) => rule.line,
        }
    }
}

/// A rule that writes what its query returns.
#[derive(Clone, Debug)]
pub struct RecordingRule {
    /// The metric that it writes.
    pub name: String,
    /// What it evaluates.
    pub query: Query,
    /// The labels that it sets, with those of its group; an empty value removes a label.
    pub labels: BTreeMap<String, String>,
    /// Where it begins in the file, from 1.
    pub line: usize,
}

/// A rule that raises alerts.
#[derive(Clone, Debug)]
pub struct AlertingRule {
    /// The alert's name.
    pub name: String,
    /// What it evaluates: each element of the result is an alert.
    pub query: Query,
    /// How many milliseconds an element must be there before its alert fires.
    pub for_ms: i64,
    /// How many milliseconds an alert keeps firing after its element is gone.
    pub keep_firing_for_ms: i64,
    /// The labels that it sets, with those of its group; an empty value removes a label.
    pub labels: BTreeMap<String, Template>,
    /// What alerts tell people.
    pub annotations: BTreeMap<String, Template>,
    /// Where it begins in the file, from 1.
    pub line: usize,
}

/// Something about a rule file that Prometheus would refuse.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct RuleProblem {
    /// The file's name.
    pub file: String,
    /// The line, from 1; 0 if unknown.
    pub line: usize,
    /// The column in characters, from 1; 0 if unknown.
    pub column: usize,
    /// The way to it, as `groups[0].rules[2].annotations.summary`.
    pub path: String,
    /// What is wrong, in Prometheus' words where it has some.
    pub message: String,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl RuleFile {
    /// Reads a rule file as a Prometheus server does when it starts. `name` is only used in messages and to order groups.
    ///
    /// Names of labels and metrics are those of the classic data model (letters, digits, underscores), because rules
    /// that need quotes for their names do not load on a 2.x server. Two rules of one group with the same name and labels
    /// are a problem here, while Prometheus only warns: their alerts cannot be told apart.
    ///
    /// # Errors
    /// All problems, in the file's order. A file that is not YAML, or whose values have the wrong form, has only the first.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<RuleProblem>> {
        // Prometheus takes an empty file for one without groups.
        let content = text
            .lines()
            .map(str::trim)
            .any(|line| !line.is_empty() && !line.starts_with('#') && line != "---");
        if !content {
            return Ok(Self { name: name.to_owned(), groups: Vec::new() });
        }
        match serde_saphyr::from_str::<yaml::File>(text) {
            Ok(file) => check::check(name, text, &file),
            Err(error) => {
                let place = error.location().map(yaml::Place::from);
                Err(vec![RuleProblem {
                    file: name.to_owned(),
                    line: place.map_or(0, |place| place.line),
                    column: place.map_or(0, |place| place.column),
                    path: String::new(),
                    message: UserMessageFormatter
                        .format_message(error.without_snippet())
                        .into_owned(),
                }])
            }
        }
    }
}
