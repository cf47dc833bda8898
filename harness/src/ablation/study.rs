//! Which runs answer what each safeguard is good for, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};

use kv_node::safeguards::{Build, Level, Safeguard};

use super::hardened::{ablated, incident, lacked};
use super::{Ablation, Layered, Role, Saved, Study};
use crate::impact::Impact;
use crate::spec::Scenario;

/// What became of one scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Rows, and promises of every scenario, that do not hold.
    pub falls: Vec<String>,
    /// What leaves it open whether it holds, such as an action that never acted. Without a safeguard that may be so.
    pub silent: Vec<String>,
    /// What it cost, from the first action to the end.
    pub impact: Impact,
    /// The safeguards that any call site asked for.
    pub asked: BTreeSet<Safeguard>,
}

/// A scenario that is to be run with safeguards taken away, and judged by what it promises with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The scenario.
    pub scenario: Scenario,
    /// What is taken away from it.
    pub out: BTreeSet<Safeguard>,
}

impl Trial {
    fn new(scenario: &Scenario, out: impl IntoIterator<Item = Safeguard>) -> Self {
        Self { scenario: scenario.clone(), out: out.into_iter().collect() }
    }

    /// The scenario as it is run.
    pub fn ablated(&self) -> Scenario {
        ablated(&self.scenario, &self.out)
    }
}

/// Runs and judges trials: what became of each, in their order. The text says what for.
pub type Runner<'a, E> = dyn FnMut(&str, &[Trial]) -> Result<Vec<Ran>, E> + 'a;

type Set = BTreeSet<Safeguard>;

/// A scenario of an incident, with what became of it.
struct Case {
    incident: String,
    scenario: Scenario,
    lacks: Set,
    /// Nothing taken away.
    whole: Ran,
    /// One taken away: what falls, and who was asked for then.
    without: BTreeMap<Safeguard, Ran>,
}

/// The incidents to be studied, and what shows them.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Ids with titles.
    pub incidents: Vec<(String, String)>,
    /// The scenarios that show them with safeguards.
    pub hardened: Vec<Scenario>,
    /// For each incident the one that shows it as it happened and by which savings are measured.
    pub histories: Vec<Scenario>,
}

/// Studies incidents.
///
/// A safeguard that no call site asked for in a run cannot have mattered to it, and is not taken away there. All others are
/// taken away one at a time from the scenarios that lack least; those that answer the incident then from its layers too,
/// until something falls; and at last in pairs.
pub fn study<E>(subject: &Subject, seed: u64, run: &mut Runner<'_, E>) -> Result<Ablation, E> {
    let mut ablation = Ablation { seed, incidents: BTreeMap::new() };
    for (id, title) in &subject.incidents {
        let study = Study { title: title.clone(), ..Study::default() };
        ablation.incidents.insert(id.clone(), study);
    }
    let mut cases = whole(&mut ablation, &subject.hardened, run)?;
    one_at_a_time(&mut ablation, &mut cases, run)?;
    in_pairs(&mut ablation, &cases, run)?;
    rest(&mut ablation, &cases);
    layers(&mut ablation, &cases, run)?;
    saved(&mut ablation, &subject.histories, run)?;
    Ok(ablation)
}

/// Every scenario as it is.
fn whole<E>(
    ablation: &mut Ablation,
    hardened: &[Scenario],
    run: &mut Runner<'_, E>,
) -> Result<Vec<Case>, E> {
    let mut hardened: Vec<Scenario> = hardened.to_vec();
    hardened.sort_by_key(|scenario| lacked(&scenario.spec).len());
    let mut cases = Vec::new();
    let trials: Vec<Trial> = hardened.iter().map(|scenario| Trial::new(scenario, [])).collect();
    for (scenario, whole) in hardened.iter().zip(run("with all safeguards", &trials)?) {
        let Some(id) = incident(scenario) else { continue };
        let Some(study) = ablation.incidents.get_mut(id) else { continue };
        let lacks = lacked(&scenario.spec);
        let broken = [whole.falls.clone(), whole.silent.clone()].concat();
        let holds = broken.is_empty();
        study.scenarios.push(Layered { title: scenario.title(), lacks: lacks.clone(), broken });
        if holds {
            let (incident, scenario) = (id.to_owned(), scenario.clone());
            cases.push(Case { incident, scenario, lacks, whole, without: BTreeMap::new() });
        }
    }
    Ok(cases)
}

/// The numbers of safeguards that an incident's scenarios lack, fewest first.
fn ranks(cases: &[Case], id: &str) -> Vec<usize> {
    let of_it = cases.iter().filter(|case| case.incident == id);
    let ranks: BTreeSet<usize> = of_it.map(|case| case.lacks.len()).collect();
    ranks.into_iter().collect()
}

