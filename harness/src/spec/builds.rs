//! Builds by name: `features/builds.toml`.

use std::collections::{BTreeMap, BTreeSet};

use kv_node::ids::BuildId;
use kv_node::safeguards::{Build, Environment, Safeguard};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::problem::{Problem, line_of, toml_problem};
use super::time::{self, IncidentTime};

/// The pipelines of a node's file where both scripts run one build alone.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pipelines<'a> {
    gateway: [Share<'a>; 1],
    supercache: [Share<'a>; 1],
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Share<'a> {
    build: &'a BuildId,
    weight: u32,
}

impl<'a> Pipelines<'a> {
    /// Those of a build.
    pub fn of(build: &'a BuildId) -> Self {
        let share = Share { build, weight: 1 };
        Self { gateway: [share], supercache: [share] }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    builds: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    environment: Environment,
    #[serde(default)]
    lacks: Vec<Spanned<String>>,
    /// When it was built, where a list has it; like `2023-10-30 19:29`.
    built: Option<Spanned<String>>,
    /// Why it lacks them: for the reader of the file.
    #[serde(rename = "why")]
    _why: String,
}

/// A build with more safeguards taken away, named after what it lacks: the same lack is the same build, so the same run.
pub fn without(build: &Build, out: &BTreeSet<Safeguard>) -> Build {
    let lacks: BTreeSet<Safeguard> = build.lacks.union(out).copied().collect();
    let name = build.id.as_str().split("-without-").next().unwrap_or_default();
    let named: Vec<&str> = lacks.iter().map(|lack| lack.name()).collect();
    let id = match named.as_slice() {
        [] => name.to_owned(),
        lacks => format!("{name}-without-{}", lacks.join("-")),
    };
    Build { id: BuildId::from(id), lacks, ..build.clone() }
}

/// Reads the builds. `current` is always there and lacks nothing.
pub fn read(file: &str, text: &str) -> Result<BTreeMap<String, Build>, Vec<Problem>> {
    let whole = text;
    let parsed: File =
        toml::from_str(text).map_err(|error| vec![toml_problem(file, text, &error)])?;
    let mut problems = Vec::new();
    let mut builds = BTreeMap::from([("current".to_owned(), Build::current())]);
    for (id, entry) in parsed.builds {
        let mut lacks = BTreeSet::new();
        for name in entry.lacks {
            let line = line_of(text, name.span().start);
            let name = name.into_inner();
            match Safeguard::from_name(&name) {
                Some(safeguard) => {
                    lacks.insert(safeguard);
                }
                None => problems.push(
                    Problem::new(
                        file,
                        line,
                        format!("build \"{id}\" lacks \"{name}\", which is no safeguard"),
                    )
                    .did_you_mean(&name, Safeguard::ALL.map(Safeguard::name)),
                ),
            }
        }
        let built_s = entry.built.as_ref().map(|text| time::parse(text.get_ref()));
        if let (Some(text), Some(None)) = (&entry.built, built_s) {
            let line = line_of(whole, text.span().start);
            let message = format!("build \"{id}\" was built at \"{}\"", text.get_ref());
            problems.push(Problem::new(file, line, message).hint("write it as 2023-10-30 19:29"));
        }
        let build = Build {
            id: BuildId::from(id.as_str()),
            environment: entry.environment,
            lacks,
            built_s: built_s.flatten().map(IncidentTime::unix_s),
        };
        builds.insert(id, build);
    }
    if problems.is_empty() { Ok(builds) } else { Err(problems) }
}
