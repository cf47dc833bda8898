//! Rule files and runbooks.

use std::collections::BTreeSet;
use std::path::Path;

use promql::LabelNames;
use promql::rules::{AlertingRule, Rule, RuleFile};

use super::names::Names;
use super::{files, read};
use crate::alerts::RuleText;
use crate::judge::detection::{DETECTOR, DETECTORS};
use crate::spec::problem::Problem;

pub(super) const RULES: &str = "dashboards/prometheus/rules";
const RUNBOOKS: &str = "dashboards/runbooks";
const SEVERITIES: [&str; 2] = ["page", "ticket"];

/// Rule files as they were read, and parsed where they can be.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) texts: Vec<RuleText>,
    pub(super) files: Vec<RuleFile>,
}

/// Reads every rule file, and tells what does not parse.
pub(super) fn read_rules(root: &Path) -> (Rules, Vec<Problem>) {
    let (mut rules, mut problems) = (Rules::default(), Vec::new());
    for file in files(root, RULES, "yml") {
        let text = match read(root, &file) {
            Ok(text) => text,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        match RuleFile::parse(&file, &text) {
            Ok(parsed) => rules.files.push(parsed),
            Err(wrong) => problems.extend(wrong.iter().map(|wrong| {
                let way =
                    if wrong.path.is_empty() { String::new() } else { format!("{}: ", wrong.path) };
                Problem::new(&*file, wrong.line, format!("{way}{}", wrong.message))
            })),
        }
        rules.texts.push(RuleText { file, text });
    }
    (rules, problems)
}

/// What is wrong with the rules, and with the runbooks that belong to them.
pub(super) fn check(root: &Path, rules: &Rules, names: &Names) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut runbooks: BTreeSet<String> = BTreeSet::new();
    for file in &rules.files {
        for rule in file.groups.iter().flat_map(|group| &group.rules) {
            let at = Problem::new(&*file.name, rule.line(), format!("{}: ", rule.name()));
            let (labels, wrong) = names.check(&at, rule.query());
            problems.extend(wrong);
            if let Rule::Alert(alert) = rule {
                problems.extend(alert_problems(root, &at, alert));
                problems.extend(unknown_in_templates(&at, alert, &labels));
                runbooks.extend(annotation(alert, "runbook_url").map(str::to_owned));
            }
        }
    }
    // Of a file that does not parse it is not known which runbooks belong to it.
    if rules.files.len() == rules.texts.len() {
        let unused =
            files(root, RUNBOOKS, "md").into_iter().filter(|file| !runbooks.contains(file));
        problems.extend(unused.map(|file| Problem::new(file, 0, "no alert names this runbook")));
    }
    problems
}

fn annotation<'a>(alert: &'a AlertingRule, name: &str) -> Option<&'a str> {
    alert.annotations.get(name).map(|text| text.text().trim()).filter(|text| !text.is_empty())
}

/// What on-call needs of an alert and does not get.
fn alert_problems(root: &Path, at: &Problem, alert: &AlertingRule) -> Vec<Problem> {
    let say =
        |message: String| Problem { message: format!("{}{message}", at.message), ..at.clone() };
    let mut problems = Vec::new();
    let severity = alert.labels.get("severity").map_or("", |severity| severity.text());
    if severity.is_empty() {
        problems.push(say("this alert has no severity".to_owned()).hint("page or ticket"));
    } else if !SEVERITIES.contains(&severity) {
        let problem = say(format!("there is no severity \"{severity}\""));
        problems.push(problem.did_you_mean(severity, SEVERITIES));
    }
    for name in ["summary", "description"] {
        if annotation(alert, name).is_none() {
            problems.push(say(format!("this alert has no {name}")));
        }
    }
    if let Some(detector) = annotation(alert, DETECTOR)
        && !DETECTORS.iter().any(|(name, _)| *name == detector)
    {
        let problem = say(format!("there is no detector \"{detector}\""));
        problems.push(problem.did_you_mean(detector, DETECTORS.map(|(name, _)| name)));
    }
    match annotation(alert, "runbook_url") {
        None => {
            let hint = format!("runbook_url: {RUNBOOKS}/{}.md", alert.name);
            problems.push(say("this alert has no runbook_url".to_owned()).hint(hint));
        }
        Some(runbook) if !root.join(runbook).is_file() => {
            let problem = say(format!("there is no runbook {runbook}"));
            problems
                .push(problem.hint("write it: what it means, where to look first, what helped"));
        }
        Some(_) => {}
    }
    problems
}

/// Labels that a text shows and that no element of the alert's query can have.
fn unknown_in_templates(at: &Problem, alert: &AlertingRule, labels: &LabelNames) -> Vec<Problem> {
    let Some(known) = labels else { return Vec::new() };
    let mut shown: BTreeSet<&str> = BTreeSet::new();
    for template in alert.annotations.values().chain(alert.labels.values()) {
        for after in template.text().split("$labels.").skip(1) {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            shown.insert(&after[..end.unwrap_or(after.len())]);
        }
    }
    let unknown = shown.into_iter().filter(|label| !known.contains(*label));
    unknown
        .map(|label| {
            let message =
                format!("{}its texts show a label \"{label}\" that it never has", at.message);
            Problem { message, ..at.clone() }.did_you_mean(label, known.iter().map(String::as_str))
        })
        .collect()
}
