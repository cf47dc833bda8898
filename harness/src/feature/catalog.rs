//! The files that features name.

use std::collections::BTreeMap;
use std::path::Path;

use kv_node::safeguards::Build;

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
}

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
        (catalog, problems)
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
