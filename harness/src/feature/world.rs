//! The builder of one spec. Steps tell it facts; it knows when a fact contradicts another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cucumber::gherkin::{Step, StepType};
use kv_node::ids::{Dc, Namespace, Peer};
use kv_node::safeguards::{Build, Safeguard};

use super::catalog::Catalog;
use super::parameters::Turn;
use crate::spec::builds::without;
use crate::spec::expectation::Expectation;
use crate::spec::problem::Problem;
use crate::spec::time::{self, IncidentTime};
use crate::spec::topology::Topology;
use crate::spec::{Action, Planned, Rate, Spec, StoresSpeak, Triggered};

/// In containers an incident runs at most so many times as fast as the wall clock.
const SPEED_MAX: u32 = 10;
/// And lasts at most so long.
const SLICE_MAX: Duration = Duration::from_hours(1);

/// After which alert something is done, and how long after.
#[derive(Clone, Debug)]
pub(super) struct Trigger {
    pub(super) alert: String,
    pub(super) after: Duration,
}

/// When an operator does something.
pub(super) enum When {
    /// At a time of day.
    At(String),
    /// After an alert.
    After(Trigger),
}

/// What the steps of one scenario have said so far.
#[derive(Debug, Default, cucumber::World)]
pub(super) struct World {
    pub(super) catalog: Arc<Catalog>,
    incident: Option<String>,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) text: String,
    block: Option<StepType>,
    pub(super) topology: Option<Topology>,
    noise: bool,
    build: Option<Build>,
    builds: BTreeMap<Dc, Build>,
    speed: Option<u32>,
    rates: Vec<Rate>,
    pub(super) start: Option<IncidentTime>,
    pub(super) now: Option<IncidentTime>,
    pub(super) block_from: Option<IncidentTime>,
    pub(super) timeline: Vec<(Planned, usize)>,
    pub(super) expectations: Vec<Expectation>,
    trigger: Option<Trigger>,
    pub(super) triggered: Vec<Triggered>,
    looks_until: Vec<(String, IncidentTime, usize)>,
    pub(super) problems: Vec<Problem>,
}

impl World {
    /// An empty spec of a feature in `file`, about an incident where it has one.
    pub(super) fn of(catalog: Arc<Catalog>, file: &str, incident: Option<String>) -> Self {
        let mut world = Self { catalog, file: file.to_owned(), incident, ..Self::default() };
        let start = world
            .incident
            .as_ref()
            .and_then(|id| world.catalog.incidents.get(id))
            .and_then(|truth| truth.moments.get("start").copied());
        world.set_start(start);
        world
    }

    /// Turns to a step: what is wrong from now on is wrong there.
    pub(super) fn at_step(&mut self, step: &Step) {
        self.line = step.position.line;
        self.text.clone_from(&step.value);
        if self.block != Some(step.ty) {
            if step.ty == StepType::Given && !self.timeline_is_new() {
                let problem =
                    self.problem("a Given after a When or a Then: the shape is set first");
                self.report(
                    problem.hint("move it up, into the Background or before the first When"),
                );
            }
            if step.ty == StepType::When {
                self.block_from = self.now;
            }
            self.block = Some(step.ty);
        }
    }

    /// A scenario's first When begins a block of its own, whatever the background ended with.
    pub(super) fn end_background(&mut self) {
        if self.block != Some(StepType::Given) {
            self.block = self.block.map(|_| StepType::Then);
        }
        self.block_from = self.now;
    }

    /// Turns to a line of a step's table.
    pub(super) fn at_table_row(&mut self, step: &Step, row: usize) {
        self.line = step.table.as_ref().map_or(step.position.line, |t| t.position.line + row);
    }

