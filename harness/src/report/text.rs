//! Verdicts as text.

use std::fmt::Write as _;

use crate::judge::{Judged, JudgedCheck, Judgement, Verdict};
use crate::runs::about::About;
use crate::spec::Scenario;
use crate::spec::expectation::{Basis, Bound};
use crate::spec::measure::Unit;

/// A scenario's steps with their verdicts, then a line for each check.
pub fn judgement(scenario: &Scenario, judgement: &Judgement) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}  {}", word(judgement.verdict), judgement.scenario);
    let _ = writeln!(out, "      {}", scenario.place);
    for step in &scenario.steps {
        let of_step: Vec<&Judged> =
            judgement.expectations.iter().filter(|judged| judged.line == step.line).collect();
        let mark = match of_step.iter().map(|judged| judged.verdict).max() {
            Some(Verdict::Pass) => "ok",
            Some(Verdict::Fail) => "NO",
            Some(Verdict::Inconclusive) => "??",
            None => "  ",
        };
        let _ = writeln!(out, "   {mark} {} {}", step.keyword, step.text);
    }
    for finding in &judgement.findings {
        let _ = writeln!(out, "   {}: {}", word(finding.verdict), finding.text);
    }
    out.push('\n');
    out.push_str(&table(judgement));
    out
}

pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Inconclusive => "INCONCLUSIVE",
    }
}

/// Columns: row, what is measured, its bound under the word that says where that comes from, replayed, margin, verdict.
fn table(judgement: &Judgement) -> String {
    let mut rows: Vec<[String; 7]> = vec![[
        "row".into(),
        "measured".into(),
        "published".into(),
        "assumed".into(),
        "replayed".into(),
        "margin".into(),
        "verdict".into(),
    ]];
    for judged in &judgement.expectations {
        for (at, check) in judged.checks.iter().enumerate() {
            let title = if at == 0 { judged.title.clone() } else { String::new() };
            let bound = bound(&check.bound, check.unit);
            let (published, assumed) = match check.basis {
                Basis::Published => (bound, String::new()),
                Basis::Assumed => (String::new(), bound),
            };
            let margin = check.margin.map_or_else(|| "-".to_owned(), |m| format!("{m:.2}"));
            let verdict = word(check.verdict).to_lowercase();
            rows.push([
                title,
                check.label.clone(),
                published,
                assumed,
                replayed(check),
                margin,
                verdict,
            ]);
        }
    }
    columns(&rows)
}

/// Rows under the first one as their heads; a column in which nothing stands is left out.
pub(super) fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        let row = row.as_ref();
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .as_ref()
            .iter()
            .zip(&widths)
            .filter(|(_, width)| **width > 0)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let _ = writeln!(out, "   {}", cells.join(" | ").trim_end());
        if at == 0 {
            let rules: Vec<String> =
                widths.iter().filter(|w| **w > 0).map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(out, "   {}", rules.join("-|-"));
        }
    }
    out
}

pub(super) fn replayed(check: &JudgedCheck) -> String {
    let mut text = match check.value {
        Some(value) => number(value, check.unit),
        // Somebody looked, and there is no such number: the note says why.
        None if check.evidence > 0 && check.note.is_some() => "never".to_owned(),
        None => "no data".to_owned(),
    };
    if let Some((low, high)) = check.interval {
        let _ = write!(text, " [{}, {}]", number(low, check.unit), number(high, check.unit));
    }
    if let Some(note) = check.note.as_ref().filter(|note| !note.is_empty()) {
        let _ = write!(text, " ({note})");
    }
    text
}

pub(super) fn bound(bound: &Bound, unit: Option<Unit>) -> String {
    match (bound.min, bound.max) {
        (Some(min), Some(max)) if (max - min).abs() < f64::EPSILON => limit(min, unit),
        (Some(min), Some(max)) => format!("{} to {}", limit(min, unit), limit(max, unit)),
        (Some(min), None) if bound.above_min => format!("> {}", limit(min, unit)),
        (Some(min), None) => format!(">= {}", limit(min, unit)),
        (None, Some(max)) => format!("<= {}", limit(max, unit)),
        (None, None) => String::new(),
    }
}

/// One end of a bound. What was measured may be rounded; where it has to lie may not: "at least 99.95 %" is not "at least 100 %".
pub fn limit(value: f64, unit: Option<Unit>) -> String {
    let percent = value * 100.0;
    let exact = |digits: &usize| {
        let rounded: f64 = format!("{percent:.digits$}").parse().unwrap_or(percent);
        (rounded - percent).abs() < 1e-9
    };
    match (unit, (1..=6).find(exact)) {
        (Some(Unit::Share), Some(digits)) if percent.abs() >= 1.0 => {
            format!("{percent:.digits$} %")
        }
        _ => number(value, unit),
    }
}

/// A measure's number as it is read.
fn number(value: f64, unit: Option<Unit>) -> String {
    match unit {
        Some(Unit::Share) => {
            let percent = value * 100.0;
            let digits = if percent.abs() < 1.0 { 3 } else { 1 };
            format!("{percent:.digits$} %")
        }
        Some(Unit::Count) => format!("{value:.0}"),
        Some(Unit::Seconds) => format!("{value:.1} s"),
        Some(Unit::Number) => format!("{value:.4}"),
        Some(Unit::Millis) => format!("{value:.0} ms"),
        None => format!("{value:.2}"),
    }
}

/// What a run cost on this machine.
#[expect(clippy::cast_precision_loss, reason = "megabytes")]
pub fn cost(about: &About) -> String {
    format!(
        "{} requests in {:.0} s of CPU ({:.1} us a request, {:.0} % of it for monitoring), {:.0} times real \
         time, {:.0} MB of memory, {:.1} MB of recording; calibration {:.1} ms",
        about.requests,
        about.cpu_s,
        about.cpu_us_per_request(),
        about.monitoring_share() * 100.0,
        about.speed(),
        about.memory_mb,
        about.recording_bytes as f64 / 1e6,
        about.calibration_ms,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_rounded_and_a_bound_is_not() {
        let at_least = |min| bound(&Bound::at_least(min), Some(Unit::Share));
        assert_eq!(at_least(0.9995), ">= 99.95 %");
        assert_eq!(at_least(0.99), ">= 99.0 %");
        assert_eq!(at_least(0.0005), ">= 0.050 %");
        assert_eq!(number(0.9996, Some(Unit::Share)), "100.0 %");
    }
}
