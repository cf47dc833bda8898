//! The functions that templates may call: Go's own and Prometheus'.

use std::sync::Arc;

use regex::Regex;

use super::lexer::KEYWORDS;
use super::printf::sprintf;
use super::value::Value;
use super::{TemplateData, compare, humanize};
use crate::Sample;
use crate::rules::{clock, url};

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Any,
    Text,
    Sample,
    Samples,
}

impl Takes {
    /// The type's name in Go.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Sample => "*template.sample",
            Self::Samples => "template.queryResult",
        }
    }

    pub(super) fn fits(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Text => matches!(value, Value::Text(_)),
            Self::Sample => matches!(value, Value::Sample(_)),
            Self::Samples => matches!(value, Value::Samples(_)),
        }
    }
}

type Call = fn(&TemplateData<'_>, &[Value]) -> Result<Value, String>;

/// A function.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// The parameters that must be given.
    pub(super) takes: &'static [Takes],
    /// Whether any number of further values may follow.
    pub(super) variadic: bool,
    pub(super) call: Call,
}

const fn fixed(name: &'static str, takes: &'static [Takes], call: Call) -> Function {
    Function { name, takes, variadic: false, call }
}

const fn variadic(name: &'static str, takes: &'static [Takes], call: Call) -> Function {
    Function { name, takes, variadic: true, call }
}

use Takes::{Any, Samples, Text};

const ALL: &[Function] = &[
    // Evaluated only as far as needed: see `run`.
    variadic("and", &[Any], |_, values| Ok(values.last().cloned().unwrap_or(Value::Nil))),
    variadic("or", &[Any], |_, values| Ok(values.last().cloned().unwrap_or(Value::Nil))),
    fixed("not", &[Any], |_, values| Ok(Value::Bool(!values[0].is_true()))),
    variadic("eq", &[Any], |_, values| compare::equal(&values[0], &values[1..]).map(Value::Bool)),
    fixed("ne", &[Any, Any], |_, values| {
        compare::equal(&values[0], &values[1..]).map(|equal| Value::Bool(!equal))
    }),
    fixed("lt", &[Any, Any], |_, values| compare::less(&values[0], &values[1]).map(Value::Bool)),
    fixed("le", &[Any, Any], |_, values| {
        compare::less_or_equal(&values[0], &values[1]).map(Value::Bool)
    }),
    fixed("gt", &[Any, Any], |_, values| {
        compare::less_or_equal(&values[0], &values[1]).map(|le| Value::Bool(!le))
    }),
    fixed("ge", &[Any, Any], |_, values| {
        compare::less(&values[0], &values[1]).map(|less| Value::Bool(!less))
    }),
    fixed("len", &[Any], |_, values| compare::length(&values[0])),
    variadic("index", &[Any], |_, values| compare::index(&values[0], &values[1..])),
    variadic("print", &[], |_, values| Ok(Value::text(&sprint(values)))),
    variadic("println", &[], |_, values| {
        let words: Vec<String> = values.iter().map(Value::printed).collect();
        Ok(Value::text(&(words.join(" ") + "\n")))
    }),
    variadic("printf", &[Text], |_, values| {
        Ok(Value::text(&sprintf(&text(values, 0), &values[1..])))
    }),
    fixed("query", &[Text], |data, values| {
        let samples = (data.query)(&text(values, 0), data.at)?;
        Ok(Value::Samples(samples.into_iter().map(Arc::new).collect()))
    }),
    fixed("first", &[Samples], |_, values| match &values[0] {
        Value::Samples(samples) if !samples.is_empty() => {
            Ok(Value::Sample(Arc::clone(&samples[0])))
        }
        _ => Err("first() called on vector with no elements".to_owned()),
    }),
    fixed("label", &[Text, Takes::Sample], |_, values| label(&values[1], &text(values, 0))),
    fixed("strvalue", &[Takes::Sample], |_, values| label(&values[0], "__value__")),
    fixed("value", &[Takes::Sample], |_, values| match &values[0] {
        Value::Sample(sample) => Ok(Value::Float(sample.value)),
        _ => Err(NOTHING.to_owned()),
    }),
    fixed("sortByLabel", &[Text, Samples], |_, values| {
        Ok(sort_by_label(&values[1], &text(values, 0)))
    }),
    fixed("match", &[Text, Text], |_, values| {
        Ok(Value::Bool(pattern(&text(values, 0))?.is_match(&text(values, 1))))
    }),
    fixed("reReplaceAll", &[Text, Text, Text], |_, values| {
        let replaced = pattern(&text(values, 0))?
            .replace_all(&text(values, 2), &*text(values, 1))
            .into_owned();
        Ok(Value::text(&replaced))
    }),
    fixed("title", &[Text], |_, values| Ok(Value::text(&title(&text(values, 0))))),
    fixed("toUpper", &[Text], |_, values| Ok(Value::text(&to_upper(&text(values, 0))))),
    fixed("toLower", &[Text], |_, values| Ok(Value::text(&to_lower(&text(values, 0))))),
    fixed("graphLink", &[Text], |_, values| Ok(Value::text(&url::graph_link(&text(values, 0), 0)))),
    fixed("tableLink", &[Text], |_, values| Ok(Value::text(&url::graph_link(&text(values, 0), 1)))),
    fixed("urlQueryEscape", &[Text], |_, values| {
        Ok(Value::text(&url::query_escape(&text(values, 0))))
    }),
    fixed("stripPort", &[Text], |_, values| {
        let whole = text(values, 0);
        Ok(Value::text(url::split_host_port(&whole).map_or(&*whole, |(host, _)| host)))
    }),
    fixed("stripDomain", &[Text], |_, values| {
        Ok(Value::text(&url::strip_domain(&text(values, 0))))
    }),
    fixed("humanize", &[Any], |_, values| {
        Ok(Value::text(&humanize::metric(humanize::number(&values[0])?)))
    }),
    fixed("humanize1024", &[Any], |_, values| {
        Ok(Value::text(&humanize::binary(humanize::number(&values[0])?)))
    }),
    fixed("humanizeDuration", &[Any], |_, values| {
        Ok(Value::text(&humanize::duration(humanize::number(&values[0])?)))
    }),
    fixed("humanizePercentage", &[Any], |_, values| {
        Ok(Value::text(&humanize::percentage(humanize::number(&values[0])?)))
    }),
    fixed("humanizeTimestamp", &[Any], |_, values| {
        Ok(Value::text(&humanize::timestamp(humanize::number(&values[0])?)?))
    }),
    #[expect(clippy::cast_precision_loss, reason = "times of this century are exact")]
    fixed("now", &[], |data, _| Ok(Value::Float(data.at as f64 / 1_000.0))),
    fixed("externalURL", &[], |data, _| Ok(Value::text(data.external_url))),
    fixed("pathPrefix", &[], |data, _| {
        let after_host = data
            .external_url
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        Ok(Value::text(after_host.unwrap_or_default()))
    }),
    fixed("parseDuration", &[Text], |_, values| {
        let whole = text(values, 0);
        let (sign, size) = whole.strip_prefix('-').map_or((1.0, &*whole), |size| (-1.0, size));
        #[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 milliseconds")]
        let seconds = clock::parse_duration(size)? as f64 / 1_000.0;
        Ok(Value::Float(sign * seconds))
    }),
];

