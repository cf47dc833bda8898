//! Whether a rule file is right, with the messages of Prometheus' `rulefmt`.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::parse_duration;
use super::file::{AlertingRule, Group, RecordingRule, Rule, RuleFile, RuleProblem};
use super::template::Template;
use super::within::within;
use super::yaml::{self, Place, Scalar, Texts};
use crate::labels::quote;
use crate::{METRIC_NAME, Query};

/// Turns what was read into rules, or into all problems in the file's order.
pub(super) fn check(
    name: &str,
    text: &str,
    file: &yaml::File,
) -> Result<RuleFile, Vec<RuleProblem>> {
    let mut checker = Checker { file: name, text, path: String::new(), problems: Vec::new() };
    checker.unknown(&file.unknown);
    let mut names = BTreeSet::new();
    let mut groups = Vec::new();
    for (index, group) in file.groups.iter().enumerate() {
        checker.path = format!("groups[{index}]");
        let own = group.name.as_ref().map_or("", |name| &name.text);
        if own.is_empty() {
            checker.problem(group.place, "", "Groupname must not be empty");
        } else if !names.insert(own) {
            let place = group.name.as_ref().map(|name| name.place);
            checker.problem(
                place,
                "name",
                &format!("groupname: {} is repeated in the same file", quote(own)),
            );
        }
        groups.push(checker.group(group));
    }
    let Checker { mut problems, .. } = checker;
    if problems.is_empty() {
        return Ok(RuleFile { name: name.to_owned(), groups });
    }
    problems.sort();
    Err(problems)
}

struct Checker<'f> {
    file: &'f str,
    text: &'f str,
    /// The group or rule that is being looked at.
    path: String,
    problems: Vec<RuleProblem>,
}

