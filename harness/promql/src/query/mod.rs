//! Parsed queries, and what can be said about them without evaluating.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Settings;
use crate::labels::METRIC_NAME;

mod build;
mod fault;
mod functions;
pub(crate) mod plan;
mod reach;
mod shape;

pub(crate) use fault::Fault;
pub(crate) use functions::Function;
use plan::Expr;
pub use shape::{LabelNames, Shape, UnknownLabel};

/// Why a text is not a query that can be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    /// What is wrong, without the place.
    pub message: String,
    /// Where, in bytes from the start of the text, if known.
    pub offset: Option<usize>,
    /// Line and column in characters, both from 1, if known.
    pub line_column: Option<(usize, usize)>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.line_column {
            write!(f, "{line}:{column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The type of a query's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A number.
    Scalar,
    /// An instant vector.
    Vector,
    /// A range vector.
    Matrix,
    /// A text.
    String,
}

/// Which metrics a query reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricNames {
    /// The names that selectors ask for by equality.
    pub names: BTreeSet<String>,
    /// Whether some selector has no fixed name and may read anything.
    pub any: bool,
}

/// A selector as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The metric name, if it is fixed.
    pub metric: Option<String>,
    /// The other matchers: label, operator (`=`, `!=`, `=~`, `!~`), value.
    pub matchers: Vec<(String, &'static str, String)>,
    /// The labels that the aggregations and vector matchings around it name.
    pub grouping: BTreeSet<String>,
}

/// A parsed query. A clone shares the plan, and what an engine remembers for it.
#[derive(Clone, Debug)]
pub struct Query(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    identity: u64,
    text: String,
    plan: Expr,
    nodes: usize,
}

impl Query {
    /// Parses a query. Refuses what Prometheus refuses, and native histograms, `info()` and experimental syntax.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        // Engines keep caches for each query. The number only tells queries apart, nothing that is written depends on it.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (plan, nodes) = build::build(text).map_err(|fault| fault.locate(text))?;
        Ok(Self(Arc::new(Parsed {
            identity: NEXT.fetch_add(1, Ordering::Relaxed),
            text: text.into(),
            plan,
            nodes,
        })))
    }

    /// The query as written.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The type of its result.
    pub fn value_type(&self) -> ValueType {
        value_type(&self.0.plan)
    }

    /// The metrics that it reads.
    pub fn metrics(&self) -> MetricNames {
        let mut metrics = MetricNames::default();
        for selector in self.selectors() {
            match selector.metric {
                Some(name) => _ = metrics.names.insert(name),
                None => metrics.any = true,
            }
        }
        metrics
    }

    /// Its selectors, from left to right.
    pub fn selectors(&self) -> Vec<Selector> {
        let mut found = Vec::new();
        collect(&self.0.plan, &BTreeSet::new(), &mut found);
        found
    }

    /// How far before the evaluation time it can look: ranges, subqueries, offsets, lookback. `i64::MAX` if
    /// it looks at a time fixed by `@`.
    pub fn reach_ms(&self, settings: &Settings) -> i64 {
        self.reaches(settings).iter().map(|(_, reach)| *reach).max().unwrap_or(0).max(0)
    }

    /// [`Query::reach_ms`] for each metric that it selects by a fixed name.
    pub fn reach_by_metric(&self, settings: &Settings) -> BTreeMap<String, i64> {
        reach::by_metric(&self.reaches(settings))
    }

    fn reaches(&self, settings: &Settings) -> Vec<(&plan::Selection, i64)> {
        let mut found = Vec::new();
        reach::reaches(&self.0.plan, settings, 0, &mut found);
        found
    }

    pub(crate) fn plan(&self) -> &Expr {
        &self.0.plan
    }

    pub(crate) fn identity(&self) -> u64 {
        self.0.identity
    }

    pub(crate) fn nodes(&self) -> usize {
        self.0.nodes
    }
}

/// The type of an expression's result.
pub(crate) fn value_type(expr: &Expr) -> ValueType {
    match expr {
        Expr::Number(_) => ValueType::Scalar,
        Expr::Text(_) => ValueType::String,
        Expr::Select(_) | Expr::Aggregate(_) => ValueType::Vector,
        Expr::Range { .. } | Expr::Subquery(_) => ValueType::Matrix,
        Expr::Negate { operand, .. } => value_type(operand),
        Expr::Binary(binary) => match (value_type(&binary.left), value_type(&binary.right)) {
            (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
            _ => ValueType::Vector,
        },
        Expr::Call(call) => match call.function {
            Function::Time | Function::Pi | Function::Scalar => ValueType::Scalar,
            _ => ValueType::Vector,
        },
    }
}

fn collect(expr: &Expr, around: &BTreeSet<String>, found: &mut Vec<Selector>) {
    let mut around = around.clone();
    match expr {
        Expr::Select(selection) | Expr::Range { selection, .. } => {
            let matchers = selection.matchers.iter();
            found.push(Selector {
                metric: selection.metric.clone(),
                matchers: matchers
                    .map(|m| (m.label.clone(), m.operator(), m.value.clone()))
                    .collect(),
                grouping: around.clone(),
            });
        }
        Expr::Aggregate(aggregate) => around.extend(aggregate.grouping.names().iter().cloned()),
        Expr::Binary(binary) => {
            around.extend(binary.matching.names().iter().chain(&binary.include).cloned());
        }
        _ => {}
    }
    around.remove(METRIC_NAME);
    for part in expr.parts() {
        collect(part, &around, found);
    }
}

#[cfg(test)]
mod tests;
