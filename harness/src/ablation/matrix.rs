//! Safeguards and incidents as a table.
//!
//! It follows from the safeguards themselves, the builds, and the features; what a study found out comes on top.

use std::collections::BTreeMap;

use kv_node::safeguards::{Level, Safeguard};

use super::hardened::{as_it_happened, hardened, incident, lacked};
use super::{Ablation, Role};
use crate::feature::Library;
use crate::spec::Scenario;

/// The table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Columns: ids of incidents with their titles, empty where no incident has that id.
    pub incidents: BTreeMap<String, String>,
    /// Lines, strongest level first.
    pub lines: Vec<Line>,
    /// The findings of the study, where there is one.
    pub findings: Option<Vec<String>>,
}

/// A safeguard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which one.
    pub safeguard: Safeguard,
    /// Its level in the hierarchy of controls.
    pub level: Level,
    /// What it is to each incident.
    pub cells: BTreeMap<String, Cell>,
}

/// What a safeguard is to an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Whether it was made for this incident.
    pub answers: bool,
    /// Whether what ran in the incident lacked it.
    pub lacked: bool,
    /// In how many scenarios it has been taken away, to judge what is behind it.
    pub taken_away: usize,
    /// What the study found.
    pub role: Option<Role>,
    /// Minutes and failed requests that it alone would have saved, where it guards the incident.
    pub saved: Option<[i64; 2]>,
}

impl Matrix {
    /// The table of a repository, with what a study found out.
    pub fn of(library: &Library, ablation: Option<&Ablation>) -> Self {
        let scenarios: Vec<&Scenario> =
            library.features.iter().flat_map(|(_, scenarios)| scenarios).collect();
        let mut incidents: BTreeMap<String, String> = library
            .catalog
            .incidents
            .values()
            .map(|truth| (truth.incident.clone(), truth.title.clone()))
            .collect();
        for safeguard in Safeguard::ALL {
            incidents.entry(safeguard.incident().to_owned()).or_default();
        }
        let mut order = Safeguard::ALL;
        order.sort_by_key(|safeguard| safeguard.level());
        let line = |safeguard: Safeguard| {
            let cell =
                |id: &String| (id.clone(), cell(library, &scenarios, safeguard, id, ablation));
            let cells = incidents.keys().map(cell).collect();
            Line { safeguard, level: safeguard.level(), cells }
        };
        Self {
            lines: order.into_iter().map(line).collect(),
            findings: ablation.map(Ablation::findings),
            incidents,
        }
    }
}

fn cell(
    library: &Library,
    scenarios: &[&Scenario],
    safeguard: Safeguard,
    id: &str,
    ablation: Option<&Ablation>,
) -> Cell {
    let of_it = || scenarios.iter().filter(|scenario| incident(scenario) == Some(id));
    let lacks = |scenario: &&&Scenario| lacked(&scenario.spec).contains(&safeguard);
    let study = ablation.and_then(|ablation| ablation.incidents.get(id));
    Cell {
        answers: safeguard.incident() == id,
        lacked: of_it().filter(|scenario| as_it_happened(scenario)).any(|one| lacks(&one)),
        taken_away: of_it()
            .filter(|scenario| hardened(scenario, &library.catalog))
            .filter(lacks)
            .count(),
        role: study.and_then(|study| study.roles.get(&safeguard).cloned()),
        saved: study
            .filter(|study| study.is_guarded_by(safeguard))
            .and_then(|study| study.saves(safeguard)),
    }
}
