//! What a dashboard must have, whatever it shows.

use std::collections::BTreeMap;

use super::board::{Board, Part};
use crate::spec::problem::Problem;

/// Grafana 10's, which the provisioned server writes.
const SCHEMA: u64 = 39;
/// The columns of Grafana's grid.
const COLUMNS: u64 = 24;
/// How a datasource is named: by the variable, so that a dashboard fits any server.
const DATASOURCE: &str = "${datasource}";
/// The panels that show numbers, which need a unit.
const NUMBERS: [&str; 6] = ["timeseries", "stat", "table", "gauge", "bargauge", "heatmap"];

/// What is wrong with a dashboard but its queries.
pub(super) fn check(board: &Board) -> Vec<Problem> {
    let mut problems = head(board);
    for list in board.lists() {
        problems.extend(overlaps(board, &list));
    }
    let mut ids: BTreeMap<u64, &str> = BTreeMap::new();
    for panel in board.panels() {
        let title = panel.text_of("title");
        if title.is_empty() {
            problems.push(board.problem(&panel, "this panel has no title"));
        }
        match panel.value["id"].as_u64() {
            None => problems.push(board.problem(&panel, format!("panel \"{title}\" has no id"))),
            Some(id) => {
                if let Some(other) = ids.insert(id, title) {
                    let message = format!("panel \"{title}\" has the id {id}, as \"{other}\" does");
                    problems.push(board.problem(&panel.get("id"), message));
                }
            }
        }
        if !matches!(panel.text_of("type"), "row" | "text") {
            problems.extend(numbers(board, &panel));
        }
    }
    problems.extend(datasources(board));
    problems
}

fn head(board: &Board) -> Vec<Problem> {
    let whole = board.whole();
    let mut problems = Vec::new();
    let schema = whole.get("schemaVersion");
    if schema.value.as_u64().is_none_or(|version| version < SCHEMA) {
        let problem = board.problem(&schema, "the schemaVersion is too old");
        problems.push(problem.hint(format!("{SCHEMA} or later")));
    }
    for name in ["uid", "title"] {
        if whole.text_of(name).is_empty() {
            problems.push(board.problem(&whole.get(name), format!("this dashboard has no {name}")));
        }
    }
    if !board.templating().iter().any(|one| one.text_of("type") == "datasource") {
        let problem =
            board.problem(&whole.get("templating"), "there is no variable \"datasource\"");
        problems.push(problem.hint("a variable of type datasource with the query \"prometheus\""));
    }
    problems
}

/// What a panel that shows numbers needs to be understood.
fn numbers(board: &Board, panel: &Part<'_>) -> Vec<Problem> {
    let title = panel.text_of("title");
    let mut problems = Vec::new();
    let description = panel.get("description");
    if !description.text().trim_end().ends_with('?') {
        let message = format!("panel \"{title}\" does not say which question it answers");
        let problem = board.problem(&description, message);
        problems.push(problem.hint("a description that ends with a question mark"));
    }
    let unit = panel.get("fieldConfig").get("defaults").get("unit");
    if NUMBERS.contains(&panel.text_of("type")) && unit.text().is_empty() {
        let problem = board.problem(&unit, format!("panel \"{title}\" has no unit"));
        problems.push(problem.hint("fieldConfig.defaults.unit: reqps, percentunit, s, short"));
    }
    if panel.get("targets").each().is_empty() {
        problems.push(board.problem(panel, format!("panel \"{title}\" has no query")));
    }
    problems
}

/// Where a panel is on the grid: left, right, top, bottom.
fn place(panel: &Part<'_>) -> Option<[u64; 4]> {
    let at = |name: &str| panel.value["gridPos"][name].as_u64();
    let (x, y, w, h) = (at("x")?, at("y")?, at("w")?, at("h")?);
    (w > 0 && h > 0 && x + w <= COLUMNS).then_some([x, x + w, y, y + h])
}

/// Panels that cover each other, or that are not on the grid at all.
fn overlaps(board: &Board, panels: &[Part<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut placed: Vec<([u64; 4], &str)> = Vec::new();
    for panel in panels {
        let title = panel.text_of("title");
        let grid = panel.get("gridPos");
        let Some(here) = place(panel) else {
            let problem = board.problem(&grid, format!("panel \"{title}\" is not on the grid"));
            problems.push(problem.hint("gridPos with x, y, w, h, and x + w of at most 24"));
            continue;
        };
        let [left, right, top, bottom] = here;
        let covers = |other: &[u64; 4]| {
            left < other[1] && other[0] < right && top < other[3] && other[2] < bottom
        };
        if let Some((_, other)) = placed.iter().find(|(other, _)| covers(other)) {
            let message = format!("panel \"{title}\" overlaps \"{other}\"");
            problems.push(board.problem(&grid, message));
        }
        placed.push((here, title));
    }
    problems
}

/// Datasources that are not given by the variable.
fn datasources(board: &Board) -> Vec<Problem> {
    let mut asking = board.annotations();
    asking.extend(board.templating().into_iter().filter(|one| one.text_of("type") == "query"));
    for panel in board.panels() {
        if !matches!(panel.text_of("type"), "row" | "text") {
            asking.extend(panel.get("targets").each());
            asking.push(panel);
        }
    }
    let mut problems = Vec::new();
    for part in asking {
        let uid = part.get("datasource").get("uid");
        if uid.text() != DATASOURCE {
            let told = if uid.text().is_empty() { "missing" } else { uid.text() };
            let problem = board.problem(&uid, format!("the datasource is {told}"));
            problems.push(problem.hint(format!("\"uid\": \"{DATASOURCE}\"")));
        }
    }
    problems
}
