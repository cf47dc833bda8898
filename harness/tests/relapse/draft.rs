//! A new incident begins with a draft that runs; the guide to writing one is true, command by command.

use std::process::Command;

use insta::assert_snapshot;

use crate::repo::{Copy, root};

const KINDS: [&str; 5] = ["latency", "partition", "store", "maintenance", "release"];

#[test]
fn every_draft_runs_at_once_and_holds() {
    let copy = Copy::new();
    for kind in KINDS {
        let name = format!("2024-02-29-like-{kind}");
        let said = copy.relapse(&["new", "incident", &name, "--like", kind]);
        assert_eq!(said.exit, 0, "{}", said.stderr);
    }
    let said = copy.relapse(&["run", "2024-02-29"]);
    assert_eq!(said.exit, 0, "{}{}", said.stdout, said.stderr);
    assert_eq!(said.stdout.matches("PASS  as it happened").count(), KINDS.len());
}

#[test]
fn a_draft_is_a_story_its_facts_and_a_feature() {
    let copy = Copy::new();
    let said = copy.relapse(&["new", "incident", "a-slow-link", "--day", "2024-02-29"]);
    assert_eq!(said.exit, 0, "{}", said.stderr);
    let read = |file: &str| std::fs::read_to_string(copy.path().join(file)).unwrap();
    let files = [
        "incidents/2024-02-29-a-slow-link/README.md",
        "incidents/2024-02-29-a-slow-link/truth.toml",
        "features/2024-02-29-a-slow-link.feature",
    ];
    // Its rows are numbered after those of all incidents that are there.
    let number =
        read(files[2]).rsplit("Then ").next().unwrap().split('-').next().unwrap().to_owned();
    let texts = files.map(|file| read(file).replace(&number, "R[next]"));
    assert_snapshot!([&[said.stdout][..], &texts[..]].concat().join("\n----\n"));
}

#[test]
fn a_draft_overwrites_nothing() {
    let copy = Copy::new();
    let new = ["new", "incident", "2024-02-29-x"];
    assert_eq!(copy.relapse(&new).exit, 0);
    copy.change("incidents/2024-02-29-x/README.md", "What happened", "What really happened");
    let said = copy.relapse(&new);
    assert_eq!((said.exit, said.stdout.as_str()), (2, ""));
    assert!(said.stderr.contains("overwrites nothing"), "{}", said.stderr);
    let story = std::fs::read_to_string(copy.path().join("incidents/2024-02-29-x/README.md"));
    assert!(story.unwrap().contains("What really happened"));
    for bad in [&["A Name"][..], &["-x"], &["../x"], &["x", "--day", "2024-02-30"]] {
        let said = copy.relapse(&[&["new", "incident"][..], bad].concat());
        assert_eq!(said.exit, 2, "{bad:?}: {said:?}");
    }
}

/// The commands of the guide: what stands between ```sh and ```.
fn guide() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let guide = text.split("## Write an incident").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks = guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_guide_works() {
    let copy = Copy::new();
    let bin = copy.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_relapse"), bin.join("relapse")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let blocks = guide();
    assert!(blocks.len() >= 4, "{} blocks of commands", blocks.len());
    for block in blocks {
        let output = Command::new("sh")
            .args(["-e", "-c", &block])
            .current_dir(copy.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n{said}\n{complained}");
    }
}
