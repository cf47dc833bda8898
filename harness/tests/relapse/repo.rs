//! This repository, copies of it with something changed, and the program run in them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use relapse::feature::{Library, Selection};
use relapse::runs::copy;
use relapse::spec::Scenario;

/// The root of this repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The scenarios of one feature.
pub(crate) fn scenarios(id: &str) -> Vec<Scenario> {
    let library = Library::read(&root());
    assert_eq!(library.problems, []);
    library.select(&root(), &Selection { ids: vec![id.to_owned()], tags: None }).unwrap()
}

/// What the program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A copy of the features and incidents in a folder that goes with it.
pub(crate) struct Copy(PathBuf);

impl Copy {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("relapse-{}-{number}", std::process::id()));
        for part in ["features", "incidents", "dashboards"] {
            copy(&root().join(part), &folder.join(part)).unwrap();
        }
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Replaces a text in a file; it must be there.
    pub(crate) fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.0.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} does not say {from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    }

    /// Writes a feature file.
    pub(crate) fn feature(&self, name: &str, text: &str) {
        std::fs::write(self.0.join("features").join(name), text).unwrap();
    }

    /// Runs the program there.
    pub(crate) fn relapse(&self, args: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_relapse"))
            .args(args)
            .current_dir(&self.0)
            .output()
            .unwrap();
        Said {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // A folder that is gone already need not be removed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
