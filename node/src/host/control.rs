//! `kv-node control`: the control plane as a process of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kv_node::config::Snapshot;
use kv_node::control::{Control, ControlConfig, NAME};
use kv_node::env::{Listener, TelemetrySink, Timestamp};
use kv_node::ids::Peer;
use kv_node::telemetry::ship::Fate;
use kv_node::telemetry::{ExceptionReport, Lifecycle, ResponseLine, SpanRecord};

use super::chance::OsChance;
use super::clock::OsClock;
use super::exit::Failure;
use super::keys::write_new;
use super::limits::ServerLimits;
use super::network::HyperNetwork;
use super::run::{Behind, Bound, Signals, open, say, warn};
use super::server::Server;
use super::sink::Told;

/// A control plane and what it stands on.
pub(super) struct Setup {
    pub(super) config: ControlConfig,
    pub(super) network: HyperNetwork,
    pub(super) chance: OsChance,
    pub(super) listen: String,
    pub(super) limits: ServerLimits,
    /// Where the newest configuration is kept.
    pub(super) state: Option<PathBuf>,
    /// What is told on stderr.
    pub(super) told: Told,
}

/// Runs a control plane until a signal ends it.
pub(super) async fn control(
    mut setup: Setup,
    ready: impl FnOnce(&Bound) -> String,
) -> Result<u8, Failure> {
    let mut signals = Signals::new()?;
    let (sockets, bound) = open(&[(Listener::Control, setup.listen)]).await?;
    let (network, chance) = (setup.network, setup.chance);
    let clock = Arc::new(OsClock::new());
    let mut doors = Behind { clock, network, chance, intakes: None, told: setup.told }
        .doors(&Peer::from(NAME))?;
    setup.config.initial = begins_with(setup.config.initial, setup.state.as_deref())?;
    if let Some(file) = setup.state {
        doors.env.sink = Arc::new(Kept { file, sink: doors.env.sink });
    }
    let control = Control::start(setup.config, doors.env.clone());
    let server = Server::new(setup.limits);
    for (kind, socket) in sockets {
        let control = control.clone();
        let service = move |request| -> kv_node::env::BoxFuture<_> {
            let control = control.clone();
            Box::pin(async move { control.serve(&request).await })
        };
        server.serve(kind, socket, Arc::new(service));
    }
    say(&ready(&bound))?;
    control.resume();

    signals.next().await;
    let finish = async {
        server.close().await;
        Ok(())
    };
    let ended = signals.unless_again(finish).await;
    // A push that is not finished is begun again by the next process.
    doors.tasks.end();
    ended
}

/// The configuration that an earlier process kept; otherwise the one that was given, as a revision newer than any that an
/// earlier process can have made, since no node takes an older one.
fn begins_with(given: Snapshot, state: Option<&Path>) -> Result<Snapshot, Failure> {
    if let Some(file) = state
        && file.exists()
    {
        let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?;
        return serde_json::from_str(&text)
            .map_err(|_| Failure::file(file, "this is not what the control plane wrote there"));
    }
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let begun = Snapshot { revision: given.revision.max(now_s), ..given };
    // Found out now, and not with the first change.
    if let Some(file) = state {
        keep(file, &begun).map_err(|error| Failure::file(file, error))?;
    }
    Ok(begun)
}

fn keep(file: &Path, snapshot: &Snapshot) -> std::io::Result<()> {
    write_new(file, &serde_json::to_string(snapshot)?)
}

/// Keeps each revision before any node hears of it. It blocks for as long as a disk takes, which changes are rare enough for.
struct Kept {
    file: PathBuf,
    sink: Arc<dyn TelemetrySink>,
}

impl TelemetrySink for Kept {
    fn lifecycle(&self, at: Timestamp, event: Lifecycle) {
        if let Lifecycle::Revised { snapshot } = &event
            && let Err(error) = keep(&self.file, snapshot)
        {
            // It holds all the same, until this process ends.
            let (file, revision) = (self.file.display(), snapshot.revision);
            warn(&format!("{file}: revision {revision} is not kept: {error}"));
        }
        self.sink.lifecycle(at, event);
    }

    fn line(&self, line: ResponseLine) {
        self.sink.line(line);
    }

    fn exception(&self, report: ExceptionReport) {
        self.sink.exception(report);
    }

    fn span(&self, span: SpanRecord) {
        self.sink.span(span);
    }

    fn fate(&self) -> Vec<Fate> {
        self.sink.fate()
    }
}
