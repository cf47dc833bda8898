//! Every control that would have prevented or shown an incident, by name.
//!
//! The current build has all of them; a historical build lacks what the real one lacked. A safeguard is consulted at
//! exactly one call site ([`Build::has`]), where it picks one of two named functions that stand beside each other.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::ids::BuildId;

/// A control, named as in feature files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Safeguard {
    /// What a request writes to its env stays with that request, and the attempt is reported.
    RequestScopedEnv,
    /// A returning data center owns keys only after its isolates restarted and synthetic reads from it and through it
    /// succeeded.
    ReturnGate,
    /// An owner that fails tier requests is probed and, where the probe fails too, taken out of placement.
    OwnerQuarantine,
    /// When an owner fails, the edge asks the next owner, then the upper tier.
    OwnerFallback,
    /// An edge that cannot refresh a value stops serving it at the staleness bound.
    BoundedStaleness,
    /// Exceptions are reported whatever state the data center is in.
    UnconditionalReports,
    /// Answers are logged where the script ends, whatever became of it, sampled by status and error class and with owner,
    /// build and trace. Without it the script logs itself, every answer alike, and the rate limit upstream decides.
    BoundaryLog,
    /// A release cannot carry a configuration that is older than the live one.
    ForwardOnly,
    /// What an operator has switched off stays off whatever configuration is released, until an operator switches it on.
    KillSwitchApart,
    /// The control plane tells what operators last ordered, apart from the configuration: what runs otherwise is drift.
    OrdersTold,
    /// A release is read by a schema: what is malformed is refused with its line.
    ReleaseSchema,
    /// A release is refused that names a build which is not there.
    BuildExists,
    /// A release begins with a sliver of the traffic, whatever share it asks for.
    CanaryFirst,
    /// An alert that begins while a release is under way halts it and rolls it back.
    HaltOnAlert,
    /// A request that falls to a build which is not there is answered, with an error that says so.
    UnknownBuildAnswered,
    /// A release is refused that names a build of another environment.
    BuildOfEnvironment,
    /// Of many who miss a key at once, one asks, and all are told.
    CoalescedFills,
    /// A store that comes back gets little more of customers' reads than usual until the rush is over.
    PacedRefill,
    /// A list of the builds of an environment has builds of that environment only.
    EnvironmentFilter,
    /// A rollback brings what is known to have run before, and looks nothing up.
    KnownGoodRollback,
    /// A rollback needs no login: the operator's signature is enough, so it works while what logs people in does not.
    RollbackWithoutLogin,
    /// The wrapper that traces the entry of tiers passes on the control headers that it reads.
    ControlHeadersKept,
    /// An upper tier refuses a request that lacks the control host, with an error that says so, and counts it. Without it the
    /// resolver is asked for a name that nobody has.
    ContextRequired,
}

/// How strong a control is: the hierarchy of controls, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The hazard is gone.
    Elimination,
    /// It is replaced by something less harmful.
    Substitution,
    /// The machine keeps people from it.
    Engineering,
    /// A rule keeps people from it.
    Administration,
    /// People are careful: code review, attention.
    PersonalProtectiveEquipment,
}

impl Level {
    /// All of them, strongest first.
    pub const ALL: [Self; 5] = [
        Self::Elimination,
        Self::Substitution,
        Self::Engineering,
        Self::Administration,
        Self::PersonalProtectiveEquipment,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elimination => "elimination",
            Self::Substitution => "substitution",
            Self::Engineering => "engineering",
            Self::Administration => "administration",
            Self::PersonalProtectiveEquipment => "personal protective equipment",
        }
    }
}

