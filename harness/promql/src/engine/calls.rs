//! Function calls that return instant vectors.

use super::eval::Evaluator;
use super::{EvalError, Sample};
use super::{calendar, elementwise, math, sorting};
use crate::TimestampMs;
use crate::labels::{Labels, METRIC_NAME};
use crate::query::Function;
use crate::query::plan::{Call, Condition, Expr};

impl Evaluator<'_> {
    pub(super) fn call(
        &mut self,
        call: &Call,
        time: TimestampMs,
    ) -> Result<Vec<Sample>, EvalError> {
        match call.function {
            Function::Vector => {
                let value = self.scalar(&call.arguments[0], time)?;
                Ok(vec![Sample { labels: Labels::empty(), value }])
            }
            Function::Absent => {
                let found = !self.vector(&call.arguments[0], time)?.is_empty();
                Ok(absent(&call.arguments[0], found))
            }
            Function::AbsentOverTime => {
                let mut found = false;
                self.windows(&call.arguments[0], time, |_| found = true)?;
                Ok(absent(&call.arguments[0], found))
            }
            Function::Timestamp => self.timestamps(call, time),
            Function::LabelReplace => self.label_replace(call, time),
            Function::LabelJoin => self.label_join(call, time),
            Function::Sort
            | Function::SortDesc
            | Function::SortByLabel
            | Function::SortByLabelDesc => {
                let vector = self.vector(&call.arguments[0], time)?;
                sorting::sort(call, vector)
            }
            Function::HistogramQuantile | Function::HistogramFraction => self.histogram(call, time),
            Function::Clamp | Function::ClampMin | Function::ClampMax | Function::Round => {
                self.bounded(call, time)
            }
            function => match (elementwise::of(function), calendar::of(function)) {
                (Some(apply), _) => {
                    let vector = self.vector(&call.arguments[0], time)?;
                    self.map(call, vector, apply)
                }
                (None, Some(field)) => self.calendar(call, time, field),
                (None, None) => self.over_range(call, time),
            },
        }
    }

    /// Applies a function to each value; what comes out has no metric name.
    pub(super) fn map(
        &mut self,
        call: &Call,
        mut vector: Vec<Sample>,
        apply: impl Fn(f64) -> f64,
    ) -> Result<Vec<Sample>, EvalError> {
        for sample in &mut vector {
            sample.value = apply(sample.value);
        }
        self.drop_names(call.node, vector)
    }

    /// Only a selector's elements have times of their own.
    fn timestamps(&mut self, call: &Call, time: TimestampMs) -> Result<Vec<Sample>, EvalError> {
        if let Expr::Select(selection) = &call.arguments[0] {
            let vector = self.select(selection, time, |time, _| math::seconds(time));
            return self.drop_names(call.node, vector);
        }
        let vector = self.vector(&call.arguments[0], time)?;
        self.map(call, vector, |_| math::seconds(time))
    }

    fn bounded(&mut self, call: &Call, time: TimestampMs) -> Result<Vec<Sample>, EvalError> {
        let vector = self.vector(&call.arguments[0], time)?;
        let mut limits = [1.0, 0.0];
        for (limit, argument) in limits.iter_mut().zip(&call.arguments[1..]) {
            *limit = self.scalar(argument, time)?;
        }
        let [first, second] = limits;
        match call.function {
            Function::Round => {
                // Prometheus inverts, which is more exact for steps like 0.1.
                let inverse = 1.0 / first;
                self.map(call, vector, |value| (value * inverse + 0.5).floor() / inverse)
            }
            Function::Clamp if second < first => Ok(Vec::new()),
            Function::Clamp => {
                self.map(call, vector, |value| math::max(first, math::min(second, value)))
            }
            Function::ClampMin => self.map(call, vector, |value| math::max(first, value)),
            _ => self.map(call, vector, |value| math::min(first, value)),
        }
    }

    fn calendar(
        &mut self,
        call: &Call,
        time: TimestampMs,
        field: fn(calendar::Moment) -> i64,
    ) -> Result<Vec<Sample>, EvalError> {
        if let Some(argument) = call.arguments.first() {
            let vector = self.vector(argument, time)?;
            return self.map(call, vector, |value| calendar::of_seconds(value, field));
        }
        let value = calendar::of_seconds((math::seconds(time)).floor(), field);
        Ok(vec![Sample { labels: Labels::empty(), value }])
    }
}

/// One element if nothing was found, with the labels that the selector requires by equality, each once.
fn absent(argument: &Expr, found: bool) -> Vec<Sample> {
    if found {
        return Vec::new();
    }
    let mut labels = Labels::empty();
    if let Expr::Select(selection) | Expr::Range { selection, .. } = argument {
        let mut seen: Vec<&str> = Vec::new();
        for matcher in selection.matchers.iter().filter(|matcher| matcher.label != METRIC_NAME) {
            if matches!(matcher.condition, Condition::Equal)
                && !seen.contains(&matcher.label.as_str())
            {
                labels = labels.with(&matcher.label, &matcher.value);
                seen.push(&matcher.label);
            } else {
                labels = labels.without(&matcher.label);
            }
        }
    }
    vec![Sample { labels, value: 1.0 }]
}
