//! What all labs have in common: the members of a topology on one wire, customers, faults, telemetry and who watches it.
//!
//! A lab differs from another in where nodes and stores run ([`Hosts`]) and in how time passes ([`LabClock`]). Control plane,
//! intakes, monitor and customers run in this process in every lab, and everything that is sent goes over the wire.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use http::{Request, Response, StatusCode};
use kv_node::api::{admin, auth::Secret};
use kv_node::control::{self, Change};
use kv_node::env::Listener;
use kv_node::ids::{Dc, Peer};
use kv_node::telemetry::Lifecycle;
use kv_node::telemetry::ship::HAND_OVER;
use tokio::runtime::Runtime;

use super::customers::Customers;
use super::doors::LabClock;
use super::intake::{Intake, Taken};
use super::monitor::Monitor;
use super::stage::{SECRET, Stage};
use super::visitors::Visitors;
use super::{ActionId, Lab, LabError, Progress, lock, noise};
use crate::recording::{CopyRow, Journal, MESSAGES, OperationRow, RecordingWriter};
use crate::spec::peers::OPERATOR;
use crate::spec::time::IncidentTime;
use crate::spec::{Action, Spec};

/// Requests that are under way at the end get so much longer to come to theirs than any customer waits.
const RUN_OUT: Duration = Duration::from_secs(5);
/// How often an operator whose request got no answer sends it again.
const OPERATOR_PAUSE: Duration = Duration::from_secs(1);

/// Where nodes and stores run, and what their time is: all that differs from lab to lab.
pub(super) trait Hosts {
    /// The runtime of everything in this process.
    fn runtime(&self) -> std::io::Result<Runtime>;
    /// Prepares whatever needs no time of the incident, and says when the incident begins.
    async fn set_up(&mut self, spec: &Spec) -> Result<LabClock, LabError>;
    /// Starts the stores, with what lies in them from the beginning.
    async fn start_stores(&mut self, stage: &Stage) -> Result<(), LabError>;
    /// Starts every node.
    async fn start_nodes(&mut self, stage: &Stage) -> Result<(), LabError>;
    /// Starts a node for another life.
    async fn start_node(&mut self, stage: &Stage, dc: &Dc, life: u32) -> Result<(), LabError>;
    /// Kills a node; false where it did not run.
    async fn kill_node(&mut self, stage: &Stage, dc: &Dc) -> Result<bool, LabError>;
    /// Lets a node stand still where it is, or go on; false where it did not run.
    async fn pause_node(&mut self, stage: &Stage, dc: &Dc, on: bool) -> Result<bool, LabError>;
    /// What the stores hold of the keys that were written.
    async fn copies(
        &mut self,
        stage: &Stage,
        operations: &[OperationRow],
    ) -> Result<Vec<CopyRow>, LabError>;
    /// What others saw that watched beside the lab's own monitor.
    async fn seen(&mut self, stage: &Stage) -> Result<Vec<(IncidentTime, Journal)>, LabError>;
    /// What went wrong behind the lab's back since it was asked last.
    async fn trouble(&mut self) -> Result<(), LabError>;
    /// Removes everything that would outlive the lab.
    async fn close(&mut self) -> Result<(), LabError>;
}

/// A lab: a runtime, and what runs in it once it has been started.
pub(super) struct LabOn<H: Hosts> {
    seed: u64,
    hosts: H,
    runtime: Option<Runtime>,
    world: Option<World>,
}

/// What exists once a lab has been started.
struct World {
    stage: Stage,
    intakes: Vec<Arc<Intake>>,
    customers: Vec<Arc<Customers>>,
    monitor: Arc<Monitor>,
    lives: BTreeMap<Dc, u32>,
    witnesses: Vec<Witness>,
}

/// What the control plane answers an operator.
enum Operated {
    /// A revision, which nodes take.
    Revision(u64),
    /// Nothing was done, for a reason.
    Refused(String),
}

/// How an action is known to have acted.
enum Witness {
    /// What the control plane made of it.
    Operated(Arc<std::sync::Mutex<Option<Operated>>>),
    /// What the wire counted.
    Fault(usize),
    /// What a bot sent.
    Sent(Arc<AtomicU64>),
    /// It was done at once, or not at all.
    Done(u64),
}

impl<H: Hosts> LabOn<H> {
    /// A lab that draws all chance of its own from a seed.
    pub(super) fn new(seed: u64, hosts: H) -> Self {
        Self { seed, hosts, runtime: None, world: None }
    }

    fn parts(&mut self) -> Result<(&Runtime, &mut World, &mut H), LabError> {
        match (&self.runtime, &mut self.world) {
            (Some(runtime), Some(world)) => Ok((runtime, world, &mut self.hosts)),
            _ => Err(LabError::NotStarted),
        }
    }
}

impl<H: Hosts> Lab for LabOn<H> {
    fn start(&mut self, spec: &Spec) -> Result<(), LabError> {
        let runtime = self.runtime.insert(self.hosts.runtime().map_err(LabError::Runtime)?);
        let world = runtime.block_on(World::new(spec, self.seed, &mut self.hosts))?;
        self.world = Some(world);
        Ok(())
    }

