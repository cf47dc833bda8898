//! The facts of an incident: `incidents/<folder>/truth.toml`.
//!
//! Moments, and numbered rows with their bounds. A bound stands here and nowhere else; a feature cites the row.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::cause::{Cause, CauseText, DecoyText, Written};
use super::expectation::{Basis, Bound, Check, Expectation, Window};
use super::measure::{Measure, WindowName};
use super::problem::{Problem, line_at, toml_problem};
use super::time::{self, IncidentTime};

/// One incident's facts.
#[derive(Clone, Debug)]
pub struct Truth {
    /// Its id, such as `2023-07-17`.
    pub incident: String,
    /// In a few words.
    pub title: String,
    /// Named moments. `start` is where a replay begins.
    pub moments: BTreeMap<String, IncidentTime>,
    /// Rows by id.
    pub rows: BTreeMap<String, Row>,
    /// What it came of, where that is said.
    pub cause: Option<Cause>,
}

/// A numbered claim.
#[derive(Clone, Debug)]
pub struct Row {
    /// In words.
    pub says: String,
    /// Its checks.
    pub checks: Vec<Check>,
    /// When the last of its windows ends.
    pub needs_until: IncidentTime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    incident: String,
    title: String,
    /// What the ids of sources stand for: for the reader.
    #[serde(rename = "sources")]
    _sources: BTreeMap<String, String>,
    moments: BTreeMap<String, Moment>,
    rows: BTreeMap<String, RowText>,
    cause: Option<CauseText>,
    #[serde(default)]
    decoys: Vec<DecoyText>,
    /// Figures that no row judges: for the reader.
    #[serde(rename = "figures", default)]
    _figures: BTreeMap<String, Figure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moment {
    at: String,
    #[serde(rename = "basis")]
    _basis: Basis,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Figure {
    #[serde(rename = "value")]
    _value: String,
    #[serde(rename = "basis")]
    _basis: Basis,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowText {
    says: String,
    #[serde(rename = "source")]
    _source: String,
    window: [String; 2],
    checks: Vec<CheckText>,
}

// Serde cannot flatten and deny unknown fields at once, so the measure has a table of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckText {
    of: Measure,
    min: Option<f64>,
    max: Option<f64>,
    basis: Basis,
    window: Option<[String; 2]>,
}

/// Reads and checks the facts of an incident.
pub fn read(file: &str, text: &str) -> Result<Truth, Vec<Problem>> {
    let parsed: File =
        toml::from_str(text).map_err(|error| vec![toml_problem(file, text, &error)])?;
    let mut problems = Vec::new();
    let mut moments = BTreeMap::new();
    for (name, moment) in parsed.moments {
        match time::parse(&moment.at) {
            Some(at) => {
                moments.insert(name, at);
            }
            None => problems.push(
                Problem::new(
                    file,
                    line_at(text, &["moments", &name]),
                    format!("\"{}\" is no moment", moment.at),
                )
                .hint("write it as 2023-07-17 21:52, in UTC"),
            ),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    if !moments.contains_key("start") {
        let line = line_at(text, &["moments"]);
        problems.push(Problem::new(
            file,
            line,
            "the moment \"start\" is missing: where a replay begins",
        ));
    }
    if parsed.cause.is_none() && !parsed.decoys.is_empty() {
        let line = line_at(text, &["decoys"]);
        problems.push(Problem::new(file, line, "there are decoys and no [cause]"));
    }
    let written = Written { file, text, moments: &moments };
    let cause = match parsed.cause.map(|cause| written.cause(cause, parsed.decoys)).transpose() {
        Ok(cause) => cause,
        Err(problem) => {
            problems.push(problem);
            return Err(problems);
        }
    };
    let mut rows = BTreeMap::new();
    for (id, row) in parsed.rows {
        let path = ["rows", id.as_str()];
        match compile(row, &moments, cause.as_ref()) {
            Ok(row) => {
                rows.insert(id, row);
            }
            Err(wrong) => {
                let problem = Problem::new(
                    file,
                    line_at(text, &path),
                    format!("row {id}: {}", wrong.message),
                );
                problems.push(match wrong.moment {
                    Some(name) => problem.did_you_mean(&name, moments.keys().map(String::as_str)),
                    None => problem,
                });
            }
        }
    }
    if problems.is_empty() {
        Ok(Truth { incident: parsed.incident, title: parsed.title, moments, rows, cause })
    } else {
        Err(problems)
    }
}

struct Wrong {
    message: String,
    moment: Option<String>,
}

fn compile(
    row: RowText,
    moments: &BTreeMap<String, IncidentTime>,
    cause: Option<&Cause>,
) -> Result<Row, Wrong> {
    let wrong = |message: &str| Wrong { message: message.to_owned(), moment: None };
    let moment = |name: &String| {
        moments.get(name).copied().ok_or_else(|| Wrong {
            message: format!("there is no moment \"{name}\""),
            moment: Some(name.clone()),
        })
    };
    let window = |names: &[String; 2]| -> Result<Window, Wrong> {
        let window = Window { from: moment(&names[0])?, to: moment(&names[1])? };
        if window.from < window.to {
            Ok(window)
        } else {
            Err(wrong("its window ends before it begins"))
        }
    };
    let mut checks = Vec::new();
    let mut needs_until = IncidentTime::default();
    for check in row.checks {
        let mut measure = check.of;
        if let Measure::ErrorShareAboveBaseline { baseline, .. } | Measure::StoreRush { baseline } =
            &mut measure
            && let WindowName::Named(names) = baseline
        {
            *baseline = WindowName::At(window(names)?);
        }
        if let Measure::SecondsToDiagnosis { cause: of } = &mut measure {
            let cause = cause.ok_or_else(|| wrong("there is no [cause] that could be named"))?;
            *of = Some(Box::new(cause.clone()));
        }
        let bound = Bound { min: check.min, max: check.max, ..Bound::default() };
        match (bound.min, bound.max) {
            (None, None) => return Err(wrong("a check has neither min nor max")),
            (Some(min), Some(max)) if min > max => {
                return Err(wrong("a check's min is above its max"));
            }
            _ => {}
        }
        let window = window(check.window.as_ref().unwrap_or(&row.window))?;
        needs_until = needs_until.max(window.to);
        checks.push(Check { measure, window, bound, basis: check.basis });
    }
    if checks.is_empty() {
        return Err(wrong("it has no checks"));
    }
    Ok(Row { says: row.says, checks, needs_until })
}

impl Row {
    /// The row as an expectation of the step at a line.
    pub fn expectation(&self, id: &str, line: usize) -> Expectation {
        Expectation {
            title: id.to_owned(),
            says: self.says.clone(),
            line,
            checks: self.checks.clone(),
        }
    }
}
