//! The walk over a query's plan.

use super::cache::QueryCache;
use super::{EvalError, Settings};
use super::{Sample, binary, math};
use crate::TimestampMs;
use crate::database::Database;
use crate::labels::METRIC_NAME;
use crate::query::plan::{At, Expr, Moment};
use crate::query::{Function, ValueType, value_type};

/// One evaluation of one query.
pub(super) struct Evaluator<'a> {
    pub(super) database: &'a Database,
    pub(super) settings: &'a Settings,
    pub(super) cache: &'a mut QueryCache,
    /// The times of `@ start()` and `@ end()`.
    pub(super) bounds: (TimestampMs, TimestampMs),
}

impl Evaluator<'_> {
    /// The time that a selector looks at.
    pub(super) fn resolve(&self, moment: Moment, time: TimestampMs) -> TimestampMs {
        let time = match moment.at {
            None => time,
            Some(At::Start) => self.bounds.0,
            Some(At::End) => self.bounds.1,
            Some(At::Time(at)) => at,
        };
        time - moment.offset_ms
    }

    /// Evaluates an expression of type scalar.
    pub(super) fn scalar(&mut self, expr: &Expr, time: TimestampMs) -> Result<f64, EvalError> {
        match expr {
            Expr::Number(number) => Ok(*number),
            Expr::Negate { operand, .. } => Ok(-self.scalar(operand, time)?),
            Expr::Binary(operation) => {
                let left = self.scalar(&operation.left, time)?;
                let right = self.scalar(&operation.right, time)?;
                Ok(binary::of_scalars(operation.operator, left, right))
            }
            Expr::Call(call) => match call.function {
                Function::Time => Ok(math::seconds(time)),
                Function::Pi => Ok(std::f64::consts::PI),
                Function::Scalar => {
                    let vector = self.vector(&call.arguments[0], time)?;
                    Ok(if let [only] = &vector[..] { only.value } else { f64::NAN })
                }
                _ => Err(EvalError::new("expected a scalar")),
            },
            _ => Err(EvalError::new("expected a scalar")),
        }
    }

    /// Evaluates an expression of type instant vector.
    pub(super) fn vector(
        &mut self,
        expr: &Expr,
        time: TimestampMs,
    ) -> Result<Vec<Sample>, EvalError> {
        match expr {
            Expr::Select(selection) => Ok(self.select(selection, time, |_, value| value)),
            Expr::Negate { node, operand } => {
                let mut vector = self.vector(operand, time)?;
                for sample in &mut vector {
                    sample.value = -sample.value;
                }
                self.drop_names(*node, vector)
            }
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, time),
            Expr::Binary(operation) => {
                match (value_type(&operation.left), value_type(&operation.right)) {
                    (ValueType::Scalar, _) => {
                        let scalar = self.scalar(&operation.left, time)?;
                        let vector = self.vector(&operation.right, time)?;
                        self.with_scalar(operation, vector, (scalar, true))
                    }
                    (_, ValueType::Scalar) => {
                        let vector = self.vector(&operation.left, time)?;
                        let scalar = self.scalar(&operation.right, time)?;
                        self.with_scalar(operation, vector, (scalar, false))
                    }
                    _ => self.of_vectors(operation, time),
                }
            }
            Expr::Call(call) => self.call(call, time),
            _ => Err(EvalError::new("expected an instant vector")),
        }
    }

    /// Removes the metric names, which what was computed no longer deserves.
    pub(super) fn drop_names(
        &mut self,
        node: usize,
        mut vector: Vec<Sample>,
    ) -> Result<Vec<Sample>, EvalError> {
        let cache = self.cache.node(node);
        let mut named = 0;
        for sample in vector.iter_mut().filter(|sample| sample.labels.is_named()) {
            sample.labels =
                cache.renamed.get(named, &sample.labels, |labels| labels.without(METRIC_NAME));
            named += 1;
        }
        if named > 0 {
            cache.unique.check(&vector)?;
        }
        Ok(vector)
    }
}
