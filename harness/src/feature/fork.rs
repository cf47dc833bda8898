//! The same history with other actions from a moment on.

use std::sync::Arc;

use cucumber::World as _;
use cucumber::gherkin::{Feature, GherkinEnv, Step, StepType};

use super::catalog::Catalog;
use super::compile::{background, finished, parse, parts, tell_step, written};
use super::world::World;
use crate::spec::problem::Problem;
use crate::spec::time::{self, IncidentTime};
use crate::spec::{Scenario, Spec};

/// Where another history branches off, and what is done in it.
#[derive(Clone, Debug, Default)]
pub struct Branch {
    /// From which moment on, as features tell moments.
    pub at: String,
    /// What people do from then on: sentences that features have after When, each with its table or text below it.
    pub then: Vec<String>,
    /// When both histories end; none where they end as the scenario does.
    pub until: Option<String>,
}

/// A history and another one.
#[derive(Clone, Debug)]
pub struct Forked {
    /// Where they part.
    pub at: IncidentTime,
    /// As the scenario has it.
    pub original: Spec,
    /// With other actions.
    pub other: Spec,
}

const AT: &str = "--at";
const THEN: &str = "--then";
const UNTIL: &str = "--until";

/// Compiles a scenario of a feature file twice: as it is, and with what people do from a moment on replaced. What happens to
/// people (faults, maintenance, returns, crashes) happens in both.
pub fn fork(
    catalog: &Arc<Catalog>,
    text: &str,
    scenario: &Scenario,
    branch: &Branch,
) -> Result<Forked, Vec<Problem>> {
    let file = &scenario.place.file;
    let feature = parse(file, text)?;
    let same = |written_then: &[&Step]| {
        let steps: Vec<_> = written_then.iter().map(|step| written(step)).collect();
        steps == scenario.steps
    };
    let steps = parts(&feature).into_iter().find_map(|(rule, one)| {
        let steps = [background(&feature, rule), one.steps.iter().collect()].concat();
        let here = one.position.line == scenario.place.line && one.name == scenario.name;
        (here && same(&steps)).then_some(steps)
    });
    let Some(steps) = steps else {
        return Err(vec![Problem::new(file, scenario.place.line, "this scenario has changed")]);
    };

    let collection = World::collection();
    let incident = super::incident_of(&scenario.tags).map(str::to_owned);
    let mut world = World::of(catalog.clone(), file, incident);
    // Nothing is expected of what did not happen.
    for step in steps.into_iter().filter(|step| step.ty != StepType::Then) {
        let _ = tell_step(&collection, &mut world, step);
    }
    let mut original = scenario.spec.clone();
    let Some(at) = world.go_back(&branch.at, AT) else { return Err(world.into_problems()) };
    if let Some(until) = &branch.until {
        world.said_in(UNTIL);
        let Some(until) = world.resolve(until, at) else { return Err(world.into_problems()) };
        original.end = until;
        original.timeline.retain(|planned| planned.at < until);
    }

    let mut undefined = Vec::new();
    world.said_in(THEN);
    for (nth, sentence) in branch.then.iter().enumerate() {
        let step = sentence_step(nth + 1, sentence).map_err(|problem| vec![problem])?;
        undefined.extend(tell_step(&collection, &mut world, &step));
    }
    world.end_at(original.end);
    let (mut other, _) = finished(world, undefined, branch.then.len())?;
    if !original.released.is_empty() {
        // What can be released is there from the beginning, in both histories.
        other.released.clone_from(&original.released);
    }
    Ok(Forked { at, original, other })
}

/// A world that goes back and does something else.
impl World {
    /// Goes back to a moment: whatever people did from then on is undone, and what is said from now on was said elsewhere.
    fn go_back(&mut self, text: &str, said_in: &str) -> Option<IncidentTime> {
        said_in.clone_into(&mut self.file);
        self.line = 0;
        let (from, end) = (self.start?, self.now?);
        let at = self.resolve(text, from)?;
        if at < from || at >= end {
            let span = format!("{} to {}", time::format(from), time::format(end));
            let problem = self.problem(format!("{} is no moment of it", time::format(at)));
            self.report(problem.hint(format!("it goes from {span}")));
            return None;
        }
        self.timeline.retain(|(planned, _)| planned.at < at || planned.action.is_of_the_world());
        if !self.triggered.is_empty() {
            let problem = self.problem("in this history people act on alerts");
            self.report(problem.hint("what they had done by then no plan tells: fork another one"));
            return None;
        }
        self.now = Some(at);
        Some(at)
    }

    /// Everything that is wrong.
    fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Turns to what was said elsewhere.
    fn said_in(&mut self, place: &str) {
        place.clone_into(&mut self.file);
    }

    /// Ends the scenario at a moment, whatever the world would have done later.
    fn end_at(&mut self, end: IncidentTime) {
        if self.now.is_some_and(|now| now > end) {
            let problem = self.problem(format!(
                "it is {} by then; the history ends at {}",
                time::format(self.now.unwrap_or_default()),
                time::format(end)
            ));
            self.report(problem.hint("let it end later: --until"));
        }
        self.timeline.retain(|(planned, _)| planned.at < end || !planned.action.is_of_the_world());
        self.now = Some(end);
    }
}

/// A sentence as a step after When. Its line is its place among the sentences.
fn sentence_step(nth: usize, sentence: &str) -> Result<Step, Problem> {
    let wrong = |message: String| {
        Problem::new(THEN, nth, message).hint("`relapse steps` lists what can stand after When")
    };
    let trimmed = sentence.trim();
    let bare = ["When ", "And "].iter().find_map(|keyword| trimmed.strip_prefix(keyword));
    let text = format!("Feature: f\n  Scenario: s\n    When {}\n", bare.unwrap_or(trimmed));
    let steps = Feature::parse(text, GherkinEnv::default())
        .map(|feature| feature.scenarios.into_iter().flat_map(|s| s.steps).collect::<Vec<_>>())
        .unwrap_or_default();
    match <[Step; 1]>::try_from(steps) {
        Ok([mut step]) if step.ty == StepType::When => {
            step.position.line = nth;
            Ok(step)
        }
        _ => Err(wrong(format!("this is not one sentence: {}", trimmed.replace('\n', " ")))),
    }
}

/// In words, what people do from a moment on in a history.
pub fn done(spec: &Spec, from: IncidentTime) -> Vec<String> {
    let later = spec.timeline.iter().filter(|planned| planned.at >= from);
    let people = later.filter(|planned| !planned.action.is_of_the_world());
    people
        .map(|planned| format!("{} {}", time::format(planned.at), planned.action.text()))
        .collect()
}
