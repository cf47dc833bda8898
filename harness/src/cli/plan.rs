//! `relapse plan`.

use std::path::Path;

use super::{Chosen, out, scenarios};
use crate::exit::Exit;
use crate::lab::Kind;
use crate::runs;
use crate::spec::expectation::Check;
use crate::spec::{Scenario, time};

pub(super) fn plan(root: &Path, chosen: &Chosen) -> Exit {
    let scenarios = match scenarios(root, chosen) {
        Ok(scenarios) => scenarios,
        Err(exit) => return exit,
    };
    for scenario in &scenarios {
        out(&text(scenario));
    }
    let runs = runs::distinct(&scenarios, Kind::Simulated, 1, "");
    let seconds: f64 =
        runs.iter().map(|run| run.spec.end.since(run.spec.start).as_secs_f64()).sum();
    let requests: f64 = runs.iter().map(|run| run.spec.requests()).sum();
    let span = time::format_duration(std::time::Duration::from_secs_f64(seconds));
    out(&format!(
        "{} scenarios, {} distinct runs, {span} of incident time, about {requests:.0} requests",
        scenarios.len(),
        runs.len()
    ));
    Exit::Pass
}

/// One scenario's plan.
fn text(scenario: &Scenario) -> String {
    let spec = &scenario.spec;
    let mut lines = vec![scenario.title(), format!("  {}", scenario.place)];
    let dcs = spec.topology.dcs.len();
    let noise = if spec.noise { "with noise" } else { "without noise" };
    lines.push(format!(
        "  {dcs} data centers, {} requests a second {noise}, about {:.0} in all; build {}",
        spec.topology.traffic.requests_per_s,
        spec.requests(),
        spec.build.id
    ));
    for (dc, build) in &spec.builds {
        lines.push(format!("  {dc} runs build {}", build.id));
    }
    lines.push(format!("  {}  start", time::format(spec.start)));
    for rate in &spec.rates {
        let (from, per_s) = (time::format(rate.from), rate.requests_per_s);
        lines.push(format!("  {from}  customers send {per_s} requests a second"));
    }
    for planned in &spec.timeline {
        lines.push(format!("  {}  {}", time::format(planned.at), planned.action.text()));
    }
    lines.extend(spec.triggered.iter().map(|triggered| format!("  {}", triggered.text())));
    lines.push(format!("  {}  end", time::format(spec.end)));
    for expectation in &scenario.expectations {
        lines.push(format!("  expects {}: {}", expectation.title, expectation.says));
        lines.extend(expectation.checks.iter().map(|check| format!("    {}", check_text(check))));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn check_text(check: &Check) -> String {
    let unit = Some(check.measure.unit());
    let limit = |value: f64| crate::report::limit(value, unit);
    let bound = match (check.bound.min, check.bound.max) {
        (Some(min), Some(max)) => format!("{} to {}", limit(min), limit(max)),
        (Some(min), None) if check.bound.above_min => format!("above {}", limit(min)),
        (Some(min), None) => format!("at least {}", limit(min)),
        (None, Some(max)) => format!("at most {}", limit(max)),
        (None, None) => String::new(),
    };
    let (from, to) = (time::format(check.window.from), time::format(check.window.to));
    format!("{}: {bound}, {from} to {to}", check.measure.label())
}
