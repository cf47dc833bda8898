//! The lab as a compose project of its own, which is gone with its handle.

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
    for (name, image) in text.lines().filter_map(|line| line.split_once('=')) {
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
        let process = project.strip_prefix(PROJECT);
        process.is_some_and(|process| !Path::new("/proc").join(process).exists())
    };
    for project in listed.lines().filter(abandoned).collect::<std::collections::BTreeSet<_>>() {
        run(project, &["down", "--volumes", "--timeout", "1"]);
    }
}

/// What compose says; every port is one that is free.
fn run(project: &str, arguments: &[&str]) -> Output {
    let mut command = compose().unwrap();
    command.current_dir(root()).args(["--project-name", project, "--env-file"]).arg(images());
    for dc in crate::DCS.map(str::to_uppercase) {
        command.env(format!("RELAPSE_{dc}_PORT"), "0");
    }
    for service in ["CONTROL", "PROXY", "PROMETHEUS", "ALERTMANAGER"] {
        command.env(format!("RELAPSE_{service}_PORT"), "0");
    }
    command.args(arguments).output().unwrap()
}

impl Lab {
    /// Starts everything that has no profile.
    pub(crate) fn up() -> Self {
        sweep();
        let lab = Self { project: format!("{PROJECT}{}", std::process::id()), is_down: false };
        let up = run(&lab.project, &["up", "--detach", "--no-build"]);
        assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
        lab
    }

    /// Ends everything, and says what it was called.
    pub(crate) fn down(mut self) -> String {
        self.is_down = true;
        let down = run(&self.project, &["down", "--volumes", "--timeout", "5"]);
        assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
        self.project.clone()
    }

    /// Where a port of a service is published.
    pub(crate) fn port(&self, service: &str, port: u16) -> SocketAddr {
        let told = run(&self.project, &["port", service, &port.to_string()]);
        said(&told)
            .parse()
            .unwrap_or_else(|_| panic!("{service} does not run: {}", self.logs(service)))
    }

    /// What a command says that runs in a service's container.
    pub(crate) fn exec(&self, service: &str, command: &[&str]) -> String {
        let told = run(&self.project, &[&["exec", "-T", service], command].concat());
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        said(&told)
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