    /// A problem at the present line, not yet reported.
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.file.as_str(), self.line, message)
    }

    /// Reports a problem.
    pub(super) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Whether no When has said anything yet.
    fn timeline_is_new(&self) -> bool {
        self.now == self.start
    }

    pub(super) fn known_topology(&self) -> Option<&Topology> {
        self.topology.as_ref()
    }

    // The shape.

    pub(super) fn topology(&mut self, name: &str, noise: bool) {
        self.noise = noise;
        match self.catalog.topologies.get(name) {
            Some(topology) => self.topology = Some(topology.clone()),
            None => {
                let known = self.catalog.topologies.keys().map(String::as_str);
                let problem = self
                    .problem(format!("there is no topology \"{name}\""))
                    .did_you_mean(name, known)
                    .if_nothing_else();
                self.report(problem);
            }
        }
    }

    pub(super) fn start(&mut self, text: &str) {
        match time::parse(text) {
            Some(at) => self.set_start(Some(at)),
            None => {
                let problem = self.problem(format!("\"{text}\" names no day"));
                self.report(problem.hint("write it as 2023-07-17 21:52"));
            }
        }
    }

    fn set_start(&mut self, at: Option<IncidentTime>) {
        (self.start, self.now, self.block_from) = (at, at, at);
    }

    pub(super) fn requests_per_s(&mut self, number: f64) {
        match &mut self.topology {
            Some(topology) if number > 0.0 => topology.traffic.requests_per_s = number,
            Some(_) => {
                let problem = self.problem(format!("{number} requests a second are none"));
                self.report(problem);
            }
            None => self.topology_first(),
        }
    }

    pub(super) fn requests_per_s_from(&mut self, number: f64, text: &str) {
        let Some(start) = self.started() else { return };
        let Some(from) = self.resolve(text, start) else { return };
        if number <= 0.0 {
            let problem = self.problem(format!("{number} requests a second are none"));
            self.report(problem);
        } else if self.rates.last().is_some_and(|last| last.from >= from) {
            let problem = self.problem("this is said of an earlier moment than the line before");
            self.report(problem.hint("say what customers send in the order of time"));
        } else {
            self.rates.push(Rate { from, requests_per_s: number });
        }
    }

    pub(super) fn bot(&mut self, requests_per_s: f64, span: Duration) {
        if requests_per_s <= 0.0 {
            let problem = self.problem(format!("{requests_per_s} requests a second are none"));
            self.report(problem);
            return;
        }
        self.act(Action::Bot { requests_per_s, for_s: span.as_secs() });
    }

    pub(super) fn only_store(&mut self, name: &str) {
        let Some(topology) = &mut self.topology else { return self.topology_first() };
        if topology.stores.contains_key(&Peer::from(name)) {
            topology.stores.retain(|store, _| store.as_str() == name);
            return;
        }
        let known: Vec<String> = topology.stores.keys().map(ToString::to_string).collect();
        let problem = self.problem(format!("there is no store \"{name}\" in the topology"));
        self.report(problem.did_you_mean(name, known.iter().map(String::as_str)));
    }

    pub(super) fn speed(&mut self, speed: u32) {
        if (1..=SPEED_MAX).contains(&speed) {
            self.speed = Some(speed);
        } else {
            let problem = self.problem(format!("containers cannot run {speed} times as fast"));
            self.report(
                problem.hint(format!("1 to {SPEED_MAX}: beyond, what is measured is the machine")),
            );
        }
    }

    pub(super) fn build_everywhere(&mut self, name: &str) {
        self.build = self.known_build(name);
    }

    pub(super) fn build_without(&mut self, safeguards: &[String]) {
        let mut out = BTreeSet::new();
        for name in safeguards {
            match Safeguard::from_name(name) {
                Some(safeguard) => {
                    out.insert(safeguard);
                }
                None => {
                    let problem = self
                        .problem(format!("there is no safeguard \"{name}\""))
                        .did_you_mean(name, Safeguard::ALL.map(Safeguard::name));
                    self.report(problem);
                }
            }
        }
        self.build = Some(without(&Build::current(), &out));
    }

    pub(super) fn build_in(&mut self, dcs: &[String], name: &str) {
        let Some(build) = self.known_build(name) else { return };
        for dc in self.known_dcs(dcs) {
            self.builds.insert(dc, build.clone());
        }
    }

    pub(super) fn maintenance(&mut self, dcs: &[String], down: &str, back: &str) {
        let Some(start) = self.started() else { return };
        let (Some(down), Some(back)) = (self.resolve(down, start), self.resolve(back, start))
        else {
            return;
        };
        if back <= down {
            let problem = self.problem("they return before they go down");
            self.report(problem);
        }
        for dc in self.known_dcs(dcs) {
            self.plan(down, Action::Maintenance { dc: dc.clone() });
            self.plan(back, Action::Return { dc });
        }
    }

    // The timeline.

    pub(super) fn go_to(&mut self, text: &str) {
        let Some(now) = self.started() else { return };
        if let Some(at) = self.resolve(text, now) {
            if at < now {
                let reached = time::format(now);
                let problem = self.problem(format!("time goes backwards: it is {reached} already"));
                self.report(problem);
            }
            self.now = Some(at);
        }
    }

    pub(super) fn wait(&mut self, span: Duration) {
        if let Some(now) = self.started() {
            self.now = Some(now.after(span));
        }
    }

    pub(super) fn new_backend_in(&mut self, dcs: &[String], on: bool) {
        for dc in self.known_dcs(dcs) {
            self.act(Action::NewBackendIn { dc, on });
        }
    }

    pub(super) fn new_backend(&mut self, on: bool) {
        self.act(Action::NewBackend { on });
    }

    pub(super) fn enroll(&mut self, name: &str, on: bool) {
        let Some(topology) = &self.topology else { return self.topology_first() };
        let namespace = Namespace::from(name);
        if topology.namespaces.iter().any(|about| about.id == namespace) {
            self.act(Action::Enroll { namespace, on });
        } else {
            let known = topology.namespaces.iter().map(|about| about.id.as_str());
            let problem = self
                .problem(format!("there is no namespace \"{name}\" in the topology"))
                .did_you_mean(name, known);
            self.report(problem);
        }
    }

    /// Somebody releases what stands below the step.
    pub(super) fn release(&mut self, by: &str, step: &Step) {
        match step.docstring.as_ref().map(|text| text.trim().to_owned()) {
            Some(document) if !document.is_empty() => {
                self.act(Action::Release { by: by.to_owned(), document });
            }
            _ => {
                let problem = self.problem("what is released is missing below this step");
                self.report(
                    problem.hint("write it between two lines of \"\"\", as CONTRIBUTING.md shows"),
                );
            }
        }
    }

    pub(super) fn turn(&mut self, dc: &str, turn: Turn) {
        for dc in self.known_dcs(&[dc.to_owned()]) {
            self.act(match turn {
                Turn::Crashes => Action::Crash { dc },
                Turn::IsStartedAgain => Action::Start { dc },
                Turn::StandsStill => Action::Pause { dc },
                Turn::GoesOn => Action::Resume { dc },
            });
        }
    }

    /// Plans an action for now.
    pub(super) fn act(&mut self, action: Action) {
        if let Some(now) = self.started() {
            self.plan(now, action);
        }
    }

    fn plan(&mut self, at: IncidentTime, action: Action) {
        match self.trigger.clone() {
            Some(Trigger { alert, after }) => {
                let after_s = after.as_secs();
                self.triggered.push(Triggered { alert, since: at, after_s, action });
            }
            None => self.timeline.push((Planned { at, action }, self.line)),
        }
    }

    /// What a sentence does, it does at a time of its own, or after an alert; time itself does not go on.
    pub(super) fn apart(&mut self, when: When, say: impl FnOnce(&mut Self)) {
        let now = self.now;
        match when {
            When::At(text) => {
                let Some(from) = self.started() else { return };
                self.now = self.resolve(&text, from);
            }
            When::After(trigger) => self.trigger = Some(trigger),
        }
        let reached = self.now;
        say(self);
        if self.now != reached {
            let problem = self.problem("an operator's action takes no time by itself");
            self.report(problem.hint("say how late it is in a When of its own"));
        }
        (self.now, self.trigger) = (now, None);
    }

    // Expectations.

    pub(super) fn rows(&mut self, ids: &[String]) {
        let Some(incident) = self.incident.clone() else {
            let problem = self.problem("a row is cited, but the feature is about no incident");
            self.report(problem.hint("tag the feature with @incident:<id>"));
            return;
        };
        let catalog = self.catalog.clone();
        let Some(truth) = catalog.incidents.get(&incident) else { return };
        for id in ids {
            let Some(row) = truth.rows.get(id) else {
                let problem = self
                    .problem(format!("incident {incident} has no row {id}"))
                    .did_you_mean(id, truth.rows.keys().map(String::as_str));
                self.report(problem);
                continue;
            };
            self.looks_until.push((id.clone(), row.needs_until, self.line));
            self.expectations.push(row.expectation(id, self.line));
        }
    }

    // The end.

    /// The spec and its expectations, or everything that is wrong.
    pub(super) fn finish(mut self, line: usize) -> Result<(Spec, Vec<Expectation>), Vec<Problem>> {
        self.line = line;
        self.check_timeline();
        let end = self.now.unwrap_or_default();
        for (row, until, line) in std::mem::take(&mut self.looks_until) {
            if until > end {
                self.line = line;
                let (until, end) = (time::format(until), time::format(end));
                let problem = self
                    .problem(format!("{row} looks as far as {until}; the scenario ends at {end}"));
                self.report(problem.hint("let the last When say how late it is then"));
            }
        }
        self.line = line;
        let (Some(topology), Some(start)) = (self.topology.clone(), self.start) else {
            if self.problems.is_empty() {
                let problem = self.problem("the scenario names no topology or no start");
                self.report(
                    problem.hint("begin with: Given the topology \"small\" with its traffic"),
                );
            }
            return Err(self.problems);
        };
        if end <= start && self.problems.is_empty() {
            let problem = self.problem("no time passes in this scenario");
            self.report(problem.hint("add: When 10 minutes pass"));
        }
        if self.speed.is_some() && end.since(start) > SLICE_MAX {
            let minutes = end.since(start).as_secs() / 60;
            let problem = self.problem(format!("{minutes} minutes are too long for containers"));
            self.report(problem.hint("a slice has at most 60 minutes: begin later or end earlier"));
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let timeline: Vec<Planned> =
            self.timeline.into_iter().map(|(planned, _)| planned).collect();
        let actions = timeline.iter().map(|planned| &planned.action);
        let mut actions = actions.chain(self.triggered.iter().map(|triggered| &triggered.action));
        let released = if actions.any(|action| matches!(action, Action::Release { .. })) {
            self.catalog.builds.values().cloned().collect()
        } else {
            Vec::new()
        };
        let spec = Spec {
            topology,
            stores: StoresSpeak::default(),
            noise: self.noise,
            build: self.build.unwrap_or_else(Build::current),
            builds: self.builds,
            start,
            end,
            rates: self.rates,
            timeline,
            triggered: self.triggered,
            released,
            rules: self.catalog.rules.clone(),
            speed: self.speed,
        };
        Ok((spec, self.expectations))
    }
}
