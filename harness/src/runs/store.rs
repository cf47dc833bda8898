//! Where runs are kept: `.relapse/runs/<hash>/`.

use std::path::{Path, PathBuf};

use super::about::About;

/// Runs kept; the oldest beyond that go.
const KEPT: usize = 64;

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

    /// What is known of a run that was done before; none where it was not, or not to its end.
    pub fn known(&self, hash: &str) -> Option<About> {
        let folder = self.run(hash);
        if !folder.join("recording/index.json").is_file() {
            return None;
        }
        serde_json::from_slice(&std::fs::read(folder.join("run.json")).ok()?).ok()
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

    /// Removes the oldest runs beyond those that are kept: once everything has been judged.
    pub fn forget_oldest(&self) -> std::io::Result<()> {
        let mut runs = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            runs.push((entry.metadata()?.modified()?, entry.path()));
        }
        runs.sort();
        let surplus = runs.len().saturating_sub(KEPT);
        for (_, path) in runs.into_iter().take(surplus) {
            std::fs::remove_dir_all(path)?;
        }
        Ok(())
    }
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
