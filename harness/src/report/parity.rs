//! Two labs side by side, as text.

use std::fmt::Write as _;
use std::time::Duration;

use super::text::{columns, replayed, word};
use crate::judge::Judgement;
use crate::parity::{Parity, Told};
use crate::spec::Scenario;

/// A scenario in both labs: what is told alike, and what is not.
pub fn parity(scenario: &Scenario, judgements: [&Judgement; 2], parity: &Parity) -> String {
    let mut out = String::new();
    let all = if parity.holds() { "SAME" } else { "DIFFERENT" };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{all}  {}\n      {}\n", scenario.title(), scenario.place);
    let heads = ["row", "measured", "simulated", "containers", "verdicts", ""];
    let mut rows = vec![heads.map(str::to_owned)];
    let [one, other] = judgements;
    for (compared, (a, b)) in
        parity.expectations.iter().zip(one.expectations.iter().zip(&other.expectations))
    {
        for (at, (x, y)) in a.checks.iter().zip(&b.checks).enumerate() {
            let first = at == 0;
            let verdicts = format!("{} {}", word(x.verdict), word(y.verdict)).to_lowercase();
            rows.push([
                if first { a.title.clone() } else { String::new() },
                x.label.clone(),
                replayed(x),
                replayed(y),
                verdicts,
                if first && !compared.same { "DIFFERENT".to_owned() } else { String::new() },
            ]);
        }
    }
    out.push_str(&columns(&rows));
    for (lab, judgement) in ["simulated", "containers"].into_iter().zip(judgements) {
        for finding in &judgement.findings {
            let _ = writeln!(out, "   {lab}: {}: {}", word(finding.verdict), finding.text);
        }
    }
    out.push('\n');
    let seeds = parity.alerts.first().map_or(0, |alert| alert.first.len());
    let simulated = format!("simulated after, {seeds} seeds");
    let heads = ["alert", &simulated, "containers after", "may differ by", ""];
    let mut rows = vec![heads.map(str::to_owned)];
    for alert in &parity.alerts {
        let first = match alert.first_took() {
            None => "never".to_owned(),
            Some([least, most]) if least == most => seconds(least),
            Some([least, most]) => format!("{:.0} to {}", least.as_secs_f64(), seconds(most)),
        };
        let second = alert.second_took().map_or("never".to_owned(), seconds);
        let told = match alert.told() {
            Told::Same => String::new(),
            Told::Different => "DIFFERENT".to_owned(),
            Told::Chance => format!("fires with {} of {seeds} seeds", alert.fired()),
        };
        rows.push([alert.name.clone(), first, second, seconds(alert.allowed), told]);
    }
    if parity.alerts.is_empty() {
        out.push_str("   no alert fired in either lab\n");
    } else {
        out.push_str(&columns(&rows));
    }
    out
}

fn seconds(duration: Duration) -> String {
    format!("{:.0} s", duration.as_secs_f64())
}
