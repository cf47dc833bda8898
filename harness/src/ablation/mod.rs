//! What each safeguard is good for: incidents replayed with one of them taken away at a time.
//!
//! * [`hardened`](mod@hardened): which scenarios show an incident with its safeguards, and the same with some taken away.
//! * [`study`](mod@study): which runs answer the question, and what follows from them. It runs nothing itself.
//! * [`bench`](mod@bench): runs and judges what the study asks for.
//! * [`matrix`](mod@matrix): safeguards and incidents as a table, with what a study found out.
//!
//! What is said of a safeguard in an incident:
//!
//! | word | meaning |
//! |---|---|
//! | sole guard | without it alone a hardened row falls: nothing else does the same |
//! | redundant | without it alone none falls; without the named others as well one does that held without those |
//! | no part | neither |
//! | idle | no part in the very incident that it was made for: a finding |

pub mod bench;
pub mod hardened;
pub mod matrix;
pub mod study;

use std::collections::{BTreeMap, BTreeSet};

use kv_node::safeguards::{Level, Safeguard};
use serde::{Deserialize, Serialize};

use crate::impact::Impact;

/// What a study found out. The same for the same seed, specifications and binary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ablation {
    /// The seed of all runs.
    pub seed: u64,
    /// By incident.
    pub incidents: BTreeMap<String, Study>,
}

/// One incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// In a few words.
    pub title: String,
    /// The scenarios with safeguards, those that lack least first.
    pub scenarios: Vec<Layered>,
    /// What each safeguard is to the incident.
    pub roles: BTreeMap<Safeguard, Role>,
    /// What is left with all levels but one taken away.
    pub layers: BTreeMap<Level, Layer>,
    /// What safeguards save.
    pub saved: Option<Saved>,
}

/// A scenario with safeguards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layered {
    /// Its title.
    pub title: String,
    /// What it has taken away itself.
    pub lacks: BTreeSet<Safeguard>,
    /// What does not hold although nothing more is taken away: it can tell nothing then, and is passed over.
    pub broken: Vec<String>,
}

/// What a safeguard is to an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Role {
    /// Without it alone rows fall.
    SoleGuard {
        /// Which ones: rows, or promises that hold in every scenario.
        falls: Vec<String>,
    },
    /// Without it and without others rows fall that hold without the others.
    Redundant {
        /// The others.
        with: BTreeSet<Safeguard>,
        /// Which rows.
        falls: Vec<String>,
    },
    /// It was taken away, and nothing fell.
    NoPart,
    /// No call site asked for it, so that it cannot have mattered.
    NeverAsked,
}

impl Role {
    /// Whether something depends on the safeguard.
    pub fn guards(&self) -> bool {
        matches!(self, Self::SoleGuard { .. } | Self::Redundant { .. })
    }
}

/// What is left with one level of the hierarchy of controls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// What falls in the scenarios with safeguards that lack least.
    pub falls: Vec<String>,
    /// What the incident costs then, as it happened.
    pub impact: Option<Impact>,
}

/// What safeguards save: the incident as it happened, from its first action to its end, with other builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The scenario.
    pub history: String,
    /// How long that is, in minutes.
    pub length_min: u64,
    /// Its cost with the current build, which has every safeguard.
    pub guarded: Impact,
    /// Its cost with the builds that ran then.
    pub bare: Impact,
    /// Its cost with one of the safeguards that were missing then, and without the others.
    pub alone: BTreeMap<Safeguard, Impact>,
}

impl Saved {
    /// Minutes and failed requests that a safeguard alone would have saved; none where it was there.
    pub fn by(&self, safeguard: Safeguard) -> Option<[i64; 2]> {
        let alone = self.alone.get(&safeguard)?;
        let less = |bare: u64, alone: u64| bare.cast_signed() - alone.cast_signed();
        Some([less(self.bare.minutes, alone.minutes), less(self.bare.failed, alone.failed)])
    }
}

impl Study {
    /// The safeguards without which rows fall, or which alone would have saved something.
    pub fn guards(&self) -> impl Iterator<Item = Safeguard> {
        let guards = |safeguard: &Safeguard| self.is_guarded_by(*safeguard);
        self.roles.keys().copied().filter(guards)
    }

    /// Whether rows fall without a safeguard, or it alone would have saved a hundredth of what the incident cost.
    pub fn is_guarded_by(&self, safeguard: Safeguard) -> bool {
        let guards = self.roles.get(&safeguard).is_some_and(Role::guards);
        let much = |saved: i64, of: u64| saved > 0 && saved.unsigned_abs() * 100 >= of;
        guards
            || self.saved.as_ref().is_some_and(|history| {
                history.by(safeguard).is_some_and(|[minutes, failed]| {
                    much(minutes, history.bare.minutes) || much(failed, history.bare.failed)
                })
            })
    }

    /// Minutes and failed requests that a safeguard alone would have saved; none where that is not known.
    pub fn saves(&self, safeguard: Safeguard) -> Option<[i64; 2]> {
        self.saved.as_ref()?.by(safeguard)
    }
}

impl Ablation {
    /// Everything that should not be so, in words.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (id, study) in &self.incidents {
            if study.scenarios.is_empty() {
                findings.push(format!("{id}: no scenario shows it with safeguards"));
                continue;
            }
            for scenario in study.scenarios.iter().filter(|scenario| !scenario.broken.is_empty()) {
                let broken = scenario.broken.join(", ");
                findings.push(format!(
                    "{id}: {broken} does not hold with all safeguards in: {}",
                    scenario.title
                ));
            }
            for (safeguard, role) in &study.roles {
                let name = safeguard.name();
                match role {
                    _ if safeguard.incident() != id => {}
                    Role::NoPart => findings.push(format!(
                        "{id}: {name} is idle: no row falls without it, nor without it and any other"
                    )),
                    Role::NeverAsked => findings
                        .push(format!("{id}: {name} is idle: no scenario ever asks for it")),
                    Role::SoleGuard { .. } | Role::Redundant { .. } => {}
                }
            }
            let levels: BTreeSet<Level> = study.guards().map(Safeguard::level).collect();
            match levels.first() {
                None => findings.push(format!("{id}: no safeguard guards it")),
                Some(Level::PersonalProtectiveEquipment) => {
                    findings.push(format!("{id}: nothing guards it but that people are careful"));
                }
                Some(_) => {}
            }
        }
        findings
    }
}
