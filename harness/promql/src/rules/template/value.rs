//! What a template computes with, and how Go prints it.

use std::fmt::Write;
use std::sync::Arc;

use super::number::shortest;
use crate::{Labels, Sample};

/// A value in a template.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing: Go's `nil`.
    Nil,
    /// What templates begin with: a structure with `Labels`, `ExternalLabels`, `ExternalURL` and `Value`.
    Data,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    /// A `map[string]string`.
    Labels(Labels),
    /// An element of a query's result, with `Labels` and `Value`.
    Sample(Arc<Sample>),
    /// A query's result.
    Samples(Arc<[Arc<Sample>]>),
}

/// The name that Go gives the structure templates begin with.
const DATA: &str = "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }";

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(Arc::from(text))
    }

    /// The name of its type in Go, for messages.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Data => DATA,
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Labels(_) => "map[string]string",
            Self::Sample(_) => "*template.sample",
            Self::Samples(_) => "template.queryResult",
        }
    }

    /// Whether `if` takes it for true: what is not zero and not empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Data | Self::Sample(_) => true,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            // NaN is not zero, so Go takes it for true.
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Labels(labels) => !labels.is_empty(),
            Self::Samples(samples) => !samples.is_empty(),
        }
    }

    /// As `%v` and the template itself print it.
    pub(super) fn print(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Nil => out.write_str("<no value>"),
            Self::Data => out.write_str("{}"),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Int(value) => write!(out, "{value}"),
            Self::Float(value) => out.write_str(&shortest(*value)),
            Self::Text(text) => out.write_str(text),
            Self::Labels(labels) => out.write_str(&map(labels)),
            Self::Sample(sample) => {
                write!(out, "{{{} {}}}", map(&sample.labels), shortest(sample.value))
            }
            // Go prints the addresses of the samples, which say nothing and differ each time.
            Self::Samples(samples) => write!(out, "[{} samples]", samples.len()),
        };
    }

    pub(super) fn printed(&self) -> String {
        let mut out = String::new();
        self.print(&mut out);
        out
    }
}

/// Labels as Go prints a map: sorted by key.
fn map(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    format!("map[{}]", pairs.join(" "))
}
