//! `relapse list` and `relapse steps`.

use std::path::Path;

use super::{out, tell};
use crate::exit::Exit;
use crate::feature::Library;
use crate::feature::steps::sentences;

pub(super) fn list(root: &Path) -> Exit {
    let library = Library::read(root);
    let groups = ["incidents", "controls", "behaviors"];
    for name in groups {
        let of_group: Vec<_> =
            library.features.iter().filter(|(about, _)| group(&about.tags) == name).collect();
        if of_group.is_empty() {
            continue;
        }
        out(name);
        for (about, scenarios) in of_group {
            let nightly =
                if about.tags.iter().any(|tag| tag == "nightly") { ", nightly" } else { "" };
            let n = scenarios.len();
            let s = if n == 1 { "" } else { "s" };
            out(&format!("  {:<28} {} ({n} scenario{s}{nightly})", about.id, about.title));
        }
    }
    if library.problems.is_empty() { Exit::Pass } else { tell(&library.problems) }
}

fn group(tags: &[String]) -> &'static str {
    if tags.iter().any(|tag| tag.starts_with("incident:")) {
        "incidents"
    } else if tags.iter().any(|tag| tag == "control") {
        "controls"
    } else {
        "behaviors"
    }
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
    let sentence = sentence.replace("{dcs}", "\"…\", \"…\" and \"…\"").replace("{dc}", "\"…\"");
    sentence.replace("{pace}", "stands still / goes on")
}
