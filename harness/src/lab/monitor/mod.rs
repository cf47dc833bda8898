//! The lab's own Prometheus: a member of the topology that scrapes every node over the network, evaluates the rules, and
//! tells the control plane which alerts fire. What it scraped is the recording's metrics.
//!
//! * [`scrape`]: from a target's text to samples.
//! * [`probe`]: synthetic writes and reads, and how old an answer is; [`tiers`]: from each data center through each tier.
//!
//! Rounds lie on the grid of the scrape interval. A target that a round could not reach has `up` 0, and what it told before
//! is marked as stale, as Prometheus does. Rules are evaluated a fixed time after each round began, when every target has
//! answered or timed out: so an evaluation never depends on which answer came first.

mod probe;
mod scrape;
mod tiers;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use http::{Request, Response, StatusCode};
use kv_node::api::admin::{self, METRICS};
use kv_node::api::auth::Secret;
use kv_node::config::{Members, Snapshot};
use kv_node::control;
use kv_node::env::{Listener, NodeEnv, Timestamp};
use kv_node::ids::{Dc, Namespace, Peer, Region};
use promql::rules::{State, Transition, webhook};

use self::probe::Probe;
use self::scrape::Target;
use self::tiers::Tiers;
use super::lock;
use crate::alerts::{Evaluation, INTERVAL_MS, PHASE_MS, RuleText, SCRAPE_TIMEOUT_MS, row};
use crate::lab::cost;
use crate::recording::{AlertRow, AlertState, Scrapes};
use crate::spec::peers::{MONITOR, PROBE_NAMESPACE};

/// The receiver's name in webhooks.
const RECEIVER: &str = "control";

/// Who is scraped.
#[derive(Clone, Debug)]
pub struct Scraped {
    /// Under which name it is called.
    pub peer: Peer,
    /// Where it tells its metrics.
    pub listener: Listener,
    /// The label `job`.
    pub job: &'static str,
    /// The labels `dc` and `region`, for a data center.
    pub place: Option<(Dc, Region)>,
}

/// What a monitor is started with.
pub struct MonitorConfig {
    /// Who is scraped.
    pub scraped: Vec<Scraped>,
    /// The rules.
    pub rules: Vec<RuleText>,
    /// The secret of the control plane.
    pub secret: Arc<[u8]>,
    /// Who owns keys, so that each data center can be probed through each tier. All are probed.
    pub members: Arc<Members>,
    /// The configuration in the beginning.
    pub initial: Snapshot,
}

/// The monitor.
pub struct Monitor {
    env: NodeEnv,
    secret: Secret,
    scraped: Vec<Scraped>,
    state: Mutex<Observed>,
    probe: Arc<Probe>,
    tiers: Arc<Tiers>,
}

/// What has been observed so far.
struct Observed {
    targets: Vec<Target>,
    scrapes: Scrapes,
    evaluation: Evaluation,
    alerts: Vec<AlertRow>,
    failures: Vec<String>,
}

/// What a monitor hands over at the end.
#[derive(Debug, Default)]
pub struct Monitored {
    /// What was scraped.
    pub scrapes: Scrapes,
    /// Alerts that changed their state.
    pub alerts: Vec<AlertRow>,
    /// Rules that could not be evaluated.
    pub failures: Vec<String>,
}

impl Monitor {
    /// A monitor that has not begun.
    pub fn new(config: MonitorConfig, env: NodeEnv) -> Arc<Self> {
        let grid = Timestamp(env.clock.now().0.next_multiple_of(INTERVAL_MS * 1_000));
        let scrapes = Scrapes {
            start: grid,
            interval_ms: INTERVAL_MS,
            phase_ms: PHASE_MS,
            ..Scrapes::default()
        };
        let own = Scraped {
            peer: Peer::from(MONITOR),
            listener: Listener::Admin,
            job: MONITOR,
            place: None,
        };
        let targets = config.scraped.iter().chain([&own]).map(Target::new).collect();
        Arc::new(Self {
            probe: Probe::new(config.members.dcs.keys().cloned().collect(), env.clone()),
            tiers: Tiers::new(tiers::roads(&config.members, &config.initial), env.clone()),
            secret: Secret::new(&config.secret),
            scraped: config.scraped,
            state: Mutex::new(Observed {
                targets,
                scrapes,
                evaluation: Evaluation::new(&config.rules),
                alerts: Vec::new(),
                failures: Vec::new(),
            }),
            env,
        })
    }

    /// Scrapes and evaluates, round after round, without an end.
    pub async fn watch(self: Arc<Self>) {
        loop {
            self.round().await;
        }
    }

