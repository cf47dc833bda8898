//! One dashboard's file.

use std::path::Path;

use serde_json::Value;

use super::lines::Lines;
use super::{fill, read};
use crate::spec::problem::Problem;

/// A dashboard as it was read.
#[derive(Clone, Debug)]
pub(super) struct Board {
    pub(super) file: String,
    pub(super) value: Value,
    lines: Lines,
}

/// Something in a dashboard, with the way to it.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    pub(super) value: &'a Value,
    pub(super) way: String,
}

/// A variable that queries of a dashboard may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    /// Whether it may stand for many values at once, so that only a pattern fits it.
    pub(super) many: bool,
    /// The selector and the label whose values it has.
    pub(super) values: Option<(String, String)>,
}

impl<'a> Part<'a> {
    /// A member; null where there is none.
    pub(super) fn get(&self, name: &str) -> Part<'a> {
        Part { value: &self.value[name], way: format!("{}/{name}", self.way) }
    }

    /// The elements of an array; none where it is none.
    pub(super) fn each(&self) -> Vec<Part<'a>> {
        let elements = self.value.as_array().into_iter().flatten().enumerate();
        elements.map(|(at, value)| Part { value, way: format!("{}/{at}", self.way) }).collect()
    }

    /// Its text; nothing where it is none.
    pub(super) fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    /// A member's text; nothing where there is none.
    pub(super) fn text_of(&self, name: &str) -> &'a str {
        self.get(name).text()
    }
}

impl Board {
    pub(super) fn read(root: &Path, file: &str) -> Result<Self, Problem> {
        let text = read(root, file)?;
        let value = serde_json::from_str(&text)
            .map_err(|error| Problem::new(file, error.line(), format!("no JSON: {error}")))?;
        Ok(Self { file: file.to_owned(), value, lines: Lines::of(&text) })
    }

    /// A problem with a part of it.
    pub(super) fn problem(&self, part: &Part<'_>, message: impl Into<String>) -> Problem {
        Problem::new(&*self.file, self.lines.line(&part.way), message)
    }

    pub(super) fn whole(&self) -> Part<'_> {
        Part { value: &self.value, way: String::new() }
    }

    /// Its panels, each list of them by itself: those of the dashboard, and those in each row that is folded.
    pub(super) fn lists(&self) -> Vec<Vec<Part<'_>>> {
        let top = self.whole().get("panels").each();
        let folded: Vec<_> = top.iter().map(|panel| panel.get("panels").each()).collect();
        std::iter::once(top).chain(folded.into_iter().filter(|list| !list.is_empty())).collect()
    }

    /// All its panels.
    pub(super) fn panels(&self) -> Vec<Part<'_>> {
        self.lists().into_iter().flatten().collect()
    }

    /// Its panels' queries, each with its panel.
    pub(super) fn targets(&self) -> Vec<(Part<'_>, Part<'_>)> {
        let mut targets = Vec::new();
        for panel in self.panels() {
            let own = panel.get("targets").each();
            targets.extend(own.into_iter().map(|target| (panel.clone(), target)));
        }
        targets
    }

    pub(super) fn annotations(&self) -> Vec<Part<'_>> {
        // Grafana's own annotations are no query.
        let mut all = self.whole().get("annotations").get("list").each();
        all.retain(|one| one.value["builtIn"] != 1);
        all
    }

    pub(super) fn templating(&self) -> Vec<Part<'_>> {
        self.whole().get("templating").get("list").each()
    }

    pub(super) fn variables(&self) -> Vec<Variable> {
        let variable = |part: &Part<'_>| {
            let flag = |name: &str| part.value[name] == true;
            Variable {
                name: part.text_of("name").to_owned(),
                many: flag("multi") || flag("includeAll"),
                values: fill::label_values(variable_query(part).text()),
            }
        };
        self.templating().iter().map(variable).collect()
    }
}

/// The query of a variable: Grafana writes it as a text, or as an object that has it.
pub(super) fn variable_query<'a>(variable: &Part<'a>) -> Part<'a> {
    let query = variable.get("query");
    if query.value.is_object() { query.get("query") } else { query }
}
