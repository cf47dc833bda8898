//! `relapse list` and `relapse steps`.

use std::path::Path;

use super::{out, tell};
use crate::exit::Exit;
use crate::feature::Library;
use crate::feature::steps::sentences;

pub(super) fn list(root: &Path) -> Exit {
    let library = Library::read(root);
    let has = |tags: &[String], prefix: &str| tags.iter().any(|tag| tag.starts_with(prefix));
    let groups: [(&str, fn(&[String]) -> bool); 3] = [
        ("incidents", |tags| tags.iter().any(|tag| tag.starts_with("incident:"))),
        ("controls", |tags| tags.iter().any(|tag| tag == "control")),
        ("behaviors", |tags| !tags.iter().any(|t| t.starts_with("incident:") || t == "control")),
    ];
    for (name, belongs) in groups {
        let of_group: Vec<_> =
            library.features.iter().filter(|(about, _)| belongs(&about.tags)).collect();
        if of_group.is_empty() {
            continue;
        }
        out(name);
        for (about, scenarios) in of_group {
            let nightly = if has(&about.tags, "nightly") { ", nightly" } else { "" };
            let n = scenarios.len();
            let s = if n == 1 { "" } else { "s" };
            out(&format!("  {:<28} {} ({n} scenario{s}{nightly})", about.id, about.title));
        }
    }
    if library.problems.is_empty() { Exit::Pass } else { tell(&library.problems) }
}

pub(super) fn steps() -> Exit {
    for (keyword, sentence) in sentences() {
        let keyword = format!("{}{}", keyword[..1].to_uppercase(), &keyword[1..]);
        out(&format!("{keyword:<5} {}", readable(sentence)));
    }
    Exit::Pass
}

/// `{dc}` stands for anything in quotes; the pattern's own name would mislead where a topology or a build is meant.
fn readable(sentence: &str) -> String {
    sentence.replace("{dcs}", "\"…\", \"…\" and \"…\"").replace("{dc}", "\"…\"")
}
