//! Where runs are kept: `.relapse/runs/<hash>/`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::about::{self, About};
use crate::lab::Kind;
use crate::recording::{Recording, RecordingError};

/// Kept runs take at most so many bytes; those that were not used for longest go first. The default suite takes about 150 MB,
/// an ablation of every incident ten times that: both are to find all of theirs again.
const KEPT_BYTES: u64 = 4_000_000_000;

/// The kept runs of a repository.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store of a repository.
    pub fn of(root: &Path) -> Self {
        Self { folder: root.join(".relapse/runs") }
    }

    /// The folder of a run.
    pub fn run(&self, hash: &str) -> PathBuf {
        self.folder.join(hash)
    }

    /// A folder in which a run may come to be; renamed once it is whole.
    pub fn unfinished(&self, hash: &str) -> PathBuf {
        self.folder.join(format!(".{hash}.{}", std::process::id()))
    }

    /// What is known of a run that was done before; none where it was not, or not to its end. It counts as used.
    pub fn known(&self, hash: &str) -> Option<About> {
        let folder = self.run(hash);
        if !folder.join("recording/index.json").is_file() {
            return None;
        }
        let about = serde_json::from_slice(&std::fs::read(folder.join("run.json")).ok()?).ok();
        // A folder that cannot be marked is forgotten sooner, and its run done again.
        let now = UNIX_EPOCH + Duration::from_micros(about::wall().0);
        let _ = File::open(&folder).and_then(|folder| folder.set_modified(now));
        about
    }

    /// Puts a finished run in its place. What stood there until now may be read by another process all the while.
    pub fn keep(&self, hash: &str) -> std::io::Result<()> {
        let (new, place) = (self.unfinished(hash), self.run(hash));
        if !place.exists() && std::fs::rename(&new, &place).is_ok() {
            return Ok(());
        }
        match renameat_with(CWD, &new, CWD, &place, RenameFlags::EXCHANGE) {
            Ok(()) => std::fs::remove_dir_all(new),
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS) => {
                std::fs::remove_dir_all(&place)?;
                std::fs::rename(new, place)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the recording of a run. One of the simulated lab that cannot be read is forgotten, so that it is done again next time.
    pub fn recording(&self, hash: &str, lab: Kind) -> Result<Recording, RecordingError> {
        let read = Recording::read(&self.run(hash).join("recording"));
        if read.is_err() && lab == Kind::Simulated {
            // What cannot be removed is told as what cannot be read.
            let _ = self.remove(hash);
        }
        read
    }

    /// Removes a run, under a name that nobody takes for a run's: half of one is none.
    fn remove(&self, hash: &str) -> std::io::Result<()> {
        let aside = self.folder.join(format!(".old-{hash}.{}", std::process::id()));
        std::fs::rename(self.run(hash), &aside)?;
        std::fs::remove_dir_all(aside)
    }

    /// Removes unfinished runs of processes that have ended, or all of them; how many there were.
    pub fn sweep(&self, all: bool) -> std::io::Result<u64> {
        let mut removed = 0;
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Ok(0) };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some((_, process)) = name.strip_prefix('.').and_then(|name| name.split_once('.'))
            else {
                continue;
            };
            let lives = Path::new("/proc").join(process).exists();
            if all || !lives {
                std::fs::remove_dir_all(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes the runs that were not used for longest, beyond what is kept: once everything has been judged.
    pub fn forget_oldest(&self) -> std::io::Result<()> {
        self.forget_beyond(KEPT_BYTES)
    }

    fn forget_beyond(&self, kept_bytes: u64) -> std::io::Result<()> {
        self.sweep(false)?;
        let mut runs = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let hash = entry.file_name().to_string_lossy().into_owned();
            if let Some(used) = used(&entry.path())
                && !hash.starts_with('.')
            {
                runs.push((used, hash));
            }
        }
        runs.sort();
        let (mut bytes, mut forgotten) = (0, Ok(()));
        for (known, hash) in runs.into_iter().rev() {
            let folder = self.run(&hash);
            bytes += size_bytes(&folder).unwrap_or_default();
            // Another process may have begun to read it meanwhile.
            if bytes > kept_bytes && used(&folder) == Some(known) {
                forgotten = forgotten.and(self.remove(&hash));
            }
        }
        forgotten
    }
}

/// When a run was last used; none of what is no folder, or no longer there.
fn used(folder: &Path) -> Option<SystemTime> {
    let metadata = std::fs::metadata(folder).ok()?;
    if metadata.is_dir() { metadata.modified().ok() } else { None }
}

/// What the files below a folder take.
fn size_bytes(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Copies a folder of files and folders.
pub fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store of finished runs of 1,000 bytes of recording each, one second after the other last used.
    fn holding(hashes: &[&str]) -> std::io::Result<(tempfile::TempDir, Store)> {
        let root = tempfile::tempdir()?;
        let store = Store::of(root.path());
        for (hash, used_s) in hashes.iter().zip(1..) {
            let folder = store.run(hash);
            std::fs::create_dir_all(folder.join("recording"))?;
            std::fs::write(folder.join("recording/index.json"), [b' '; 1_000])?;
            std::fs::write(folder.join("run.json"), serde_json::to_vec(&About::default())?)?;
            File::open(folder)?.set_modified(UNIX_EPOCH + Duration::from_secs(used_s))?;
        }
        Ok((root, store))
    }

    #[test]
    fn what_was_used_last_is_kept() -> std::io::Result<()> {
        let (_root, store) = holding(&["a", "b", "c"])?;
        let one = size_bytes(&store.run("a"))?;
        assert!(store.known("a").is_some(), "it was done before");
        store.forget_beyond(2 * one)?;
        let kept = ["a", "b", "c"].map(|hash| store.known(hash).is_some());
        assert_eq!(kept, [true, false, true], "the oldest was used just now");
        Ok(())
    }

    #[test]
    fn what_is_no_run_is_left_alone() -> std::io::Result<()> {
        let (_root, store) = holding(&["a"])?;
        let (note, under_way) = (store.folder.join("note.txt"), store.unfinished("b"));
        std::fs::write(&note, "whose is this?")?;
        std::fs::create_dir_all(&under_way)?;
        store.forget_beyond(0)?;
        assert!(store.known("a").is_none());
        assert!(note.exists() && under_way.exists());
        Ok(())
    }

    #[test]
    fn a_run_that_is_done_again_takes_the_place_of_the_first() -> std::io::Result<()> {
        let (_root, store) = holding(&["a"])?;
        let again = store.unfinished("a");
        std::fs::create_dir_all(again.join("recording"))?;
        std::fs::write(again.join("recording/index.json"), "")?;
        let about = About { seed: 7, ..About::default() };
        std::fs::write(again.join("run.json"), serde_json::to_vec(&about)?)?;
        store.keep("a")?;
        assert_eq!(store.known("a").map(|about| about.seed), Some(7));
        assert!(!again.exists());
        Ok(())
    }

    #[test]
    fn a_run_whose_recording_cannot_be_read_is_no_longer_known() -> std::io::Result<()> {
        let (_root, store) = holding(&["a"])?;
        assert!(store.recording("a", Kind::Containers).is_err());
        assert!(store.known("a").is_some(), "it cannot be done again as it was");
        assert!(store.recording("a", Kind::Simulated).is_err());
        assert!(store.known("a").is_none());
        Ok(())
    }
}
