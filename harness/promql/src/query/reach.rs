//! Which samples a query may look at: how far back, and how far ahead.

use std::collections::BTreeMap;

use super::plan::{At, Expr, Moment, Selection};
use crate::engine::Settings;

/// How far before the evaluation time each selector looks. A time fixed by `@` cannot be told as a distance: the largest there is.
pub(super) fn reaches<'a>(
    expr: &'a Expr,
    settings: &Settings,
    before: i64,
    found: &mut Vec<(&'a Selection, i64)>,
) {
    match expr {
        Expr::Select(selection) => {
            found.push((selection, back(before, selection.moment, settings.lookback_ms)));
        }
        Expr::Range { selection, range_ms } => {
            found.push((selection, back(before, selection.moment, *range_ms)));
        }
        Expr::Subquery(subquery) => {
            let before = back(before, subquery.moment, subquery.range_ms);
            reaches(&subquery.inner, settings, before, found);
        }
        _ => {
            for part in expr.parts() {
                reaches(part, settings, before, found);
            }
        }
    }
}

fn back(before: i64, moment: Moment, more: i64) -> i64 {
    let own = moment.offset_ms.saturating_add(more);
    match moment.at {
        None => before.saturating_add(own),
        // For an instant query, start and end are the evaluation time, in a subquery too.
        Some(At::Start | At::End) => own,
        Some(At::Time(_)) => i64::MAX,
    }
}

/// The longest reach of each metric with a fixed name.
pub(super) fn by_metric(found: &[(&Selection, i64)]) -> BTreeMap<String, i64> {
    let mut longest = BTreeMap::new();
    for (selection, reach) in found {
        if let Some(metric) = &selection.metric {
            let known = longest.entry(metric.clone()).or_insert(0);
            *known = (*known).max(*reach);
        }
    }
    longest
}

/// How far after its evaluation time an expression looks, or nothing if it contains `@`.
pub(super) fn lookahead_ms(expr: &Expr) -> Option<i64> {
    let own = match expr {
        Expr::Select(selection) | Expr::Range { selection, .. } => selection.moment,
        Expr::Subquery(subquery) => subquery.moment,
        _ => Moment::default(),
    };
    if own.at.is_some() {
        return None;
    }
    let mut parts = 0;
    for part in expr.parts() {
        parts = lookahead_ms(part)?.max(parts);
    }
    Some(parts + (-own.offset_ms).max(0))
}
