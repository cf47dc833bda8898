//! A compose project: what is in it, and what can be done to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::Deserialize;

use super::LiveError;

/// Compose's own label with a project's name, and that with a service's.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const ONE_OFF: &str = "com.docker.compose.oneoff";
/// The label with the build that nodes run.
const BUILD: &str = "relapse.build";
/// What compose itself takes a project's name from.
const PROJECT_VARIABLE: &str = "COMPOSE_PROJECT_NAME";

/// A project of a repository's `docker-compose.yml`.
#[derive(Clone, Debug)]
pub struct Compose {
    root: PathBuf,
    project: String,
    program: &'static [&'static str],
}

/// The services of a project that have a container, by name.
#[derive(Clone, Debug, Default)]
pub struct Services(pub BTreeMap<String, Service>);

/// A service's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The container's id.
    pub container: String,
    /// Its image.
    pub image: String,
    /// As the engine calls it: `running`, `paused`, `exited` …
    pub state: String,
    /// `healthy`, `starting` or `unhealthy`; none where nobody asks it.
    pub health: Option<String>,
    /// Where its ports are published.
    pub ports: BTreeMap<u16, SocketAddr>,
    /// The build that it was given, where it is a node.
    pub build: Option<String>,
}

impl Service {
    /// Whether it runs, and is well as far as anybody asks it.
    pub fn is_well(&self) -> bool {
        self.state == "running" && self.health.as_deref().is_none_or(|health| health == "healthy")
    }

    /// State and health in a word.
    pub fn state(&self) -> &str {
        match &self.health {
            Some(health) if self.state == "running" => health,
            _ => &self.state,
        }
    }
}

impl Services {
    /// A service that has a container.
    pub fn get(&self, name: &str) -> Result<&Service, LiveError> {
        self.0.get(name).ok_or_else(|| LiveError::Down(name.to_owned()))
    }

    /// Where a service's port is published.
    pub fn address(&self, name: &str, port: u16) -> Result<SocketAddr, LiveError> {
        let down = || LiveError::Down(name.to_owned());
        self.get(name)?.ports.get(&port).copied().ok_or_else(down)
    }

    /// The build that nodes were given, where they are of one mind.
    pub fn build(&self) -> Option<&str> {
        self.0.values().find_map(|service| service.build.as_deref())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    state: State,
    config: Config,
    network_settings: Settings,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    health: Option<Health>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: String,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    ports: Option<BTreeMap<String, Option<Vec<Bound>>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Bound {
    host_ip: String,
    host_port: String,
}

impl Inspected {
    fn service(self) -> Option<(String, Service)> {
        let labels = self.config.labels.unwrap_or_default();
        let address = |bound: &Bound| {
            Some(SocketAddr::new(bound.host_ip.parse().ok()?, bound.host_port.parse().ok()?))
        };
        let published = |(port, bound): (String, Option<Vec<Bound>>)| {
            let port = port.split('/').next()?.parse().ok()?;
            Some((port, bound?.iter().find_map(address)?))
        };
        let ports = self.network_settings.ports.unwrap_or_default();
        let service = Service {
            container: self.id,
            image: self.config.image,
            state: self.state.status,
            health: self.state.health.map(|health| health.status),
            ports: ports.into_iter().filter_map(published).collect(),
            build: labels.get(BUILD).cloned(),
        };
        Some((labels.get(SERVICE)?.clone(), service))
    }
}

impl Compose {
    /// The project of the repository below `root`, by the name that compose would give it.
    pub fn find(root: &Path) -> Result<Self, LiveError> {
        let answers = |program: &[&str]| {
            let version = Command::new(program[0]).args(&program[1..]).arg("version").output();
            version.is_ok_and(|output| output.status.success())
        };
        let forms: [&'static [&'static str]; 2] = [&["docker", "compose"], &["docker-compose"]];
        let program = forms.into_iter().find(|program| answers(program));
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let named = std::env::var(PROJECT_VARIABLE).ok().filter(|name| !name.is_empty());
        let of_folder = || {
            let folder = root.file_name().map(|name| name.to_string_lossy().to_lowercase());
            let known =
                |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c);
            folder.unwrap_or_default().chars().filter(known).collect()
        };
        let project = named.unwrap_or_else(of_folder);
        Ok(Self { root, project, program: program.ok_or(LiveError::NoCompose)? })
    }

