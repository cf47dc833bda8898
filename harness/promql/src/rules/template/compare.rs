//! Go's comparisons: only values of one kind can be compared, so `gt $value 1` fails and `gt $value 1.0` does not.

use std::sync::Arc;

use super::value::Value;

const INCOMPATIBLE: &str = "incompatible types for comparison";
const INVALID: &str = "invalid type for comparison";

/// Whether a value can be compared at all.
fn basic(value: &Value) -> Result<(), String> {
    match value {
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => Ok(()),
        _ => Err(INVALID.to_owned()),
    }
}

/// Whether the first equals any of the others. Nothing equals only nothing.
pub(super) fn equal(first: &Value, others: &[Value]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        #[expect(clippy::float_cmp, reason = "Go compares exactly")]
        let same = match (first, other) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Nil, _) | (_, Value::Nil) => matches!((first, other), (Value::Nil, Value::Nil)),
            (Value::Labels(_), Value::Labels(_)) | (Value::Samples(_), Value::Samples(_)) => {
                let (shown, kind) = (first.printed(), first.type_name());
                return Err(format!("non-comparable type {shown}: {kind}"));
            }
            _ => return Err(INCOMPATIBLE.to_owned()),
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn less(a: &Value, b: &Value) -> Result<bool, String> {
    basic(a)?;
    basic(b)?;
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(a < b),
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::Text(a), Value::Text(b)) => Ok(a < b),
        (Value::Bool(_), Value::Bool(_)) => Err(INVALID.to_owned()),
        _ => Err(INCOMPATIBLE.to_owned()),
    }
}

pub(super) fn less_or_equal(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(less(a, b)? || equal(a, std::slice::from_ref(b))?)
}

pub(super) fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Labels(labels) => labels.iter().count(),
        Value::Samples(samples) => samples.len(),
        Value::Nil => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// The element at the first place, of that the element at the second, and so on.
pub(super) fn index(value: &Value, places: &[Value]) -> Result<Value, String> {
    let mut value = value.clone();
    for place in places {
        value = match (&value, place) {
            (Value::Labels(labels), Value::Text(name)) => {
                Value::text(labels.get(name).unwrap_or_default())
            }
            (Value::Labels(_), other) => {
                return Err(format!("value has type {}; should be string", other.type_name()));
            }
            (Value::Samples(samples), Value::Int(at)) => {
                let found = usize::try_from(*at).ok().and_then(|at| samples.get(at));
                Value::Sample(Arc::clone(found.ok_or_else(|| format!("index out of range: {at}"))?))
            }
            (Value::Samples(_), other) => {
                return Err(format!("cannot index slice/array with type {}", other.type_name()));
            }
            (other, _) => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}
