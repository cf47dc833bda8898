//! Faults of the network: plain data, the same in every lab.

use std::fmt;

use kv_node::env::Listener;
use kv_node::ids::{Peer, Region};
use serde::{Deserialize, Serialize};

/// One end of the links that a fault acts on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Everyone.
    Anyone,
    /// One data center, store or the control plane.
    Peer(Peer),
    /// Every data center and store of a region.
    Region(Region),
    /// Customers.
    Clients,
    /// Every store.
    Stores,
}

impl Who {
    /// Whether a data center of a region is among them.
    pub fn is(&self, dc: &Peer, region: &Region) -> bool {
        match self {
            Self::Anyone => true,
            Self::Peer(peer) => peer == dc,
            Self::Region(wanted) => wanted == region,
            Self::Clients | Self::Stores => false,
        }
    }

    /// Whether somebody who is neither data center nor store nor customer is among them.
    pub fn is_apart(&self, peer: &Peer) -> bool {
        matches!(self, Self::Anyone) || matches!(self, Self::Peer(wanted) if wanted == peer)
    }

    /// Whether a store of a region is among them.
    pub fn is_store(&self, store: &Peer, region: &Region) -> bool {
        matches!(self, Self::Stores) || self.is(store, region)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Peer(peer) => write!(f, "{peer}"),
            Self::Region(region) => write!(f, "region {region}"),
            Self::Clients => f.write_str("clients"),
            Self::Stores => f.write_str("stores"),
        }
    }
}

/// What a fault does to a message that it acts on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// It arrives later by this much.
    Latency {
        /// How much.
        ms: u64,
    },
    /// It arrives later by a drawn time up to this much.
    Jitter {
        /// How much at the most.
        ms: u64,
    },
    /// It is lost and sent again after the retransmission timeout, 200 ms at first and doubling.
    Loss,
    /// The connection breaks.
    Reset,
    /// Nothing arrives, in either direction, and nothing says so.
    Partition,
    /// A request arrives without one of its headers.
    StripHeader {
        /// Which one.
        name: String,
    },
    /// The request never arrives and is answered with a status.
    Status {
        /// Which one.
        status: u16,
    },
}

/// A fault on the links from some peers to others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What it does.
    pub kind: FaultKind,
    /// Requests of whom.
    pub from: Who,
    /// Requests to whom.
    pub to: Who,
    /// Requests to which of their listeners; none means all.
    pub listener: Option<Listener>,
    /// The share of requests that it acts on; with bursts the share of the time.
    pub probability: f64,
    /// Where it comes in bursts, how long one is: it acts on every request then, and on none between. One comes in each
    /// period, at a drawn moment of it.
    pub bursts_ms: Option<u64>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, .. } = self;
        match &self.kind {
            FaultKind::Latency { ms } => write!(f, "{ms} ms of latency from {from} to {to}")?,
            FaultKind::Jitter { ms } => write!(f, "up to {ms} ms of jitter from {from} to {to}")?,
            FaultKind::Loss => write!(f, "packets lost from {from} to {to}")?,
            FaultKind::Reset => write!(f, "connections reset from {from} to {to}")?,
            FaultKind::Partition => write!(f, "no connection from {from} to {to}")?,
            FaultKind::StripHeader { name } => {
                write!(f, "header {name} stripped from {from} to {to}")?;
            }
            FaultKind::Status { status } => write!(f, "status {status} from {from} to {to}")?,
        }
        let percent = self.probability * 100.0;
        match self.bursts_ms {
            Some(ms) => write!(f, ", {percent:.2} % of the time in bursts of {ms} ms")?,
            None if self.probability < 1.0 => write!(f, ", {percent} % of requests")?,
            None => {}
        }
        Ok(())
    }
}
