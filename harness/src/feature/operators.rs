//! What operators do: a table of sentences, each at a time of day or some time after an alert.

use cucumber::World as _;
use cucumber::gherkin::{Step, StepType};

use super::compile::say;
use super::world::{Trigger, When, World};
use crate::spec::problem::Problem;
use crate::spec::time::parse_duration;

const COLUMNS: [&str; 2] = ["when", "what"];

/// Reads the table `| when | what |` below a step. A sentence is a When of the catalogue; what stands below it in a feature follows
/// after its colon here, its lines separated by semicolons.
pub(super) fn table(world: &mut World, step: &Step) {
    let table = step.table.as_ref().and_then(|table| table.rows.split_first());
    let Some((_, rows)) = table.filter(|(header, _)| header.iter().eq(COLUMNS.iter())) else {
        let problem = world.problem("a table of what operators do is missing below this step");
        world.report(problem.hint(format!("its first line is | {} |", COLUMNS.join(" | "))));
        return;
    };
    let collection = World::collection();
    for (at, row) in rows.iter().enumerate() {
        world.at_table_row(step, at + 1);
        let [when, what] = row.as_slice() else {
            let problem = world.problem("this line has not as many cells as the first one");
            world.report(problem);
            continue;
        };
        let Some(when) = moment(world, when) else { continue };
        let sentence = sentence(step, what);
        world.apart(when, |world| {
            if let Some(problem) = say(&collection, world, &sentence) {
                world.report(problem);
            }
        });
    }
    world.at_step(step);
}

/// `20:15`, or `10 minutes after OwnerFailing`.
fn moment(world: &mut World, text: &str) -> Option<When> {
    let Some((after, alert)) = text.split_once(" after ") else {
        return Some(When::At(text.to_owned()));
    };
    let alert = world.known_alert(alert.trim_matches('"'))?;
    let Some(after) = parse_duration(after) else {
        let problem = wrong_moment(world, text);
        world.report(problem);
        return None;
    };
    Some(When::After(Trigger { alert, after }))
}

fn wrong_moment(world: &World, text: &str) -> Problem {
    let problem = world.problem(format!("\"{text}\" says no moment"));
    problem.hint("write it as 20:15, or as 10 minutes after OwnerFailing")
}

/// A sentence as if it stood in a feature.
fn sentence(step: &Step, text: &str) -> Step {
    let (value, below) = match text.split_once(" releases: ") {
        Some((by, document)) => (format!("{by} releases:"), Some(document.replace("; ", "\n"))),
        None => (text.to_owned(), None),
    };
    Step {
        keyword: "When ".to_owned(),
        ty: StepType::When,
        value,
        docstring: below,
        table: None,
        span: step.span,
        position: step.position,
    }
}