/// One safeguard away at a time, rank by rank.
fn one_at_a_time<E>(
    ablation: &mut Ablation,
    cases: &mut [Case],
    run: &mut Runner<'_, E>,
) -> Result<(), E> {
    let ids: Vec<String> = ablation.incidents.keys().cloned().collect();
    let ranks: BTreeMap<&str, Vec<usize>> =
        ids.iter().map(|id| (id.as_str(), ranks(cases, id))).collect();
    let deepest = ranks.values().map(Vec::len).max().unwrap_or(0);
    for depth in 0..deepest {
        let mut tried: Vec<(usize, Safeguard)> = Vec::new();
        for (at, case) in cases.iter().enumerate() {
            if ranks[case.incident.as_str()].get(depth) != Some(&case.lacks.len()) {
                continue;
            }
            let decided = &ablation.incidents[&case.incident].roles;
            let wanted = |safeguard: &Safeguard| {
                (depth == 0 || safeguard.incident() == case.incident)
                    && !case.lacks.contains(safeguard)
                    && !decided.contains_key(safeguard)
            };
            let asked = case.whole.asked.iter().copied();
            tried.extend(asked.filter(wanted).map(|safeguard| (at, safeguard)));
        }
        let trials: Vec<Trial> = tried
            .iter()
            .map(|(at, safeguard)| Trial::new(&cases[*at].scenario, [*safeguard]))
            .collect();
        let ran = run("one safeguard out", &trials)?;
        for ((at, safeguard), ran) in tried.into_iter().zip(ran) {
            let case = &mut cases[at];
            let roles = ablation.incidents.get_mut(&case.incident).map(|study| &mut study.roles);
            if let Some(roles) = roles.filter(|_| !ran.falls.is_empty()) {
                fell(roles, safeguard, &case.lacks, &ran.falls);
            }
            case.without.insert(safeguard, ran);
        }
    }
    Ok(())
}

/// Notes that rows fell without a safeguard, where others were away already. What fell first counts; more rows of the same
/// kind are added to it.
fn fell(
    roles: &mut BTreeMap<Safeguard, Role>,
    safeguard: Safeguard,
    others: &Set,
    falls: &[String],
) {
    let new = if others.is_empty() {
        Role::SoleGuard { falls: Vec::new() }
    } else {
        Role::Redundant { with: others.clone(), falls: Vec::new() }
    };
    match roles.entry(safeguard).or_insert(new) {
        Role::SoleGuard { falls: known } if others.is_empty() => add(known, falls),
        Role::Redundant { with, falls: known } if with == others => add(known, falls),
        _ => {}
    }
}

fn add(known: &mut Vec<String>, falls: &[String]) {
    for fall in falls {
        if !known.contains(fall) {
            known.push(fall.clone());
        }
    }
}

/// Two at a time of those that answer an incident, where nothing has shown yet what one of them is good for. Something must
/// fall that does not fall without the other alone.
fn in_pairs<E>(ablation: &mut Ablation, cases: &[Case], run: &mut Runner<'_, E>) -> Result<(), E> {
    let mut tried: Vec<(usize, Safeguard, Safeguard)> = Vec::new();
    for (at, case) in first_cases(cases) {
        let decided = &ablation.incidents[&case.incident].roles;
        for safeguard in own(&case.incident) {
            if decided.contains_key(&safeguard) || case.lacks.contains(&safeguard) {
                continue;
            }
            for other in own(&case.incident).filter(|other| *other != safeguard) {
                // Without one of them the other must be asked for: else two away are as one away.
                let asks = |out: &Safeguard, asked: &Safeguard| {
                    case.without.get(out).is_some_and(|ran| ran.asked.contains(asked))
                };
                if asks(&safeguard, &other) || asks(&other, &safeguard) {
                    tried.push((at, safeguard, other));
                }
            }
        }
    }
    let scenarios: Vec<Trial> = tried
        .iter()
        .map(|(at, one, other)| Trial::new(&cases[*at].scenario, [*one, *other]))
        .collect();
    let ran = run("two safeguards out", &scenarios)?;
    for ((at, safeguard, other), ran) in tried.into_iter().zip(ran) {
        let case = &cases[at];
        let alone = |safeguard: &Safeguard| {
            case.without.get(safeguard).map(|ran| ran.falls.as_slice()).unwrap_or_default()
        };
        let falls: Vec<String> =
            ran.falls.into_iter().filter(|fall| !alone(&other).contains(fall)).collect();
        if let Some(study) = ablation.incidents.get_mut(&case.incident)
            && !falls.is_empty()
        {
            let mut others = case.lacks.clone();
            others.insert(other);
            fell(&mut study.roles, safeguard, &others, &falls);
        }
    }
    Ok(())
}

