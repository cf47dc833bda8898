//! `label_replace` and `label_join`.

use super::aggregate::is_label_name;
use super::eval::Evaluator;
use super::{EvalError, Sample};
use crate::TimestampMs;
use crate::labels::Labels;
use crate::query::plan::{Call, Expr};

impl Evaluator<'_> {
    pub(super) fn label_replace(
        &mut self,
        call: &Call,
        time: TimestampMs,
    ) -> Result<Vec<Sample>, EvalError> {
        let (target, replacement, source) = (text(call, 1)?, text(call, 2)?, text(call, 3)?);
        self.check_name(target, "destination", "label_replace")?;
        let Some(pattern) = &call.pattern else {
            return Err(EvalError::new("label_replace needs a regular expression"));
        };
        self.relabel(call, time, |labels| {
            let value = labels.get(source).unwrap_or_default();
            let Some(captures) = pattern.captures(value) else { return labels.clone() };
            let mut expanded = String::new();
            captures.expand(replacement, &mut expanded);
            labels.with(target, &expanded)
        })
    }

    pub(super) fn label_join(
        &mut self,
        call: &Call,
        time: TimestampMs,
    ) -> Result<Vec<Sample>, EvalError> {
        let (target, separator) = (text(call, 1)?, text(call, 2)?);
        let sources =
            (3..call.arguments.len()).map(|at| text(call, at)).collect::<Result<Vec<_>, _>>()?;
        for source in &sources {
            self.check_name(source, "source", "label_join")?;
        }
        self.check_name(target, "destination", "label_join")?;
        self.relabel(call, time, |labels| {
            let values: Vec<&str> =
                sources.iter().map(|source| labels.get(source).unwrap_or_default()).collect();
            labels.with(target, &values.join(separator))
        })
    }

    fn check_name(&self, name: &str, role: &str, function: &str) -> Result<(), EvalError> {
        if is_label_name(name, self.settings.dialect) {
            return Ok(());
        }
        Err(EvalError::new(format!("invalid {role} label name in {function}(): {name}")))
    }

    fn relabel(
        &mut self,
        call: &Call,
        time: TimestampMs,
        derive: impl Fn(&Labels) -> Labels,
    ) -> Result<Vec<Sample>, EvalError> {
        let mut vector = self.vector(&call.arguments[0], time)?;
        let cache = self.cache.node(call.node);
        for (nth, sample) in vector.iter_mut().enumerate() {
            sample.labels = cache.renamed.get(nth, &sample.labels, &derive);
        }
        cache.unique.check(&vector)?;
        Ok(vector)
    }
}

fn text(call: &Call, at: usize) -> Result<&str, EvalError> {
    match call.arguments.get(at) {
        Some(Expr::Text(text)) => Ok(text),
        _ => Err(EvalError::new("expected a string")),
    }
}
