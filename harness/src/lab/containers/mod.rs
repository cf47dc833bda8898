//! The containers lab: a node or a store in a container each, real sockets, real time, several times as fast.
//!
//! * [`engine`]: networks and containers, and the removal of those that nobody owns ([`owner`]).
//! * [`links`]: sockets through which nodes reach the wire; [`remote`]: how the wire reaches nodes and stores.
//! * [`prometheus`]: a real one, beside the monitor, where time passes as on the wall.
//! * [`watch`]: what containers and the machine do behind the lab's back.
//! * [`config`]: a node's configuration; [`stores`]: what lies in the stores.
//!
//! Control plane, intakes, monitor and customers run in this process, as in every lab. All that members of the topology send
//! to each other goes over the lab's wire: a node's requests come to it through a socket and go on through another. So a
//! fault here is the same code as in the simulated lab, with the same witness.

mod config;
mod engine;
mod links;
mod owner;
mod prometheus;
mod remote;
mod stores;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::{Request, StatusCode};
use kv_node::api::admin::METRICS;
use kv_node::env::{Listener, Timestamp};
use kv_node::ids::{Dc, Peer};
use tokio::runtime::Runtime;

use self::config::Replay;
pub use self::engine::Swept;
use self::engine::{ContainerId, Ended, Engine, Network, Plan};
use self::links::{Ports, Side};
pub(super) use self::remote::Remote;
use self::stores::{Kind, Stores};
use self::watch::{Lives, Stood, Trouble, watch_ends};
use super::doors::{LabClock, TaskSet};
use super::stage::Stage;
use super::wire::Service;
use super::world::{Hosts, LabOn};
use super::{Lab, LabError, lock};
use crate::recording::{CopyRow, Journal, OperationRow};
use crate::spec::Spec;
use crate::spec::peers::{INTAKE_LOGS, INTAKE_REPORTS, MONITOR};
use crate::spec::time::IncidentTime;

const REST_PORT: u16 = 8787;
const TIER_PORT: u16 = 8790;
const ADMIN_PORT: u16 = 8789;
/// The environment variable with a node's configuration.
const CONFIG: &str = "KV_NODE_CONFIG";
/// A node's memory in MiB, where no other is named: two caches, and what 50 requests a second ten times as fast take.
const NODE_MIB: i64 = 256;
/// The environment variable that names another.
const NODE_MIB_VARIABLE: &str = "RELAPSE_NODE_MEMORY_MB";
/// A Prometheus' memory, its data in it.
const PROMETHEUS_BYTES: i64 = 768 << 20;
/// The incident begins so long after nodes are first told to start.
const BEGINS_AFTER: Duration = Duration::from_secs(10);
/// Half of what a call to a store may take: who gets no time for longer makes others wait as a fault would.
const STOOD_MAX: Duration = Duration::from_secs(1);
/// So much longer than its part of the incident no lab lasts: images, starts, and what is under way at the end.
const SPARE: Duration = Duration::from_mins(30);
/// How often a container is asked whether it is ready.
const READY_EVERY: Duration = Duration::from_millis(50);

/// The image of nodes and stores, where no other is named.
pub const NODE_IMAGE: &str = "relapse/kv-node:test";
/// The environment variable that names another.
pub const NODE_IMAGE_VARIABLE: &str = "RELAPSE_NODE_IMAGE";

/// A lab of containers, all named after a run.
pub fn lab(seed: u64, run: &str, folder: &Path) -> Box<dyn Lab> {
    let image = std::env::var(NODE_IMAGE_VARIABLE).unwrap_or_else(|_| NODE_IMAGE.to_owned());
    let hosts = InContainers { run: run.to_owned(), folder: folder.to_owned(), image, up: None };
    Box::new(LabOn::new(seed, hosts))
}

