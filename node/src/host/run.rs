//! A process from its start to its end: doors, node, listeners, signals.

use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::Request;
use kv_node::Node;
use kv_node::config::{NodeConfig, StoreAbout, StoreProtocol};
use kv_node::env::{Chance, Clock, Listener, NodeEnv};
use kv_node::ids::Peer;
use kv_node::storage::{S3Client, probe};
use kv_node::telemetry::ship::{Shipper, ShipperEnv, Signal};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};

use super::chance::OsChance;
use super::clock::{OsClock, Replay, ReplayClock};
use super::exit::{DONE, Failure, INTERRUPTED};
use super::limits::{BESIDE, FILE_THREADS_MAX, ServerLimits};
use super::network::HyperNetwork;
use super::otlp;
use super::server::{Server, bind};
use super::sink::{ConsoleSink, Told, console};
use super::store::EmbeddedStore;
use super::tasks::TokioTasks;
use super::{Answer, Answers};

/// A node and what it stands on.
pub(super) struct Setup {
    pub(super) config: NodeConfig,
    pub(super) network: HyperNetwork,
    pub(super) chance: OsChance,
    pub(super) intakes: Option<Intakes>,
    /// Stores within this process.
    pub(super) stores: Vec<EmbeddedStore>,
    pub(super) listen: Vec<(Listener, String)>,
    pub(super) limits: ServerLimits,
    /// What is told on stderr.
    pub(super) told: Told,
    /// Where the node takes part in a replay.
    pub(super) replay: Option<Replay>,
}

impl Setup {
    /// With an OpenTelemetry collector as the intake of all signals.
    pub(super) fn shipping_to(mut self, address: &str) -> Self {
        let intake = Peer::from("collector");
        let member = self.config.members.dcs.get(&self.config.dc);
        let region = member.map(|member| member.region.clone());
        let collector = otlp::collector(address, region, 1);
        self.network.embed(intake.clone(), Listener::Intake, collector);
        self.intakes =
            Some(Intakes { logs: intake.clone(), exceptions: intake.clone(), traces: intake });
        self
    }
}

/// The intake of each signal.
#[derive(Clone, Debug)]
pub(super) struct Intakes {
    pub(super) logs: Peer,
    pub(super) exceptions: Peer,
    pub(super) traces: Peer,
}

/// The addresses that listeners got, in the order of the setup.
pub(super) type Bound = Vec<(Listener, SocketAddr)>;

/// Runs a future on a runtime of its own: a process has one.
pub(super) fn on_runtime(
    command: impl Future<Output = Result<u8, Failure>>,
) -> Result<u8, Failure> {
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(FILE_THREADS_MAX)
        .build()
        .map_err(|error| Failure::failed(format!("cannot start threads: {error}")))?;
    let ended = runtime.block_on(command);
    // What still runs by now has had its time.
    runtime.shutdown_background();
    ended
}

/// Runs a node until a signal ends it. `ready` says on stdout where it listens.
pub(super) async fn node(
    setup: Setup,
    ready: impl FnOnce(&Bound) -> String,
) -> Result<u8, Failure> {
    let mut signals = Signals::new()?;
    let (sockets, bound) = open(&setup.listen).await?;
    let own = setup.config.dc.peer();
    let clock: Arc<dyn Clock> = match setup.replay {
        Some(replay) => Arc::new(ReplayClock::new(replay)),
        None => Arc::new(OsClock::new()),
    };
    let (network, chance) = (setup.network, setup.chance);
    let behind = Behind { clock, network, chance, intakes: setup.intakes, told: setup.told };
    let Doors { env, network, tasks, writer } = behind.doors(&own)?;
    for store in &setup.config.stores {
        try_out(store, &env).await?;
    }
    let node =
        Node::start(setup.config, env).map_err(|error| Failure::refused(error.to_string()))?;
    network.know(own, &node);
    let lasting = tasks.running();

    let server = Server::new(setup.limits);
    for (kind, socket) in sockets {
        server.serve(kind, socket, Arc::new(ListenerOf { node: node.clone(), listener: kind }));
    }
    say(&ready(&bound))?;

    signals.next().await;
    let finish = async {
        server.close().await;
        tasks.drained(lasting, BESIDE).await;
        for store in &setup.stores {
            store.close().await?;
        }
        Ok(())
    };
    let ended = signals.unless_again(finish).await;
    tasks.end();
    drop(node);
    // The console ends with the last of whoever can tell it something; a task that is being ended may still be one.
    drop(writer);
    ended
}

/// The doors of a process, and what of them is needed to end it.
pub(super) struct Doors {
    pub(super) env: NodeEnv,
    network: Arc<HyperNetwork>,
    pub(super) tasks: Arc<TokioTasks>,
    writer: JoinHandle<()>,
}

/// What stands behind the doors of a process.
pub(super) struct Behind {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) network: HyperNetwork,
    pub(super) chance: OsChance,
    pub(super) intakes: Option<Intakes>,
    pub(super) told: Told,
}

