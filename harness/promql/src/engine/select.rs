//! Selectors: which series, and which of their samples.

use super::cache::Selected;
use super::eval::Evaluator;
use super::subquery::Assembled;
use super::{Dialect, EvalError, RangeSeries, Sample};
use crate::TimestampMs;
use crate::database::{Series, is_stale};
use crate::labels::{Labels, METRIC_NAME};
use crate::query::plan::{Expr, Selection};

/// The samples of one series within a range.
pub(super) struct Window<'w> {
    pub(super) labels: &'w Labels,
    /// The labels without the metric name.
    pub(super) bare: &'w Labels,
    pub(super) times: &'w [TimestampMs],
    pub(super) values: &'w [f64],
}

/// The range that a window covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: TimestampMs,
    pub(super) end: TimestampMs,
    pub(super) range_ms: i64,
}

impl Evaluator<'_> {
    /// The current sample of each series, as `pick` makes it of time and value.
    pub(super) fn select(
        &mut self,
        selection: &Selection,
        time: TimestampMs,
        pick: impl Fn(TimestampMs, f64) -> f64,
    ) -> Vec<Sample> {
        let mut vector = Vec::new();
        self.each_current(selection, time, |labels, time, value| {
            vector.push(Sample { labels: labels.clone(), value: pick(time, value) });
        });
        vector
    }

    /// Visits the current sample of each series that has one.
    pub(super) fn each_current(
        &mut self,
        selection: &Selection,
        time: TimestampMs,
        mut visit: impl FnMut(&Labels, TimestampMs, f64),
    ) {
        let reference = self.resolve(selection.moment, time);
        let oldest = reference - self.settings.lookback_ms + self.open_start();
        let selected = self.take_selected(selection);
        for id in &selected.ids {
            let series = self.database.get(*id);
            if let Some((time, value)) = series.current(reference, oldest) {
                visit(&series.labels, time, value);
            }
        }
        self.cache.node(selection.node).selected = selected;
    }

    /// 1 where a range excludes its start.
    pub(super) fn open_start(&self) -> i64 {
        i64::from(self.settings.dialect == Dialect::V3)
    }

    /// The range that an argument of type range vector covers.
    pub(super) fn span(&self, range: &Expr, time: TimestampMs) -> Result<Span, EvalError> {
        let (moment, range_ms) = match range {
            Expr::Range { selection, range_ms } => (selection.moment, *range_ms),
            Expr::Subquery(subquery) => (subquery.moment, subquery.range_ms),
            _ => return Err(EvalError::new("expected a range vector")),
        };
        let end = self.resolve(moment, time);
        Ok(Span { start: end - range_ms, end, range_ms })
    }

    /// Visits the windows that hold samples.
    pub(super) fn windows(
        &mut self,
        range: &Expr,
        time: TimestampMs,
        mut visit: impl FnMut(&Window<'_>),
    ) -> Result<(), EvalError> {
        let span = self.span(range, time)?;
        match range {
            Expr::Range { selection, .. } => {
                let selected = self.take_selected(selection);
                let after = span.start - 1 + self.open_start();
                let mut length = 0;
                let mut kept;
                for id in &selected.ids {
                    let series = self.database.get(*id);
                    let range = series.between(after, span.end, length);
                    length = range.len();
                    let (mut times, mut values) =
                        (&series.times[range.clone()], &series.values[range]);
                    if series.ended && values.iter().any(|value| is_stale(*value)) {
                        kept = without_markers(times, values);
                        (times, values) = (&kept.0, &kept.1);
                    }
                    if !times.is_empty() {
                        visit(&Window {
                            labels: &series.labels,
                            bare: &series.bare,
                            times,
                            values,
                        });
                    }
                }
                self.cache.node(selection.node).selected = selected;
            }
            Expr::Subquery(subquery) => {
                let assembled = self.subquery(subquery, time)?;
                let renamed = &mut self.cache.node(subquery.node).renamed;
                for (nth, (labels, Assembled { times, values })) in assembled.iter().enumerate() {
                    let bare = renamed.get(nth, labels, |labels| labels.without(METRIC_NAME));
                    visit(&Window { labels, bare: &bare, times, values });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Evaluates an expression of type range vector.
    pub(super) fn matrix(
        &mut self,
        range: &Expr,
        time: TimestampMs,
    ) -> Result<Vec<RangeSeries>, EvalError> {
        let mut matrix = Vec::new();
        self.windows(range, time, |window| {
            let points = window.times.iter().copied().zip(window.values.iter().copied()).collect();
            matrix.push(RangeSeries { labels: window.labels.clone(), points });
        })?;
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(matrix)
    }

    /// Takes the selected series out of the cache, brought up to date; whoever takes them puts them back.
    fn take_selected(&mut self, selection: &Selection) -> Selected {
        let mut selected = std::mem::take(&mut self.cache.node(selection.node).selected);
        if selected.database != Some(self.database.identity()) {
            selected = Selected { database: Some(self.database.identity()), ..Selected::default() };
        }
        let accepts = |labels: &Labels| {
            selection
                .matchers
                .iter()
                .all(|matcher| matcher.accepts(labels.get(&matcher.label).unwrap_or_default()))
        };
        if let Some(metric) = &selection.metric {
            let ids = self.database.ids(metric);
            selected.ids.extend(
                ids[selected.seen..].iter().filter(|id| accepts(self.database.labels(**id))),
            );
            selected.seen = ids.len();
        } else {
            for id in self.database.ids_from(selected.seen) {
                if accepts(self.database.labels(id)) {
                    selected.ids.push(id);
                }
                selected.seen += 1;
            }
        }
        selected
    }
}

fn without_markers(times: &[TimestampMs], values: &[f64]) -> (Vec<TimestampMs>, Vec<f64>) {
    times.iter().copied().zip(values.iter().copied()).filter(|(_, value)| !is_stale(*value)).unzip()
}

impl Series {
    /// The newest sample at or before `reference`, if it is not older than `oldest` and the series has not ended.
    fn current(&self, reference: TimestampMs, oldest: TimestampMs) -> Option<(TimestampMs, f64)> {
        let at = self.first_after(reference).checked_sub(1)?;
        let (time, value) = (self.times[at], self.values[at]);
        (time >= oldest && !is_stale(value)).then_some((time, value))
    }
}
