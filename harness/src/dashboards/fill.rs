//! What Grafana puts into a query before Prometheus sees it.

use super::board::Variable;

/// Grafana's own variables, as they are for an hour shown with a point every 15 seconds.
const OWN: [(&str, &str); 7] = [
    ("__rate_interval", "1m"),
    ("__interval", "15s"),
    ("__interval_ms", "15000"),
    ("__range", "1h"),
    ("__range_s", "3600"),
    ("__range_ms", "3600000"),
    ("__auto", "15s"),
];

/// What stands in for a value that is any.
pub(super) const ANY: &str = ".*";

/// What is wrong with the variables of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// There is none of this name.
    Unknown(String),
    /// It may stand for many values, and is compared as one.
    Compared(String),
}

/// A query with values in the place of its variables. `values` gives those of the dashboard's own.
pub(super) fn fill(
    text: &str,
    variables: &[Variable],
    values: &dyn Fn(&Variable) -> String,
) -> Result<String, Wrong> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let Some((name, length)) = variable_at(&rest[at..]) else {
            filled.push('$');
            rest = &rest[at + 1..];
            continue;
        };
        rest = &rest[at + length..];
        if let Some((_, value)) = OWN.iter().find(|(own, _)| *own == name) {
            filled.push_str(value);
            continue;
        }
        let variable = variables.iter().find(|variable| variable.name == name);
        let variable = variable.ok_or_else(|| Wrong::Unknown(name.to_owned()))?;
        let operator = filled.rfind('"').map_or("", |quote| filled[..quote].trim_end());
        if variable.many && !operator.ends_with('~') {
            return Err(Wrong::Compared(name.to_owned()));
        }
        filled.push_str(&values(variable));
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The name and the length of the variable that a text begins with: `$name`, `${name}`, `${name:regex}`. `$1` is none.
fn variable_at(text: &str) -> Option<(&str, usize)> {
    let after = text.strip_prefix('$')?;
    let (inner, braced) = match after.strip_prefix('{') {
        Some(inner) => (inner, true),
        None => (after, false),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = &inner[..inner.find(|c| !word(c)).unwrap_or(inner.len())];
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let length = if braced { inner.find('}')? + 3 } else { name.len() + 1 };
    Some((name, length))
}

/// The selector and the label of `label_values(selector, label)`.
pub(super) fn label_values(text: &str) -> Option<(String, String)> {
    let inner = text.trim().strip_prefix("label_values(")?.strip_suffix(')')?;
    let (selector, label) = inner.rsplit_once(',')?;
    Some((selector.trim().to_owned(), label.trim().to_owned()))
}

/// A query without the zero that it falls back to, if it has one.
pub(super) fn without_zero(text: &str) -> Option<&str> {
    let rest = text.trim_end().strip_suffix("vector(0)")?.trim_end();
    let rest = rest.strip_suffix("on ()").or_else(|| rest.strip_suffix("on()")).unwrap_or(rest);
    Some(rest.trim_end().strip_suffix("or")?.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, Wrong> {
        let variable = |name: &str, many| Variable { name: name.to_owned(), many, values: None };
        let variables = [variable("dc", true), variable("one", false)];
        fill(text, &variables, &|variable| variable.name.to_uppercase())
    }

    #[test]
    fn variables_are_filled() {
        for (text, expected) in [
            ("rate(m{a=~\"$dc\"}[$__rate_interval])", "rate(m{a=~\"DC\"}[1m])"),
            ("m{a!~\"x|${dc:regex}\",b=\"${one}\"}[$__range]", "m{a!~\"x|DC\",b=\"ONE\"}[1h]"),
            ("label_replace(m, \"a\", \"${1}xx$2\", \"b\", \"(.)$\")", ""),
        ] {
            let expected = if expected.is_empty() { text } else { expected };
            assert_eq!(filled(text), Ok(expected.to_owned()));
        }
        assert_eq!(filled("m{a=\"$dcs\"}"), Err(Wrong::Unknown("dcs".to_owned())));
        assert_eq!(filled("m{a=\"$dc\"}"), Err(Wrong::Compared("dc".to_owned())));
        assert_eq!(
            label_values("label_values(up{job=\"a\",b=\"c\"}, dc)"),
            Some(("up{job=\"a\",b=\"c\"}".to_owned(), "dc".to_owned()))
        );
        assert_eq!(without_zero("a / b or on () vector(0)"), Some("a / b"));
        assert_eq!(without_zero("sum(floor) vector(0)"), None);
    }
}
