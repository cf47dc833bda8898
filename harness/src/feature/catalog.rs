//! The files that features name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kv_node::safeguards::Build;
use promql::rules::{Rule, RuleFile, RuleProblem};

use crate::alerts::RuleText;
use crate::spec::problem::Problem;
use crate::spec::topology::Topology;
use crate::spec::truth::Truth;
use crate::spec::{builds, topology, truth};

/// Topologies, builds and incidents by name.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// `features/topologies/<name>.toml`.
    pub topologies: BTreeMap<String, Topology>,
    /// `features/builds.toml`.
    pub builds: BTreeMap<String, Build>,
    /// `incidents/<folder>/truth.toml`, by the incident's id.
    pub incidents: BTreeMap<String, Truth>,
    /// `dashboards/prometheus/rules/*.yml`, in the order of their names.
    pub rules: Vec<RuleText>,
    /// The alerts in them, by name.
    pub alerts: BTreeSet<String>,
}

/// Where the rule files are.
pub const RULES: &str = "dashboards/prometheus/rules";

impl Catalog {
    /// Reads all of it below the root of a repository, with everything that is wrong there.
    pub fn read(root: &Path) -> (Self, Vec<Problem>) {
        let mut catalog = Self::default();
        let mut problems = Vec::new();
        for path in entries(&root.join("features/topologies")) {
            let Some(name) = path.strip_suffix(".toml") else { continue };
            let file = format!("features/topologies/{path}");
            match read_text(root, &file).and_then(|text| topology::read(&file, &text)) {
                Ok(topology) => {
                    catalog.topologies.insert(name.to_owned(), topology);
                }
                Err(wrong) => problems.extend(wrong),
            }
        }
        let file = "features/builds.toml";
        match read_text(root, file).and_then(|text| builds::read(file, &text)) {
            Ok(builds) => catalog.builds = builds,
            Err(wrong) => problems.extend(wrong),
        }
        for folder in entries(&root.join("incidents")) {
            let file = format!("incidents/{folder}/truth.toml");
            if !root.join(&file).is_file() {
                continue;
            }
            match read_text(root, &file).and_then(|text| truth::read(&file, &text)) {
                Ok(truth) => {
                    catalog.incidents.insert(truth.incident.clone(), truth);
                }
                Err(wrong) => problems.extend(wrong),
            }
        }
        for name in entries(&root.join(RULES)) {
            if name.strip_suffix(".yml").is_none() {
                continue;
            }
            let file = format!("{RULES}/{name}");
            match read_text(root, &file).and_then(|text| catalog.add_rules(&file, text)) {
                Ok(()) => {}
                Err(wrong) => problems.extend(wrong),
            }
        }
        (catalog, problems)
    }

    fn add_rules(&mut self, file: &str, text: String) -> Result<(), Vec<Problem>> {
        let rules = RuleFile::parse(file, &text).map_err(|wrong| {
            let problem = |wrong: &RuleProblem| {
                Problem::new(file, wrong.line, format!("{}: {}", wrong.path, wrong.message))
            };
            wrong.iter().map(problem).collect::<Vec<_>>()
        })?;
        let all = rules.groups.iter().flat_map(|group| &group.rules);
        self.alerts.extend(all.filter_map(|rule| match rule {
            Rule::Alert(alert) => Some(alert.name.clone()),
            Rule::Record(_) => None,
        }));
        self.rules.push(RuleText { file: file.to_owned(), text });
        Ok(())
    }
}

/// Names in a folder, sorted; none where there is no such folder.
pub(super) fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

pub(super) fn read_text(root: &Path, file: &str) -> Result<String, Vec<Problem>> {
    std::fs::read_to_string(root.join(file))
        .map_err(|error| vec![Problem::new(file, 0, format!("cannot be read: {error}"))])
}
