//! What is told of safeguards, and that the README's table of them is whole.

use std::collections::{BTreeMap, BTreeSet};

use insta::assert_snapshot;
use kv_node::safeguards::{Level, Safeguard};
use relapse::ablation::matrix::{Cell, Line, Matrix};
use relapse::ablation::{Ablation, Layer, Layered, Role, Saved, Study};
use relapse::feature::Library;
use relapse::impact::Impact;
use relapse::report;

use crate::repo::{Copy, root};

fn impact(minutes: u64, failed: u64) -> Impact {
    Impact { requests: 100_000, failed, minutes }
}

/// One sole guard, one redundant, one idle, one that was made for something else and would have helped.
fn found() -> Ablation {
    let roles = BTreeMap::from([
        (Safeguard::RequestScopedEnv, Role::SoleGuard { falls: vec!["R1-h1".to_owned()] }),
        (
            Safeguard::ReturnGate,
            Role::Redundant {
                with: BTreeSet::from([Safeguard::RequestScopedEnv]),
                falls: vec!["R1-h3".to_owned()],
            },
        ),
        (Safeguard::BoundaryLog, Role::NoPart),
        (Safeguard::ForwardOnly, Role::NeverAsked),
        (Safeguard::CoalescedFills, Role::NoPart),
    ]);
    let alone = BTreeMap::from([
        (Safeguard::RequestScopedEnv, impact(1, 20)),
        (Safeguard::ReturnGate, impact(3, 40)),
        (Safeguard::BoundaryLog, impact(137, 9_000)),
        (Safeguard::CoalescedFills, impact(130, 8_990)),
    ]);
    let saved = Saved {
        history: "as it happened: nearly a fifth".to_owned(),
        length_min: 197,
        guarded: impact(0, 3),
        bare: impact(137, 9_000),
        alone,
    };
    let layers = BTreeMap::from([
        (Level::Elimination, Layer { falls: vec![], impact: Some(impact(0, 3)) }),
        (
            Level::Engineering,
            Layer { falls: vec!["R1-h1".to_owned()], impact: Some(impact(2, 30)) },
        ),
    ]);
    let study = Study {
        title: "Data centers returning from maintenance".to_owned(),
        scenarios: vec![Layered {
            title: "with every safeguard".to_owned(),
            lacks: BTreeSet::new(),
            broken: vec![],
        }],
        roles,
        layers,
        saved: Some(saved),
    };
    let careful = Study { title: "Nobody saw it".to_owned(), ..Study::default() };
    let incidents =
        BTreeMap::from([("2023-07-17".to_owned(), study), ("2024-02-29".to_owned(), careful)]);
    Ablation { seed: 1, incidents }
}

/// The lines of a table that a study is told in.
fn matrix(ablation: &Ablation) -> Matrix {
    let study = &ablation.incidents["2023-07-17"];
    let line = |safeguard: Safeguard| {
        let cell = Cell {
            answers: safeguard.incident() == "2023-07-17",
            lacked: true,
            taken_away: 0,
            role: study.roles.get(&safeguard).cloned(),
            saved: study.saves(safeguard).filter(|_| study.is_guarded_by(safeguard)),
        };
        let other = Cell { lacked: safeguard == Safeguard::ForwardOnly, ..Cell::default() };
        let cells =
            BTreeMap::from([("2023-07-17".to_owned(), cell), ("2024-02-29".to_owned(), other)]);
        Line { safeguard, level: safeguard.level(), cells }
    };
    let titles = ablation.incidents.iter().map(|(id, study)| (id.clone(), study.title.clone()));
    Matrix {
        incidents: titles.collect(),
        lines: study.roles.keys().copied().map(line).collect(),
        findings: Some(ablation.findings()),
    }
}

#[test]
fn a_study_is_told_as_a_matrix_with_what_each_saves() {
    let ablation = found();
    let matrix = matrix(&ablation);
    assert_snapshot!(report::matrix(&matrix));
    assert_snapshot!(report::matrix_markdown(&matrix));
    assert_snapshot!(report::ablation(&ablation));
    assert_snapshot!(ablation.findings().join("\n"));
}

#[test]
fn the_matrix_follows_from_safeguards_builds_and_features() {
    let said = Copy::new().relapse(&["safeguards", "--markdown"]);
    assert_eq!(said.exit, 0, "{}", said.stderr);
    let july = Library::read(&root());
    let heads = said.stdout.lines().next().unwrap();
    for id in july.catalog.incidents.keys() {
        assert!(heads.contains(&format!("| {id} |")), "{heads} lacks {id}");
    }
    for safeguard in Safeguard::ALL {
        let begin = format!("| {} | {} |", safeguard.name(), safeguard.level().name());
        let line = said.stdout.lines().find(|line| line.starts_with(&begin));
        assert_eq!(line.unwrap_or(&begin).matches("answers").count(), 1, "{begin}");
    }
}

#[test]
fn the_readme_tells_of_every_safeguard_with_its_level() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for safeguard in Safeguard::ALL {
        let begin = format!("| {} | {} |", safeguard.name(), safeguard.level().name());
        assert!(
            readme.lines().any(|line| line.starts_with(&begin)),
            "the README's table lacks {begin}: relapse safeguards --markdown"
        );
    }
}

#[test]
fn what_ablate_did_not_write_is_refused() {
    let copy = Copy::new();
    std::fs::write(copy.path().join("x.json"), "{\"seed\": 1, \"incident\": {}}").unwrap();
    let said = copy.relapse(&["safeguards", "--from", "x.json"]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert!(said.stderr.contains("x.json is nothing that `ablate --out` writes"), "{said:?}");
    assert_eq!(copy.relapse(&["safeguards", "--from", "y.json"]).exit, 3);
}

#[test]
fn ablate_wants_an_incident() {
    let copy = Copy::new();
    let said = copy.relapse(&["ablate", "faults"]);
    assert_eq!((said.exit, said.stdout.as_str()), (2, ""), "{said:?}");
    assert!(said.stderr.contains("none of these is an incident"), "{said:?}");
}
