//! How a release is taken back: everywhere, or in some data centers while it goes on elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Control;
use super::release::Before;
use crate::ids::Dc;
use crate::telemetry::Lifecycle;
use crate::worker::ScriptName;

impl Control {
    /// What somebody asks for: a rollback everywhere where no data center is named. `None` where there is no such release.
    pub(super) fn roll_back_as_asked(
        self: &Arc<Self>,
        by: &str,
        script: ScriptName,
        dcs: &BTreeSet<Dc>,
    ) -> Option<u64> {
        if dcs.is_empty() {
            return self.roll_back(by, script, "asked for");
        }
        let rollout = {
            let mut releases = self.releases();
            releases.rollouts.get_mut(&script).map(|rollout| {
                rollout.held.extend(dcs.iter().cloned());
                rollout.clone()
            })
        };
        if rollout.is_none() && !self.intended().pipelines.contains_key(&script) {
            return None;
        }
        let before = self.to_go_back_to(rollout.as_ref());
        let names: Vec<&str> = dcs.iter().map(Dc::as_str).collect();
        let why = format!("asked for, in {}", names.join(", "));
        Some(self.take_back((by, &why), script, before, |dc| dcs.contains(dc)))
    }

    /// What a script ran before its last release runs again; `None` where there is no such release.
    pub(super) fn roll_back(
        self: &Arc<Self>,
        by: &str,
        script: ScriptName,
        why: &str,
    ) -> Option<u64> {
        if !self.releases().take_back(script) {
            return None;
        }
        let rollout = self.releases().rollouts.remove(&script);
        if let Some(rollout) = &rollout {
            self.metrics.under_way(script, &rollout.build, false);
        } else if !self.intended().pipelines.contains_key(&script) {
            return None;
        }
        let before = self.to_go_back_to(rollout.as_ref());
        Some(self.take_back((by, why), script, before, |_| true))
    }

    fn take_back(
        self: &Arc<Self>,
        (by, why): (&str, &str),
        script: ScriptName,
        before: Before,
        wanted: impl Fn(&Dc) -> bool,
    ) -> u64 {
        let mut before = before.unwrap_or_default();
        before.retain(|dc, _| wanted(dc));
        let revision = self.revise(|intended| {
            let pipelines = intended.pipelines.entry(script).or_default();
            pipelines.retain(|dc, _| !wanted(dc));
            pipelines.append(&mut before);
            if pipelines.is_empty() {
                intended.pipelines.remove(&script);
            }
            self.keep_named(intended);
        });
        let (by, why) = (by.to_owned(), why.to_owned());
        let event = Lifecycle::RolledBack { by, script, why, revision };
        self.env.sink.lifecycle(self.env.clock.now(), event);
        self.metrics.release("rolled-back");
        revision
    }
}
