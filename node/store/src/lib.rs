//! The object store that stands behind a node.
//!
//! It is a peer on the network like any other: an outage, a latency or a partition of a store is the same fault as that
//! of a data center. It knows objects and versions; it knows nothing of namespaces, keys, tiers or sealing.
//!
//! * [`Objects`]: what a protocol asks of a backend. Every conditional write is one step.
//! * [`MemoryStore`], [`DirectoryStore`]: the backends. One ends with the process, the other survives a power cut.
//! * [`plain`]: the plain wire protocol, shared by [`PlainStore`] and by the node's client of it.
//! * [`S3Store`]: the S3 protocol.
//!
//! Nothing here opens a socket: a server hands in requests whole. Start with [`serve_plain`].

mod backend;
mod directory;
mod hex;
mod memory;
mod object;
pub mod plain;
mod s3;
mod serve;

pub use backend::{
    BODY_BYTES_MAX, Condition, LIST_NAMES_MAX, META_BYTES_MAX, NAME_BYTES_MAX, Objects, Outcome,
    StoreError, VERSION_BYTES_MAX,
};
pub use directory::{DirectoryStore, OpenError};
pub use memory::MemoryStore;
pub use object::{Etag, Held, Object, Stamp, Stat};
pub use s3::S3Store;
pub use serve::{PlainStore, plain as serve_plain};
