//! Scrapes as OpenMetrics text, as `promtool tsdb create-blocks-from openmetrics` takes it.
//!
//! The format has no word for "this series is gone": a server that is filled from it looks back over gaps for five minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Result, Write};
use std::iter::Peekable;

use kv_node::telemetry::catalogue::{Kind, METRICS, SCRAPED};
use promql::{Labels, TimestampMs};

use crate::recording::series::Samples;
use crate::recording::{Recording, Scrapes, Series};

/// One metric family, as a line of type and a line of help announce it.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// The names of its series.
    members: Vec<String>,
}

/// Series that stand together: one alone, or those of a histogram that differ in the bucket only.
type Group<'a> = Vec<&'a Series>;

/// Writes every sample; returns how many.
pub(super) fn write(recording: &Recording, to: &mut dyn Write) -> Result<u64> {
    let scrapes = &recording.metrics;
    let mut written = 0;
    for family in families() {
        let groups = groups(scrapes, &family);
        if groups.is_empty() {
            continue;
        }
        writeln!(to, "# TYPE {} {}", family.name, family.kind)?;
        writeln!(to, "# HELP {} {}", family.name, escaped(family.help))?;
        for group in groups {
            written += write_group(scrapes, &group, to)?;
        }
    }
    written += write_unknown(scrapes, to)?;
    writeln!(to, "# EOF")?;
    Ok(written)
}

/// What the catalogue knows, in its order, and what a scraper adds.
fn families() -> Vec<Family> {
    let own = METRICS.iter().map(|metric| {
        let name = metric.name;
        let (name, members) = match metric.kind {
            // A counter's family is named without what its samples end in.
            Kind::Counter => (name.strip_suffix("_total").unwrap_or(name), vec![name.to_owned()]),
            Kind::Gauge => (name, vec![name.to_owned()]),
            Kind::Histogram => {
                (name, ["bucket", "count", "sum"].map(|part| format!("{name}_{part}")).into())
            }
        };
        Family { name, kind: metric.kind.name(), help: metric.question, members }
    });
    let added = SCRAPED.map(|(name, help)| Family {
        name,
        kind: "gauge",
        help,
        members: vec![name.to_owned()],
    });
    own.chain(added).collect()
}

fn groups<'a>(scrapes: &'a Scrapes, family: &Family) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<Labels, Group<'a>> = BTreeMap::new();
    for series in &scrapes.series {
        let Some(metric) = series.labels.metric() else { continue };
        if !family.members.iter().any(|member| member == metric) {
            continue;
        }
        let together = series.labels.without(promql::METRIC_NAME).without("le");
        groups.entry(together).or_default().push(series);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    for group in &mut groups {
        group.sort_by_key(|series| order(family, &series.labels));
    }
    groups
}

/// Buckets by their end, then the count, then the sum.
fn order(family: &Family, labels: &Labels) -> (Option<usize>, u64) {
    let member = family.members.iter().position(|name| Some(name.as_str()) == labels.metric());
    let end: f64 = labels.get("le").and_then(|end| end.parse().ok()).unwrap_or_default();
    // Ends are not negative: their bits are in their order.
    (member, end.to_bits())
}

/// What the catalogue does not know: a family for each name.
fn write_unknown(scrapes: &Scrapes, to: &mut dyn Write) -> Result<u64> {
    let known: BTreeSet<String> =
        families().into_iter().flat_map(|family| family.members).collect();
    let mut unknown: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for series in &scrapes.series {
        let name = series.labels.metric().unwrap_or_default();
        if !known.contains(name) {
            unknown.entry(name).or_default().push(series);
        }
    }
    let mut written = 0;
    for (name, all) in unknown {
        writeln!(to, "# TYPE {name} unknown")?;
        for series in all {
            written += write_group(scrapes, &[series], to)?;
        }
    }
    Ok(written)
}

/// Writes round after round, in each the group's samples side by side.
fn write_group(scrapes: &Scrapes, group: &[&Series], to: &mut dyn Write) -> Result<u64> {
    let mut series: Vec<(String, Peekable<Samples<'_>>)> =
        group.iter().map(|series| (text(&series.labels), series.samples().peekable())).collect();
    let mut written = 0;
    loop {
        let first = series.iter_mut().filter_map(|(_, samples)| samples.peek().map(|next| next.0));
        let Some(round) = first.min() else { return Ok(written) };
        let at_ms = scrapes.round_ms(round);
        for (name, samples) in &mut series {
            if let Some((_, value)) = samples.next_if(|next| next.0 == round) {
                write_sample(name, (at_ms, value), to)?;
                written += 1;
            }
        }
    }
}

/// Writes a sample of the series with this name and these labels.
pub(super) fn write_sample(
    name: &str,
    (at_ms, value): (TimestampMs, f64),
    to: &mut dyn Write,
) -> Result<()> {
    let (s, ms) = (at_ms.div_euclid(1_000), at_ms.rem_euclid(1_000));
    writeln!(to, "{name} {} {s}.{ms:03}", number(value))
}

/// Name and labels.
pub(super) fn text(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .filter(|(name, _)| *name != promql::METRIC_NAME)
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    let name = labels.metric().unwrap_or_default();
    if pairs.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", pairs.join(",")) }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// As short as it reads back to the same bits.
fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_numbers_are_written_as_the_format_wants_them() {
        let labels = Labels::new([("__name__", "up"), ("b", "x\"y\\z\n"), ("a", "1")]);
        assert_eq!(text(&labels), r#"up{a="1",b="x\"y\\z\n"}"#);
        assert_eq!(text(&Labels::new([("__name__", "up")])), "up");
        let numbers = [0.1, 1e21, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(number);
        assert_eq!(numbers, ["0.1", "1000000000000000000000", "-0", "NaN", "+Inf", "-Inf"]);
    }

    #[test]
    fn a_histogram_stands_together_and_counters_lose_their_ending_in_their_type() {
        let name = "node_response_seconds";
        let mut scrapes = Scrapes { interval_ms: 15_000, rounds: 2, ..Scrapes::default() };
        let mut add = |pairs: &[(&str, &str)], values: [f64; 2]| {
            let mut series = Series::new(Labels::new(pairs.iter().copied()));
            series.push(0, values[0]);
            series.push(1, values[1]);
            scrapes.series.push(series);
        };
        add(&[("__name__", &format!("{name}_sum"))], [0.5, 0.75]);
        add(&[("__name__", &format!("{name}_bucket")), ("le", "+Inf")], [1.0, 2.0]);
        add(&[("__name__", &format!("{name}_bucket")), ("le", "0.5")], [1.0, 1.0]);
        add(&[("__name__", "node_tier_fallbacks_total")], [0.0, 3.0]);
        let families = families();
        let family = families.iter().find(|family| family.name == name).unwrap();
        let mut out = Vec::new();
        for group in groups(&scrapes, family) {
            write_group(&scrapes, &group, &mut out).unwrap();
        }
        let expected = [
            "node_response_seconds_bucket{le=\"0.5\"} 1 0.000",
            "node_response_seconds_bucket{le=\"+Inf\"} 1 0.000",
            "node_response_seconds_sum 0.5 0.000",
            "node_response_seconds_bucket{le=\"0.5\"} 1 15.000",
            "node_response_seconds_bucket{le=\"+Inf\"} 2 15.000",
            "node_response_seconds_sum 0.75 15.000",
        ];
        assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), expected);
        let counter = families.iter().find(|f| f.name == "node_tier_fallbacks").unwrap();
        assert_eq!(groups(&scrapes, counter).len(), 1);
    }
}