impl Function {
    /// What Prometheus has and this does not: they are for web pages, or for Go's types of time.
    pub(super) const UNSUPPORTED: &'static [&'static str] = &[
        "args",
        "call",
        "html",
        "js",
        "safeHtml",
        "slice",
        "tmpl",
        "toDuration",
        "toTime",
        "urlquery",
    ];

    pub(super) fn named(name: &str) -> Option<&'static Self> {
        debug_assert!(!KEYWORDS.contains(&name), "keywords are not functions");
        ALL.iter().find(|function| function.name == name)
    }
}

/// The text at a position; callers have checked that there is one.
fn text(values: &[Value], at: usize) -> Arc<str> {
    match values.get(at) {
        Some(Value::Text(text)) => Arc::clone(text),
        _ => Arc::from(""),
    }
}

/// Go's `fmt.Sprint`: a space between two values if neither is a text.
fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if at > 0 && !is_text(value) && !is_text(&values[at - 1]) {
            out.push(' ');
        }
        value.print(&mut out);
    }
    out
}

/// Letter by letter: one that becomes several, as `ß` would, stays.
fn to_upper(text: &str) -> String {
    let single = |c: char| Some(c.to_uppercase()).filter(|upper| upper.len() == 1)?.next();
    text.chars().map(|c| single(c).unwrap_or(c)).collect()
}

/// Letter by letter: of one that becomes several, the first.
fn to_lower(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// What Go says where a sample is nothing.
const NOTHING: &str = "runtime error: invalid memory address or nil pointer dereference";

fn label(value: &Value, name: &str) -> Result<Value, String> {
    match value {
        Value::Sample(sample) => Ok(Value::text(sample.labels.get(name).unwrap_or_default())),
        _ => Err(NOTHING.to_owned()),
    }
}

fn sort_by_label(value: &Value, name: &str) -> Value {
    let Value::Samples(samples) = value else { return value.clone() };
    let mut sorted: Vec<Arc<Sample>> = samples.to_vec();
    sorted.sort_by(|a, b| {
        a.labels.get(name).unwrap_or_default().cmp(b.labels.get(name).unwrap_or_default())
    });
    Value::Samples(sorted.into())
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|_| format!("error parsing regexp: `{text}`"))
}

/// Makes the first letter of each word large and leaves the others. Points, colons and apostrophes inside a word and
/// underscores do not end it.
fn title(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for (at, c) in characters.iter().enumerate() {
        if c.is_alphabetic() {
            if inside {
                out.push(*c);
            } else {
                out.extend(c.to_uppercase());
            }
            inside = true;
            continue;
        }
        let joins = matches!(c, '.' | ':' | '\'' | '\u{2019}')
            && inside
            && characters.get(at + 1).is_some_and(|next| next.is_alphabetic());
        inside = joins || *c == '_' && inside || c.is_numeric() && inside;
        out.push(*c);
    }
    out
}