    fn advance(&mut self, until: IncidentTime) -> Result<(), LabError> {
        let (runtime, world, hosts) = self.parts()?;
        runtime.block_on(async {
            world.stage.clock.sleep_until(until).await;
            hosts.trouble().await
        })?;
        world.stage.unhurt()
    }

    fn apply(&mut self, action: &Action) -> Result<ActionId, LabError> {
        let (runtime, world, hosts) = self.parts()?;
        runtime.block_on(world.apply(action, hosts))
    }

    fn fired(&self, alert: &str, since: IncidentTime) -> Option<IncidentTime> {
        self.world.as_ref()?.monitor.fired(alert, since)
    }

    fn missed(&mut self, text: String) -> Result<(), LabError> {
        let (_, world, _) = self.parts()?;
        let id = world.witnesses.len() as u64;
        // Before the end, where a judge looks for what acted.
        let at = world.stage.spec.end.before(Duration::from_millis(1));
        world.stage.recorder.journal(at, Journal::Action { id, text });
        world.witnesses.push(Witness::Done(0));
        Ok(())
    }

    fn progress(&self) -> Progress {
        let (Some(runtime), Some(world)) = (&self.runtime, &self.world) else {
            return Progress::default();
        };
        // Outside of the runtime the clock shows the machine's time.
        let _inside = runtime.enter();
        let (requests, failures) = world.stage.truth.totals();
        Progress { at: world.stage.clock.timestamp(), requests, failures }
    }

    fn finish(mut self: Box<Self>) -> Result<RecordingWriter, LabError> {
        let (runtime, world, hosts) = self.parts()?;
        let recording = runtime.block_on(world.finish(hosts))?;
        world.stage.unhurt()?;
        runtime.block_on(hosts.close())?;
        Ok(recording)
    }
}

impl<H: Hosts> Drop for LabOn<H> {
    fn drop(&mut self) {
        if let Some(runtime) = &self.runtime {
            // Whoever drops a lab unfinished has a reason to tell already.
            let _ = runtime.block_on(self.hosts.close());
        }
    }
}

impl Stage {
    /// An operator asks the control plane for a change, until it answers.
    fn operate(&self, change: Change) -> Witness {
        let operated = Arc::new(std::sync::Mutex::new(None));
        let told = operated.clone();
        let env = self.env(&Peer::from(OPERATOR), OPERATOR);
        let tasks = env.tasks.clone();
        tasks.spawn(Box::pin(async move {
            let secret = Secret::new(SECRET);
            loop {
                let body = serde_json::to_vec(&change).unwrap_or_default();
                let Ok(request) = Request::post(control::CHANGE).body(Bytes::from(body)) else {
                    return;
                };
                let control = Peer::from(control::NAME);
                let answer = admin::call(&env, &secret, &control, Listener::Control, request).await;
                if let Some(operated) = answer.and_then(|answer| operated_by(&answer)) {
                    *lock(&told) = Some(operated);
                    return;
                }
                env.clock.sleep(OPERATOR_PAUSE).await;
            }
        }));
        Witness::Operated(operated)
    }
}

impl World {
    async fn new(spec: &Spec, seed: u64, hosts: &mut impl Hosts) -> Result<Self, LabError> {
        let clock = hosts.set_up(spec).await?;
        let stage = Stage::new(spec, seed, clock);
        let snapshot = stage.initial.clone();
        stage.recorder.journal(spec.start, Journal::Life(Lifecycle::Revised { snapshot }));
        hosts.start_stores(&stage).await?;
        stage.start_control();
        stage.start_products();
        let intakes = stage.start_intakes();
        hosts.start_nodes(&stage).await?;
        if stage.clock.timestamp() < spec.start {
            stage.clock.sleep_until(spec.start).await;
        }
        if spec.noise {
            noise::install(&stage.wire, &spec.topology, &stage.seeds, spec.start, spec.end);
        }
        let customers = Customers::start(&stage);
        Visitors::start(&stage);
        Ok(Self {
            monitor: stage.start_monitor(),
            lives: spec.topology.dcs.keys().map(|dc| (dc.clone(), 1)).collect(),
            witnesses: Vec::new(),
            customers,
            intakes,
            stage,
        })
    }

