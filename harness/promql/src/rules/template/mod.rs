//! The templates of labels and annotations: Go's text/template with Prometheus' functions.
//!
//! Left out, and refused when a rule file is read: `define`, `template`, `block`, and the functions for web pages and
//! for Go's types of time.

mod compare;
mod function;
mod humanize;
mod lexer;
mod number;
mod parse;
mod printf;
mod queries;
mod run;
mod tree;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::{Labels, Query, Sample, TimestampMs};

/// What Prometheus puts in front of every template. Places in messages count it.
const DEFINITIONS: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
    {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// Runs a query at a time, for templates that call `query`. Errors are texts that become part of the template's own.
pub type RunQuery<'a> = dyn Fn(&str, TimestampMs) -> Result<Vec<Sample>, String> + 'a;

/// What a template is expanded for.
pub struct TemplateData<'a> {
    /// The labels of the element of the result, with its metric name, before the rule's own labels are applied.
    pub labels: &'a Labels,
    /// What the server adds to everything it sends.
    pub external_labels: &'a Labels,
    /// Where the server is reached.
    pub external_url: &'a str,
    /// The value of the element.
    pub value: f64,
    /// The evaluation time.
    pub at: TimestampMs,
    /// Runs queries.
    pub query: &'a RunQuery<'a>,
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Where, in bytes from the start of the text.
    pub offset: usize,
    /// What is wrong, in Go's words, which name the template and the line.
    pub message: String,
}

/// A parsed template.
#[derive(Clone)]
pub struct Template {
    name: String,
    /// With the definitions in front.
    text: String,
    /// Nothing if the text has no action: then it stands for itself.
    nodes: Option<tree::List>,
}

impl Template {
    /// Parses the template of a rule called `alert`.
    ///
    /// # Errors
    /// Where and why Go would refuse it, or that it uses what is left out here.
    pub fn parse(alert: &str, text: &str) -> Result<Self, TemplateError> {
        let name = format!("__alert_{alert}");
        let whole = format!("{DEFINITIONS}{text}");
        if !text.contains("{{") {
            return Ok(Self { name, text: whole, nodes: None });
        }
        match parse::parse(&whole) {
            Ok(nodes) => Ok(Self { name, text: whole, nodes: Some(nodes) }),
            Err((at, message)) => {
                let line = 1 + whole[..at].matches('\n').count();
                let offset = at.saturating_sub(DEFINITIONS.len());
                Err(TemplateError {
                    offset,
                    message: format!("template: {name}:{line}: {message}"),
                })
            }
        }
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text[DEFINITIONS.len()..]
    }

    /// Whether the text has no action, so that it is the same for every alert.
    pub fn is_plain(&self) -> bool {
        self.nodes.is_none()
    }

    /// The queries that it may run, as far as its text tells: those whose text is constant, and forms for `printf`.
    pub fn queries(&self) -> Vec<Query> {
        self.nodes.as_deref().map(queries::queries).unwrap_or_default()
    }

    /// Expands the template. Where it fails, the result says so, as Prometheus' does: a bad annotation must not hide an alert.
    pub fn expand(&self, data: &TemplateData<'_>) -> String {
        match &self.nodes {
            None => self.text().to_owned(),
            Some(nodes) => {
                run::run(&self.name, &self.text, nodes, data).unwrap_or_else(|message| {
                    format!(
                        "<error expanding template: error executing template {}: {message}>",
                        self.name
                    )
                })
            }
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.text()).finish()
    }
}
