//! Features in, scenarios or problems out.

use std::sync::Arc;

use cucumber::World as _;
use cucumber::feature::Ext as _;
use cucumber::gherkin::{Feature, GherkinEnv, Step};
use cucumber::step::Collection;
use futures_util::FutureExt as _;

use super::catalog::Catalog;
use super::steps::sentences;
use super::world::World;
use crate::spec::problem::Problem;
use crate::spec::{Place, Scenario, StepText};

/// What a feature file is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureAbout {
    /// Its incident's id, or the name of its file.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its path from the root.
    pub file: String,
    /// Its tags, without `@`.
    pub tags: Vec<String>,
}

/// Compiles one feature file.
pub fn compile(
    catalog: &Arc<Catalog>,
    file: &str,
    text: &str,
) -> Result<(FeatureAbout, Vec<Scenario>), Vec<Problem>> {
    let feature = parse(file, text)?;
    let collection = World::collection();
    let tags: Vec<String> = feature.tags.iter().map(|tag| bare(tag)).collect();
    let incident = super::incident_of(&tags).map(str::to_owned);
    if let Some(id) = &incident
        && !catalog.incidents.contains_key(id)
    {
        let line = feature.position.line.saturating_sub(1).max(1);
        let problem =
            Problem::new(file, line, format!("there is no incident \"{id}\"")).if_nothing_else();
        let known = catalog.incidents.keys().map(String::as_str);
        return Err(vec![problem.did_you_mean(id, known)]);
    }
    let stem = file.rsplit('/').next().and_then(|name| name.strip_suffix(".feature"));
    let id = incident.clone().or(stem.map(str::to_owned)).unwrap_or_default();
    let about = FeatureAbout {
        id: id.clone(),
        title: feature.name.clone(),
        file: file.to_owned(),
        tags: tags.clone(),
    };
    let mut scenarios = Vec::new();
    let mut problems = Vec::new();
    for (rule, scenario) in parts(&feature) {
        let background = background(&feature, rule);
        let own: Vec<&Step> = scenario.steps.iter().collect();
        let world = World::of(catalog.clone(), file, incident.clone());
        let told = tell(&collection, world, [&background, &own], scenario.position.line);
        let steps = [background, own].concat();
        match told {
            Ok((spec, expectations)) if expectations.is_empty() => {
                drop(spec);
                problems.push(
                    Problem::new(file, scenario.position.line, "this scenario expects nothing")
                        .hint("add a Then: what nobody looks at cannot fail"),
                );
            }
            Ok((spec, expectations)) => scenarios.push(Scenario {
                feature: id.clone(),
                rule: rule.map(|rule| rule.name.clone()),
                name: scenario.name.clone(),
                place: Place { file: file.to_owned(), line: scenario.position.line },
                tags: tags
                    .iter()
                    .cloned()
                    .chain(rule.iter().flat_map(|rule| rule.tags.iter().map(|tag| bare(tag))))
                    .chain(scenario.tags.iter().map(|tag| bare(tag)))
                    .collect(),
                steps: steps.iter().map(|step| written(step)).collect(),
                spec,
                expectations,
            }),
            Err(wrong) => problems.extend(wrong),
        }
    }
    // A step of a background is wrong once, however many scenarios it stands before.
    let mut once: Vec<Problem> = Vec::new();
    for problem in problems {
        if !once.contains(&problem) {
            once.push(problem);
        }
    }
    if once.is_empty() { Ok((about, scenarios)) } else { Err(once) }
}

pub(super) fn parse(file: &str, text: &str) -> Result<Feature, Vec<Problem>> {
    let feature = Feature::parse(text, GherkinEnv::default()).map_err(|error| {
        // The position is told in the message only: "Error at 3:1: …".
        let message = error.to_string();
        let line = message.split([' ', ':']).find_map(|word| word.parse().ok()).unwrap_or(0);
        vec![
            Problem::new(file, line, "this line does not belong here in a feature file")
                .hint("known are Feature, Rule, Background, Scenario, Given, When, Then, And, tables and tags"),
        ]
    })?;
    feature.expand_examples().map_err(|error| {
        vec![Problem::new(
            file,
            error.pos.line,
            format!("the examples have no column \"{}\"", error.name),
        )]
    })
}

pub(super) type Part<'a> = (Option<&'a cucumber::gherkin::Rule>, &'a cucumber::gherkin::Scenario);

pub(super) fn parts(feature: &Feature) -> Vec<Part<'_>> {
    let in_rules = feature
        .rules
        .iter()
        .flat_map(|rule| rule.scenarios.iter().map(move |scenario| (Some(rule), scenario)));
    feature.scenarios.iter().map(|scenario| (None, scenario)).chain(in_rules).collect()
}

