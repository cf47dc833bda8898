//! Same spec, same seed, same binary: identical bytes, whatever else runs beside it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::repo::Copy;

/// Every file of every recording below a folder.
fn recordings(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for run in std::fs::read_dir(folder).unwrap() {
        let run = run.unwrap().path();
        for file in std::fs::read_dir(run.join("recording")).unwrap() {
            let file = file.unwrap().path();
            let name = file.strip_prefix(folder).unwrap().display().to_string();
            files.insert(name, std::fs::read(&file).unwrap());
        }
    }
    files
}

fn run(copy: &Copy, seed: &str, jobs: &str, out: &str) -> BTreeMap<String, Vec<u8>> {
    let args =
        ["run", "crash", "faults", "--no-cache", "--seed", seed, "--jobs", jobs, "--out", out];
    let said = copy.relapse(&args);
    assert_eq!(said.exit, 0, "{}{}", said.stdout, said.stderr);
    recordings(&copy.path().join(out))
}

#[test]
fn one_process_or_two_at_once_the_bytes_are_the_same_and_another_seed_has_others() {
    let copy = Copy::new();
    let one = run(&copy, "7", "1", "one");
    let two = run(&copy, "7", "2", "two");
    let other = run(&copy, "8", "2", "other");
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&two));
    for (name, bytes) in &one {
        assert_eq!(bytes, &two[name], "{name} differs");
    }
    assert!(one.len() > 50, "{} files", one.len());
    assert_ne!(names(&one), names(&other), "a run is named by its seed too");
}
