//! The Docker engine: networks and containers that carry a run's labels, and the removal of those that nobody owns any more.
//!
//! What a lab makes can outlive the lab, if the lab is killed. So each network and container says whose it is: the process, by
//! its number and the moment at which it began, and the host it runs on; and when nobody needs it any more. [`sweep`] removes
//! what belongs to no living process or is past that moment.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's library takes labels and filters as HashMap"
)]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, NetworkCreateRequest, PortBinding,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, EventsOptionsBuilder,
    InspectContainerOptions, InspectNetworkOptions, KillContainerOptions,
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions,
};
use futures_util::{Stream, StreamExt};
use kv_node::env::Timestamp;

use super::super::LabError;
use super::owner::Owner;
use super::wall;

/// The label with a run's name.
const RUN: &str = "relapse.run";
/// The label with the second since 1970 after which nobody needs it any more. An owner on another machine cannot be asked.
const DEADLINE: &str = "relapse.deadline";
/// The label that says whose something is.
const OWNER: &str = "relapse.owner";
/// The user and group of every container.
const USER: &str = "65532:65532";
/// How long the engine may go on with what a lab asked for that was killed.
const AFTERMATH: Duration = Duration::from_secs(1);
/// A folder in memory is everybody's and not larger than this.
const SCRATCH: &str = "mode=1777,size=256m";
/// Of a container's log the engine keeps so much.
const LOG_BYTES: &str = "32m";

/// One run's part of an engine.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    docker: Docker,
    run: String,
    owner: Owner,
    /// In seconds since 1970.
    deadline_s: u64,
}

/// A network of a run.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) name: String,
    /// The address under which containers reach this machine.
    pub(super) gateway: IpAddr,
}

/// What a container is made of.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    /// Its name within the run, and in its network.
    pub(super) name: &'a str,
    pub(super) image: &'a str,
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<String>,
    /// Ports that are published on 127.0.0.1.
    pub(super) ports: &'a [u16],
    pub(super) memory_bytes: i64,
    /// What is mounted, as the engine writes it.
    pub(super) mounts: Vec<String>,
    /// A folder in memory that may be written to.
    pub(super) scratch: Option<&'a str>,
}

/// A container of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContainerId(String);

/// A container ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) container: ContainerId,
    pub(super) exit_code: i64,
    pub(super) out_of_memory: bool,
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Containers.
    pub containers: u64,
    /// Networks.
    pub networks: u64,
}

impl Engine {
    /// Connects to the engine that `DOCKER_HOST` names, or to the local one.
    /// What it makes is abandoned at its deadline, whoever owns it.
    pub(super) async fn connect(run: &str, deadline: Timestamp) -> Result<Self, LabError> {
        let (docker, owner) = (connect().await?, Owner::this_process());
        Ok(Self { docker, run: run.to_owned(), owner, deadline_s: deadline.unix_s() })
    }

    fn labels(&self) -> HashMap<String, String> {
        HashMap::from([
            (RUN.to_owned(), self.run.clone()),
            (OWNER.to_owned(), self.owner.to_string()),
            (DEADLINE.to_owned(), self.deadline_s.to_string()),
        ])
    }

    /// Everything of a run is named alike; under that name its containers find each other.
    pub(super) fn name(&self, of: &str) -> String {
        format!("relapse-{}-{}", self.run, of.to_lowercase())
    }

