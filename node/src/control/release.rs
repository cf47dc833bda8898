//! The release tool: what is released, stage by stage, and how it is stopped.
//!
//! Whatever is wrong with a release is found before any node hears of it: a release is taken as a whole or refused as a whole.
//! What the tool of 2023 did not check is a safeguard here, so that its faults can be had again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::Control;
use super::document::{self, NewBackend, Place, Release, Revision, Step, What, Wrong};
use crate::config::{Killed, Share, Snapshot};
use crate::ids::{BuildId, Dc};
use crate::safeguards::{Build, Environment, Safeguard};
use crate::telemetry::Lifecycle;
use crate::worker::ScriptName;

/// The sliver that a release begins with, and how long it is looked at.
const CANARY_PERCENT: f64 = 0.1;
const CANARY_SOAK: Duration = Duration::from_mins(3);
/// Earlier configurations that are kept.
const HISTORY_MAX: usize = 64;
/// Weights of shares add up to this: a thousandth of a percent is the least.
pub(super) const WHOLE: u64 = 100_000;

pub(super) type Pipelines = BTreeMap<Dc, Vec<Share>>;
/// What a script ran before a release; none: what nodes were started with.
pub(super) type Before = Option<Pipelines>;

/// What the release tool keeps in mind.
#[derive(Debug, Default)]
pub(super) struct Releases {
    /// Configurations that are no longer live, the newest last.
    history: Vec<Snapshot>,
    /// One that is to be, with the revision that it was made of.
    draft: Option<Snapshot>,
    /// What each script ran before the release that is under way or was the last one.
    pub(super) rollouts: BTreeMap<ScriptName, Rollout>,
    /// Scripts whose last release was taken back: there is nothing more to take back.
    taken_back: BTreeSet<ScriptName>,
    begun: u64,
}

