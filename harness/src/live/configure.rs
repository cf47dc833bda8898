//! What nodes and control plane are told where they run another build than the current one.

use std::path::{Path, PathBuf};

use kv_node::ids::BuildId;
use kv_node::safeguards::Build;
use serde::Serialize;

use super::LiveError;
use crate::recording::digest;
use crate::spec::builds::Pipelines;

/// What a node's file says of builds besides all else that is in it.
#[derive(Serialize)]
struct OfNode<'a> {
    builds: [&'a Build; 1],
    pipelines: Pipelines<'a>,
}

/// What the control plane's file says, before its first table and after its last.
#[derive(Serialize)]
struct RunsBuild<'a> {
    build: &'a BuildId,
}

#[derive(Serialize)]
struct Builds<'a> {
    builds: [&'a Build; 1],
}

/// What compose is told to have everything run a build: files beside those in `lab/`, which stay as they are. Nothing where it
/// is the current one.
pub fn environment(root: &Path, build: &Build) -> Result<Vec<(&'static str, String)>, LiveError> {
    if *build == Build::current() {
        return Ok(Vec::new());
    }
    let of_node = text(&OfNode { builds: [build], pipelines: Pipelines::of(&build.id) })?;
    let before = text(&RunsBuild { build: &build.id })?;
    let after = text(&Builds { builds: [build] })?;
    // Compose looks at names alone: another build by the same name must stand elsewhere.
    let folder = format!(".relapse/lab/{}-{}", build.id, &digest(of_node.as_bytes())[..8]);
    let folder = root.join(folder);
    let nodes = folder.join("nodes");
    make(&nodes)?;
    for path in files(&root.join("lab/nodes"))? {
        let name = path.file_name().unwrap_or_default();
        write(&nodes.join(name), &[read(&path)?, of_node.clone()])?;
    }
    let control = folder.join("control.toml");
    let own = read(&root.join("lab/control.toml"))?;
    write(&control, &[before, own, after])?;
    Ok(vec![
        ("RELAPSE_NODES", nodes.display().to_string()),
        ("RELAPSE_CONTROL", control.display().to_string()),
        ("RELAPSE_BUILD", build.id.to_string()),
    ])
}

fn unwritable(path: &Path) -> impl Fn(std::io::Error) -> LiveError {
    let path = path.display().to_string();
    move |error| LiveError::Unwritable(path.clone(), error)
}

fn make(folder: &Path) -> Result<(), LiveError> {
    std::fs::create_dir_all(folder).map_err(unwritable(folder))
}

fn read(path: &Path) -> Result<String, LiveError> {
    std::fs::read_to_string(path).map_err(unwritable(path))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, LiveError> {
    let entries = std::fs::read_dir(folder).map_err(unwritable(folder))?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

fn text(table: &impl Serialize) -> Result<String, LiveError> {
    toml::to_string(table).map_err(|error| {
        LiveError::Unwritable("a node's file".to_owned(), std::io::Error::other(error))
    })
}

fn write(path: &Path, parts: &[String]) -> Result<(), LiveError> {
    std::fs::write(path, parts.join("\n")).map_err(unwritable(path))
}
