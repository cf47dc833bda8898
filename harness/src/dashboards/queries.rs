//! What the queries of a dashboard ask for.

use promql::{LabelNames, Query};

use super::board::{Board, Part, Variable, variable_query};
use super::fill::{self, ANY, Wrong, fill};
use super::names::Names;
use crate::spec::problem::Problem;

/// What is wrong with the queries of a dashboard's panels, annotations and variables.
pub(super) fn check(board: &Board, names: &Names) -> Vec<Problem> {
    let variables = board.variables();
    let mut problems = Vec::new();
    for (panel, target) in board.targets() {
        let before = format!("panel \"{}\": ", panel.text_of("title"));
        let (labels, wrong) = query(board, names, (&target.get("expr"), &before), &variables);
        problems.extend(wrong);
        problems.extend(legend(board, &target.get("legendFormat"), &before, &labels));
    }
    for one in board.annotations() {
        let before = format!("annotation \"{}\": ", one.text_of("name"));
        let (labels, wrong) = query(board, names, (&one.get("expr"), &before), &variables);
        problems.extend(wrong);
        for format in ["titleFormat", "textFormat"] {
            problems.extend(legend(board, &one.get(format), &before, &labels));
        }
    }
    for variable in board.templating().iter().filter(|one| one.text_of("type") == "query") {
        problems.extend(values(board, names, variable, &variables));
    }
    problems
}

/// What is wrong with one query, and the labels that its result can have.
fn query(
    board: &Board,
    names: &Names,
    (part, before): (&Part<'_>, &str),
    variables: &[Variable],
) -> (LabelNames, Vec<Problem>) {
    let at = board.problem(part, before);
    let say = |message: String| Problem { message: format!("{before}{message}"), ..at.clone() };
    if part.text().is_empty() {
        return (None, vec![say("there is no query".to_owned())]);
    }
    let filled = match fill(part.text(), variables, &|_| ANY.to_owned()) {
        Ok(filled) => filled,
        Err(Wrong::Unknown(name)) => {
            let known = variables.iter().map(|variable| variable.name.as_str());
            let problem = say(format!("there is no variable \"{name}\""));
            return (None, vec![problem.did_you_mean(&name, known)]);
        }
        Err(Wrong::Compared(name)) => {
            let problem = say(format!("${name} may stand for many values"));
            return (None, vec![problem.hint(format!("=~\"${name}\""))]);
        }
    };
    match Query::parse(&filled) {
        Err(error) => (None, vec![say(format!("no query: {error}"))]),
        Ok(query) => names.check(&at, &query),
    }
}

/// Labels that a legend shows and that no series of its query has.
fn legend(board: &Board, part: &Part<'_>, before: &str, labels: &LabelNames) -> Vec<Problem> {
    let Some(known) = labels else { return Vec::new() };
    let shown = part.text().split("{{").skip(1).filter_map(|after| after.split_once("}}"));
    let unknown = shown
        .map(|(label, _)| label.trim())
        .filter(|label| !known.contains(*label) && *label != "__name__");
    unknown
        .map(|label| {
            let message = format!("{before}its text shows a label \"{label}\" that no series has");
            board.problem(part, message).did_you_mean(label, known.iter().map(String::as_str))
        })
        .collect()
}

/// What is wrong with the query of a variable.
fn values(
    board: &Board,
    names: &Names,
    variable: &Part<'_>,
    variables: &[Variable],
) -> Vec<Problem> {
    let part = variable_query(variable);
    let before = format!("variable \"{}\": ", variable.text_of("name"));
    let at = board.problem(&part, &*before);
    let say = |message: String| Problem { message: format!("{before}{message}"), ..at.clone() };
    let Some((selector, label)) = fill::label_values(part.text()) else {
        return vec![say("no query".to_owned()).hint("label_values(metric, label)")];
    };
    // A label that the selector's series lack is found as one that they cannot be grouped by.
    let grouped = format!("group by ({label}) ({selector})");
    let filled = fill(&grouped, variables, &|_| ANY.to_owned()).unwrap_or(grouped);
    match Query::parse(&filled) {
        Err(error) => vec![say(format!("no query: {error}"))],
        Ok(query) => names.check(&at, &query).1,
    }
}