/// The steps before those of a scenario's own.
pub(super) fn background<'a>(
    feature: &'a Feature,
    rule: Option<&'a cucumber::gherkin::Rule>,
) -> Vec<&'a Step> {
    let of_rule = rule.and_then(|rule| rule.background.as_ref());
    let backgrounds = feature.background.iter().chain(of_rule);
    backgrounds.flat_map(|background| &background.steps).collect()
}

pub(super) type Compiled = (crate::spec::Spec, Vec<crate::spec::expectation::Expectation>);

/// Tells the world every step of a scenario.
fn tell(
    collection: &Collection<World>,
    mut world: World,
    parts: [&Vec<&Step>; 2],
    line: usize,
) -> Result<Compiled, Vec<Problem>> {
    let mut undefined = Vec::new();
    let own = parts[1].first();
    for step in parts.into_iter().flatten() {
        if Some(step) == own {
            world.end_background();
        }
        undefined.extend(tell_step(collection, &mut world, step));
    }
    finished(world, undefined, line)
}

/// Turns the world to a step, and tells it that.
pub(super) fn tell_step(
    collection: &Collection<World>,
    world: &mut World,
    step: &Step,
) -> Option<Problem> {
    world.at_step(step);
    say(collection, world, step)
}

/// What a world came to.
pub(super) fn finished(
    world: World,
    undefined: Vec<Problem>,
    line: usize,
) -> Result<Compiled, Vec<Problem>> {
    match (world.finish(line), undefined.is_empty()) {
        (Ok(compiled), true) => Ok(compiled),
        // What follows from a step that was not understood is not told as well.
        (_, false) => Err(undefined),
        (Err(problems), true) => Err(problems),
    }
}

/// Tells the world one step; a problem where there is no such sentence.
pub(super) fn say(
    collection: &Collection<World>,
    world: &mut World,
    step: &Step,
) -> Option<Problem> {
    match collection.find(step) {
        Ok(Some((function, _, _, context))) => {
            // Steps do not wait for anything.
            if function(world, context).now_or_never().is_none() {
                let problem = world.problem("this step waits, which no step may");
                world.report(problem);
            }
            None
        }
        Ok(None) => {
            Some(with_nearest(world.problem(format!("no such step: {}", step.value)), step))
        }
        Err(ambiguous) => {
            let matches: Vec<String> =
                ambiguous.possible_matches.iter().map(|(regex, _)| regex.to_string()).collect();
            let problem = world.problem(format!("ambiguous step: {}", step.value));
            Some(problem.hint(format!("it could be any of: {}", matches.join("  "))))
        }
    }
}

/// Suggests the nearest sentence of the same kind.
fn with_nearest(problem: Problem, step: &Step) -> Problem {
    let keyword = match step.ty {
        cucumber::gherkin::StepType::Given => "given",
        cucumber::gherkin::StepType::When => "when",
        cucumber::gherkin::StepType::Then => "then",
    };
    let wanted = masked(&step.value);
    let near = |expr: &str| strsim::normalized_damerau_levenshtein(&wanted, &masked(expr));
    let best = sentences()
        .into_iter()
        .map(|(kind, expr)| (near(expr) + if kind == keyword { 0.05 } else { 0.0 }, kind, expr))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((score, kind, expr)) if score > 0.5 && kind == keyword => {
            problem.hint(format!("did you mean: {expr}"))
        }
        Some((score, kind, expr)) if score > 0.75 => {
            let kind = format!("{}{}", kind[..1].to_uppercase(), &kind[1..]);
            problem.hint(format!("as a {kind} there is: {expr}"))
        }
        _ => problem.hint("`relapse steps` lists every sentence"),
    }
}

/// A sentence with what varies in it left out.
fn masked(sentence: &str) -> String {
    let sentence = sentence.replace(" the next day", "");
    let mut out = String::new();
    let (mut quoted, mut braced) = (false, false);
    for c in sentence.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' => braced = true,
            '}' => braced = false,
            '(' | ')' => {}
            c if quoted || braced || c.is_ascii_digit() || "%:-".contains(c) => {}
            c => out.push(c),
        }
    }
    out
}

pub(super) fn written(step: &Step) -> StepText {
    StepText {
        keyword: step.keyword.trim().to_owned(),
        text: step.value.clone(),
        line: step.position.line,
    }
}

fn bare(tag: &str) -> String {
    tag.trim_start_matches('@').to_owned()
}
