//! What the panels show of a recording.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use promql::{Database, Engine, Query, TimestampMs};

use super::Dashboards;
use super::board::{Board, Part, Variable};
use super::fill::{ANY, fill, without_zero};
use crate::alerts;
use crate::recording::Scrapes;
use crate::spec::problem::Problem;

/// How far apart the moments are at which panels are looked at, in milliseconds: as far as Prometheus looks back for a sample,
/// so that no stretch of a gauge is passed over.
const STEP_MS: TimestampMs = 300_000;

/// What the panels show of a recording.
#[derive(Debug, Default)]
pub struct Shown {
    /// Panels and queries that show nothing.
    pub problems: Vec<Problem>,
    /// Queries that have nothing to show but the zero that they fall back to.
    pub zeros: Vec<Problem>,
}

/// What came of a query.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Nothing,
    Zero,
    Points,
}

/// A panel's query, with a text for each value of the variables that have one value at a time.
struct Asked<'a> {
    board: &'a Board,
    panel: Part<'a>,
    target: Part<'a>,
    texts: Vec<String>,
    outcome: Result<Outcome, String>,
}

impl Dashboards {
    /// Asks every panel's queries of a recording.
    pub fn over(&self, scrapes: &Scrapes) -> Shown {
        let written = alerts::written(&self.rules.files);
        // Queries that read the same metrics share a database. What rules write comes from one replay for all of them.
        let mut groups: BTreeMap<BTreeSet<String>, Vec<usize>> = BTreeMap::new();
        let mut replayed: (BTreeSet<String>, Vec<usize>) = Default::default();
        let mut asked = self.asked(scrapes);
        for (at, one) in asked.iter().enumerate() {
            let query = one.texts.first().and_then(|text| Query::parse(text).ok());
            let names = query.map(|query| query.metrics().names).unwrap_or_default();
            if names.is_disjoint(&written) {
                groups.entry(names).or_default().push(at);
            } else {
                replayed.0.extend(names);
                replayed.1.push(at);
            }
        }
        for (names, members) in &groups {
            let database = alerts::database(scrapes, Some(names));
            answer(&mut asked, members, &database, scrapes);
        }
        let (names, members) = replayed;
        let (database, failures) = alerts::replayed(scrapes, &self.rules.texts, names);
        answer(&mut asked, &members, &database, scrapes);
        let mut shown = shown(&asked);
        // A rule fails in the same way round after round.
        let failures: BTreeSet<String> = failures.into_iter().collect();
        shown.problems.extend(failures.into_iter().map(|failure| {
            Problem::new(super::rules::RULES, 0, format!("fails on this recording: {failure}"))
        }));
        shown
    }

    fn asked(&self, scrapes: &Scrapes) -> Vec<Asked<'_>> {
        let mut asked = Vec::new();
        for board in &self.boards {
            let variables = board.variables();
            let values: BTreeMap<&str, Vec<String>> = variables
                .iter()
                .filter(|variable| !variable.many)
                .map(|variable| (variable.name.as_str(), values(variable, scrapes)))
                .collect();
            let most = values.values().map(Vec::len).max().unwrap_or(0).max(1);
            for (panel, target) in board.targets() {
                let text = |at: usize| {
                    let value = |variable: &Variable| match values.get(variable.name.as_str()) {
                        Some(values) => values.iter().cycle().nth(at).cloned().unwrap_or_default(),
                        None => ANY.to_owned(),
                    };
                    fill(target.text_of("expr"), &variables, &value).ok()
                };
                let mut texts: Vec<String> = (0..most).filter_map(text).collect();
                texts.dedup();
                let outcome = Ok(Outcome::Nothing);
                asked.push(Asked { board, panel, target, texts, outcome });
            }
        }
        asked
    }
}

/// The moments of a recording at which panels are looked at.
fn span(scrapes: &Scrapes) -> RangeInclusive<TimestampMs> {
    scrapes.round_ms(0)..=scrapes.round_ms(scrapes.rounds.saturating_sub(1))
}

/// The values that a variable has in a recording.
fn values(variable: &Variable, scrapes: &Scrapes) -> Vec<String> {
    let Some((selector, label)) = &variable.values else { return Vec::new() };
    let Ok(query) = Query::parse(&format!("group by ({label}) ({selector})")) else {
        return Vec::new();
    };
    let database = alerts::database(scrapes, Some(&query.metrics().names));
    let engine = Engine::new(alerts::settings());
    let series = engine.range(&query, &database, span(scrapes), STEP_MS).unwrap_or_default();
    series.iter().filter_map(|one| Some(one.labels.get(label)?.to_owned())).collect()
}

/// Asks some of the queries of a database.
fn answer(asked: &mut [Asked<'_>], members: &[usize], database: &Database, scrapes: &Scrapes) {
    let engine = Engine::new(alerts::settings());
    let has_points = |text: &str| -> Result<bool, String> {
        let query = Query::parse(text).map_err(|error| error.to_string())?;
        let series = engine.range(&query, database, span(scrapes), STEP_MS);
        let series = series.map_err(|error| error.to_string())?;
        Ok(series.iter().flat_map(|one| &one.points).any(|(_, value)| !value.is_nan()))
    };
    let outcome = |text: &str| -> Result<Outcome, String> {
        let Some(own) = without_zero(text) else {
            return has_points(text)
                .map(|points| if points { Outcome::Points } else { Outcome::Nothing });
        };
        // The zero hides that a query has nothing to show; whether it is there is another question.
        match (has_points(own)?, has_points(text)?) {
            (true, _) => Ok(Outcome::Points),
            (false, true) => Ok(Outcome::Zero),
            (false, false) => Ok(Outcome::Nothing),
        }
    };
    for at in members {
        let one = &mut asked[*at];
        let mut best = Ok(Outcome::Nothing);
        for text in &one.texts {
            best = outcome(text).and_then(|outcome| Ok(outcome.max(best?)));
            if !matches!(best, Ok(Outcome::Nothing | Outcome::Zero)) {
                break;
            }
        }
        one.outcome = best;
    }
}

/// What is to be said of what came of all queries.
fn shown(asked: &[Asked<'_>]) -> Shown {
    let mut shown = Shown::default();
    for panel in asked.chunk_by(|a, b| a.board.file == b.board.file && a.panel.way == b.panel.way) {
        let title = panel[0].panel.text_of("title");
        let empty = |one: &&Asked<'_>| one.outcome == Ok(Outcome::Nothing);
        if panel.iter().all(|one| empty(&one)) {
            let message = format!("panel \"{title}\" has no data on this recording");
            shown.problems.push(panel[0].board.problem(&panel[0].target.get("expr"), message));
            continue;
        }
        for one in panel {
            let at = one.target.get("expr");
            let query = one.target.text_of("refId");
            match &one.outcome {
                Ok(Outcome::Points) => {}
                Ok(Outcome::Zero) => shown.zeros.push(one.board.problem(
                    &at,
                    format!(
                        "query {query} of panel \"{title}\" has only the zero for want of data"
                    ),
                )),
                Ok(Outcome::Nothing) => shown.problems.push(one.board.problem(
                    &at,
                    format!("query {query} of panel \"{title}\" has no data on this recording"),
                )),
                Err(error) => shown.problems.push(one.board.problem(
                    &at,
                    format!("query {query} of panel \"{title}\" fails on this recording: {error}"),
                )),
            }
        }
    }
    shown
}
