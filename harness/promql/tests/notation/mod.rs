//! promtool's notation for series: `a{b="c"} 0+10x40 _ stale`.

use promql::{Database, Labels, METRIC_NAME, Query, STALE};

/// A series as written, with its samples by position.
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<Option<f64>>,
}

/// A duration like `1h30m`, or a number of seconds, in milliseconds.
pub(crate) fn duration_ms(text: &str) -> Result<i64, String> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| format!("bad duration {text:?}"))?;
        rest = &rest[end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..unit_end] {
            "ms" => 1.0,
            "" | "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            "w" => 604_800_000.0,
            "y" => 31_536_000_000.0,
            unit => return Err(format!("bad unit {unit:?} in {text:?}")),
        };
        total += number * unit;
        rest = &rest[unit_end..];
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded, and no test takes longer than that"
    )]
    Ok((sign * total).round() as i64)
}

/// The labels of `name{label="value"}`.
pub(crate) fn labels(text: &str) -> Result<Labels, String> {
    if text.is_empty() || text == "{}" {
        return Ok(Labels::empty());
    }
    let query = Query::parse(text).map_err(|error| format!("{text}: {error}"))?;
    let selectors = query.selectors();
    let [selector] = &selectors[..] else { return Err(format!("{text} is not a series")) };
    let name = selector.metric.iter().map(|name| (METRIC_NAME, name.as_str()));
    let others = selector.matchers.iter().map(|(label, _, value)| (label.as_str(), value.as_str()));
    Ok(Labels::new(name.chain(others)))
}

/// A line: a series, and its values.
pub(crate) fn series(line: &str) -> Result<Series, String> {
    let line = line.trim();
    let mut quote = None;
    let mut depth = 0;
    let end = line.char_indices().find(|(_, c)| {
        match (quote, c) {
            (Some(open), c) if open == *c => quote = None,
            (None, '"' | '\'' | '`') => quote = Some(*c),
            (None, '{') => depth += 1,
            (None, '}') => depth -= 1,
            (None, c) => return depth == 0 && c.is_whitespace(),
            _ => {}
        }
        false
    });
    let (name, rest) = line.split_at(end.map_or(line.len(), |(at, _)| at));
    // A space may stand between name and braces.
    if let Some(braces) = rest.trim_start().strip_prefix('{').filter(|_| !name.ends_with('}')) {
        return series(&format!("{name}{{{braces}"));
    }
    Ok(Series { labels: labels(name)?, values: values(rest)? })
}

/// Values like `0+10x40 _ stale 1x3`.
pub(crate) fn values(text: &str) -> Result<Vec<Option<f64>>, String> {
    let mut values = Vec::new();
    for item in text.split_whitespace() {
        let (body, times) = match item.rsplit_once('x') {
            Some((body, times))
                if !times.is_empty() && times.chars().all(|c| c.is_ascii_digit()) =>
            {
                (body, times.parse::<u32>().map_err(|error| error.to_string())?)
            }
            _ => (item, 0),
        };
        if body == "_" {
            values.extend((0..times.max(1)).map(|_| None));
            continue;
        }
        if body == "stale" {
            values.extend((0..=times).map(|_| Some(STALE)));
            continue;
        }
        let step = body
            .char_indices()
            .skip(1)
            .find(|(at, c)| matches!(c, '+' | '-') && !body[..*at].ends_with(['e', 'E']));
        let (start, step) = match step {
            Some((at, _)) => (number(&body[..at])?, number(&body[at..])?),
            None => (number(body)?, 0.0),
        };
        let mut value = start;
        for nth in 0..=times {
            if nth > 0 {
                value += step;
            }
            values.push(Some(value));
        }
    }
    Ok(values)
}

fn number(text: &str) -> Result<f64, String> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).map(f64::from).map_err(|error| error.to_string());
    }
    text.parse().map_err(|_| format!("bad number {text:?}"))
}

/// Adds a series to a database, one sample every `interval_ms` from 1970 on.
pub(crate) fn load(database: &mut Database, series: &Series, interval_ms: i64) {
    let id = database.series(&series.labels);
    for (nth, value) in series.values.iter().enumerate() {
        if let Some(value) = value {
            database.append(id, i64::try_from(nth).expect("few samples") * interval_ms, *value);
        }
    }
}