    /// Probes, without an end.
    pub async fn probe(self: Arc<Self>) {
        join(self.probe.clone().run(), self.tiers.clone().run()).await;
    }

    /// Lets no further probe begin: what is counted from now on comes to rest.
    pub fn stop_probing(&self) {
        self.probe.stop();
        self.tiers.stop();
    }

    /// Every round whose moment comes before another.
    pub async fn rounds_before(&self, end: Timestamp) {
        while self.next_round().1 < end {
            self.round().await;
        }
    }

    /// One more round, at its moment on the grid.
    pub async fn round(&self) {
        let (round, at) = self.next_round();
        self.sleep_until(at).await;
        let asked = self.scraped.iter().map(|target| self.ask(target, at));
        let answers = join_all(asked).await;
        self.sleep_until(at.after(Duration::from_millis(PHASE_MS))).await;
        let transitions = cost::of_monitoring(|| self.take(round, &answers));
        self.notify(&transitions);
    }

    /// The number of the next round, and its moment on the grid.
    fn next_round(&self) -> (u32, Timestamp) {
        let scrapes = &lock(&self.state).scrapes;
        (scrapes.rounds, scrapes.round_at(scrapes.rounds))
    }

    /// Answers one request: its own metrics, 404 elsewhere.
    pub fn serve(&self, request: &Request<Bytes>) -> Response<Bytes> {
        if request.uri().path() == METRICS {
            return Response::new(Bytes::from(self.text()));
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }

    /// When an alert began to fire for the first time since a moment.
    pub fn fired(&self, alert: &str, since: Timestamp) -> Option<Timestamp> {
        let state = lock(&self.state);
        let firing =
            |row: &&AlertRow| row.alert == alert && row.to == AlertState::Firing && row.at >= since;
        state.alerts.iter().find(firing).map(|row| row.at)
    }

    /// Its own metrics.
    fn text(&self) -> String {
        self.probe.text() + &self.tiers.text()
    }

    /// What was observed.
    pub fn take_all(&self) -> Monitored {
        let mut state = lock(&self.state);
        Monitored {
            scrapes: std::mem::take(&mut state.scrapes),
            alerts: std::mem::take(&mut state.alerts),
            failures: std::mem::take(&mut state.failures),
        }
    }

    /// Asks one target; its text and how long that took.
    async fn ask(&self, target: &Scraped, at: Timestamp) -> Option<(Bytes, Duration)> {
        let request = Request::get(METRICS).body(Bytes::new()).ok()?;
        let call = self.env.network.call(&target.peer, target.listener, request);
        let answer = self.env.timeout(Duration::from_millis(SCRAPE_TIMEOUT_MS), call).await;
        let answer = answer.ok()?.ok().filter(|answer| answer.status() == StatusCode::OK)?;
        Some((answer.into_body(), self.env.clock.now().since(at)))
    }

    /// Takes a round's answers and evaluates the rules.
    fn take(&self, round: u32, answers: &[Option<(Bytes, Duration)>]) -> Vec<Transition> {
        let own = (Bytes::from(self.text()), Duration::ZERO);
        let mut state = lock(&self.state);
        let Observed { targets, scrapes, evaluation, .. } = &mut *state;
        let answers = answers.iter().map(Option::as_ref).chain([Some(&own)]);
        for (target, answer) in targets.iter_mut().zip(answers) {
            target.take(round, answer, scrapes, evaluation);
        }
        scrapes.rounds = round + 1;
        let evaluated = evaluation.evaluate(scrapes.round_ms(round));
        state.alerts.extend(evaluated.transitions.iter().map(row));
        state.failures.extend(evaluated.failures);
        evaluated.transitions
    }

    /// Tells the control plane which alerts began to fire and which no longer do.
    fn notify(&self, transitions: &[Transition]) {
        if !transitions.iter().any(|t| t.from == State::Firing || t.to == State::Firing) {
            return;
        }
        let body = serde_json::to_vec(&webhook(RECEIVER, transitions, "")).unwrap_or_default();
        let Ok(request) = Request::post(control::ALERTS).body(Bytes::from(body)) else { return };
        let (env, secret) = (self.env.clone(), self.secret.clone());
        self.env.tasks.spawn(Box::pin(async move {
            let control = Peer::from(control::NAME);
            // What is still firing is not told again: a webhook that is lost is lost, as it would be without Alertmanager.
            let _ = admin::call(&env, &secret, &control, Listener::Control, request).await;
        }));
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.env.clock.sleep(at.since(self.env.clock.now())).await;
    }
}

/// The namespace that probes write to.
pub fn probe_namespace() -> Namespace {
    Namespace::from(PROBE_NAMESPACE)
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("scraped", &self.scraped.len()).finish_non_exhaustive()
    }
}