impl Checker<'_> {
    fn problem(&mut self, place: Option<Place>, key: &str, message: &str) {
        let separator = if key.is_empty() || self.path.is_empty() { "" } else { "." };
        self.problems.push(RuleProblem {
            file: self.file.to_owned(),
            line: place.map_or(0, |place| place.line),
            column: place.map_or(0, |place| place.column),
            path: format!("{}{separator}{key}", self.path),
            message: message.to_owned(),
        });
    }

    fn unknown(&mut self, unknown: &[yaml::Unknown]) {
        for found in unknown {
            let known = found.known.join(", ");
            let message = format!("field {} not found; known are: {known}", found.key.text);
            self.problem(Some(found.key.place), &found.key.text, &message);
        }
    }

    /// A duration in milliseconds.
    fn duration(&mut self, key: &str, scalar: Option<&Scalar>) -> Option<i64> {
        let scalar = scalar.filter(|scalar| !scalar.text.is_empty())?;
        match parse_duration(&scalar.text) {
            Ok(ms) => Some(ms),
            Err(message) => {
                self.problem(Some(scalar.place), key, &message);
                None
            }
        }
    }

    fn group(&mut self, group: &yaml::Group) -> Group {
        self.unknown(&group.unknown);
        let interval_ms = self.duration("interval", group.interval.as_ref()).filter(|ms| *ms > 0);
        let query_offset_ms =
            self.duration("query_offset", group.query_offset.as_ref()).unwrap_or(0);
        let limit = match group.limit.as_ref().filter(|limit| !limit.text.is_empty()) {
            None => 0,
            Some(limit) => match limit.text.parse::<i64>() {
                // Prometheus takes a negative limit for none.
                Ok(count) => usize::try_from(count).unwrap_or(0),
                Err(_) => {
                    self.problem(
                        Some(limit.place),
                        "limit",
                        &format!("not a whole number: {}", quote(&limit.text)),
                    );
                    0
                }
            },
        };
        self.label_names(&group.labels);
        let path = self.path.clone();
        let mut rules = Vec::new();
        for (index, rule) in group.rules.iter().enumerate() {
            self.path = format!("{path}.rules[{index}]");
            rules.extend(self.rule(rule, &group.labels));
        }
        let name = group.name.as_ref().map(|name| name.text.clone()).unwrap_or_default();
        Group {
            name,
            interval_ms,
            query_offset_ms,
            limit,
            rules,
            line: group.place.map_or(0, |place| place.line),
        }
    }

    fn rule(&mut self, rule: &yaml::Rule, group_labels: &Texts) -> Option<Rule> {
        self.unknown(&rule.unknown);
        let given =
            |scalar: &Option<Scalar>| scalar.clone().filter(|scalar| !scalar.text.is_empty());
        let query = self.query(rule);
        let for_ms = self.duration("for", rule.hold.as_ref()).unwrap_or(0);
        let keep_firing_for_ms =
            self.duration("keep_firing_for", rule.keep_firing_for.as_ref()).unwrap_or(0);
        self.label_names(&rule.labels);
        for (name, _) in &rule.annotations.0 {
            if !is_name(&name.text, false) {
                let key = format!("annotations.{}", name.text);
                self.problem(
                    Some(name.place),
                    &key,
                    &format!("invalid annotation name: {}", name.text),
                );
            }
        }
        let line = rule.place.map_or(0, |place| place.line);
        let all_labels = group_labels.0.iter().chain(&rule.labels.0);
        match (given(&rule.record), given(&rule.alert)) {
            (Some(_), Some(alert)) => {
                self.problem(
                    Some(alert.place),
                    "alert",
                    "only one of 'record' and 'alert' must be set",
                );
                None
            }
            (None, None) => {
                self.problem(rule.place, "", "one of 'record' or 'alert' must be set");
                None
            }
            (Some(record), None) => {
                self.recording(&record, rule);
                let labels = all_labels
                    .map(|(name, value)| (name.text.clone(), value.text.clone()))
                    .collect();
                Some(Rule::Record(RecordingRule { name: record.text, query: query?, labels, line }))
            }
            (None, Some(alert)) => {
                let labels = self.templates(&alert.text, "label", all_labels);
                let annotations =
                    self.templates(&alert.text, "annotation", rule.annotations.0.iter());
                let query = query?;
                let name = alert.text;
                Some(Rule::Alert(AlertingRule {
                    name,
                    query,
                    for_ms,
                    keep_firing_for_ms,
                    labels,
                    annotations,
                    line,
                }))
            }
        }
    }

    /// What a recording rule must not have.
    fn recording(&mut self, record: &Scalar, rule: &yaml::Rule) {
        let annotations = rule.annotations.0.first().map(|(name, _)| name.place);
        let lasting = |scalar: &Option<Scalar>| {
            let scalar = scalar.as_ref()?;
            parse_duration(&scalar.text).is_ok_and(|ms| ms != 0).then_some(scalar.place)
        };
        for (key, place) in [
            ("annotations", annotations),
            ("for", lasting(&rule.hold)),
            ("keep_firing_for", lasting(&rule.keep_firing_for)),
        ] {
            if place.is_some() {
                self.problem(place, key, &format!("invalid field '{key}' in recording rule"));
            }
        }
        if !is_name(&record.text, true) {
            self.problem(
                Some(record.place),
                "record",
                &format!("invalid recording rule name: {}", record.text),
            );
        }
    }

    fn query(&mut self, rule: &yaml::Rule) -> Option<Query> {
        let Some(expr) = rule.expr.as_ref().filter(|expr| !expr.text.is_empty()) else {
            let place = rule.expr.as_ref().map(|expr| expr.place).or(rule.place);
            self.problem(place, "expr", "field 'expr' must be set in rule");
            return None;
        };
        match Query::parse(&expr.text) {
            Ok(query) => Some(query),
            Err(error) => {
                let place =
                    error.offset.map_or(expr.place, |offset| within(self.text, expr, offset));
                self.problem(
                    Some(place),
                    "expr",
                    &format!("could not parse expression: {}", error.message),
                );
                None
            }
        }
    }

    fn label_names(&mut self, labels: &Texts) {
        for (name, _) in &labels.0 {
            if !is_name(&name.text, false) || name.text == METRIC_NAME {
                let key = format!("labels.{}", name.text);
                self.problem(Some(name.place), &key, &format!("invalid label name: {}", name.text));
            }
        }
    }

    /// Parses templates by name; of two with one name the later counts, so a rule's labels go before its group's.
    fn templates<'t>(
        &mut self,
        alert: &str,
        kind: &str,
        texts: impl Iterator<Item = &'t (Scalar, Scalar)>,
    ) -> BTreeMap<String, Template> {
        let mut parsed = BTreeMap::new();
        for (name, value) in texts {
            match Template::parse(alert, &value.text) {
                Ok(template) => {
                    parsed.insert(name.text.clone(), template);
                }
                Err(error) => {
                    let place = within(self.text, value, error.offset);
                    let message = format!("{kind} {}: {}", quote(&name.text), error.message);
                    self.problem(Some(place), &format!("{kind}s.{}", name.text), &message);
                }
            }
        }
        parsed
    }
}

/// Whether a text is a name of the classic data model: of a metric (which may have colons) or of a label.
fn is_name(text: &str, colons: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(fits)
}
