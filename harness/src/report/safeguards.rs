//! Safeguards and incidents, as text and as Markdown.

use std::fmt::Write as _;

use kv_node::safeguards::Safeguard;

use super::text::columns;
use crate::ablation::matrix::{Cell, Line, Matrix};
use crate::ablation::{Ablation, Role, Study};
use crate::impact::{Impact, UNIT};

/// The table for a terminal.
pub fn matrix(matrix: &Matrix) -> String {
    let mut out = columns(&table(matrix, mark));
    out.push('\n');
    out.push_str(&legend(matrix));
    out
}

/// The table for a page.
pub fn matrix_markdown(matrix: &Matrix) -> String {
    let lines = table(matrix, told);
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {} |", line.join(" | "));
        if at == 0 {
            let _ = writeln!(out, "|{}", "---|".repeat(line.len()));
        }
    }
    out
}

fn table(matrix: &Matrix, cell: fn(&Cell) -> String) -> Vec<Vec<String>> {
    let mut heads = vec!["safeguard".to_owned(), "level".to_owned()];
    heads.extend(matrix.incidents.keys().cloned());
    let line = |line: &Line| {
        let mut cells = vec![line.safeguard.name().to_owned(), line.level.name().to_owned()];
        cells.extend(line.cells.values().map(cell));
        cells
    };
    std::iter::once(heads).chain(matrix.lines.iter().map(line)).collect()
}

/// One word and two numbers, for a narrow column.
fn mark(cell: &Cell) -> String {
    match cell.saved {
        Some([minutes, failed]) => format!("{} {minutes}/{failed}", word(cell)),
        None => word(cell).to_owned(),
    }
}

/// The same for a page.
fn told(cell: &Cell) -> String {
    match cell.saved {
        Some([minutes, failed]) => format!("{}, {minutes} min, {failed}", word(cell)),
        None => word(cell).to_owned(),
    }
}

fn word(cell: &Cell) -> &'static str {
    match &cell.role {
        Some(Role::SoleGuard { .. }) => "sole",
        Some(Role::Redundant { .. }) => "redundant",
        Some(Role::NoPart | Role::NeverAsked) if cell.answers => "IDLE",
        Some(Role::NoPart | Role::NeverAsked) if cell.saved.is_some() => "saves",
        None if cell.answers => "answers",
        None if cell.lacked => "lacked",
        Some(Role::NoPart | Role::NeverAsked) | None => "",
    }
}

fn legend(matrix: &Matrix) -> String {
    let mut out = String::new();
    for (id, title) in &matrix.incidents {
        let title = if title.is_empty() { "no incident has this id" } else { title };
        let _ = writeln!(out, "   {id:<16} {title}");
    }
    out.push('\n');
    out.push_str(if matrix.findings.is_some() {
        "   sole: without it alone a hardened row falls. redundant: without it and others one does, that holds without the others.\n   \
         IDLE: neither, in the incident that it answers. Behind it minutes/failed requests that it alone would have saved.\n"
    } else {
        "   answers: made for this incident. lacked: what ran then did not have it either.\n   \
         `relapse ablate` finds out what each is good for.\n"
    });
    out
}

/// What a study found out, incident by incident.
pub fn ablation(ablation: &Ablation) -> String {
    let mut out = String::new();
    for (id, study) in &ablation.incidents {
        let _ = writeln!(out, "{id}: {}\n", study.title);
        out.push_str(&roles(study));
        out.push('\n');
        out.push_str(&layers(study));
        if let Some(saved) = &study.saved {
            let _ = writeln!(
                out,
                "\n   as it happened, {} min: {}\n   with all safeguards:    {}\n",
                saved.length_min,
                cost(&saved.bare),
                cost(&saved.guarded)
            );
        }
    }
    let _ = writeln!(out, "   {UNIT}");
    out
}

fn roles(study: &Study) -> String {
    let heads = ["safeguard", "level", "is", "falls", "saves alone, min", "failed"];
    let mut lines = vec![heads.map(str::to_owned)];
    let mut guards: Vec<Safeguard> = study.guards().collect();
    guards.sort_by_key(|safeguard| safeguard.level());
    for safeguard in guards {
        let (is, falls) = match &study.roles[&safeguard] {
            Role::SoleGuard { falls } => ("sole guard".to_owned(), falls.join(", ")),
            Role::Redundant { with, falls } => {
                let with: Vec<&str> = with.iter().map(|other| other.name()).collect();
                (format!("redundant with {}", with.join(", ")), falls.join(", "))
            }
            Role::NoPart | Role::NeverAsked => {
                ("one that would have helped".to_owned(), String::new())
            }
        };
        let saved = study.saves(safeguard);
        let [minutes, failed] =
            saved.map_or([String::new(), String::new()], |saved| saved.map(|n| n.to_string()));
        let (name, level) = (safeguard.name().to_owned(), safeguard.level().name().to_owned());
        lines.push([name, level, is, falls, minutes, failed]);
    }
    columns(&lines)
}

fn layers(study: &Study) -> String {
    let mut lines = vec![["one level alone", "falls", "minutes", "failed"].map(str::to_owned)];
    for (level, layer) in &study.layers {
        let falls =
            if layer.falls.is_empty() { "nothing".to_owned() } else { layer.falls.join(", ") };
        let cost = layer.impact.map_or([String::new(), String::new()], |impact| {
            [impact.minutes, impact.failed].map(|number| number.to_string())
        });
        let [minutes, failed] = cost;
        lines.push([level.name().to_owned(), falls, minutes, failed]);
    }
    columns(&lines)
}

fn cost(impact: &Impact) -> String {
    let Impact { requests, failed, minutes } = impact;
    format!("{minutes} minutes, {failed} of {requests} requests failed")
}
