//! Opening a directory: the lock, what a crash left behind, the log.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use super::log::Log;
use super::queue::Queue;
use super::record::MAGIC;
use super::replay::{ReplayError, replay};
use super::{DirectoryStore, Shared};

pub(super) const LOG: &str = "objects.log";
pub(super) const NEW: &str = "objects.new";
const LOCK: &str = "lock";

/// Why a directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open, or this one has. Stop that one, or take another directory.
    #[error("{}: already open in another store", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused. Look at permissions, space and the disk.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is no log, or one of another format. Take another directory.
    #[error("{}: not a log of this store", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The log is not what was written to it, and more stands behind the place. Nothing has been changed. Restore the file,
    /// or move it away and let repairs fill the store again from the other one.
    #[error("{}: damaged at byte {offset}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it the batch or record begins, in bytes.
        offset: u64,
    },
}

impl DirectoryStore {
    /// Opens a store in a directory, which is made where there is none. What was acknowledged is there; the end of a write
    /// that a crash interrupted is cut off.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        let directory = directory.as_ref().to_owned();
        let path = directory.join(LOG);
        let lock = lock(&directory)?;
        let log =
            open_log(&directory).map_err(|error| OpenError::Io { path: path.clone(), error })?;
        let replayed = replay(&log).map_err(|error| match error {
            ReplayError::Io(error) => OpenError::Io { path: path.clone(), error },
            ReplayError::Format => OpenError::Format { path: path.clone() },
            ReplayError::Damaged(offset) => OpenError::Damaged { path: path.clone(), offset },
        })?;
        let mut log = Log {
            file: log,
            bytes: replayed.end,
            batches: replayed.batches,
            compact_from_bytes: 0,
            stopped: None,
        };
        // The torn end is gone before anything stands where it stood, and what was read is on the disk before it is served:
        // after a crash of the process alone it may have been in the system's memory only.
        cut(&log)
            .and_then(|()| log.append(&path, &[]).map_err(io::Error::other))
            .map_err(|error| OpenError::Io { path: path.clone(), error })?;
        let shared = Shared {
            directory,
            path,
            index: RwLock::new(replayed.index),
            queue: Queue::default(),
            log: Mutex::new(log),
            closing: AtomicBool::new(false),
            lock,
        };
        Ok(Self { shared: Arc::new(shared), compaction: Mutex::default() })
    }
}

/// Cuts off what follows the last whole batch.
fn cut(log: &Log) -> io::Result<()> {
    if log.file.metadata()?.len() == log.bytes {
        return Ok(());
    }
    log.file.set_len(log.bytes)?;
    log.file.sync_all()
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::Io { path, error }
    };
    fs::create_dir_all(directory).map_err(failed(directory))?;
    let path = directory.join(LOCK);
    let lock = File::options().write(true).create(true).truncate(false).open(&path);
    let lock = lock.map_err(failed(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: directory.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(&path)(error)),
    }
}

/// The log of a directory, a new one where there is none.
fn open_log(directory: &Path) -> io::Result<Arc<File>> {
    let (log, new) = (directory.join(LOG), directory.join(NEW));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if !fs::exists(&log)? {
        if let Some(parent) = directory.canonicalize()?.parent() {
            sync_directory(parent)?;
        }
        let file = create_log(directory)?;
        file.sync_all()?;
        place_log(directory)?;
    }
    Ok(Arc::new(File::options().read(true).write(true).open(log)?))
}

/// A log with nothing in it, not in its place and not on the disk yet.
pub(super) fn create_log(directory: &Path) -> io::Result<File> {
    let mut options = File::options();
    let mut file =
        options.read(true).write(true).create(true).truncate(true).open(directory.join(NEW))?;
    file.write_all(MAGIC)?;
    Ok(file)
}

/// Puts a log that is on the disk in its place, for good.
pub(super) fn place_log(directory: &Path) -> io::Result<()> {
    fs::rename(directory.join(NEW), directory.join(LOG))?;
    sync_directory(directory)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
