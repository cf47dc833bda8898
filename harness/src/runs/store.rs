//! Where runs are kept: `.relapse/runs/<hash>/`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::about::{self, About};

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

    /// Puts a finished run in its place.
    pub fn keep(&self, hash: &str) -> std::io::Result<()> {
        let place = self.run(hash);
        if place.exists() {
            std::fs::remove_dir_all(&place)?;
        }
        std::fs::rename(self.unfinished(hash), place)
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
        let mut runs = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let unfinished = entry.file_name().to_string_lossy().starts_with('.');
            if !unfinished {
                runs.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        runs.sort();
        let mut bytes = 0;
        for (_, path) in runs.into_iter().rev() {
            bytes += size_bytes(&path)?;
            if bytes > kept_bytes {
                std::fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }
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

    /// A finished run of 1,000 bytes of recording, last used so many seconds after the epoch.
    fn run(store: &Store, hash: &str, used_s: u64) -> std::io::Result<()> {
        let folder = store.run(hash);
        std::fs::create_dir_all(folder.join("recording"))?;
        std::fs::write(folder.join("recording/index.json"), [b' '; 1_000])?;
        std::fs::write(folder.join("run.json"), serde_json::to_vec(&About::default())?)?;
        File::open(folder)?.set_modified(UNIX_EPOCH + Duration::from_secs(used_s))
    }

    #[test]
    fn what_was_used_last_is_kept() -> std::io::Result<()> {
        let root = tempfile::tempdir()?;
        let store = Store::of(root.path());
        for (hash, used_s) in [("a", 1), ("b", 2), ("c", 3)] {
            run(&store, hash, used_s)?;
        }
        let one = size_bytes(&store.run("a"))?;
        assert!(store.known("a").is_some(), "it was done before");
        store.forget_beyond(2 * one)?;
        let kept = ["a", "b", "c"].map(|hash| store.known(hash).is_some());
        assert_eq!(kept, [true, false, true], "the oldest was used just now");
        Ok(())
    }
}
