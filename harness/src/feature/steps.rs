//! Every sentence that a feature file may contain: flat functions with one attribute each, so that editors find them.
//!
//! Given sets the shape, When adds to the timeline, Then adds an expectation. A step tells the world one fact; what that
//! means, and whether it contradicts another, the world knows.

#![expect(clippy::needless_pass_by_value, reason = "cucumber hands parameters over by value")]

use cucumber::{given, then, when};

use super::operators;
use super::parameters::{
    Clock, Enrollment, Level, Over, Percent, Quoted, QuotedList, Rows, Side, Span, Status, Switch,
    Turn,
};
use super::table;
use super::world::World;
use crate::spec::expectation::Bound;
use crate::spec::measure::{Extreme, Measure, Scope};

// The shape: topology, traffic, builds.

#[given(expr = "the topology {dc} with its traffic")]
fn topology(world: &mut World, name: Quoted) {
    world.topology(&name.0, true);
}

#[given(expr = "the topology {dc} with its traffic and without noise")]
fn topology_without_noise(world: &mut World, name: Quoted) {
    world.topology(&name.0, false);
}

#[given(expr = "the replay starts at {clock}")]
fn replay_starts(world: &mut World, at: Clock) {
    world.start(&at.0);
}

#[given(expr = "customers send {float} request(s) a second")]
fn requests_a_second(world: &mut World, number: f64) {
    world.requests_per_s(number);
}

#[given(expr = "customers send {float} request(s) a second from {clock} on")]
fn requests_a_second_from(world: &mut World, number: f64, from: Clock) {
    world.requests_per_s_from(number, &from.0);
}

#[given(expr = "containers run it {int} time(s) as fast")]
fn containers_run_it(world: &mut World, speed: u32) {
    world.speed(speed);
}

#[given(expr = "store {dc} is the only one that is configured")]
fn only_store(world: &mut World, store: Quoted) {
    world.only_store(&store.0);
}

#[given(expr = "every data center runs build {dc}")]
fn every_dc_runs(world: &mut World, build: Quoted) {
    world.build_everywhere(&build.0);
}

#[given(expr = "every data center runs the current build")]
fn every_dc_runs_current(world: &mut World) {
    world.build_everywhere("current");
}

#[given(expr = "every data center runs the current build without {dcs}")]
fn every_dc_runs_without(world: &mut World, safeguards: QuotedList) {
    world.build_without(&safeguards.0);
}

#[given(expr = "data center(s) {dcs} run(s) build {dc}")]
fn dcs_run(world: &mut World, dcs: QuotedList, build: Quoted) {
    world.build_in(&dcs.0, &build.0);
}

#[given(
    expr = "data center(s) {dcs} go(es) down for maintenance at {clock} and return(s) at {clock}"
)]
fn maintenance(world: &mut World, dcs: QuotedList, down: Clock, back: Clock) {
    world.maintenance(&dcs.0, &down.0, &back.0);
}

// The timeline.

#[when(expr = "it is {clock}")]
fn it_is(world: &mut World, at: Clock) {
    world.go_to(&at.0);
}

#[when(expr = "{duration} pass(es)")]
fn time_passes(world: &mut World, span: Span) {
    world.wait(span.0);
}

#[when(expr = "the new backend is switched {switch} in {dcs}")]
fn backend_in(world: &mut World, to: Switch, dcs: QuotedList) {
    world.new_backend_in(&dcs.0, to.on);
}

#[when(expr = "the new backend is switched {switch} everywhere")]
fn backend(world: &mut World, to: Switch) {
    world.new_backend(to.on);
}

#[when(expr = "{dc} releases:")]
fn releases(world: &mut World, by: Quoted, step: &cucumber::gherkin::Step) {
    world.release(&by.0, step);
}

#[when(expr = "namespace {dc} is {enrollment} the new backend")]
fn enroll(world: &mut World, namespace: Quoted, to: Enrollment) {
    world.enroll(&namespace.0, to.on);
}

