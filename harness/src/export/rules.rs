//! What a run's rules make of what was scraped, and what was done, as OpenMetrics text: a server that is filled with a recording
//! evaluates no rule over the past.

use std::collections::BTreeMap;
use std::io::{Error, Result, Write};

use promql::rules::RuleFile;
use promql::{Engine, Labels, METRIC_NAME, Query, TimestampMs};

use super::JOURNAL;
use super::openmetrics::{text, write_sample};
use crate::alerts::{self, INTERVAL_MS, PHASE_MS};
use crate::recording::{Journal, Recording};

/// Writes every sample; returns how many.
pub(super) fn write(recording: &Recording, to: &mut dyn Write) -> Result<u64> {
    let written = write_rules(recording, to)? + write_journal(recording, to)?;
    writeln!(to, "# EOF")?;
    Ok(written)
}

fn write_rules(recording: &Recording, to: &mut dyn Write) -> Result<u64> {
    let (scrapes, rules) = (&recording.metrics, &recording.spec.rules);
    let Some(last) = scrapes.rounds.checked_sub(1) else { return Ok(0) };
    let files: Vec<RuleFile> =
        rules.iter().filter_map(|rule| RuleFile::parse(&rule.file, &rule.text).ok()).collect();
    let names = alerts::written(&files);
    let (database, _) = alerts::replayed(scrapes, rules, names.clone());
    let engine = Engine::new(alerts::settings());
    let ms = |ms: u64| TimestampMs::try_from(ms).unwrap_or(TimestampMs::MAX);
    let times = scrapes.round_ms(0) + ms(PHASE_MS)..=scrapes.round_ms(last) + ms(PHASE_MS);
    let mut written = 0;
    for name in names {
        let query = Query::parse(&name).map_err(Error::other)?;
        let series =
            engine.range(&query, &database, times.clone(), i64::try_from(INTERVAL_MS).unwrap_or(1));
        let series = series.map_err(Error::other)?;
        if !series.is_empty() {
            writeln!(to, "# TYPE {name} gauge")?;
        }
        for one in series {
            let name = text(&one.labels.with(METRIC_NAME, &name));
            for point in one.points {
                write_sample(&name, point, to)?;
                written += 1;
            }
        }
    }
    Ok(written)
}

fn write_journal(recording: &Recording, to: &mut dyn Write) -> Result<u64> {
    let mut done: BTreeMap<&str, Vec<TimestampMs>> = BTreeMap::new();
    for (at, entry) in &recording.journal {
        if let Journal::Action { text, .. } = entry {
            done.entry(text).or_default().push(i64::try_from(at.0 / 1_000).unwrap_or(0));
        }
    }
    if !done.is_empty() {
        writeln!(to, "# TYPE {JOURNAL} gauge")?;
    }
    let mut written = 0;
    for (what, moments) in done {
        let name = text(&Labels::new([(METRIC_NAME, JOURNAL), ("text", what)]));
        for at_ms in moments {
            write_sample(&name, (at_ms, 1.0), to)?;
            written += 1;
        }
    }
    Ok(written)
}
