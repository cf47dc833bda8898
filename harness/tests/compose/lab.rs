//! The lab as a compose project of its own, driven by `relapse lab`, and gone with its handle.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::http::get;

/// How every project of this test is called, before the process that started it.
const PROJECT: &str = "relapse-test-compose-";
/// Compose's label.
const LABEL: &str = "com.docker.compose.project";

pub(crate) struct Lab {
    project: String,
    /// Whether [`Lab::down`] has been through.
    is_down: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn images() -> PathBuf {
    root().join("lab/local.env")
}

fn docker(arguments: &[&str]) -> Option<Output> {
    Command::new("docker").args(arguments).output().ok().filter(|output| output.status.success())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Compose v2 where it is there, otherwise docker-compose.
fn compose() -> Option<Command> {
    if docker(&["compose", "version"]).is_some() {
        let mut command = Command::new("docker");
        command.arg("compose");
        return Some(command);
    }
    let there = Command::new("docker-compose").arg("version").output();
    there.ok().filter(|output| output.status.success())?;
    Some(Command::new("docker-compose"))
}

/// What this test cannot do without.
pub(crate) fn lacking() -> Result<(), String> {
    if docker(&["version"]).is_none() {
        return Err("no Docker engine answers; see .ci/engine".to_owned());
    }
    if compose().is_none() {
        return Err("there is neither docker compose nor docker-compose".to_owned());
    }
    let text = std::fs::read_to_string(images()).unwrap();
    let used = std::fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let images = text.lines().filter_map(|line| line.split_once('='));
    for (name, image) in images.filter(|(name, _)| used.contains(name)) {
        // Compose also prefers the environment.
        let image = std::env::var(name).unwrap_or_else(|_| image.to_owned());
        if docker(&["image", "inspect", &image]).is_none() {
            return Err(format!("there is no image {image}; see .ci/images"));
        }
    }
    Ok(())
}

/// Containers, networks and volumes of a project, one a line.
pub(crate) fn left_of(project: &str) -> String {
    let filter = format!("label={LABEL}={project}");
    let listed = [
        &["ps", "--all", "--quiet", "--filter", &filter][..],
        &["network", "ls", "--quiet", "--filter", &filter],
        &["volume", "ls", "--quiet", "--filter", &filter],
    ];
    let lines = listed.map(|list| said(&docker(list).unwrap()));
    lines.join("\n").trim().to_owned()
}

/// Takes down what processes left that were killed before they could.
fn sweep() {
    let format = format!("{{{{.Label \"{LABEL}\"}}}}");
    let listed = docker(&["ps", "--all", "--format", &format]).unwrap();
    let listed = said(&listed);
    let abandoned = |project: &&str| {
        let process = project.strip_prefix(PROJECT).and_then(|rest| rest.split('-').next());
        process.is_some_and(|process| !Path::new("/proc").join(process).exists())
    };
    for project in listed.lines().filter(abandoned).collect::<std::collections::BTreeSet<_>>() {
        run(project, &["down", "--volumes", "--timeout", "1"]);
    }
}

/// What compose says.
fn run(project: &str, arguments: &[&str]) -> Output {
    let mut command = compose().unwrap();
    command.current_dir(root()).args(["--project-name", project, "--env-file"]).arg(images());
    command.args(arguments).output().unwrap()
}

/// What `relapse lab` did.
pub(crate) struct Did {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Has `relapse lab` do something; every port is one that is free, but for those that are named.
fn relapse(project: &str, arguments: &[&str], ports: &[(&str, String)]) -> Did {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relapse"));
    command.current_dir(root()).env("COMPOSE_PROJECT_NAME", project);
    for dc in crate::DCS.map(str::to_uppercase) {
        command.env(format!("RELAPSE_{dc}_PORT"), "0");
    }
    for service in ["CONTROL", "PROXY", "PROMETHEUS", "ALERTMANAGER"] {
        command.env(format!("RELAPSE_{service}_PORT"), "0");
    }
    command.envs(ports.iter().map(|(variable, port)| (variable, port)));
    let output = command.arg("lab").args(arguments).output().unwrap();
    Did {
        code: output.status.code(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        out: said(&output),
    }
}

/// What becomes of a lab one of whose ports somebody else has, and what is left of it.
pub(crate) fn up_with_a_port(variable: &str, port: u16) -> (Did, String) {
    let project = format!("{PROJECT}{}-port", std::process::id());
    let did = relapse(&project, &["up", "--local"], &[(variable, port.to_string())]);
    (did, left_of(&project))
}

impl Lab {
    /// Starts everything that has no profile.
    pub(crate) fn up() -> Self {
        sweep();
        let lab = Self { project: format!("{PROJECT}{}", std::process::id()), is_down: false };
        let up = lab.relapse(&["up", "--local"]);
        assert_eq!(up.code, Some(0), "{}{}", up.out, up.err);
        lab
    }

    /// Ends everything, and says what it was called.
    pub(crate) fn down(mut self) -> String {
        self.is_down = true;
        let down = self.relapse(&["down"]);
        assert_eq!(down.code, Some(0), "{}", down.err);
        self.project.clone()
    }

    /// Has `relapse lab` do something.
    pub(crate) fn relapse(&self, arguments: &[&str]) -> Did {
        relapse(&self.project, arguments, &[])
    }

    /// The same, which succeeds; what it prints.
    pub(crate) fn does(&self, arguments: &[&str]) -> String {
        let did = self.relapse(arguments);
        assert_eq!(did.code, Some(0), "{arguments:?}: {}{}", did.out, did.err);
        did.out
    }

    /// The line of `relapse lab status` that begins so, without that.
    pub(crate) fn status(&self, line: &str) -> String {
        let out = self.relapse(&["status"]).out;
        let rest = out.lines().find_map(|told| told.strip_prefix(line)).map(str::trim);
        rest.unwrap_or_else(|| panic!("no line {line}: {out}")).to_owned()
    }

    /// Where a port of a service is published.
    pub(crate) fn port(&self, service: &str, port: u16) -> SocketAddr {
        let told = run(&self.project, &["port", service, &port.to_string()]);
        said(&told)
            .parse()
            .unwrap_or_else(|_| panic!("{service} does not run: {}", self.logs(service)))
    }

    /// Whether a line of the control plane's metrics begins so.
    pub(crate) fn control_says(&self, line: &str) -> bool {
        let metrics = get(self.port("control", 8789), "/metrics").body;
        metrics.lines().any(|told| told.starts_with(line))
    }

    /// All containers, as the engine describes them.
    pub(crate) fn inspect(&self) -> Vec<Value> {
        let filter = format!("label={LABEL}={}", self.project);
        let listed = said(&docker(&["ps", "--all", "--quiet", "--filter", &filter]).unwrap());
        let ids: Vec<&str> = listed.lines().collect();
        let told = docker(&[&["inspect"][..], &ids].concat()).unwrap();
        serde_json::from_slice(&told.stdout).unwrap()
    }

    fn logs(&self, service: &str) -> String {
        let told = run(&self.project, &["logs", "--tail", "20", service]);
        said(&told)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.is_down {
            // The test has failed already, and says why.
            let _ = run(&self.project, &["down", "--volumes", "--timeout", "1"]);
        }
    }
}

/// Replays a feature in the simulated lab, into a folder; its only run.
pub(crate) fn replay(feature: &str, folder: &Path) -> PathBuf {
    let (file, folder) = (folder.join("old.feature"), folder.join("runs"));
    std::fs::write(&file, feature).unwrap();
    let replayed = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .current_dir(root())
        .arg("run")
        .arg(file)
        .arg("--out")
        .arg(&folder)
        .output()
        .unwrap();
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    let mut runs = std::fs::read_dir(&folder).unwrap();
    runs.next().unwrap().unwrap().path()
}