#[when(expr = "a bot sends {float} request(s) a second for {duration}")]
fn bot(world: &mut World, number: f64, span: Span) {
    world.bot(number, span.0);
}

#[when(expr = "data center {dc} {turn}")]
fn takes_a_turn(world: &mut World, dc: Quoted, turn: Turn) {
    world.turn(&dc.0, turn);
}

#[when(expr = "operators do:")]
fn operators_do(world: &mut World, step: &cucumber::gherkin::Step) {
    operators::table(world, step);
}

#[when(expr = "these faults act for {duration}:")]
fn faults_act(world: &mut World, span: Span, step: &cucumber::gherkin::Step) {
    table::faults(world, span.0, step);
}

// Expectations.

#[then(expr = "{rows} hold(s)")]
fn rows_hold(world: &mut World, rows: Rows) {
    world.rows(&rows.0);
}

#[then(expr = "the share of failed requests stays below {percent}")]
fn failures_below(world: &mut World, percent: Percent) {
    world.expect(Measure::ErrorShare { scope: Scope::default() }, Bound::at_most(percent.0));
}

#[then(expr = "the share of failed requests is between {percent} and {percent}")]
fn failures_between(world: &mut World, least: Percent, most: Percent) {
    let bound = Bound::between(least.0, most.0);
    world.expect(Measure::ErrorShare { scope: Scope::default() }, bound);
}

#[then(expr = "the share of failed requests in data center {dc} {side} {percent}")]
fn failures_in(world: &mut World, dc: Quoted, side: Side, percent: Percent) {
    let scope = world.in_dc(&dc.0);
    let bound = match side {
        Side::Above => Bound::above(percent.0),
        Side::Below => Bound::at_most(percent.0),
    };
    world.expect(Measure::ErrorShare { scope }, bound);
}

#[then(expr = "no request fails")]
fn nothing_fails(world: &mut World) {
    world.expect(Measure::Failures { scope: Scope::default() }, Bound::at_most(0.0));
}

#[then(
    expr = "the share of answers {status} in data center {dc} is between {percent} and {percent}"
)]
fn status_between(world: &mut World, status: Status, dc: Quoted, least: Percent, most: Percent) {
    let scope = world.in_dc(&dc.0);
    let bound = Bound::between(least.0, most.0);
    world.expect(Measure::StatusShare { status: status.0, scope }, bound);
}

#[then(expr = "the median latency in data center {dc} is between {duration} and {duration}")]
fn latency_between(world: &mut World, dc: Quoted, least: Span, most: Span) {
    let scope = world.in_dc(&dc.0);
    let ms = |span: Span| span.0.as_secs_f64() * 1_000.0;
    let bound = Bound::between(ms(least), ms(most));
    world.expect(Measure::LatencyMs { quantile: 0.5, scope }, bound);
}

#[then(expr = "at least {int} requests were sent")]
fn requests_sent(world: &mut World, least: u32) {
    let bound = Bound::at_least(f64::from(least));
    world.expect(Measure::Requests { scope: Scope::default() }, bound);
}

// What on-call would have seen.

#[then(expr = "alert {dc} fired for {dcs} and for no other data center")]
fn alert_fired_only_for(world: &mut World, alert: Quoted, dcs: QuotedList) {
    world.alert_fired_for(&alert.0, &dcs.0, None);
    world.alert_fired_for_no_other(&alert.0, &dcs.0);
}

#[then(expr = "alert {dc} fired for {dcs} within {duration}")]
fn alert_fired_within(world: &mut World, alert: Quoted, dcs: QuotedList, span: Span) {
    world.alert_fired_for(&alert.0, &dcs.0, Some(span.0));
}

#[then(expr = "alert {dc} stayed silent")]
fn alert_silent(world: &mut World, alert: Quoted) {
    world.alert_silent(&alert.0);
}

