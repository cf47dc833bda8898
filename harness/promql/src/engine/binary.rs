//! Binary operators.

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

use super::cache::Matches;
use super::eval::Evaluator;
use super::{Dialect, EvalError, Sample};
use crate::TimestampMs;
use crate::labels::{Labels, METRIC_NAME};
use crate::query::plan::{Binary, Cardinality, Grouping, Operator};

/// The value of an operation, and whether a comparison holds.
#[inline]
fn apply(operator: Operator, left: f64, right: f64) -> (f64, bool) {
    match operator {
        Operator::Add => (left + right, true),
        Operator::Subtract => (left - right, true),
        Operator::Multiply => (left * right, true),
        Operator::Divide => (left / right, true),
        Operator::Modulo => (left % right, true),
        Operator::Power => (libm::pow(left, right), true),
        Operator::Atan2 => (libm::atan2(left, right), true),
        Operator::Equal => (left, equal(left, right)),
        Operator::NotEqual => (left, !equal(left, right)),
        Operator::Greater => (left, left > right),
        Operator::Less => (left, left < right),
        Operator::GreaterOrEqual => (left, left >= right),
        Operator::LessOrEqual => (left, left <= right),
        Operator::And | Operator::Or | Operator::Unless => (left, false),
    }
}

#[expect(clippy::float_cmp, reason = "this is PromQL's ==")]
fn equal(left: f64, right: f64) -> bool {
    left == right
}

/// Whether results are still values of the metric. 2.42 forgot `atan2`.
fn keeps_name(binary: &Binary, dialect: Dialect) -> bool {
    let forgotten = binary.operator == Operator::Atan2 && dialect == Dialect::V2;
    forgotten || (binary.operator.is_comparison() && !binary.returns_bool)
}

/// An operation between scalars; comparisons return 0 or 1.
pub(super) fn of_scalars(operator: Operator, left: f64, right: f64) -> f64 {
    let (value, holds) = apply(operator, left, right);
    if operator.is_comparison() { f64::from(u8::from(holds)) } else { value }
}

impl Evaluator<'_> {
    /// An operation between a vector and a scalar, which is the left operand if so said.
    pub(super) fn with_scalar(
        &mut self,
        binary: &Binary,
        mut vector: Vec<Sample>,
        (scalar, scalar_is_left): (f64, bool),
    ) -> Result<Vec<Sample>, EvalError> {
        let operator = binary.operator;
        vector.retain_mut(|sample| {
            let (left, right) =
                if scalar_is_left { (scalar, sample.value) } else { (sample.value, scalar) };
            let (value, holds) = apply(operator, left, right);
            if binary.returns_bool {
                sample.value = f64::from(u8::from(holds));
                return true;
            }
            if !operator.is_comparison() {
                sample.value = value;
            }
            holds
        });
        if keeps_name(binary, self.settings.dialect) {
            return Ok(vector);
        }
        self.drop_names(binary.node, vector)
    }

    /// An operation between vectors.
    pub(super) fn of_vectors(
        &mut self,
        binary: &Binary,
        time: TimestampMs,
    ) -> Result<Vec<Sample>, EvalError> {
        let mut left = self.vector(&binary.left, time)?;
        // Nothing can match, so what stands on the right need not be known. Rules begin with what makes them matter.
        if left.is_empty() && binary.operator != Operator::Or {
            return Ok(left);
        }
        let mut right = self.vector(&binary.right, time)?;
        let mut matches = std::mem::take(&mut self.cache.node(binary.node).matches);
        let keys_of = |vector: &[Sample], matches: &mut Matches, is_left: bool| -> Vec<usize> {
            let memo = if is_left { &mut matches.left } else { &mut matches.right };
            let keys = &mut matches.keys;
            let key = |(nth, sample): (usize, &Sample)| {
                memo.get(nth, &sample.labels, |labels| {
                    keys.insert_full(binary.matching.key(labels)).0
                })
            };
            vector.iter().enumerate().map(key).collect()
        };
        let mut left_keys = keys_of(&left, &mut matches, true);
        let mut right_keys = keys_of(&right, &mut matches, false);
        let result = if binary.operator.is_set() {
            Ok(combine(
                binary.operator,
                (left, &left_keys),
                (right, &right_keys),
                matches.keys.len(),
            ))
        } else {
            if binary.cardinality == Cardinality::OneToMany {
                std::mem::swap(&mut left, &mut right);
                std::mem::swap(&mut left_keys, &mut right_keys);
            }
            let pairing = Pairing { binary, dialect: self.settings.dialect, matches: &mut matches };
            pairing.pair((&left, &left_keys), (&right, &right_keys))
        };
        self.cache.node(binary.node).matches = matches;
        let vector = result?;
        if binary.cardinality != Cardinality::OneToOne {
            self.cache.node(binary.node).unique.check(&vector)?;
        }
        Ok(vector)
    }
}

type Keyed<'a, V> = (V, &'a [usize]);

