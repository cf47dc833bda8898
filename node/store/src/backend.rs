//! What a protocol asks of whatever holds the objects.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::object::{Etag, Held, Object, Stat};

/// The longest name. S3 ends at 1,024; a key of 512 NUL bytes needs twice that in the index.
pub const NAME_BYTES_MAX: usize = 2048;
/// The longest version. The node's have 24 bytes.
pub const VERSION_BYTES_MAX: usize = 1024;
/// The longest user metadata. S3 allows 2 KiB; the node's sealed metadata stays below that.
pub const META_BYTES_MAX: usize = 8 << 10;
/// The longest body: 25 MiB of value, and room for what seals it.
pub const BODY_BYTES_MAX: usize = (26 << 20) + (4 << 10);
/// The most names in one answer to a list: S3's limit.
pub const LIST_NAMES_MAX: usize = 1000;

/// What must hold for a write to be carried out. Check and write are one step, whatever else is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// Nothing is held under the name.
    Absent,
    /// Something is held under the name.
    Present,
    /// What is held, if anything, has a version below this one, compared as text.
    OlderThan(String),
    /// What is held, if anything, has this version or one below it, compared as text.
    UpTo(String),
    /// A body with this tag is held.
    Etag(Etag),
}

impl Condition {
    /// Whether it holds for what is held: its version, and a way to its tag, which may have to be made.
    pub(crate) fn holds(&self, version: Option<&str>, etag: impl FnOnce() -> Etag) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => version.is_none(),
            Self::Present => version.is_some(),
            Self::OlderThan(newer) => version.is_none_or(|held| held < newer.as_str()),
            Self::UpTo(newest) => version.is_none_or(|held| held <= newest.as_str()),
            Self::Etag(exact) => version.is_some() && etag() == *exact,
        }
    }
}

/// How a write ended that could be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and survives whatever the backend survives.
    Done,
    /// Its condition did not hold; nothing changed. With the version that is held, `None` where nothing is.
    Refused(Option<String>),
}

/// Why a backend could not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Name, version, metadata or body is longer than the limits in this module, or the name is empty. Send less.
    #[error("{what} of {bytes} bytes is not within the limits of the store")]
    OutOfLimits {
        /// Which of them.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A write failed on its way to the disk, this one or an earlier one, so it is not known what the disk holds.
    /// Nothing more is written until the store is opened again.
    #[error("the store takes no writes until it is opened again: {0}")]
    Stopped(Arc<str>),
    /// The file could not be read. Ask the other store.
    #[error("{}: cannot read at byte {offset}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where in it the object begins, in bytes.
        offset: u64,
        /// What the system said.
        error: Arc<std::io::Error>,
    },
    /// What the file holds is not what was written to it. Ask the other store.
    #[error("{}: damaged at byte {offset}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it the object begins, in bytes.
        offset: u64,
    },
}

/// Objects by name. Names are UTF-8 text of 1 to [`NAME_BYTES_MAX`] bytes and nothing else: no byte means anything.
///
/// Each call sees the effect of every write that was answered before it. Calls may block; [`Objects::blocks`] says so.
pub trait Objects: fmt::Debug + Send + Sync + 'static {
    /// What is held under a name.
    fn get(&self, name: &str) -> Result<Option<Held>, StoreError>;

    /// What is held under a name, without its body.
    fn stat(&self, name: &str) -> Result<Option<Stat>, StoreError>;

    /// Holds this from now on, if the condition holds.
    fn put(&self, name: &str, held: Held, only: Condition) -> Result<Outcome, StoreError>;

    /// Removes what is held, if the condition holds. Done also where nothing is held.
    fn remove(&self, name: &str, only: Condition) -> Result<Outcome, StoreError>;

    /// At most `limit` names that begin with `prefix` and come after `after`, in byte order.
    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Arc<str>>, StoreError>;

    /// Whether calls wait for a disk, so that they do not belong on a thread that serves many.
    fn blocks(&self) -> bool;

    /// Holds this object from now on, unless what is held is at least as new.
    fn put_if_newer(&self, name: &str, object: Object) -> Result<Outcome, StoreError> {
        let only = Condition::OlderThan(object.version.clone());
        self.put(name, Held { object, stamp: None }, only)
    }
}

/// Refuses what no backend keeps.
pub(crate) fn check(name: &str, object: Option<&Object>) -> Result<(), StoreError> {
    let refused = |what, bytes| Err(StoreError::OutOfLimits { what, bytes });
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return refused("name", name.len());
    }
    let Some(object) = object else { return Ok(()) };
    if object.version.len() > VERSION_BYTES_MAX {
        return refused("version", object.version.len());
    }
    if object.meta.len() > META_BYTES_MAX {
        return refused("metadata", object.meta.len());
    }
    if object.body.len() > BODY_BYTES_MAX {
        return refused("body", object.body.len());
    }
    Ok(())
}

/// Carries a call out where it may block: on this thread in memory, on one of tokio's for blocking work otherwise.
///
/// In memory nothing is awaited, so that a simulated lab sees the same order every time.
pub(crate) async fn call<T: Send + 'static>(
    objects: &Arc<dyn Objects>,
    call: impl FnOnce(&dyn Objects) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    if !objects.blocks() {
        return call(&**objects);
    }
    let objects = objects.clone();
    tokio::task::spawn_blocking(move || call(&*objects))
        .await
        .unwrap_or_else(|error| Err(StoreError::Stopped(error.to_string().into())))
}

/// Where a list begins in the order of the names.
pub(crate) fn start<'a>(prefix: &'a str, after: &'a str) -> std::ops::Bound<&'a str> {
    // No name is empty, so an `after` that is empty excludes nothing.
    if after >= prefix {
        std::ops::Bound::Excluded(after)
    } else {
        std::ops::Bound::Included(prefix)
    }
}