    pub(super) async fn network(&self, of: &str) -> Result<Network, LabError> {
        let name = self.name(of);
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            labels: Some(self.labels()),
            ..NetworkCreateRequest::default()
        };
        let failed = |error| failed(&format!("network {name} cannot be made"), &error);
        self.docker.create_network(request).await.map_err(failed)?;
        let about = self.docker.inspect_network(&name, None::<InspectNetworkOptions>).await;
        let about = about.map_err(failed)?;
        let configs = about.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        let gateway = configs.into_iter().find_map(|config| config.gateway?.parse().ok());
        match gateway {
            Some(gateway) => Ok(Network { name, gateway }),
            None => Err(LabError::Engine(format!("network {name} has no gateway"))),
        }
    }

    /// Makes a container that does not run yet; an image that is not here is pulled.
    pub(super) async fn create(
        &self,
        network: &Network,
        plan: &Plan<'_>,
    ) -> Result<ContainerId, LabError> {
        match self.try_create(network, plan).await {
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                self.pull(plan.image).await?;
                self.try_create(network, plan).await
            }
            created => created,
        }
        .map_err(|error| failed(&format!("container {} cannot be made", plan.name), &error))
    }

    async fn try_create(&self, network: &Network, plan: &Plan<'_>) -> Result<ContainerId, Error> {
        let port = |port: &u16| format!("{port}/tcp");
        let published = || PortBinding {
            host_ip: Some(Ipv4Addr::LOCALHOST.to_string()),
            // The kernel chooses.
            host_port: Some(String::new()),
        };
        let bindings = plan.ports.iter().map(|p| (port(p), Some(vec![published()])));
        let log = HashMap::from([("max-size".to_owned(), LOG_BYTES.to_owned())]);
        let body = ContainerCreateBody {
            image: Some(plan.image.to_owned()),
            hostname: Some(plan.name.to_lowercase()),
            user: Some(USER.to_owned()),
            cmd: Some(plan.command.clone()),
            env: Some(plan.environment.clone()),
            exposed_ports: Some(plan.ports.iter().map(port).collect()),
            labels: Some(self.labels()),
            host_config: Some(HostConfig {
                network_mode: Some(network.name.clone()),
                port_bindings: Some(bindings.collect()),
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".to_owned()]),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                memory: Some(plan.memory_bytes),
                memory_swap: Some(plan.memory_bytes),
                binds: Some(plan.mounts.clone()),
                tmpfs: plan
                    .scratch
                    .map(|path| HashMap::from([(path.to_owned(), SCRATCH.to_owned())])),
                log_config: Some(HostConfigLogConfig {
                    typ: Some("json-file".to_owned()),
                    config: Some(log),
                }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(&self.name(plan.name)).build();
        let created = self.docker.create_container(Some(options), body).await?;
        Ok(ContainerId(created.id))
    }

    async fn pull(&self, image: &str) -> Result<(), LabError> {
        let options = CreateImageOptionsBuilder::new().from_image(image).build();
        let mut pulled = Box::pin(self.docker.create_image(Some(options), None, None));
        while let Some(step) = pulled.next().await {
            step.map_err(|error| LabError::Image(image.to_owned(), said(&error)))?;
        }
        Ok(())
    }

    pub(super) async fn start(&self, container: &ContainerId) -> Result<(), LabError> {
        let started = self.docker.start_container(&container.0, None::<StartContainerOptions>);
        started.await.map_err(|error| failed("a container cannot be started", &error))
    }

    /// Kills a container at once; false where it did not run.
    pub(super) async fn kill(&self, container: &ContainerId) -> Result<bool, LabError> {
        match self.docker.kill_container(&container.0, None::<KillContainerOptions>).await {
            Ok(()) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 409, .. }) => Ok(false),
            Err(error) => Err(failed("a container cannot be killed", &error)),
        }
    }

    /// Stops all that runs in a container where it stands, or lets it go on; false where it does not run.
    pub(super) async fn pause(&self, container: &ContainerId, on: bool) -> Result<bool, LabError> {
        let done = if on {
            self.docker.pause_container(&container.0).await
        } else {
            self.docker.unpause_container(&container.0).await
        };
        match done {
            Ok(()) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 409 | 500, .. }) => Ok(false),
            Err(error) => Err(failed("a container cannot be paused", &error)),
        }
    }

    /// Where a container's port is published; nowhere once it has ended.
    pub(super) async fn address(
        &self,
        container: &ContainerId,
        port: u16,
    ) -> Result<Option<SocketAddr>, LabError> {
        let about = self.docker.inspect_container(&container.0, None::<InspectContainerOptions>);
        let about = about.await;
        let about = about.map_err(|error| failed("a container cannot be looked at", &error))?;
        let ports = about.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
        let bound = ports.get(&format!("{port}/tcp")).cloned().flatten().unwrap_or_default();
        let found = bound.iter().find_map(|bound| bound.host_port.as_ref()?.parse().ok());
        Ok(found.map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    /// How a container ended, where it has.
    pub(super) async fn ended(&self, container: &ContainerId) -> Option<Ended> {
        ended(&self.docker, container.clone()).await
    }

    /// What a container writes to stderr, from a second of the wall clock on.
    pub(super) fn lines(
        &self,
        container: &ContainerId,
        since_s: u64,
    ) -> impl Stream<Item = String> + use<> {
        let since = i32::try_from(since_s).unwrap_or(0);
        let options =
            LogsOptionsBuilder::new().follow(true).stderr(true).stdout(false).since(since).build();
        let logs = self.docker.logs(&container.0, Some(options));
        let text = |output: LogOutput| match output {
            LogOutput::StdErr { message } => String::from_utf8_lossy(&message).into_owned(),
            _ => String::new(),
        };
        logs.filter_map(move |output| std::future::ready(output.ok().map(text)))
    }

    /// The last lines that a container wrote to stderr.
    pub(super) async fn last_lines(&self, container: &ContainerId) -> String {
        let options = LogsOptionsBuilder::new().stderr(true).tail("5").build();
        let logs = self.docker.logs(&container.0, Some(options));
        let lines: Vec<String> = logs
            .filter_map(|output| std::future::ready(output.ok().map(|output| output.to_string())))
            .collect()
            .await;
        lines.concat()
    }

    /// Containers of this run that end, from now on.
    pub(super) fn ends(&self) -> impl Stream<Item = Ended> + use<> {
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("label", vec![format!("{RUN}={}", self.run)]),
            ("event", vec!["die".to_owned()]),
        ]);
        let events =
            self.docker.events(Some(EventsOptionsBuilder::new().filters(&filters).build()));
        let docker = self.docker.clone();
        events.filter_map(move |event| {
            let docker = docker.clone();
            async move { ended(&docker, ContainerId(event.ok()?.actor?.id?)).await }
        })
    }

    /// Removes everything of this run.
    pub(super) async fn remove_all(&self) -> Result<Swept, LabError> {
        remove(&self.docker, |labels| labels.get(RUN) == Some(&self.run)).await
    }
}

