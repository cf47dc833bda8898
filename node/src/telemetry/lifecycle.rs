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
    /// The control plane let a data center back in, or found that it is not fit yet.
    ReturnProbed {
        /// Which one.
        dc: Dc,
        /// Whether every synthetic read succeeded.
        fit: bool,
    },
}
