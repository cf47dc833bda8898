//! Which labels the result of a query can have, and which of those that it names no series can have.

use std::collections::BTreeSet;

use super::functions::Function;
use super::plan::{Aggregate, Aggregator, Binary, Call, Cardinality, Expr, Grouping, Operator};
use super::plan::{Selection, Subquery};
use super::{Query, ValueType, value_type};
use crate::labels::METRIC_NAME;

/// Labels that something can have; none where that is not known.
pub type LabelNames = Option<BTreeSet<String>>;

/// What the labels of the metrics tell about a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The labels that its result can have.
    pub labels: LabelNames,
    /// The labels that it names and that cannot be there.
    pub unknown: Vec<UnknownLabel>,
}

/// A label that a query names and that cannot be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLabel {
    /// Its name.
    pub label: String,
    /// The metrics of the series that lack it.
    pub metrics: BTreeSet<String>,
    /// The labels that could have been meant.
    pub known: BTreeSet<String>,
}

impl Query {
    /// What can be said of its labels, given those of each metric. A metric with unknown labels can have any.
    pub fn shape(&self, labels_of: &dyn Fn(&str) -> LabelNames) -> Shape {
        let mut shaper = Shaper { labels_of, unknown: Vec::new() };
        let labels = shaper.labels(self.plan());
        Shape { labels, unknown: shaper.unknown }
    }
}

struct Shaper<'a> {
    labels_of: &'a dyn Fn(&str) -> LabelNames,
    unknown: Vec<UnknownLabel>,
}

impl Shaper<'_> {
    /// The labels of an expression's result.
    fn labels(&mut self, expr: &Expr) -> LabelNames {
        match expr {
            Expr::Number(_) | Expr::Text(_) => Some(BTreeSet::new()),
            Expr::Select(selection) | Expr::Range { selection, .. } => self.selection(selection),
            Expr::Subquery(subquery) => {
                let Subquery { inner, .. } = &**subquery;
                self.labels(inner)
            }
            Expr::Negate { operand, .. } => self.labels(operand),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Call(call) => self.call(call),
        }
    }

    /// A label is named of something that can have these.
    fn ask(&mut self, label: &str, labels: &LabelNames, of: &Expr) {
        if let Some(known) = labels
            && !known.contains(label)
            && label != METRIC_NAME
        {
            let mut metrics = BTreeSet::new();
            metrics_of(of, &mut metrics);
            let unknown = UnknownLabel { label: label.to_owned(), metrics, known: known.clone() };
            if !self.unknown.contains(&unknown) {
                self.unknown.push(unknown);
            }
        }
    }

    fn selection(&mut self, selection: &Selection) -> LabelNames {
        let labels = selection.metric.as_deref().and_then(self.labels_of);
        let of = Expr::Select(selection.clone());
        for matcher in &selection.matchers {
            self.ask(&matcher.label, &labels, &of);
        }
        labels
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> LabelNames {
        let labels = self.labels(&aggregate.operand);
        if let Some(parameter) = &aggregate.parameter {
            self.labels(parameter);
        }
        for label in aggregate.grouping.names() {
            self.ask(label, &labels, &aggregate.operand);
        }
        if matches!(aggregate.operator, Aggregator::TopK | Aggregator::BottomK) {
            return labels;
        }
        let mut grouped = match &aggregate.grouping {
            Grouping::By(names) => Some(names.iter().cloned().collect()),
            Grouping::Without(names) => without(labels, names),
        };
        if let (Aggregator::CountValues, Some(Expr::Text(label)), Some(grouped)) =
            (aggregate.operator, &aggregate.parameter, &mut grouped)
        {
            grouped.insert(label.clone());
        }
        grouped
    }

    fn binary(&mut self, binary: &Binary) -> LabelNames {
        let (left, right) = (self.labels(&binary.left), self.labels(&binary.right));
        match (value_type(&binary.left), value_type(&binary.right)) {
            (ValueType::Scalar, _) => return right,
            (_, ValueType::Scalar) => return left,
            _ => {}
        }
        for label in binary.matching.names() {
            let nowhere = |set: &LabelNames| set.as_ref().is_some_and(|set| !set.contains(label));
            match &binary.matching {
                Grouping::By(_) => {
                    self.ask(label, &left, &binary.left);
                    self.ask(label, &right, &binary.right);
                }
                // What one of them has may be ignored.
                Grouping::Without(_) if nowhere(&left) && nowhere(&right) => {
                    self.ask(label, &left, &binary.left);
                }
                Grouping::Without(_) => {}
            }
        }
        let (many, one, of) = match binary.cardinality {
            Cardinality::OneToMany => (&right, &left, &binary.left),
            _ => (&left, &right, &binary.right),
        };
        for label in &binary.include {
            self.ask(label, one, of);
        }
        match (binary.operator, binary.cardinality) {
            (Operator::And | Operator::Unless, _) => left,
            (Operator::Or, _) => Some(&left? | &right?),
            (_, Cardinality::OneToOne) => match &binary.matching {
                Grouping::By(names) => Some(names.iter().cloned().collect()),
                Grouping::Without(names) => without(left, names),
            },
            _ => many.clone().map(|many| many.into_iter().chain(binary.include.clone()).collect()),
        }
    }

    fn call(&mut self, call: &Call) -> LabelNames {
        let mut vector = None;
        for argument in &call.arguments {
            let labels = self.labels(argument);
            if matches!(value_type(argument), ValueType::Vector | ValueType::Matrix) {
                vector.get_or_insert((labels, argument));
            }
        }
        let Some((labels, of)) = vector else { return Some(BTreeSet::new()) };
        let text = |at: usize| match call.arguments.get(at) {
            Some(Expr::Text(text)) => text.as_str(),
            _ => "",
        };
        match call.function {
            Function::Scalar => Some(BTreeSet::new()),
            Function::HistogramQuantile | Function::HistogramFraction => {
                self.ask("le", &labels, of);
                without(labels, &["le".to_owned()])
            }
            Function::LabelReplace | Function::LabelJoin => {
                let sources = match call.function {
                    Function::LabelReplace => 3..4,
                    _ => 3..call.arguments.len(),
                };
                for source in sources.map(text).filter(|source| !source.is_empty()) {
                    self.ask(source, &labels, of);
                }
                labels.map(|labels| labels.into_iter().chain([text(1).to_owned()]).collect())
            }
            _ => labels,
        }
    }
}