    async fn apply(
        &mut self,
        action: &Action,
        hosts: &mut impl Hosts,
    ) -> Result<ActionId, LabError> {
        let id = self.witnesses.len() as u64;
        let stage = &self.stage;
        let now = stage.clock.timestamp();
        stage.recorder.journal(now, Journal::Action { id, text: action.text() });
        let witness = match action {
            Action::Maintenance { dc } => stage.operate(Change::Maintenance { dc: dc.clone() }),
            Action::Return { dc } => stage.operate(Change::Return { dc: dc.clone() }),
            Action::NewBackendIn { dc, on } => {
                stage.operate(Change::NewBackendIn { dc: dc.clone(), on: *on })
            }
            Action::NewBackend { on } => stage.operate(Change::NewBackend { on: *on }),
            Action::Enroll { namespace, on } => {
                stage.operate(Change::Enroll { namespace: namespace.clone(), on: *on })
            }
            Action::Release { by, document } => {
                let (by, document) = (by.clone(), document.clone());
                stage.operate(Change::Release { by, document })
            }
            Action::Crash { dc } => {
                let stopped = hosts.kill_node(stage, dc).await?;
                stage.recorder.withdraw(dc);
                Witness::Done(u64::from(stopped))
            }
            Action::Start { dc } => {
                let life = self.lives.entry(dc.clone()).or_insert(0);
                *life += 1;
                hosts.start_node(stage, dc, *life).await?;
                Witness::Done(1)
            }
            Action::Pause { dc } => {
                Witness::Done(u64::from(hosts.pause_node(stage, dc, true).await?))
            }
            Action::Resume { dc } => {
                Witness::Done(u64::from(hosts.pause_node(stage, dc, false).await?))
            }
            Action::Bot { requests_per_s, for_s } => {
                let until = now.after(Duration::from_secs(*for_s));
                let sent = Arc::new(AtomicU64::new(0));
                for customers in &self.customers {
                    let draws = customers.draws(&stage.seeds, &format!("bot/{id}"));
                    customers.swarm((*requests_per_s, draws), until, &sent);
                }
                Witness::Sent(sent)
            }
            Action::Fault { fault, for_s } => {
                let until = now.after(Duration::from_secs(*for_s));
                Witness::Fault(stage.wire.install(fault.clone(), until, &format!("fault/{id}")))
            }
        };
        self.witnesses.push(witness);
        Ok(ActionId(id))
    }

    async fn finish(&mut self, hosts: &mut impl Hosts) -> Result<RecordingWriter, LabError> {
        let Self { stage, monitor, .. } = self;
        stage.customers.stop_arrivals();
        monitor.stop_probing();
        let patience = Duration::from_secs_f64(stage.spec.topology.traffic.timeout_s) + RUN_OUT;
        let at_rest = stage.clock.timestamp().after(patience + HAND_OVER);
        let come_to_rest = async {
            stage.clock.pause(patience).await;
            stage.wire.quiet();
            stage.clock.sleep_until(at_rest).await;
        };
        join(come_to_rest, monitor.rounds_before(at_rest)).await;
        // Two rounds more, since one can be missed: what nodes counted in the end is compared with what they answered and told.
        monitor.round().await;
        monitor.round().await;
        hosts.trouble().await?;
        for (at, entry) in hosts.seen(stage).await? {
            stage.recorder.journal(at, entry);
        }
        let now = stage.clock.timestamp();
        for (id, witness) in (0u64..).zip(&self.witnesses) {
            let (text, acted) = match witness {
                Witness::Operated(operated) => match &*lock(operated) {
                    Some(Operated::Revision(revision)) => {
                        ("nodes that took it".to_owned(), stage.recorder.nodes_with(*revision))
                    }
                    Some(Operated::Refused(why)) => (format!("refused: {why}"), 1),
                    None => ("nodes that took it".to_owned(), 0),
                },
                Witness::Fault(fault) => (MESSAGES.to_owned(), stage.wire.acted(*fault)),
                Witness::Sent(sent) => ("requests".to_owned(), sent.load(Ordering::Relaxed)),
                Witness::Done(times) => ("nodes".to_owned(), *times),
            };
            stage.recorder.journal(now, Journal::Witness { id, text, acted });
        }
        let (truth, offered, requests) = stage.truth.take();
        let monitored = monitor.take_all();
        let mut taken = Taken::default();
        for intake in &self.intakes {
            let more = intake.taken();
            taken.lines.extend(more.lines);
            taken.exceptions.extend(more.exceptions);
            taken.spans.extend(more.spans);
        }
        for failure in monitored.failures {
            stage.recorder.journal(now, Journal::RuleFailed { text: failure });
        }
        stage.recorder.journal(now, Journal::End);
        let operations = stage.truth.take_operations();
        Ok(RecordingWriter {
            copies: hosts.copies(stage, &operations).await?,
            operations,
            products: stage.truth.take_products(),
            truth,
            offered,
            requests,
            wire: stage.wire.take_counts(),
            journal: stage.recorder.take(),
            answers: stage.wire.take_answers(),
            metrics: monitored.scrapes,
            lines: taken.lines,
            exceptions: taken.exceptions,
            spans: taken.spans,
            alerts: monitored.alerts,
        })
    }
}

/// What an answer of the control plane comes to; `None`: ask again.
fn operated_by(answer: &Response<Bytes>) -> Option<Operated> {
    #[derive(serde::Deserialize)]
    struct Made {
        revision: Option<u64>,
        refused: Option<String>,
    }
    let Made { revision, refused } = serde_json::from_slice(answer.body()).ok()?;
    match answer.status() {
        StatusCode::OK => revision.map(Operated::Revision),
        StatusCode::CONFLICT => refused.map(Operated::Refused),
        _ => None,
    }
}