fn combine(
    operator: Operator,
    (mut left, left_keys): Keyed<'_, Vec<Sample>>,
    (right, right_keys): Keyed<'_, Vec<Sample>>,
    keys: usize,
) -> Vec<Sample> {
    let mut present = vec![false; keys];
    let marks = if operator == Operator::Or { left_keys } else { right_keys };
    for key in marks {
        present[*key] = true;
    }
    if operator == Operator::Or {
        let missing = right.into_iter().zip(right_keys).filter(|(_, key)| !present[**key]);
        left.extend(missing.map(|(sample, _)| sample));
        return left;
    }
    let wanted = operator == Operator::And;
    let kept = left.into_iter().zip(left_keys).filter(|(_, key)| present[**key] == wanted);
    kept.map(|(sample, _)| sample).collect()
}

/// Arithmetic or comparison between the elements of a "many" and a "one" side.
struct Pairing<'a> {
    binary: &'a Binary,
    dialect: Dialect,
    matches: &'a mut Matches,
}

impl Pairing<'_> {
    fn pair(
        mut self,
        (many, many_keys): Keyed<'_, &[Sample]>,
        (one, one_keys): Keyed<'_, &[Sample]>,
    ) -> Result<Vec<Sample>, EvalError> {
        if many.is_empty() || one.is_empty() {
            return Ok(Vec::new());
        }
        let partners = self.partners(one, one_keys)?;
        let exclusive = self.binary.cardinality == Cardinality::OneToOne;
        let mut matched = vec![false; if exclusive { self.matches.keys.len() } else { 0 }];
        let mut inserted: IndexSet<(usize, Labels), FxBuildHasher> = IndexSet::default();
        let mut vector = Vec::with_capacity(many.len());
        for (nth, (sample, key)) in many.iter().zip(many_keys).enumerate() {
            let Some(partner) = partners[*key].checked_sub(1).map(|at| &one[at]) else { continue };
            let (left, right) = match self.binary.cardinality {
                Cardinality::OneToMany => (partner.value, sample.value),
                _ => (sample.value, partner.value),
            };
            let (mut value, holds) = apply(self.binary.operator, left, right);
            let keep = holds || self.binary.returns_bool;
            // 2.42 drops an element before it looks for another match.
            if !keep && self.dialect == Dialect::V2 {
                continue;
            }
            if self.binary.returns_bool {
                value = f64::from(u8::from(holds));
            }
            let labels = self.labels(nth, &sample.labels, &partner.labels);
            if exclusive {
                if std::mem::replace(&mut matched[*key], true) {
                    let message = "many-to-one matching must be explicit (group_left/group_right)";
                    return Err(EvalError::new(format!("multiple matches for labels: {message}")));
                }
            } else if !inserted.insert((*key, labels.clone())) {
                return Err(EvalError::new(
                    "multiple matches for labels: grouping labels must ensure unique matches",
                ));
            }
            if keep {
                vector.push(Sample { labels, value });
            }
        }
        Ok(vector)
    }

    /// For each key, the element of the "one" side, counted from 1, or 0.
    fn partners(&self, one: &[Sample], keys: &[usize]) -> Result<Vec<usize>, EvalError> {
        let mut partners = vec![0; self.matches.keys.len()];
        for (nth, key) in keys.iter().enumerate() {
            let known = std::mem::replace(&mut partners[*key], nth + 1);
            if known == 0 {
                continue;
            }
            let side =
                if self.binary.cardinality == Cardinality::OneToMany { "left" } else { "right" };
            let mut both = [one[nth].labels.to_string(), one[known - 1].labels.to_string()];
            if self.dialect == Dialect::V3 {
                both.sort();
            }
            let group = &self.matches.keys[*key];
            return Err(EvalError::new(format!(
                "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{}, {}];\
                 many-to-many matching not allowed: matching labels must be unique on one side",
                both[0], both[1]
            )));
        }
        Ok(partners)
    }

    /// The labels of a result, remembered for the n-th element of the "many" side.
    fn labels(&mut self, nth: usize, many: &Labels, one: &Labels) -> Labels {
        if let Some((known_many, known_one, labels)) = self.matches.results.get(nth)
            && known_many.is_same(many)
            && known_one.is_same(one)
        {
            return labels.clone();
        }
        let labels = result_labels(self.binary, self.dialect, many, one);
        let entry = (many.clone(), one.clone(), labels.clone());
        let empty = (Labels::empty(), Labels::empty(), Labels::empty());
        if nth >= self.matches.results.len() {
            self.matches.results.resize(nth + 1, empty);
        }
        self.matches.results[nth] = entry;
        labels
    }
}

fn result_labels(binary: &Binary, dialect: Dialect, many: &Labels, one: &Labels) -> Labels {
    let mut labels = many.clone();
    if !keeps_name(binary, dialect) {
        labels = labels.without(METRIC_NAME);
    }
    if binary.cardinality == Cardinality::OneToOne {
        labels = match &binary.matching {
            Grouping::By(names) => labels.keeping(|name| names.iter().any(|known| known == name)),
            Grouping::Without(names) => {
                labels.keeping(|name| !names.iter().any(|known| known == name))
            }
        };
    }
    for name in &binary.include {
        labels = labels.with(name, one.get(name).unwrap_or_default());
    }
    labels
}
