//! The sort functions.

use std::cmp::Ordering;

use super::{EvalError, Sample};
use crate::query::Function;
use crate::query::plan::{Call, Expr};

/// Sorts as the function says. Not a number goes last, whichever the direction.
pub(super) fn sort(call: &Call, mut vector: Vec<Sample>) -> Result<Vec<Sample>, EvalError> {
    let by_value =
        |a: &Sample, b: &Sample| a.value.partial_cmp(&b.value).unwrap_or(Ordering::Equal);
    let last = |a: &Sample, b: &Sample| a.value.is_nan().cmp(&b.value.is_nan());
    match call.function {
        Function::Sort => vector.sort_by(|a, b| last(a, b).then(by_value(a, b))),
        Function::SortDesc => vector.sort_by(|a, b| last(a, b).then(by_value(b, a))),
        function => {
            let mut names = Vec::new();
            for argument in &call.arguments[1..] {
                let Expr::Text(name) = argument else {
                    return Err(EvalError::new("a label name must be a string"));
                };
                names.push(name.as_str());
            }
            let ascending = |a: &Sample, b: &Sample| {
                let value = |sample: &Sample, name: &str| {
                    sample.labels.get(name).unwrap_or_default().to_owned()
                };
                let by_name = |name: &&str| natural(&value(a, name), &value(b, name));
                let first = names
                    .iter()
                    .map(by_name)
                    .find(|order| order.is_ne())
                    .unwrap_or(Ordering::Equal);
                first.then_with(|| a.labels.cmp(&b.labels))
            };
            let descending = function == Function::SortByLabelDesc;
            vector.sort_by(|a, b| if descending { ascending(b, a) } else { ascending(a, b) });
        }
    }
    Ok(vector)
}

/// Compares texts with the numbers in them as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (chunks(a), chunks(b));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u128>(), y.parse::<u128>()) {
                (Ok(x), Ok(y)) => x.cmp(&y),
                _ => x.cmp(y),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Runs of digits and runs of others.
fn chunks(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let digits = text.chars().next()?.is_ascii_digit();
        let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
        let (chunk, rest) = text.split_at(end);
        text = rest;
        Some(chunk)
    })
}
