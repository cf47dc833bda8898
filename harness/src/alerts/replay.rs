//! Rules over a recording, and a recording as a database that queries can be asked of.

use std::collections::BTreeSet;

use promql::{Database, SeriesId, Settings};

use super::{Evaluation, Moment, RuleText, row, settings};
use crate::recording::series::Samples;
use crate::recording::{AlertRow, Scrapes};

/// One series of a recording on its way into an evaluation.
struct Cursor<'a> {
    samples: std::iter::Peekable<Samples<'a>>,
    labels: &'a promql::Labels,
    id: Option<SeriesId>,
    present: bool,
}

/// What rules make of what was scraped, with the rules that failed.
pub fn replay(scrapes: &Scrapes, rules: &[RuleText]) -> (Vec<AlertRow>, Vec<String>) {
    replay_as(scrapes, rules, settings())
}

/// The same with other settings than the monitor's, such as another dialect.
pub fn replay_as(
    scrapes: &Scrapes,
    rules: &[RuleText],
    settings: Settings,
) -> (Vec<AlertRow>, Vec<String>) {
    feed(scrapes, &mut Evaluation::with(rules, settings))
}

/// The same where groups are evaluated at other moments than the monitor's: those of a server that watched too.
pub fn replay_at(scrapes: &Scrapes, rules: &[RuleText], moments: &[Moment]) -> Vec<AlertRow> {
    let mut evaluation = Evaluation::new(rules);
    evaluation.shift(moments);
    feed(scrapes, &mut evaluation).0
}

/// What rules wrote over a recording, with every sample of it and of the metrics in `names`, and with the rules that failed.
/// Of what else rules look at, only the end is there.
pub fn replayed(
    scrapes: &Scrapes,
    rules: &[RuleText],
    names: BTreeSet<String>,
) -> (Database, Vec<String>) {
    let mut evaluation = Evaluation::new(rules);
    evaluation.keep(names);
    let (_, failures) = feed(scrapes, &mut evaluation);
    (evaluation.database, failures)
}

/// Feeds a recording round by round to an evaluation: alerts that changed their state, and rules that failed.
fn feed(scrapes: &Scrapes, evaluation: &mut Evaluation) -> (Vec<AlertRow>, Vec<String>) {
    let mut cursors: Vec<Cursor<'_>> = scrapes
        .series
        .iter()
        .filter(|series| evaluation.wants(&series.labels))
        .map(|series| Cursor {
            samples: series.samples().peekable(),
            labels: &series.labels,
            id: None,
            present: false,
        })
        .collect();
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for round in 0..scrapes.rounds {
        let at = scrapes.round_ms(round);
        for cursor in &mut cursors {
            match cursor.samples.next_if(|(taken, _)| *taken == round) {
                Some((_, value)) => {
                    let id = *cursor.id.get_or_insert_with(|| evaluation.series(cursor.labels));
                    evaluation.append(id, at, value);
                    cursor.present = true;
                }
                None if cursor.present => {
                    cursor.present = false;
                    if let Some(id) = cursor.id {
                        evaluation.mark_stale(id, at);
                    }
                }
                None => {}
            }
        }
        let evaluated = evaluation.evaluate(at);
        rows.extend(evaluated.transitions.iter().map(row));
        failures.extend(evaluated.failures);
    }
    (rows, failures)
}

/// The whole of some metrics as a database; of all of them where `names` is none.
pub fn database(scrapes: &Scrapes, names: Option<&BTreeSet<String>>) -> Database {
    let mut database = Database::new();
    for series in &scrapes.series {
        let wanted = |names: &BTreeSet<String>| {
            series.labels.metric().is_some_and(|metric| names.contains(metric))
        };
        if !names.is_none_or(wanted) {
            continue;
        }
        let id = database.series(&series.labels);
        let mut last = None;
        for (round, value) in series.samples() {
            if let Some(last) = last
                && round > last + 1
            {
                database.mark_stale(id, scrapes.round_ms(last + 1));
            }
            database.append(id, scrapes.round_ms(round), value);
            last = Some(round);
        }
        if let Some(last) = last
            && last + 1 < scrapes.rounds
        {
            database.mark_stale(id, scrapes.round_ms(last + 1));
        }
    }
    database
}