impl Behind {
    /// Opens the doors for whoever is called `own`.
    pub(super) fn doors(self, own: &Peer) -> Result<Doors, Failure> {
        let (lines, writer) = console()
            .map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;
        let tasks = Arc::new(TokioTasks::new(tokio::runtime::Handle::current()));
        let (clock, network) = (self.clock, Arc::new(self.network));
        let shipper = self.intakes.map(|intakes| {
            let env =
                ShipperEnv { clock: clock.clone(), network: network.clone(), tasks: tasks.clone() };
            let jitter = self.chance.stream("shipper");
            Shipper::new(own.clone(), env, jitter, move |signal| match signal {
                Signal::Logs => intakes.logs.clone(),
                Signal::Exceptions => intakes.exceptions.clone(),
                Signal::Traces => intakes.traces.clone(),
            })
        });
        let env = NodeEnv {
            clock,
            network: network.clone(),
            chance: Arc::new(self.chance),
            tasks: tasks.clone(),
            sink: Arc::new(ConsoleSink::new(lines, self.told, shipper)),
        };
        Ok(Doors { env, network, tasks, writer })
    }
}

/// Finds out what a foreign store lacks, and does not go on with one that would lose writes. One that cannot be tried may
/// come later, as any store may go and come.
async fn try_out(store: &StoreAbout, env: &NodeEnv) -> Result<(), Failure> {
    let StoreProtocol::S3(access) = &store.protocol else { return Ok(()) };
    let client = S3Client::new(store.peer.clone(), access.clone(), env.clone());
    let drawn = env.chance.stream("probe").bits();
    let lacks = match probe(&client, drawn).await {
        Ok(lacks) => lacks,
        Err(error) => {
            warn(&format!("store \"{}\" could not be tried out: {error}", store.peer));
            return Ok(());
        }
    };
    for lack in &lacks {
        warn(&format!("store \"{}\": {}", store.peer, lack.what));
    }
    if lacks.iter().any(|lack| lack.loses_writes) {
        let said = format!("store \"{}\" would lose writes: use another one", store.peer);
        return Err(Failure::refused(said));
    }
    Ok(())
}

/// A line for whoever started the process.
pub(super) fn warn(line: &str) {
    // Where stderr is closed nobody wants to know.
    let _ = writeln!(std::io::stderr(), "kv-node: {line}");
}

/// Serves a store until a signal ends it.
pub(super) async fn store(
    store: EmbeddedStore,
    address: String,
    ready: impl FnOnce(&Bound) -> String,
) -> Result<u8, Failure> {
    let mut signals = Signals::new()?;
    let (sockets, bound) = open(&[(Listener::Store, address)]).await?;
    let server = Server::new(ServerLimits::default());
    for (kind, socket) in sockets {
        server.serve(kind, socket, store.service());
    }
    say(&ready(&bound))?;
    signals.next().await;
    let finish = async {
        server.close().await;
        store.close().await
    };
    signals.unless_again(finish).await
}

pub(super) async fn open(
    listen: &[(Listener, String)],
) -> Result<(Vec<(Listener, TcpListener)>, Bound), Failure> {
    let (mut sockets, mut bound) = (Vec::new(), Vec::new());
    for (kind, address) in listen {
        let socket = bind(name_of(*kind), address).await?;
        let local = socket.local_addr().map_err(|error| Failure::failed(error.to_string()))?;
        bound.push((*kind, local));
        sockets.push((*kind, socket));
    }
    Ok((sockets, bound))
}

/// A listener of a node.
struct ListenerOf {
    node: Arc<Node>,
    listener: Listener,
}

impl Answers for ListenerOf {
    fn answer(&self, request: Request<Bytes>) -> Answer<'_> {
        Box::pin(self.node.serve(self.listener, request))
    }
}

/// A listener's name, as in a configuration file.
pub(super) fn name_of(listener: Listener) -> &'static str {
    match listener {
        Listener::Rest => "rest",
        Listener::Binding => "binding",
        Listener::Tier => "tier",
        Listener::Admin => "admin",
        Listener::Store => "store",
        Listener::Control => "control",
        Listener::Intake => "intake",
        Listener::Product => "product",
    }
}

/// Writes to stdout at once, for whoever waits for it.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let said = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    said.map_err(|error| Failure::failed(format!("cannot write to stdout: {error}")))
}

/// As many descriptors as this process may have: shells often allow a thousand, and a node has two thousand customers.
fn raise_descriptors() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it is not allowed the server does with what there is.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    term: Arrivals,
    interrupt: Arrivals,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("cannot take signals: {error}")))
        };
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn next(&mut self) {
        select(std::pin::pin!(self.term.recv()), std::pin::pin!(self.interrupt.recv())).await;
    }

    /// Runs the end of a process, unless a second signal asks for it at once.
    pub(super) async fn unless_again(
        &mut self,
        finish: impl Future<Output = Result<(), Failure>>,
    ) -> Result<u8, Failure> {
        match select(std::pin::pin!(self.next()), std::pin::pin!(finish)).await {
            Either::Left(_) => Ok(INTERRUPTED),
            Either::Right((finished, _)) => finished.map(|()| DONE),
        }
    }
}
