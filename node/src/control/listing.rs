//! Which builds there are to release, and what a rollback brings.

use super::Control;
use super::release::{Before, Rollout, WHOLE};
use crate::config::Share;
use crate::ids::BuildId;
use crate::safeguards::{Build, Environment, Safeguard};

/// What a document writes instead of a build's id for the newest one.
pub(super) const NEWEST: &str = "newest";

impl Control {
    /// The builds of an environment that there are by now, the newest last.
    fn listed(&self, environment: Environment) -> Vec<&Build> {
        let now_s = self.env.clock.now().0 / 1_000_000;
        let filter = if self.build.has(Safeguard::EnvironmentFilter) {
            of_the_environment
        } else {
            of_any_environment
        };
        let there = |build: &&Build| {
            build.built_s.is_some_and(|built_s| built_s <= now_s) && filter(build, environment)
        };
        let mut listed: Vec<&Build> = self.builds.values().filter(there).collect();
        listed.sort_by_key(|build| build.built_s);
        listed
    }

    /// The build that a document means.
    pub(super) fn build_meant(&self, text: BuildId, of: Environment) -> Result<BuildId, String> {
        if text.as_str() != NEWEST {
            return Ok(text);
        }
        let newest = self.listed(of).last().map(|build| build.id.clone());
        newest.ok_or_else(|| format!("the list of builds of {} is empty", of.name()))
    }

    /// The newest build that is listed for this environment, and where it belongs.
    pub(super) fn newest_listed(&self) -> Option<(BuildId, Environment)> {
        let listed = self.listed(self.environment);
        listed.last().map(|build| (build.id.clone(), build.environment))
    }

    /// What a script goes back to.
    pub(super) fn to_go_back_to(&self, rollout: Option<&Rollout>) -> Before {
        let find = if self.build.has(Safeguard::KnownGoodRollback) {
            |_: &Self, rollout: Option<&Rollout>| known_good(rollout)
        } else {
            Self::newest_other
        };
        find(self, rollout)
    }

    /// As it was in October 2023: the newest build that the list has, but for the one whose release is taken back.
    fn newest_other(&self, rollout: Option<&Rollout>) -> Before {
        let listed = self.listed(self.environment);
        let other = |build: &&&Build| rollout.is_none_or(|rollout| rollout.meant != build.id);
        match listed.iter().rev().find(other) {
            Some(build) => {
                let whole = vec![Share { weight: WHOLE, build: Some(build.id.clone()) }];
                let dcs = self.members.dcs.keys();
                Some(dcs.map(|dc| (dc.clone(), whole.clone())).collect())
            }
            None => known_good(rollout),
        }
    }
}

/// What was known to run before. A control plane that began anew knows of no release: then what nodes were started with.
fn known_good(rollout: Option<&Rollout>) -> Before {
    rollout.and_then(|rollout| rollout.before.clone())
}

fn of_the_environment(build: &Build, environment: Environment) -> bool {
    build.environment == environment
}

/// As it was in October 2023: made for one environment, the list never asked.
fn of_any_environment(_: &Build, _: Environment) -> bool {
    true
}
