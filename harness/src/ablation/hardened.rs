//! Which scenarios show an incident as it happened, and which with safeguards; and the latter with more of them taken away.

use std::collections::BTreeSet;
use std::time::Duration;

use kv_node::safeguards::{Build, Safeguard};

use crate::feature::{Catalog, incident_of};
use crate::spec::builds::without;
use crate::spec::{Scenario, Spec};

/// Below this rule of a feature stands what happened; every feature of an incident has it.
const AS_IT_HAPPENED: &str = "as it happened";

/// The incident that a scenario is about.
pub fn incident(scenario: &Scenario) -> Option<&str> {
    incident_of(&scenario.tags)
}

fn happened(scenario: &Scenario) -> bool {
    scenario.rule.as_ref().is_some_and(|rule| rule.to_lowercase().starts_with(AS_IT_HAPPENED))
}

/// Whether a scenario shows its incident as it happened: under the rule of that name, in the simulated lab.
pub fn as_it_happened(scenario: &Scenario) -> bool {
    incident(scenario).is_some() && happened(scenario) && scenario.spec.speed.is_none()
}

/// Whether a scenario shows an incident with safeguards: no data center runs a build of the past, and it does not claim to
/// show what happened. A build of the past is one of `features/builds.toml` that lacks something; what a scenario itself
/// takes away from the current build (`without …`) makes it a layer, not the past.
pub fn hardened(scenario: &Scenario, catalog: &Catalog) -> bool {
    let past = |build: &Build| {
        let known = catalog.builds.get(build.id.as_str());
        known.is_some_and(|known| !known.lacks.is_empty())
    };
    incident(scenario).is_some() && !happened(scenario) && !builds(&scenario.spec).any(past)
}

/// The scenario by which is measured what an incident costs: the longest that shows it as it happened and that is no longer
/// than six hours, which is as much as can be replayed a dozen times; where all are longer, the shortest.
pub fn history<'a>(id: &str, scenarios: &'a [Scenario]) -> Option<&'a Scenario> {
    let length = |one: &&Scenario| one.spec.end.since(one.spec.start);
    let shows = || scenarios.iter().filter(|one| incident(one) == Some(id) && as_it_happened(one));
    let brief = shows().filter(|one| length(one) <= Duration::from_hours(6));
    brief.rev().max_by_key(length).or_else(|| shows().min_by_key(length))
}

/// What every data center of a scenario lacks: the safeguards that it has taken away already.
pub fn lacked(spec: &Spec) -> BTreeSet<Safeguard> {
    let mut all = builds(spec).map(|build| build.lacks.clone());
    let first = all.next().unwrap_or_default();
    all.fold(first, |lacks, other| lacks.intersection(&other).copied().collect())
}

/// The same scenario with more safeguards taken away, in every data center and in the control plane.
pub fn ablated(scenario: &Scenario, out: &BTreeSet<Safeguard>) -> Scenario {
    let mut scenario = scenario.clone();
    let spec = &mut scenario.spec;
    for build in std::iter::once(&mut spec.build).chain(spec.builds.values_mut()) {
        *build = without(build, out);
    }
    // What is released is named in documents, so it keeps its name.
    for build in &mut spec.released {
        build.lacks.extend(out);
    }
    scenario
}

fn builds(spec: &Spec) -> impl Iterator<Item = &Build> {
    std::iter::once(&spec.build).chain(spec.builds.values())
}