#[then(expr = "no alert of severity {dc} fired")]
fn no_alert_of(world: &mut World, severity: Quoted) {
    world.no_alert_but(Some(severity.0), &[]);
}

#[then(expr = "these alerts fired, and no other:")]
fn these_alerts(world: &mut World, step: &cucumber::gherkin::Step) {
    table::alerts(world, None, step);
}

#[then(expr = "these alerts fired, and no other of severity {dc}:")]
fn these_alerts_of(world: &mut World, severity: Quoted, step: &cucumber::gherkin::Step) {
    table::alerts(world, Some(severity.0), step);
}

#[then(expr = "no log line or exception names {dcs}")]
fn nothing_names(world: &mut World, texts: QuotedList) {
    let texts = texts.0.into_iter().collect();
    world.expect(Measure::Naming { texts }, Bound::at_most(0.0));
}

#[then(expr = "the response log has lines with {status} of data center {dc}")]
fn log_has_lines(world: &mut World, status: Status, dc: Quoted) {
    let dcs = world.in_dc(&dc.0).dcs;
    world.expect(Measure::LogLines { status: status.0, dcs }, Bound::at_least(1.0));
}

#[then(expr = "exception {dc} of script {dc} is reported from data center {dc} within {duration}")]
fn reported_within(world: &mut World, kind: Quoted, script: Quoted, dc: Quoted, span: Span) {
    let dcs = world.in_dc(&dc.0).dcs;
    let measure = Measure::SecondsToReport { kind: kind.0, script: script.0, dcs };
    world.expect(measure, Bound::at_most(span.0.as_secs_f64()));
}

#[then(expr = "failed requests are traced from data center {dc} to {dc}")]
fn traced(world: &mut World, from: Quoted, to: Quoted) {
    let (from, to) = (world.in_dc(&from.0).dcs, world.in_dc(&to.0).dcs);
    if let (Some(from), Some(to)) = (from.into_iter().next(), to.into_iter().next()) {
        world.expect(Measure::FailedTraces { from, to }, Bound::at_least(1.0));
    }
}

#[then(expr = "a release is refused, and the reason names {dcs}")]
fn release_refused(world: &mut World, texts: QuotedList) {
    let naming = texts.0.into_iter().collect();
    world.expect(Measure::ReleasesRefused { naming }, Bound::at_least(1.0));
}

#[then(expr = "every key that was written is the same in all stores")]
fn written_alike(world: &mut World) {
    world.expect(Measure::WrittenAlike, Bound::at_least(1.0));
}

#[then(expr = "this query over {source} stays below {level}:")]
fn query_below(world: &mut World, over: Over, most: Level, step: &cucumber::gherkin::Step) {
    world.query((over.0, Extreme::Max), step, Bound::at_most(most.0));
}

#[then(expr = "this query over {source} stays above {level}:")]
fn query_above(world: &mut World, over: Over, least: Level, step: &cucumber::gherkin::Step) {
    world.query((over.0, Extreme::Min), step, Bound::above(least.0));
}

/// The sentences as they are written above, with their keywords: the attributes of this very file.
pub fn sentences() -> Vec<(&'static str, &'static str)> {
    include_str!("steps.rs")
        .split("\n#[")
        .filter_map(|attribute| {
            let (keyword, rest) = attribute.split_once('(')?;
            let (_, rest) = rest.split_once("expr = \"")?;
            let (sentence, _) = rest.split_once('"')?;
            matches!(keyword, "given" | "when" | "then").then_some((keyword, sentence))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_stays_small_and_every_step_is_listed() {
        use cucumber::codegen::{WorldInventory, inventory};
        let written = sentences().len();
        let registered = inventory::iter::<<World as WorldInventory>::Given>().count()
            + inventory::iter::<<World as WorldInventory>::When>().count()
            + inventory::iter::<<World as WorldInventory>::Then>().count();
        assert_eq!(written, registered);
        assert!(written <= 45, "{written} steps: say it with fewer");
    }
}
