//! Judging: a scenario's expectations against a recording. Pure: it reads and never acts.
//!
//! * [`measure`]: how each measure is taken; [`signals`], [`query`]: those of what on-call would have seen.
//! * [`unanswered`]: those of requests that nobody answered; [`releases`]: those of the release tool.
//! * [`honesty`]: what is checked in every scenario: nodes against customers, and whether the recording is whole.
//! * [`detection`]: who saw an incident first, and who named its cause.
//! * [`ownership`]: who owned a key when.

pub mod detection;
mod honesty;
mod measure;
mod ownership;
mod partitions;
mod peak;
mod query;
mod releases;
mod safety;
mod signals;
mod status;
mod unanswered;

use serde::{Deserialize, Serialize};

use crate::recording::{Journal, Recording};
use crate::spec::Scenario;
use crate::spec::expectation::{Basis, Bound, Check, Expectation};
use crate::spec::measure::Unit;
use measure::Taken;

/// What a scenario came to. The order is that of gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything holds.
    Pass,
    /// It cannot be said: a fault never acted, or there is too little to look at.
    Inconclusive,
    /// Something does not hold.
    Fail,
}

/// A scenario judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The scenario's feature.
    pub feature: String,
    /// Its title.
    pub scenario: String,
    /// All in all.
    pub verdict: Verdict,
    /// Each expectation.
    pub expectations: Vec<Judged>,
    /// What was found beside the expectations: a fault without a witness, a node that does not say what it did.
    pub findings: Vec<Finding>,
}

/// An expectation judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The row's id, or the step's line.
    pub title: String,
    /// What is claimed.
    pub says: String,
    /// The step's line.
    pub line: usize,
    /// All in all.
    pub verdict: Verdict,
    /// Each check.
    pub checks: Vec<JudgedCheck>,
}

/// A check judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgedCheck {
    /// What was measured.
    pub label: String,
    /// How its number is read.
    #[serde(skip)]
    pub unit: Option<Unit>,
    /// Where the bound comes from.
    pub basis: Basis,
    /// The bound.
    pub bound: Bound,
    /// What was found; none where there was nothing to look at.
    pub value: Option<f64>,
    /// The interval in which the true value lies with 95 % confidence, where the bound is on that.
    pub interval: Option<(f64, f64)>,
    /// How far from the bound, as a share of the band.
    pub margin: Option<f64>,
    /// How many requests, answers or other things were looked at.
    pub evidence: u64,
    /// In words, where the number alone does not say it.
    pub note: Option<String>,
    /// Whether it holds.
    pub verdict: Verdict,
}

/// Something that was found beside the expectations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What that makes of the scenario.
    pub verdict: Verdict,
    /// What was found.
    pub text: String,
}

/// Judges a scenario by a recording of its run, or of a run of which its own is the beginning.
pub fn judge(scenario: &Scenario, recording: &Recording) -> Judgement {
    Judge::new(recording).scenario(scenario)
}

/// A recording with what is true of it whatever a scenario expects: worked out once, for many scenarios.
#[derive(Debug)]
pub struct Judge<'a> {
    recording: &'a Recording,
    /// What is wrong whatever a scenario expects.
    promises: Vec<Finding>,
    history: ownership::History,
}

impl<'a> Judge<'a> {
    /// Looks through a recording.
    pub fn new(recording: &'a Recording) -> Self {
        let history = ownership::History::new(recording);
        let safety = safety::check(recording, &history);
        let promises = honesty::check(recording).into_iter().chain(safety).collect();
        Self { recording, promises, history }
    }

    /// Judges one scenario.
    pub fn scenario(&self, scenario: &Scenario) -> Judgement {
        let mut findings = witnesses(scenario, self.recording);
        findings.extend(self.promises.iter().cloned());
        let expectations: Vec<Judged> = scenario
            .expectations
            .iter()
            .map(|expectation| judge_expectation(expectation, self.recording, &self.history))
            .collect();
        let verdict = expectations
            .iter()
            .map(|judged| judged.verdict)
            .chain(findings.iter().map(|finding| finding.verdict))
            .max()
            .unwrap_or(Verdict::Inconclusive);
        // What follows from a fault that never acted says nothing, for or against.
        let silent = findings.iter().any(|finding| finding.verdict == Verdict::Inconclusive);
        let dishonest = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
        Judgement {
            feature: scenario.feature.clone(),
            scenario: scenario.title(),
            verdict: if silent && !dishonest { Verdict::Inconclusive } else { verdict },
            expectations,
            findings,
        }
    }
}

/// Every action of the scenario must have acted, and the run must have come to its end.
fn witnesses(scenario: &Scenario, recording: &Recording) -> Vec<Finding> {
    let mut findings = Vec::new();
    let inconclusive = |text: String| Finding { verdict: Verdict::Inconclusive, text };
    if !recording.journal.iter().any(|(_, entry)| *entry == Journal::End) {
        findings.push(inconclusive("the recording has no end: the run was cut short".to_owned()));
    }
    if recording.spec.end < scenario.spec.end {
        findings.push(inconclusive("the run ended before the scenario does".to_owned()));
    }
    for (_, entry) in &recording.journal {
        if let Journal::Stood { ms } = entry {
            findings.push(inconclusive(format!(
                "the machine stood still for {ms} ms of the incident: what timed out then was the machine's fault"
            )));
        }
    }
    for (at, entry) in &recording.journal {
        let Journal::Action { id, text } = entry else { continue };
        if *at >= scenario.spec.end {
            continue;
        }
        let acted = recording.journal.iter().find_map(|(_, entry)| match entry {
            Journal::Witness { id: witness, acted, .. } if witness == id => Some(*acted),
            _ => None,
        });
        if acted.unwrap_or(0) == 0 {
            findings.push(inconclusive(format!(
                "\"{text}\" never acted: nothing that follows from it was tested"
            )));
        }
    }
    findings
}

fn judge_expectation(
    expectation: &Expectation,
    recording: &Recording,
    history: &ownership::History,
) -> Judged {
    let checks: Vec<JudgedCheck> =
        expectation.checks.iter().map(|check| judge_check(check, recording, history)).collect();
    Judged {
        title: expectation.title.clone(),
        says: expectation.says.clone(),
        line: expectation.line,
        verdict: checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Fail),
        checks,
    }
}

fn judge_check(check: &Check, recording: &Recording, history: &ownership::History) -> JudgedCheck {
    let Taken { value, interval, evidence, note } =
        measure::take(&check.measure, check.window, recording, history);
    // Where there is an interval, all of it has to lie within the bound.
    let all = value.map(|value| {
        let (low, high) = interval.unwrap_or((value, value));
        [low, value, high]
    });
    // Whoever looked at nothing has seen nothing.
    let holds = all.is_some_and(|all| all.iter().all(|value| check.bound.holds(*value)));
    let verdict = if holds { Verdict::Pass } else { Verdict::Fail };
    let margins = all.iter().flatten();
    let margins = margins.filter_map(|value| check.bound.margin(*value, check.measure.unit()));
    JudgedCheck {
        label: check.measure.label(),
        unit: Some(check.measure.unit()),
        basis: check.basis,
        bound: check.bound,
        margin: margins.min_by(f64::total_cmp),
        value,
        interval,
        evidence,
        note,
        verdict,
    }
}