/// What has no part, and what nobody asked for.
fn rest(ablation: &mut Ablation, cases: &[Case]) {
    for (id, study) in &mut ablation.incidents {
        let mine = || cases.iter().filter(|case| case.incident == *id);
        if mine().next().is_none() {
            continue;
        }
        let asked: Set = mine()
            .flat_map(|case| std::iter::once(&case.whole).chain(case.without.values()))
            .flat_map(|ran| ran.asked.iter().copied())
            .collect();
        for safeguard in Safeguard::ALL {
            let role = if asked.contains(&safeguard) { Role::NoPart } else { Role::NeverAsked };
            study.roles.entry(safeguard).or_insert(role);
        }
    }
}

/// The first scenarios of each incident, with all levels but one taken away.
fn layers<E>(ablation: &mut Ablation, cases: &[Case], run: &mut Runner<'_, E>) -> Result<(), E> {
    let mut tried: Vec<(usize, Level)> = Vec::new();
    let mut trials = Vec::new();
    for (at, case) in first_cases(cases) {
        for level in levels() {
            tried.push((at, level));
            trials.push(Trial::new(&case.scenario, others(level)));
        }
    }
    for ((at, level), ran) in tried.into_iter().zip(run("all levels but one out", &trials)?) {
        if let Some(study) = ablation.incidents.get_mut(&cases[at].incident) {
            add(&mut study.layers.entry(level).or_default().falls, &ran.falls);
        }
    }
    Ok(())
}

/// What a history costs as it was, with all safeguards, with one of those that were missing, and with one level of them.
fn saved<E>(
    ablation: &mut Ablation,
    histories: &[Scenario],
    run: &mut Runner<'_, E>,
) -> Result<(), E> {
    let current: Vec<Scenario> = histories.iter().map(with_all).collect();
    let bare: Vec<Trial> = histories.iter().map(|scenario| Trial::new(scenario, [])).collect();
    let guarded: Vec<Trial> = current.iter().map(|scenario| Trial::new(scenario, [])).collect();
    let bare = run("as it happened", &bare)?;
    let guarded = run("as it happened, with all safeguards", &guarded)?;
    let mut alone: Vec<(&str, Safeguard)> = Vec::new();
    let mut layers: Vec<(&str, Level)> = Vec::new();
    let (mut of_one, mut of_level) = (Vec::new(), Vec::new());
    for ((history, current), (bare, guarded)) in
        histories.iter().zip(&current).zip(bare.into_iter().zip(guarded))
    {
        let Some(id) = incident(history) else { continue };
        let Some(study) = ablation.incidents.get_mut(id) else { continue };
        let missing = lacked(&history.spec);
        let mut by = BTreeMap::new();
        for safeguard in missing.iter().copied() {
            if bare.asked.contains(&safeguard) {
                alone.push((id, safeguard));
                let others = missing.iter().copied().filter(|other| *other != safeguard);
                of_one.push(Trial::new(current, others));
            } else {
                by.insert(safeguard, bare.impact);
            }
        }
        for level in levels() {
            layers.push((id, level));
            of_level.push(Trial::new(current, others(level)));
        }
        let first = history.spec.timeline.first();
        let from = first.map_or(history.spec.start, |planned| planned.at);
        study.saved = Some(Saved {
            history: history.title(),
            length_min: history.spec.end.since(from).as_secs() / 60,
            guarded: guarded.impact,
            bare: bare.impact,
            alone: by,
        });
    }
    for ((id, safeguard), ran) in alone.into_iter().zip(run("one safeguard put in", &of_one)?) {
        let study = ablation.incidents.get_mut(id);
        if let Some(saved) = study.and_then(|study| study.saved.as_mut()) {
            saved.alone.insert(safeguard, ran.impact);
        }
    }
    for ((id, level), ran) in layers.into_iter().zip(run("one level put in", &of_level)?) {
        if let Some(study) = ablation.incidents.get_mut(id) {
            study.layers.entry(level).or_default().impact = Some(ran.impact);
        }
    }
    Ok(())
}

/// The same history with the current build in every data center.
fn with_all(scenario: &Scenario) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.spec.build = Build::current();
    scenario.spec.builds.clear();
    scenario
}

/// The levels that have a safeguard.
fn levels() -> BTreeSet<Level> {
    Safeguard::ALL.into_iter().map(Safeguard::level).collect()
}

/// The safeguards of all other levels.
fn others(level: Level) -> impl Iterator<Item = Safeguard> {
    Safeguard::ALL.into_iter().filter(move |safeguard| safeguard.level() != level)
}

/// The safeguards that answer an incident.
fn own(id: &str) -> impl Iterator<Item = Safeguard> {
    Safeguard::ALL.into_iter().filter(move |safeguard| safeguard.incident() == id)
}

/// The scenarios of each incident that lack least.
fn first_cases(cases: &[Case]) -> impl Iterator<Item = (usize, &Case)> {
    cases.iter().enumerate().filter(|(_, case)| {
        let mine = cases.iter().filter(|other| other.incident == case.incident);
        mine.map(|other| other.lacks.len()).min() == Some(case.lacks.len())
    })
}

#[cfg(test)]
mod tests;