/// Removes whatever earlier labs left behind: what belongs to no living process, or with `all` everything.
pub fn sweep(all: bool) -> Result<Swept, LabError> {
    runtime().map_err(LabError::Runtime)?.block_on(engine::sweep(all))
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Nodes and stores in containers.
struct InContainers {
    run: String,
    /// For files that containers are given.
    folder: PathBuf,
    image: String,
    up: Option<Up>,
}

/// What there is once it has been set up.
struct Up {
    engine: Engine,
    network: Network,
    side: Side,
    /// Links, logs and events.
    tasks: Arc<TaskSet>,
    containers: BTreeMap<Peer, Container>,
    stores: Option<Stores>,
    prometheus: Option<(Arc<Remote>, Replay)>,
    trouble: Arc<Trouble>,
    stood: Arc<Stood>,
}

struct Container {
    id: ContainerId,
    remote: Arc<Remote>,
}

impl Hosts for InContainers {
    fn runtime(&self) -> std::io::Result<Runtime> {
        runtime()
    }

    async fn set_up(&mut self, spec: &Spec) -> Result<LabClock, LabError> {
        engine::sweep(false).await?;
        let lasts = spec.end.since(spec.start) / spec.speed.unwrap_or(1);
        let engine = Engine::connect(&self.run, wall().after(lasts + SPARE)).await?;
        let network = engine.network("wire").await?;
        let side = Side::of(network.gateway).await;
        let (tasks, trouble) = (Arc::new(TaskSet::default()), Arc::new(Trouble::default()));
        watch_ends(&engine, &tasks, &trouble);
        self.up = Some(Up {
            engine,
            network,
            side,
            tasks,
            containers: BTreeMap::new(),
            stores: None,
            prometheus: None,
            trouble,
            stood: Arc::default(),
        });
        Ok(LabClock::waiting(spec.start, spec.speed.unwrap_or(1)))
    }

    async fn start_stores(&mut self, stage: &Stage) -> Result<(), LabError> {
        let kind = Kind::of(stage.spec.stores, &self.image)?;
        let up = self.up()?;
        for peer in stage.spec.topology.stores.keys() {
            up.create(stage, peer, &kind.plan(peer.as_str())).await?;
        }
        let stores: Vec<Peer> = stage.spec.topology.stores.keys().cloned().collect();
        for peer in &stores {
            up.start(peer, &[(kind.port, Listener::Store)]).await?;
        }
        for peer in &stores {
            up.until_ready(peer, Listener::Store, "/", |_| true).await?;
        }
        let remotes = stores.into_iter().map(|peer| {
            let remote = up.containers[&peer].remote.clone();
            (peer, remote)
        });
        let stores = Stores::new(stage, &kind, remotes.collect());
        stores.lay(stage).await?;
        up.stores = Some(stores);
        Ok(())
    }

    async fn start_nodes(&mut self, stage: &Stage) -> Result<(), LabError> {
        let (image, folder) = (self.image.clone(), self.folder.join("prometheus"));
        let kind = Kind::of(stage.spec.stores, &image)?;
        let memory = match std::env::var(NODE_MIB_VARIABLE) {
            Ok(mib) => mib.parse().map_err(|_| {
                LabError::Engine(format!("{NODE_MIB_VARIABLE}: \"{mib}\" is no number of MiB"))
            })?,
            Err(_) => NODE_MIB,
        };
        let up = self.up()?;
        let replay = Replay {
            wall_us: wall().after(BEGINS_AFTER),
            incident_us: stage.spec.start,
            speed: stage.spec.speed.unwrap_or(1),
        };
        stage.clock.begin(BEGINS_AFTER);
        up.tasks.run(up.stood.clone().watch());
        for dc in stage.spec.topology.dcs.keys() {
            let ports = up.open_links(stage, dc).await?;
            let text = config::text(stage, dc, (&ports, up.side), (replay, kind.access.as_ref()))
                .map_err(|error| LabError::Host(dc.to_string(), error.to_string()))?;
            let plan = Plan {
                name: dc.as_str(),
                image: &image,
                command: ["--config-from", CONFIG, "--log", "isolates"].map(str::to_owned).into(),
                environment: vec![format!("{CONFIG}={text}")],
                ports: &[REST_PORT, TIER_PORT, ADMIN_PORT],
                memory_bytes: memory << 20,
                mounts: Vec::new(),
                scratch: None,
            };
            up.create(stage, &dc.peer(), &plan).await?;
        }
        for dc in stage.spec.topology.dcs.keys() {
            up.start_node(stage, dc).await?;
        }
        for dc in stage.spec.topology.dcs.keys() {
            up.until_serving(dc).await?;
        }
        if replay.speed == 1 {
            up.start_prometheus(stage, replay, &folder).await?;
        }
        if stage.clock.timestamp() > stage.spec.start {
            return Err(LabError::Slow(BEGINS_AFTER));
        }
        Ok(())
    }

    async fn start_node(&mut self, stage: &Stage, dc: &Dc, _: u32) -> Result<(), LabError> {
        self.up()?.start_node(stage, dc).await
    }

    async fn kill_node(&mut self, _: &Stage, dc: &Dc) -> Result<bool, LabError> {
        let up = self.up()?;
        let id = up.container(&dc.peer())?.id.clone();
        lock(&up.trouble.expected).push(id.clone());
        up.engine.kill(&id).await
    }

    async fn pause_node(&mut self, _: &Stage, dc: &Dc, on: bool) -> Result<bool, LabError> {
        let up = self.up()?;
        up.engine.pause(&up.container(&dc.peer())?.id, on).await
    }

    async fn copies(
        &mut self,
        stage: &Stage,
        operations: &[OperationRow],
    ) -> Result<Vec<CopyRow>, LabError> {
        match &self.up()?.stores {
            Some(stores) => stores.copies(stage, operations).await,
            None => Err(LabError::NotStarted),
        }
    }

    async fn seen(&mut self, stage: &Stage) -> Result<Vec<(IncidentTime, Journal)>, LabError> {
        let up = self.up()?;
        let mut seen = Vec::new();
        let stood = up.stood.longest() * stage.spec.speed.unwrap_or(1);
        if stood > STOOD_MAX {
            let ms = u64::try_from(stood.as_millis()).unwrap_or(u64::MAX);
            seen.push((stage.clock.timestamp(), Journal::Stood { ms }));
        }
        if let Some((remote, Replay { wall_us, incident_us, .. })) = &up.prometheus {
            let incident_at = |at: Timestamp| incident_us.after(at.since(*wall_us));
            seen.extend(prometheus::evaluated(remote, &stage.spec.rules, incident_at).await?);
            seen.extend(prometheus::fired(remote, &stage.spec.rules, incident_at).await?);
            seen.push((*incident_us, Journal::Prometheus));
        }
        Ok(seen)
    }

    async fn trouble(&mut self) -> Result<(), LabError> {
        self.up()?.trouble().await
    }

    async fn close(&mut self) -> Result<(), LabError> {
        let Some(up) = self.up.take() else { return Ok(()) };
        up.tasks.abort();
        up.engine.remove_all().await.map(|_| ())
    }
}

impl InContainers {
    fn up(&mut self) -> Result<&mut Up, LabError> {
        self.up.as_mut().ok_or(LabError::NotStarted)
    }
}

impl Up {
    fn container(&self, peer: &Peer) -> Result<&Container, LabError> {
        self.containers.get(peer).ok_or_else(|| LabError::Unknown(peer.to_string()))
    }

    async fn create(
        &mut self,
        stage: &Stage,
        peer: &Peer,
        plan: &Plan<'_>,
    ) -> Result<(), LabError> {
        let id = self.engine.create(&self.network, plan).await?;
        let remote = Remote::new();
        stage.wire.serve(peer, Service::Remote(remote.clone()));
        self.containers.insert(peer.clone(), Container { id, remote });
        Ok(())
    }

    /// Starts a container and finds out where its ports are published.
    async fn start(&self, peer: &Peer, ports: &[(u16, Listener)]) -> Result<(), LabError> {
        let Container { id, remote } = self.container(peer)?;
        self.engine.start(id).await?;
        for (port, listener) in ports {
            match (self.engine.address(id, *port).await?, self.engine.ended(id).await) {
                (Some(address), _) => remote.publish(*listener, address),
                (None, Some(ended)) => return Err(self.why(ended).await),
                (None, None) => {
                    let why = format!("its port {port} is not published");
                    return Err(LabError::Host(peer.to_string(), why));
                }
            }
        }
        Ok(())
    }

    async fn start_node(&self, stage: &Stage, dc: &Dc) -> Result<(), LabError> {
        let peer = dc.peer();
        let id = self.container(&peer)?.id.clone();
        let since = wall();
        lock(&self.trouble.expected).retain(|expected| *expected != id);
        let ports = [
            (REST_PORT, Listener::Rest),
            (TIER_PORT, Listener::Tier),
            (ADMIN_PORT, Listener::Admin),
        ];
        self.start(&peer, &ports).await?;
        let lines = self.engine.lines(&id, since.unix_s());
        let recorder = stage.recorder.clone();
        self.tasks.run(async move {
            let mut lines = Box::pin(lines);
            let mut lives = Lives { recorder, rest: String::new() };
            while let Some(text) = lines.next().await {
                lives.take(&text);
            }
        });
        Ok(())
    }

    /// Lets a real Prometheus scrape what the monitor scrapes, and evaluate the same rules.
    async fn start_prometheus(
        &mut self,
        stage: &Stage,
        replay: Replay,
        folder: &Path,
    ) -> Result<(), LabError> {
        let peer = Peer::from("prometheus");
        let others = prometheus::others();
        let to: Vec<_> = others.iter().map(|(_, to, listener)| (to.clone(), *listener)).collect();
        let from = Peer::from(MONITOR);
        let ports = links::open(stage, self.side, &self.tasks, (&from, &to)).await?;
        let mut jobs: BTreeMap<&str, Vec<(Peer, String)>> = BTreeMap::new();
        for (job, to, listener) in others {
            if let Some(port) = ports.get(&(to.clone(), listener)) {
                jobs.entry(job).or_default().push((to, self.side.address(*port)));
            }
        }
        let names =
            self.containers.keys().map(|peer| (peer.clone(), self.engine.name(peer.as_str())));
        let folder = prometheus::write(stage, &names.collect(), &jobs, folder)?;
        let image = prometheus::image();
        let plan = Plan {
            name: peer.as_str(),
            image: &image,
            command: prometheus::command(),
            environment: Vec::new(),
            ports: &[prometheus::PORT],
            memory_bytes: PROMETHEUS_BYTES,
            mounts: vec![prometheus::mount(&folder)],
            scratch: Some(prometheus::DATA),
        };
        let id = self.engine.create(&self.network, &plan).await?;
        let container = Container { id, remote: Remote::new() };
        self.prometheus = Some((container.remote.clone(), replay));
        self.containers.insert(peer.clone(), container);
        self.start(&peer, &[(prometheus::PORT, Listener::Admin)]).await?;
        self.until_ready(&peer, Listener::Admin, "/-/ready", |status| status == StatusCode::OK)
            .await
    }

    /// Opens a link to everything that a node calls.
    async fn open_links(&self, stage: &Stage, dc: &Dc) -> Result<Ports, LabError> {
        let topology = &stage.spec.topology;
        let tiers = topology.dcs.keys().map(|dc| (dc.peer(), Listener::Tier));
        let stores = topology.stores.keys().map(|peer| (peer.clone(), Listener::Store));
        let others = [
            (kv_node::control::NAME, Listener::Control),
            (INTAKE_LOGS, Listener::Intake),
            (INTAKE_REPORTS, Listener::Intake),
        ];
        let others = others.map(|(name, listener)| (Peer::from(name), listener));
        let all: Vec<_> = tiers.chain(stores).chain(others).collect();
        links::open(stage, self.side, &self.tasks, (&dc.peer(), &all)).await
    }

    async fn until_serving(&self, dc: &Dc) -> Result<(), LabError> {
        self.until_ready(&dc.peer(), Listener::Admin, METRICS, |status| status == StatusCode::OK)
            .await
    }

    /// Waits until a container answers as it should, or has ended.
    async fn until_ready(
        &self,
        peer: &Peer,
        listener: Listener,
        path: &str,
        ready: impl Fn(StatusCode) -> bool,
    ) -> Result<(), LabError> {
        let container = self.container(peer)?;
        loop {
            self.trouble().await?;
            let request = Request::get(path).body(bytes::Bytes::new());
            let request =
                request.map_err(|error| LabError::Host(peer.to_string(), error.to_string()))?;
            let answer = container.remote.call(listener, request).await;
            if answer.is_ok_and(|answer| ready(answer.status())) {
                return Ok(());
            }
            tokio::time::sleep(READY_EVERY).await;
        }
    }

    /// Whether a container has ended that nobody ended, and why.
    async fn trouble(&self) -> Result<(), LabError> {
        let first = lock(&self.trouble.ended).first().cloned();
        match first {
            Some(ended) => Err(self.why(ended).await),
            None => Ok(()),
        }
    }

    async fn why(&self, ended: Ended) -> LabError {
        let named = self.containers.iter().find(|(_, container)| container.id == ended.container);
        let name = named.map_or("a container".to_owned(), |(peer, _)| peer.to_string());
        let why = if ended.out_of_memory {
            "the kernel killed it: it needed more memory than its limit".to_owned()
        } else {
            let said = self.engine.last_lines(&ended.container).await;
            format!("it ended with {}: {}", ended.exit_code, said.trim())
        };
        LabError::Host(name, why)
    }
}

/// The wall clock, which nodes and this process have in common.
fn wall() -> Timestamp {
    crate::runs::about::wall()
}
