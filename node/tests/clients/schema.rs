//! schemathesis: requests within and outside `openapi.yaml`, and whether every answer is one that stands there.

use std::fs;

use crate::process::dev;
use crate::tools::{command, python, succeed};
use crate::{NAMESPACE, OPENAPI, TOKEN};

/// A run that tries fewer cases than this has not looked: each tries about 1,500.
const CASES_MIN: u32 = 1_000;

#[test]
fn every_answer_in_a_namespace_that_exists_stands_in_the_schema() {
    tried(&format!("\"path.namespace_id\" = \"{NAMESPACE}\"\n"));
}

#[test]
fn every_answer_wherever_a_path_leads_stands_in_the_schema() {
    tried("");
}

fn tried(parameters: &str) {
    if !python() {
        return;
    }
    let mut node = dev(&["--token", TOKEN]);
    let folder = tempfile::tempdir().unwrap();
    let config = include_str!("schemathesis.toml").to_owned() + parameters;
    fs::write(folder.path().join("schemathesis.toml"), config).unwrap();
    let (url, token) = (node.wait_for("rest"), format!("Authorization: Bearer {TOKEN}"));
    let mut words = vec!["st", "run", OPENAPI, "--no-color", "--url", &url, "--header", &token];
    words.extend(["--generation-database", "none"]);
    let said = succeed(command(&words).current_dir(folder.path()));
    let said = String::from_utf8_lossy(&said);
    let cases = said.lines().find_map(|line| line.trim().split_once(" generated")?.0.parse().ok());
    assert!(cases.is_some_and(|cases: u32| cases >= CASES_MIN), "{said}");
    print!("{said}");
}
