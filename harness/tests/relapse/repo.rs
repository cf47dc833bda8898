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

/// Statements that need no test: what speaks of dashboards, of the platform below or of plans for later.
const NEED_NONE: [(u32, u32); 6] = [(6, 28), (6, 29), (6, 31), (7, 1), (7, 25), (7, 26)];
/// Statements whose rows say "not yet".
const NOT_YET: [(u32, u32); 1] = [(7, 2)];

/// A row of the table.
struct Row {
    statement: (u32, u32),
    /// Names of tests and scenarios, each with its file.
    tests: Vec<(String, String)>,
    remark: String,
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
    let (part, number) = cells.first()?.split_once('.')?;
    let statement = (part.parse().ok()?, number.parse().ok()?);
    let link = |text: &str| {
        let (name, file) = text.strip_prefix('[')?.strip_suffix(')')?.split_once("](")?;
        Some((name.to_owned(), file.to_owned()))
    };
    let tests = cells.get(2)?.split("<br>").filter(|text| !text.is_empty());
    let tests = tests.map(|text| link(text).unwrap_or_else(|| panic!("no link: {text}")));
    let remark = cells.get(3).copied().unwrap_or_default().to_owned();
    Some(Row { statement, tests: tests.collect(), remark })
}

#[test]
fn every_statement_of_the_architecture_posts_has_its_test() {
    let table = std::fs::read_to_string(root().join("STATEMENTS.md")).unwrap();
    let rows: Vec<_> = table.lines().filter_map(row).collect();
    let stated: Vec<(u32, u32)> = rows.iter().map(|row| row.statement).collect();
    let all = (1..=31).map(|number| (6, number)).chain((1..=26).map(|number| (7, number)));
    let expected: Vec<_> = all.filter(|statement| !NEED_NONE.contains(statement)).collect();
    assert_eq!(stated, expected, "every statement has one row, in order");
    for Row { statement, tests, remark } in rows {
        let missing = NOT_YET.contains(&statement);
        assert_eq!(tests.is_empty(), missing, "{statement:?}");
        assert_eq!(remark.starts_with("not yet"), missing, "{statement:?}");
        for (name, file) in tests {
            let text = std::fs::read_to_string(root().join(&file)).unwrap();
            let definition = if file.ends_with(".feature") {
                format!("Scenario: {name}\n")
            } else {
                format!("fn {name}(")
            };
            assert!(text.contains(&definition), "{statement:?}: there is no {name} in {file}");
        }
    }
}
