//! Every feature of a repository, and the choice of some of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cucumber::gherkin::tagexpr::TagOperation;
use cucumber::tag::Ext as _;

use super::catalog::{Catalog, entries, read_text};
use super::compile::{FeatureAbout, compile};
use crate::spec::Scenario;
use crate::spec::problem::Problem;

/// Features and what they name.
#[derive(Debug)]
pub struct Library {
    /// Topologies, builds, incidents.
    pub catalog: Arc<Catalog>,
    /// Features with their scenarios, by file name.
    pub features: Vec<(FeatureAbout, Vec<Scenario>)>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// Which features are meant.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Beginnings of ids, or paths of feature files; none means all.
    pub ids: Vec<String>,
    /// A tag expression, such as `@control and not @slow`.
    pub tags: Option<String>,
}

impl Library {
    /// Reads everything below the root of a repository.
    pub fn read(root: &Path) -> Self {
        let files = entries(&root.join("features"))
            .into_iter()
            .filter(|name| name.ends_with(".feature"))
            .map(|name| format!("features/{name}"));
        Self::read_files(root, files.collect())
    }

    /// Reads the catalog and the given feature files.
    pub fn read_files(root: &Path, files: Vec<String>) -> Self {
        let (catalog, mut problems) = Catalog::read(root);
        let sound = problems.is_empty();
        let catalog = Arc::new(catalog);
        let mut features = Vec::new();
        for file in files {
            match read_text(root, &file).and_then(|text| compile(&catalog, &file, &text)) {
                Ok(feature) => features.push(feature),
                Err(wrong) => problems.extend(wrong.into_iter().filter(|p| sound || !p.follows)),
            }
        }
        Self { catalog, features, problems }
    }

    /// The chosen scenarios, in the order of the files.
    ///
    /// A problem where an id or a path matches nothing, where the tag expression is none, or where nothing is left: a run
    /// of nothing would be green.
    pub fn select(&self, root: &Path, selection: &Selection) -> Result<Vec<Scenario>, Problem> {
        let tags = match &selection.tags {
            None => None,
            Some(text) => Some(text.parse::<TagOperation>().map_err(|_| {
                Problem::new("--tags", 0, format!("\"{text}\" is no tag expression"))
                    .hint("such as: @control and not @slow")
            })?),
        };
        let mut chosen = Vec::new();
        let ids = &selection.ids;
        let mut matched = vec![false; ids.len()];
        for (about, scenarios) in &self.features {
            let mut wanted = ids.is_empty();
            for (at, id) in ids.iter().enumerate() {
                if about.id.starts_with(id.as_str()) || is_path_of(root, id, &about.file) {
                    matched[at] = true;
                    wanted = true;
                }
            }
            if wanted {
                let all = scenarios.iter().filter(|scenario| {
                    // Whoever names a feature means all of it; nightly ones are left out only of "everything".
                    let by_default =
                        !ids.is_empty() || !scenario.tags.iter().any(|tag| tag == "nightly");
                    match &tags {
                        None => by_default,
                        Some(tags) => tags.eval(&scenario.tags),
                    }
                });
                chosen.extend(all.cloned());
            }
        }
        if let Some(at) = matched.iter().position(|matched| !matched) {
            let id = &ids[at];
            let known = self.features.iter().map(|(about, _)| about.id.as_str());
            return Err(Problem::new("command line", 0, format!("no feature matches \"{id}\""))
                .did_you_mean(id, known));
        }
        if chosen.is_empty() {
            return Err(Problem::new("command line", 0, "no scenario is chosen")
                .hint("`relapse list` shows what there is"));
        }
        Ok(chosen)
    }
}

fn is_path_of(root: &Path, given: &str, file: &str) -> bool {
    if !given.contains('/') && !given.ends_with(".feature") {
        return false;
    }
    let absolute = |path: PathBuf| std::fs::canonicalize(&path).unwrap_or(path);
    absolute(PathBuf::from(given)) == absolute(root.join(file)) || given == file
}
