//! Moments in the life of nodes and of the control plane.

use serde::{Deserialize, Serialize};

use crate::config::{DcState, Snapshot};
use crate::ids::{BuildId, Dc};
use crate::worker::ScriptName;

/// Something that began, ended or changed in a node's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Lifecycle {
    /// The node took a configuration.
    ConfigApplied {
        /// Where.
        dc: Dc,
        /// Its revision.
        revision: u64,
    },
    /// The control plane made a new revision: with the topology this says who owns which key from now on.
    Revised {
        /// All of it.
        snapshot: Snapshot,
    },
    /// The node announces or withdraws itself to customers and peers.
    State {
        /// Where.
        dc: Dc,
        /// From now on.
        state: DcState,
    },
    /// An isolate began with a fresh env.
    IsolateStarted {
        /// Where.
        dc: Dc,
        /// Of which script.
        script: ScriptName,
        /// Its number within the node's life.
        isolate: u32,
        /// What it runs.
        build: BuildId,
    },
    /// A request wrote to its env.
    EnvWritten {
        /// Where.
        dc: Dc,
        /// In which script.
        script: ScriptName,
        /// In which isolate.
        isolate: u32,
        /// Whether the write stayed behind for later requests.
        stays: bool,
    },
    /// A tier dropped all that it held, because it may have missed purges.
    TierDropped {
        /// Where.
        dc: Dc,
    },
    /// The control plane took an owner out of placement.
    OwnerQuarantined {
        /// Which one.
        dc: Dc,
    },
    /// A release was taken, or one of its stages begins.
    Released {
        /// Who released.
        by: String,
        /// What.
        says: String,
        /// What came of it.
        revision: u64,
    },
    /// A release was refused: nothing of it was done.
    ReleaseRefused {
        /// Who wanted to release.
        by: String,
        /// Revision, environment, line and field, and what is wrong there.
        why: String,
    },
    /// A script runs what it ran before a release.
    RolledBack {
        /// Who had it rolled back.
        by: String,
        /// Which script.
        script: ScriptName,
        /// Why.
        why: String,
        /// What came of it.
        revision: u64,
    },
    /// The control plane let a data center back in, or found that it is not fit yet.
    ReturnProbed {
        /// Which one.
        dc: Dc,
        /// Whether every synthetic read succeeded.
        fit: bool,
    },
}
