//! The object store that stands behind a node.
//!
//! It is a peer on the network like any other: an outage, a latency or a partition of a store is the same fault as that
//! of a data center. It knows objects and versions; it knows nothing of namespaces, keys, tiers or sealing.
//!
//! * [`plain`]: the wire protocol, shared by this server and by the node's client of it.
//! * [`MemoryStore`]: objects in memory, in byte order of their names. What it holds outlives the node that wrote it.
//!
//! Start with [`MemoryStore::serve`].

mod memory;
pub mod plain;

pub use memory::{MemoryStore, Object};