impl Releases {
    /// Remembers that the last release of a script is taken back; false where it was already.
    pub(super) fn take_back(&mut self, script: ScriptName) -> bool {
        self.taken_back.insert(script)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Rollout {
    number: u64,
    pub(super) build: BuildId,
    /// The build that people mean by this release: the one that it began with, whatever it went on with.
    pub(super) meant: BuildId,
    pub(super) before: Before,
    /// Where it was taken back while it goes on elsewhere: no later stage brings it there again.
    pub(super) held: BTreeSet<Dc>,
    under_way: bool,
}

impl Control {
    /// Takes a release, or refuses it; either way the journal says who it was.
    pub(super) async fn release(self: &Arc<Self>, by: &str, text: &str) -> Response<Bytes> {
        let read = if self.build.has(Safeguard::ReleaseSchema) {
            document::by_schema(text)
        } else {
            document::as_it_comes(text)
        };
        let taken = match read {
            Ok(release) => match self.logged_in(&release).await {
                Ok(()) => self.carry_out(by, release),
                Err(why) => Err(Wrong { place: release.place, why }),
            },
            Err(wrong) => Err(wrong),
        };
        match taken {
            Ok(revision) => {
                self.metrics.release("taken");
                Response::new(Bytes::from(json!({ "revision": revision }).to_string()))
            }
            Err(Wrong { place: Place { line, field }, why }) => {
                let revision = self.intended().revision;
                let environment = document::environment_of(text);
                let why = format!(
                    "revision {revision}, environment {environment}, line {line}, {field}: {why}"
                );
                self.metrics.release("refused");
                let body = json!({ "refused": why }).to_string();
                let event = Lifecycle::ReleaseRefused { by: by.to_owned(), why };
                self.env.sink.lifecycle(self.env.clock.now(), event);
                let mut response = Response::new(Bytes::from(body));
                *response.status_mut() = StatusCode::CONFLICT;
                response
            }
        }
    }

    fn carry_out(self: &Arc<Self>, by: &str, release: Release) -> Result<u64, Wrong> {
        let Release { environment, what, place, break_glass } = release;
        let by = &match break_glass {
            Some(reason) => format!("{by} (break glass: {reason})"),
            None => by.to_owned(),
        };
        let wrong = |why: String| Wrong { place: place.clone(), why };
        let belongs = if self.build.has(Safeguard::BuildOfEnvironment) {
            Self::must_be_of
        } else {
            any_environment
        };
        belongs(self, environment, None).map_err(&wrong)?;
        match what {
            What::Build { script, build, steps } => {
                let build = self.build_meant(build, environment).map_err(&wrong)?;
                let exists = if self.build.has(Safeguard::BuildExists) {
                    Self::build_must_exist
                } else {
                    any_build
                };
                exists(self, &build).map_err(&wrong)?;
                belongs(self, environment, Some(&build)).map_err(&wrong)?;
                self.classes_must_exist(&steps).map_err(&wrong)?;
                self.dcs_must_exist(steps.iter().flat_map(|step| &step.dcs)).map_err(&wrong)?;
                Ok(self.roll_out(by, script, &build, steps))
            }
            What::NewBackend(NewBackend { on, allow, draft }) => {
                let change = |live: &Snapshot| {
                    let mut next = live.clone();
                    next.new_backend = on.unwrap_or(next.new_backend);
                    next.allowed = allow.or(next.allowed);
                    Ok(next)
                };
                if draft {
                    let next = change(&self.intended());
                    return next.map(|next| self.draft(by, next)).map_err(wrong);
                }
                self.configure(by, change, "a configuration").map_err(wrong)
            }
            What::Revision(revision) => {
                let next = self.kept(revision).map_err(wrong)?;
                let forward = self.build.has(Safeguard::ForwardOnly);
                let change = |live: &Snapshot| {
                    if forward { only_forward(live, next) } else { Ok(older_wins(live, next)) }
                };
                let says = format!("the configuration {}", revision.says());
                self.configure(by, change, &says).map_err(wrong)
            }
            What::Rollback { script, dcs } => {
                self.dcs_must_exist(dcs.iter()).map_err(&wrong)?;
                self.roll_back_as_asked(by, script, &dcs).ok_or_else(|| {
                    wrong(format!("no release of {} is there to be rolled back", script.name()))
                })
            }
        }
    }

    fn build_must_exist(&self, id: &BuildId) -> Result<(), String> {
        if self.builds.contains_key(id) {
            return Ok(());
        }
        let like = |known: &BuildId| strsim::jaro_winkler(known.as_str(), id.as_str());
        let nearest = self.builds.keys().max_by(|a, b| like(a).total_cmp(&like(b)));
        let hint = nearest.filter(|known| like(known) > 0.9);
        let hint = hint.map_or_else(String::new, |known| format!("; did you mean \"{known}\"?"));
        Err(format!("there is no build \"{id}\"{hint}"))
    }

    /// A class that no data center has would make a stage of nothing.
    fn classes_must_exist(&self, steps: &[Step]) -> Result<(), String> {
        let known = |class: &&String| self.classes.values().any(|known| known == *class);
        match steps.iter().flat_map(|step| &step.classes).find(|class| !known(class)) {
            Some(class) => Err(format!("no data center is of class \"{class}\"")),
            None => Ok(()),
        }
    }

    fn dcs_must_exist<'a>(&self, mut dcs: impl Iterator<Item = &'a Dc>) -> Result<(), String> {
        match dcs.find(|dc| !self.members.dcs.contains_key(*dc)) {
            Some(dc) => Err(format!("there is no data center \"{dc}\"")),
            None => Ok(()),
        }
    }

    fn must_be_of(&self, environment: Environment, id: Option<&BuildId>) -> Result<(), String> {
        if environment != self.environment {
            let (here, there) = (self.environment.name(), environment.name());
            return Err(format!("this is {here}, and the release is for {there}"));
        }
        match id.and_then(|id| self.builds.get(id)) {
            Some(build) if build.environment != environment => {
                Err(format!("build \"{}\" is one of {}", build.id, build.environment.name()))
            }
            _ => Ok(()),
        }
    }

    /// Makes a configuration the live one.
    fn configure(
        self: &Arc<Self>,
        by: &str,
        change: impl FnOnce(&Snapshot) -> Result<Snapshot, String>,
        says: &str,
    ) -> Result<u64, String> {
        // Looked at and changed in one go: a switch that somebody turns meanwhile counts.
        let mut refused = None;
        let revision = self.revise(|intended| {
            let held = if self.build.has(Safeguard::KillSwitchApart) {
                against_switches
            } else {
                whatever_is_switched
            };
            match change(intended).and_then(|next| held(&next, &intended.killed).map(|()| next)) {
                Ok(next) => *intended = Snapshot { revision: intended.revision, ..next },
                Err(why) => refused = Some(why),
            }
        });
        match refused {
            Some(why) => Err(why),
            None => {
                self.told(by, says.to_owned(), revision);
                Ok(revision)
            }
        }
    }

    fn draft(&self, by: &str, next: Snapshot) -> u64 {
        let revision = next.revision;
        self.releases().draft = Some(next);
        self.told(by, "a draft of a configuration".to_owned(), revision);
        revision
    }

    fn kept(&self, revision: Revision) -> Result<Snapshot, String> {
        let releases = self.releases();
        let found = match revision {
            Revision::Draft => {
                return releases.draft.clone().ok_or("nothing is drafted".to_owned());
            }
            Revision::Before(back) => releases.history.iter().rev().nth(back - 1),
            Revision::Number(number) => {
                releases.history.iter().rev().find(|kept| kept.revision == number)
            }
        };
        found.cloned().ok_or_else(|| {
            let known = releases.history.first().map_or(0, |kept| kept.revision);
            format!("no such configuration is kept; the oldest is revision {known}")
        })
    }

    /// Begins with the first stage; the others follow by themselves.
    fn roll_out(
        self: &Arc<Self>,
        by: &str,
        script: ScriptName,
        build: &BuildId,
        mut steps: Vec<Step>,
    ) -> u64 {
        if steps.is_empty() {
            steps.push(Step::of(100.0, Duration::ZERO));
        }
        let begin = if self.build.has(Safeguard::CanaryFirst) { canary_first } else { at_once };
        begin(&mut steps);
        let number = {
            let live = self.intended().pipelines.get(&script).cloned();
            let mut releases = self.releases();
            releases.begun += 1;
            releases.taken_back.remove(&script);
            let number = releases.begun;
            let replaced = releases.rollouts.remove(&script);
            if let Some(replaced) = &replaced {
                self.metrics.under_way(script, &replaced.build, false);
            }
            // What is half released is nothing to go back to.
            let (meant, before) = match replaced {
                Some(replaced) if replaced.under_way => (replaced.meant, replaced.before),
                _ => (build.clone(), live),
            };
            let (build, held) = (build.clone(), BTreeSet::new());
            let rollout = Rollout { number, build, meant, before, held, under_way: true };
            releases.rollouts.insert(script, rollout);
            number
        };
        self.metrics.under_way(script, build, true);
        let mut steps = steps.into_iter();
        let Some(first) = steps.next() else { return self.intended().revision };
        let revision = self.stage(by, (script, number), build, &first);
        let (this, by, build) = (self.clone(), by.to_owned(), build.clone());
        self.env.tasks.spawn(Box::pin(async move {
            let mut last = first;
            for step in steps {
                this.env.clock.sleep(last.soak()).await;
                if !this.is_under_way(script, number) {
                    return;
                }
                this.stage(&by, (script, number), &build, &step);
                last = step;
            }
            this.env.clock.sleep(last.soak()).await;
            // A share that is no whole is a release that somebody goes on with, or takes back.
            if last.percent >= 100.0 && last.is_everywhere() {
                this.ended(script, number);
            }
        }));
        revision
    }

    /// Gives a build a share of a script's traffic.
    fn stage(
        self: &Arc<Self>,
        by: &str,
        (script, number): (ScriptName, u64),
        build: &BuildId,
        step: &Step,
    ) -> u64 {
        let weight = weight_of(step.percent);
        let mut done = false;
        let revision = self.revise(|intended| {
            // Asked here, where nobody else changes what is intended: what was taken back meanwhile stays so.
            let (before, held) = match self.releases().rollouts.get(&script) {
                Some(rollout) if rollout.number == number => {
                    (rollout.before.clone(), rollout.held.clone())
                }
                _ => return,
            };
            let pipelines = intended.pipelines.entry(script).or_default();
            for dc in self.members.dcs.keys() {
                let class = self.classes.get(dc).map_or("", String::as_str);
                if !step.is_about(dc, class) || held.contains(dc) {
                    continue;
                }
                let rest = before.as_ref().and_then(|before| before.get(dc));
                let rest = rest.and_then(|shares| shares.iter().max_by_key(|share| share.weight));
                let rest = rest.and_then(|share| share.build.clone());
                let shares = [
                    Share { weight, build: Some(build.clone()) },
                    Share { weight: WHOLE - weight, build: rest },
                ];
                let shares = shares.into_iter().filter(|share| share.weight > 0).collect();
                pipelines.insert(dc.clone(), shares);
            }
            self.keep_named(intended);
            done = true;
        });
        if done {
            self.told(by, format!("{} {build}: {}", script.name(), step.says()), revision);
        }
        revision
    }

    /// An alert has begun to fire: what is under way may be the cause.
    pub(super) fn alerted(self: &Arc<Self>, alert: &str) {
        if self.build.has(Safeguard::HaltOnAlert) {
            self.halt(alert);
        } else {
            leave_to_people();
        }
    }

    fn halt(self: &Arc<Self>, alert: &str) {
        let under_way: Vec<ScriptName> = {
            let releases = self.releases();
            let under_way = releases.rollouts.iter().filter(|(_, rollout)| rollout.under_way);
            under_way.map(|(script, _)| *script).collect()
        };
        for script in under_way {
            self.roll_back("release tool", script, &format!("alert {alert}"));
        }
    }

    fn is_under_way(&self, script: ScriptName, number: u64) -> bool {
        self.releases().rollouts.get(&script).is_some_and(|rollout| rollout.number == number)
    }

    fn ended(&self, script: ScriptName, number: u64) {
        let mut releases = self.releases();
        if let Some(rollout) = releases.rollouts.get_mut(&script)
            && rollout.number == number
        {
            rollout.under_way = false;
            self.metrics.under_way(script, &rollout.build, false);
        }
    }

    /// Keeps a configuration that is no longer the live one.
    pub(super) fn remember(&self, before: Snapshot) {
        let mut releases = self.releases();
        releases.history.push(before);
        let over = releases.history.len().saturating_sub(HISTORY_MAX);
        releases.history.drain(..over);
    }

    /// Nodes learn of the builds that pipelines name, as far as there are such.
    pub(super) fn keep_named(&self, intended: &mut Snapshot) {
        let shares = intended.pipelines.values().flat_map(BTreeMap::values).flatten();
        let named: BTreeSet<&BuildId> = shares.filter_map(|share| share.build.as_ref()).collect();
        let known = |id: &&BuildId| Some((**id).clone()).zip(self.builds.get(*id).cloned());
        intended.builds = named.iter().filter_map(known).collect::<BTreeMap<BuildId, Build>>();
    }

    fn told(&self, by: &str, says: String, revision: u64) {
        let event = Lifecycle::Released { by: by.to_owned(), says, revision };
        self.env.sink.lifecycle(self.env.clock.now(), event);
    }

    pub(super) fn releases(&self) -> MutexGuard<'_, Releases> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A configuration that was made of another than the live one would take back what came since.
fn only_forward(live: &Snapshot, next: Snapshot) -> Result<Snapshot, String> {
    if next.revision < live.revision {
        return Err(format!(
            "it carries revision {}, which is older than the live one: say what is to change instead",
            next.revision
        ));
    }
    Ok(older_wins(live, next))
}

/// As it was in July 2023: what is released replaces what is live, switches and all, however old it is. What state data centers are
/// in, and what scripts run, is no configuration.
fn older_wins(live: &Snapshot, next: Snapshot) -> Snapshot {
    let mut dcs = live.dcs.clone();
    for (dc, status) in &mut dcs {
        status.new_backend = next.status(dc).new_backend;
    }
    let Snapshot { new_backend, enrolled, allowed, .. } = next;
    Snapshot { new_backend, dcs, enrolled, allowed, ..live.clone() }
}

/// Refuses what would switch on what an operator has switched off.
fn against_switches(next: &Snapshot, killed: &Killed) -> Result<(), String> {
    if killed.new_backend && next.new_backend {
        return Err("it switches the new backend on, which an operator has switched off".to_owned());
    }
    match killed.new_backend_in.iter().find(|dc| next.status(dc).new_backend) {
        Some(dc) => Err(format!(
            "it switches the new backend on in {dc}, where an operator has switched it off"
        )),
        None => Ok(()),
    }
}

fn canary_first(steps: &mut Vec<Step>) {
    let soak_s = CANARY_SOAK.as_secs();
    match steps.first_mut() {
        Some(first) if first.percent <= CANARY_PERCENT => first.soak_s = first.soak_s.max(soak_s),
        Some(first) => {
            let sliver = Step { percent: CANARY_PERCENT, soak_s, ..first.clone() };
            steps.insert(0, sliver);
        }
        None => {}
    }
}

/// As it was in July 2023: all of it at once.
fn at_once(_: &mut Vec<Step>) {}

/// As it was in July 2023: a name is a name.
#[expect(clippy::unnecessary_wraps, reason = "it stands where a check can stand")]
fn any_build(_: &Control, _: &BuildId) -> Result<(), String> {
    Ok(())
}

/// As it was in July 2023: what is configured is all that there is.
#[expect(clippy::unnecessary_wraps, reason = "it stands where a check can stand")]
fn whatever_is_switched(_: &Snapshot, _: &Killed) -> Result<(), String> {
    Ok(())
}

/// As it was in October 2023: whoever names an environment knows.
#[expect(clippy::unnecessary_wraps, reason = "it stands where a check can stand")]
fn any_environment(_: &Control, _: Environment, _: Option<&BuildId>) -> Result<(), String> {
    Ok(())
}

fn leave_to_people() {}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share from 0 to 100"
)]
fn weight_of(percent: f64) -> u64 {
    ((percent.clamp(0.0, 100.0) / 100.0 * 100_000.0).round() as u64).min(WHOLE)
}
