//! What follows from runs, with a world in place of the lab in which each row falls by a formula.

use std::convert::Infallible;
use std::path::Path;

use kv_node::safeguards::Safeguard::{
    BuildExists, ForwardOnly, KillSwitchApart, OrdersTold, ReleaseSchema, RequestScopedEnv,
};

use super::*;
use crate::ablation::hardened::hardened;
use crate::feature::{Library, Selection};

const ID: &str = "2023-07-20-1912";

/// The scenarios of an incident with safeguards: two that lack little, and one that lacks both of these.
fn subject() -> Subject {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let library = Library::read(root);
    let selection = Selection { ids: vec![ID.to_owned()], tags: None };
    let scenarios = library.select(root, &selection).unwrap();
    let mut hardened: Vec<Scenario> =
        scenarios.into_iter().filter(|one| hardened(one, &library.catalog)).collect();
    hardened.retain(|one| lacked(&one.spec).is_empty() || lacked(&one.spec).len() == 2);
    assert_eq!(hardened.len(), 2, "one with everything, one layer");
    Subject { incidents: vec![(ID.to_owned(), "x".to_owned())], hardened, histories: Vec::new() }
}

/// A study in which rows fall by what is lacking, and which tells how many trials it asked for.
fn studied(
    asked: &[Safeguard],
    falls: impl Fn(&dyn Fn(Safeguard) -> bool) -> Vec<&'static str>,
) -> (Ablation, usize) {
    let mut trials = 0;
    let mut run = |_: &str, batch: &[Trial]| {
        trials += batch.len();
        let ran = |trial: &Trial| {
            let lacks = lacked(&trial.ablated().spec);
            let falls = falls(&|safeguard| lacks.contains(&safeguard));
            let falls = falls.into_iter().map(str::to_owned).collect();
            Ran { falls, asked: asked.iter().copied().collect(), ..Ran::default() }
        };
        Ok::<_, Infallible>(batch.iter().map(ran).collect())
    };
    let ablation = study(&subject(), 1, &mut run).unwrap();
    (ablation, trials)
}

fn role(ablation: &Ablation, safeguard: Safeguard) -> &Role {
    &ablation.incidents[ID].roles[&safeguard]
}

fn falls(row: &str) -> Vec<String> {
    vec![row.to_owned()]
}

#[test]
fn without_a_sole_guard_a_row_falls() {
    let asked = [ForwardOnly, KillSwitchApart, OrdersTold];
    let (ablation, _) = studied(&asked, |out| if out(OrdersTold) { vec!["R2-6"] } else { vec![] });
    assert_eq!(*role(&ablation, OrdersTold), Role::SoleGuard { falls: falls("R2-6") });
}

#[test]
fn what_only_matters_when_others_are_away_is_redundant_with_them() {
    let asked = [ForwardOnly, KillSwitchApart, OrdersTold];
    let (ablation, _) = studied(&asked, |out| {
        let both = out(ForwardOnly) && out(KillSwitchApart);
        if both && out(OrdersTold) { vec!["R2-6"] } else { vec![] }
    });
    let with = [ForwardOnly, KillSwitchApart].into();
    assert_eq!(*role(&ablation, OrdersTold), Role::Redundant { with, falls: falls("R2-6") });
    // What the layer itself lacks cannot be shown by it.
    assert_eq!(*role(&ablation, ForwardOnly), Role::NoPart);
}

#[test]
fn two_that_stand_for_each_other_are_found_in_pairs() {
    let asked = [ForwardOnly, OrdersTold];
    let (ablation, _) = studied(&asked, |out| {
        // The layer lacks one of the two already, and holds.
        let layer = out(KillSwitchApart);
        if out(ForwardOnly) && out(OrdersTold) && !layer { vec!["R2-5"] } else { vec![] }
    });
    for (one, other) in [(ForwardOnly, OrdersTold), (OrdersTold, ForwardOnly)] {
        let expected = Role::Redundant { with: [other].into(), falls: falls("R2-5") };
        assert_eq!(*role(&ablation, one), expected, "{}", one.name());
    }
}

#[test]
fn who_guards_nothing_in_its_own_incident_is_idle_and_that_is_a_finding() {
    let asked = [ForwardOnly, OrdersTold, RequestScopedEnv];
    let (ablation, _) = studied(&asked, |out| if out(OrdersTold) { vec!["R2-6"] } else { vec![] });
    assert_eq!(*role(&ablation, ForwardOnly), Role::NoPart);
    assert_eq!(*role(&ablation, KillSwitchApart), Role::NeverAsked);
    let findings = ablation.findings().join("\n");
    assert!(findings.contains("forward-only is idle"), "{findings}");
    assert!(findings.contains("kill-switch-apart is idle: no scenario ever asks"), "{findings}");
    // That one answers another incident, and need not do anything here.
    assert!(!findings.contains("request-scoped-env"), "{findings}");
}

#[test]
fn what_no_call_site_asks_for_is_never_tried() {
    let nothing = studied(&[], |_| vec![]).1;
    let one = studied(&[ReleaseSchema], |_| vec![]).1;
    // One more: the scenario with everything. Its own layers are for those that answer the incident.
    assert_eq!(one - nothing, 1);
    assert_eq!(studied(&[ReleaseSchema, BuildExists], |_| vec![]).1 - nothing, 2);
}

#[test]
fn a_scenario_that_does_not_hold_as_it_is_can_tell_nothing() {
    let (ablation, _) = studied(&[OrdersTold], |_| vec!["R2-5"]);
    assert!(ablation.incidents[ID].roles.is_empty());
    let findings = ablation.findings().join("\n");
    assert!(findings.contains("R2-5 does not hold with all safeguards in"), "{findings}");
    assert!(findings.contains("no safeguard guards it"), "{findings}");
}

#[test]
fn what_is_found_can_be_written_and_read() {
    let (ablation, _) =
        studied(
            &[ForwardOnly, OrdersTold],
            |out| {
                if out(OrdersTold) { vec!["R2-6"] } else { vec![] }
            },
        );
    let json = serde_json::to_string(&ablation).unwrap();
    assert_eq!(serde_json::from_str::<Ablation>(&json).unwrap(), ablation);
}