async fn ended(docker: &Docker, container: ContainerId) -> Option<Ended> {
    let about = docker.inspect_container(&container.0, None::<InspectContainerOptions>).await;
    let state = about.ok()?.state?;
    (!state.running.unwrap_or(false)).then(|| Ended {
        container,
        exit_code: state.exit_code.unwrap_or(0),
        out_of_memory: state.oom_killed.unwrap_or(false),
    })
}

async fn connect() -> Result<Docker, LabError> {
    let none = |error: &Error| LabError::NoEngine(said(error));
    let docker = Docker::connect_with_defaults().map_err(|error| none(&error))?;
    docker.negotiate_version().await.map_err(|error| none(&error))
}

/// Removes whatever belongs to no living process or is past its deadline; with `all` also what is neither.
pub(super) async fn sweep(all: bool) -> Result<Swept, LabError> {
    let docker = connect().await?;
    let now_s = wall().unix_s();
    let abandoned = |labels: &HashMap<String, String>| {
        let gone = |owner: &String| owner.parse().is_ok_and(|owner: Owner| owner.is_gone());
        let past = |at_s: &String| at_s.parse().is_ok_and(|at_s: u64| at_s < now_s);
        all || labels.get(OWNER).is_some_and(gone) || labels.get(DEADLINE).is_some_and(past)
    };
    let mut swept = Swept::default();
    loop {
        let more = remove(&docker, abandoned).await?;
        if more == Swept::default() {
            return Ok(swept);
        }
        swept.containers += more.containers;
        swept.networks += more.networks;
        // Whoever was killed may have asked for something that the engine is still making.
        tokio::time::sleep(AFTERMATH).await;
    }
}

/// Removes what a lab made and `which` wants removed: containers first, since a network with one in it stays.
async fn remove(
    docker: &Docker,
    which: impl Fn(&HashMap<String, String>) -> bool,
) -> Result<Swept, LabError> {
    let filters = HashMap::from([("label", vec![RUN.to_owned()])]);
    let mut swept = Swept::default();
    let list = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let listed = docker.list_containers(Some(list)).await;
    let listed = listed.map_err(|error| failed("containers cannot be listed", &error))?;
    let doomed = listed.into_iter().filter(|c| which(c.labels.as_ref().unwrap_or(&HashMap::new())));
    let ids: Vec<String> = doomed.filter_map(|container| container.id).collect();
    let removals = ids.iter().map(|id| {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        docker.remove_container(id, Some(options))
    });
    for removed in futures_util::future::join_all(removals).await {
        if gone(removed, "a container cannot be removed")? {
            swept.containers += 1;
        }
    }
    let list = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let listed = docker.list_networks(Some(list)).await;
    let listed = listed.map_err(|error| failed("networks cannot be listed", &error))?;
    for network in listed {
        if !which(network.labels.as_ref().unwrap_or(&HashMap::new())) {
            continue;
        }
        let id = network.id.unwrap_or_default();
        if gone(docker.remove_network(&id).await, "a network cannot be removed")? {
            swept.networks += 1;
        }
    }
    Ok(swept)
}

/// Whether a removal removed something; what somebody else removes at the same moment is as good as removed.
fn gone(removed: Result<(), Error>, what: &str) -> Result<bool, LabError> {
    match removed {
        Ok(()) => Ok(true),
        Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(false),
        Err(error) => Err(failed(what, &error)),
    }
}

fn failed(what: &str, error: &Error) -> LabError {
    LabError::Engine(format!("{what}: {}", said(error)))
}

/// What the engine said, without what the library says around it.
fn said(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::DockerStreamError { error } => error.trim().to_owned(),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(error) = source {
                text = format!("{text}: {error}");
                source = error.source();
            }
            text
        }
    }
}