fn without(labels: LabelNames, names: &[String]) -> LabelNames {
    labels.map(|labels| labels.into_iter().filter(|label| !names.contains(label)).collect())
}

fn metrics_of(expr: &Expr, metrics: &mut BTreeSet<String>) {
    if let Expr::Select(selection) | Expr::Range { selection, .. } = expr {
        metrics.extend(selection.metric.clone());
    }
    for part in expr.parts() {
        metrics_of(part, metrics);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels_of(metric: &str) -> LabelNames {
        let of = |labels: &[&str]| Some(labels.iter().map(|label| (*label).to_owned()).collect());
        match metric {
            "m" => of(&["a", "b", "le"]),
            "n" => of(&["a", "c"]),
            _ => None,
        }
    }

    /// The labels of the result, then the unknown ones.
    fn shape(query: &str) -> (String, String) {
        let shape = Query::parse(query).unwrap().shape(&labels_of);
        let join = |labels: BTreeSet<String>| labels.into_iter().collect::<Vec<_>>().join(" ");
        let unknown = shape
            .unknown
            .iter()
            .map(|unknown| format!("{} of {}", unknown.label, join(unknown.metrics.clone())));
        (shape.labels.map_or("any".to_owned(), join), unknown.collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn labels_follow_through_a_query() {
        for (query, labels, unknown) in [
            ("m", "a b le", ""),
            ("x{z=\"1\"}", "any", ""),
            ("sum by (a) (rate(m{b=\"1\"}[5m]))", "a", ""),
            ("sum by (c) (m)", "c", "c of m"),
            ("sum without (le) (m{d!=\"\"})", "a b", "d of m"),
            ("m + on (a) n", "a", ""),
            ("m + on (b) n", "b", "b of n"),
            ("m * on (a) group_left (c) n", "a b c le", ""),
            ("m * on (a) group_left (d) n", "a b d le", "d of n"),
            ("m and on (a) n or n", "a b c le", ""),
            ("m + ignoring (le, b, c) n", "a", ""),
            ("m + ignoring (z) n", "a b le", "z of m"),
            ("histogram_quantile(0.9, sum by (le, a) (m))", "a", ""),
            ("histogram_quantile(0.9, n)", "a c", "le of n"),
            ("label_replace(n, \"d\", \"$1\", \"e\", \"(.*)\")", "a c d", "e of n"),
            ("sum by (d) (label_replace(n, \"d\", \"$1\", \"a\", \"(.*)\"))", "d", ""),
            ("topk(3, m) or on () vector(0)", "a b le", ""),
            ("count_values by (a) (\"v\", m)", "a v", ""),
            ("scalar(m) * n", "a c", ""),
            ("max_over_time(sum by (q) (x)[5m:1m])", "q", ""),
        ] {
            assert_eq!(shape(query), (labels.to_owned(), unknown.to_owned()), "{query}");
        }
    }
}