    /// What the project is called.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn command(&self, options: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program[0]);
        command.args(&self.program[1..]).args(["--project-name", &self.project]);
        command.args(options).args(arguments).current_dir(&self.root);
        command
    }

    /// Has compose do something while people look on: what it says goes to standard error.
    pub fn show(
        &self,
        options: &[&str],
        arguments: &[&str],
        environment: &[(&str, String)],
    ) -> Result<(), LiveError> {
        let mut command = self.command(options, arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::from(std::io::stderr())).stdin(Stdio::null());
        let what = format!("{} {}", self.program.join(" "), arguments.join(" "));
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(LiveError::Refused {
                what,
                said: format!("    it ended with {status}, and has said why"),
            }),
            Err(error) => Err(LiveError::Refused { what, said: error.to_string() }),
        }
    }

    /// Whether anything of the project keeps data.
    pub fn has_volumes(&self) -> Result<bool, LiveError> {
        let filter = format!("label={PROJECT}={}", self.project);
        Ok(!docker(&["volume", "ls", "--quiet", "--filter", &filter])?.is_empty())
    }

    /// Every service of the project that has a container.
    pub fn services(&self) -> Result<Services, LiveError> {
        let filter = format!("label={PROJECT}={}", self.project);
        let once = format!("label={ONE_OFF}=False");
        let listed = docker(&[
            "ps",
            "--all",
            "--quiet",
            "--no-trunc",
            "--filter",
            &filter,
            "--filter",
            &once,
        ])?;
        let ids: Vec<&str> = listed.lines().collect();
        if ids.is_empty() {
            return Ok(Services::default());
        }
        let told = docker(&[&["inspect"][..], &ids].concat())?;
        let inspected: Vec<Inspected> = serde_json::from_str(&told).map_err(|error| {
            LiveError::Refused { what: "docker inspect".to_owned(), said: error.to_string() }
        })?;
        Ok(Services(inspected.into_iter().filter_map(Inspected::service).collect()))
    }

    /// The same, where the lab is up.
    pub fn up(&self) -> Result<Services, LiveError> {
        let services = self.services()?;
        if services.0.is_empty() {
            return Err(LiveError::NotUp(self.project.clone()));
        }
        Ok(services)
    }
}

/// Has the engine do something, and returns what it prints.
pub fn docker(arguments: &[&str]) -> Result<String, LiveError> {
    let what = format!("docker {}", arguments.first().unwrap_or(&""));
    match said(&what, Command::new("docker").args(arguments).stdin(Stdio::null()).output()) {
        Err(LiveError::Refused { said, .. })
            if said.contains("Cannot connect to the Docker daemon") =>
        {
            Err(LiveError::NoEngine(said))
        }
        told => told,
    }
}

fn said(what: &str, output: std::io::Result<Output>) -> Result<String, LiveError> {
    let refused = |said: String| LiveError::Refused { what: what.to_owned(), said };
    let output = output.map_err(|error| refused(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_a_service_with_its_health_and_where_its_ports_are() {
        let told = r#"[{
            "Id": "abc",
            "State": {"Status": "running", "Health": {"Status": "starting"}},
            "Config": {"Image": "relapse/kv-node:test", "Labels": {"com.docker.compose.service": "mel", "relapse.build": "kv-2023-07"}},
            "NetworkSettings": {"Ports": {
                "8787/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8806"}],
                "8789/tcp": null
            }}
        }]"#;
        let inspected: Vec<Inspected> = serde_json::from_str(told).unwrap();
        let services = Services(inspected.into_iter().filter_map(Inspected::service).collect());
        assert_eq!(services.address("mel", 8787).unwrap(), "127.0.0.1:8806".parse().unwrap());
        assert!(matches!(services.address("mel", 8789), Err(LiveError::Down(_))));
        assert_eq!(services.build(), Some("kv-2023-07"));
        let mel = services.get("mel").unwrap();
        assert_eq!((mel.state(), mel.is_well()), ("starting", false));
    }
}