impl Safeguard {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 23] = [
        Self::RequestScopedEnv,
        Self::ReturnGate,
        Self::OwnerQuarantine,
        Self::OwnerFallback,
        Self::BoundedStaleness,
        Self::UnconditionalReports,
        Self::BoundaryLog,
        Self::ForwardOnly,
        Self::KillSwitchApart,
        Self::OrdersTold,
        Self::ReleaseSchema,
        Self::BuildExists,
        Self::CanaryFirst,
        Self::HaltOnAlert,
        Self::UnknownBuildAnswered,
        Self::BuildOfEnvironment,
        Self::CoalescedFills,
        Self::PacedRefill,
        Self::EnvironmentFilter,
        Self::KnownGoodRollback,
        Self::RollbackWithoutLogin,
        Self::ControlHeadersKept,
        Self::ContextRequired,
    ];

    /// The name used in feature files and build files.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestScopedEnv => "request-scoped-env",
            Self::ReturnGate => "return-gate",
            Self::OwnerQuarantine => "owner-quarantine",
            Self::OwnerFallback => "owner-fallback",
            Self::BoundedStaleness => "bounded-staleness",
            Self::UnconditionalReports => "unconditional-reports",
            Self::BoundaryLog => "boundary-log",
            Self::ForwardOnly => "forward-only",
            Self::KillSwitchApart => "kill-switch-apart",
            Self::OrdersTold => "orders-told",
            Self::ReleaseSchema => "release-schema",
            Self::BuildExists => "build-exists",
            Self::CanaryFirst => "canary-first",
            Self::HaltOnAlert => "halt-on-alert",
            Self::UnknownBuildAnswered => "unknown-build-answered",
            Self::BuildOfEnvironment => "build-of-environment",
            Self::CoalescedFills => "coalesced-fills",
            Self::PacedRefill => "paced-refill",
            Self::EnvironmentFilter => "environment-filter",
            Self::KnownGoodRollback => "known-good-rollback",
            Self::RollbackWithoutLogin => "rollback-without-login",
            Self::ControlHeadersKept => "control-headers-kept",
            Self::ContextRequired => "context-required",
        }
    }

    /// The safeguard of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|safeguard| safeguard.name() == name)
    }

    /// The incident that it answers.
    pub fn incident(self) -> &'static str {
        match self {
            Self::RequestScopedEnv
            | Self::ReturnGate
            | Self::OwnerQuarantine
            | Self::OwnerFallback
            | Self::BoundedStaleness
            | Self::UnconditionalReports
            | Self::BoundaryLog => "2023-07-17",
            Self::ForwardOnly | Self::KillSwitchApart | Self::OrdersTold => "2023-07-20-1912",
            Self::ReleaseSchema
            | Self::BuildExists
            | Self::CanaryFirst
            | Self::HaltOnAlert
            | Self::UnknownBuildAnswered => "2023-07-20-2346",
            Self::BuildOfEnvironment
            | Self::EnvironmentFilter
            | Self::KnownGoodRollback
            | Self::RollbackWithoutLogin => "2023-10-30",
            Self::CoalescedFills | Self::PacedRefill => "2025-06-12",
            Self::ControlHeadersKept | Self::ContextRequired => "2022-10-25",
        }
    }

    /// Its level in the hierarchy of controls.
    pub fn level(self) -> Level {
        match self {
            Self::RequestScopedEnv | Self::EnvironmentFilter | Self::ControlHeadersKept => {
                Level::Elimination
            }
            Self::KnownGoodRollback => Level::Substitution,
            Self::ReturnGate
            | Self::OwnerQuarantine
            | Self::OwnerFallback
            | Self::BoundedStaleness
            | Self::UnconditionalReports
            | Self::BoundaryLog
            | Self::ForwardOnly
            | Self::KillSwitchApart
            | Self::OrdersTold
            | Self::ReleaseSchema
            | Self::BuildExists
            | Self::CanaryFirst
            | Self::HaltOnAlert
            | Self::UnknownBuildAnswered
            | Self::BuildOfEnvironment
            | Self::CoalescedFills
            | Self::PacedRefill
            | Self::RollbackWithoutLogin
            | Self::ContextRequired => Level::Engineering,
        }
    }
}

/// Where a build is meant to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// For customers.
    #[default]
    Production,
    /// For tests.
    Staging,
}

impl Environment {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
        }
    }
}

/// What a release ships.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Its name.
    pub id: BuildId,
    /// Where it is meant to run.
    #[serde(default)]
    pub environment: Environment,
    /// The safeguards that it does not have.
    #[serde(default)]
    pub lacks: BTreeSet<Safeguard>,
    /// When it was built, in seconds since 1970: before that no list has it. None: it was always there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_s: Option<u64>,
}

impl Build {
    /// The build that lacks nothing.
    pub fn current() -> Self {
        Self {
            id: BuildId::from("current"),
            environment: Environment::Production,
            lacks: BTreeSet::new(),
            built_s: None,
        }
    }

    /// Whether this build has a safeguard.
    pub fn has(&self, safeguard: Safeguard) -> bool {
        let bit = 1 << safeguard as u32;
        // Read first: threads that write to one line of memory wait for each other.
        if ASKED.load(Ordering::Relaxed) & bit == 0 {
            ASKED.fetch_or(bit, Ordering::Relaxed);
        }
        !self.lacks.contains(&safeguard)
    }
}

/// One bit for each safeguard, in the order of their declaration. It belongs to the process and decides nothing.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// The safeguards that any call site in this process has asked for so far, whatever the answer was: what was never asked
/// for cannot have made a difference.
pub fn asked() -> BTreeSet<Safeguard> {
    let asked = ASKED.load(Ordering::Relaxed);
    Safeguard::ALL.into_iter().filter(|safeguard| asked & (1 << *safeguard as u32) != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_a_safeguard_is_remembered_whatever_the_answer() {
        let mut build = Build::current();
        build.lacks.insert(Safeguard::PacedRefill);
        assert!(!build.has(Safeguard::PacedRefill));
        assert!(asked().contains(&Safeguard::PacedRefill));
        assert!(Safeguard::ALL.len() <= 64, "a bit each");
    }

    #[test]
    fn every_safeguard_is_listed_and_found_by_its_name() {
        for safeguard in Safeguard::ALL {
            assert_eq!(Safeguard::from_name(safeguard.name()), Some(safeguard));
            assert_eq!(
                serde_json::to_string(&safeguard).unwrap(),
                format!("\"{}\"", safeguard.name())
            );
        }
    }
}
