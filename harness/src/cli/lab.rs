//! `relapse lab`; [`play`]: an incident, in real time.

mod play;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use kv_node::ids::Dc;
use kv_node::safeguards::Build;

use super::{Chosen, complain, err, library, out, tell};
use crate::exit::Exit;
use crate::feature::{self, Catalog};
use crate::live::{Compose, LiveError, TAG, TOPOLOGY, act, configure, load, status, wait};
use crate::recording::Recording;
use crate::runs::about::Stopwatch;
use crate::spec::problem::Problem;
use crate::spec::time::{self, parse_duration};
use crate::spec::topology::Topology;
use crate::spec::{Action, Scenario};

/// Containers that are not well by then have a reason.
const WELL_WITHIN: Duration = Duration::from_mins(3);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Images that are here already, as compose takes them.
const LOCAL: &str = "lab/local.env";
/// What ends all of it, whatever it was started with.
const PROFILES: [&str; 4] = ["--profile", "dashboards", "--profile", "telemetry"];
/// What is done to a data center, beside faults of the network.
const DEEDS: [&str; 6] = ["maintenance", "return", "crash", "start", "pause", "resume"];

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Starts it, waits until all of it is well, and prints where what is
    Up(Up),
    /// What runs, which faults act, who is out of service, what fires
    Status,
    /// Does something to it: plays an incident, or lets one fault act
    Inject(Inject),
    /// Undoes everything that was done to it
    Heal,
    /// Fills its Prometheus with the recording of a run, and prints where to look
    Load {
        /// A run's folder, as `run --out` writes it, or the recording in it
        run: PathBuf,
    },
    /// Ends it
    Down {
        /// Keeps what stores, control plane and Prometheus hold
        #[arg(long)]
        keep_data: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Up {
    /// With the images of `.ci/images`: nothing is fetched or built
    #[arg(long)]
    local: bool,
    /// The build that nodes and control plane run, of features/builds.toml
    #[arg(long, value_name = "NAME", default_value = "current")]
    build: String,
    /// Also what stands in this profile of docker-compose.yml: dashboards, telemetry
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Inject {
    /// The beginning of an incident's id (2023-07-17); or a fault: latency, jitter, loss, reset, partition, "strip header",
    /// status; or maintenance, return, crash, start, pause, resume, each with data centers
    what: String,
    /// Which data centers
    dcs: Vec<String>,
    #[command(flatten)]
    fault: FaultArgs,
}

/// What only a fault of the network has.
#[derive(Debug, Args)]
struct FaultArgs {
    /// Requests of whom: a peer, "region OC", or anyone, if nothing is said
    #[arg(long, value_name = "WHO")]
    from: Option<String>,
    /// Requests to whom, and to which listener: IAD, IAD:tier, stores; anyone, if nothing is said
    #[arg(long, value_name = "WHO")]
    to: Option<String>,
    /// Of latency and jitter a duration, of a header its name, of a status the number
    #[arg(long, value_name = "AMOUNT")]
    amount: Option<String>,
    /// Of the requests "10 %", or of the time "1 % in bursts of 4 s"; all, if nothing is said
    #[arg(long, value_name = "SHARE")]
    share: Option<String>,
    /// Until it heals itself; without it, until `relapse lab heal`
    #[arg(long = "for", value_name = "DURATION")]
    span: Option<String>,
}

impl FaultArgs {
    /// The first one that was given.
    fn any(&self) -> Option<&'static str> {
        let Self { from, to, amount, share, span } = self;
        let given = [
            ("--from", from),
            ("--to", to),
            ("--amount", amount),
            ("--share", share),
            ("--for", span),
        ];
        given.into_iter().find_map(|(name, value)| value.as_ref().map(|_| name))
    }

    /// As a line of a table of faults has it.
    fn line(&self, kind: &str) -> [String; 5] {
        let or = |said: &Option<String>, otherwise: &str| {
            said.as_deref().unwrap_or(otherwise).to_owned()
        };
        [
            kind.to_owned(),
            or(&self.from, "anyone"),
            or(&self.to, "anyone"),
            or(&self.amount, ""),
            or(&self.share, "100 %"),
        ]
    }
}

pub(super) fn lab(root: &Path, command: &Command) -> Exit {
    let compose = match Compose::find(root) {
        Ok(compose) => compose,
        Err(error) => return complain(&error.to_string(), Exit::Environment),
    };
    let done = match command {
        Command::Up(args) => up(&compose, args),
        Command::Status => show(&compose),
        Command::Inject(args) => inject(&compose, args),
        Command::Heal => heal(&compose),
        Command::Load { run } => load(&compose, run),
        Command::Down { keep_data } => down(&compose, *keep_data),
    };
    match done {
        Ok(exit) => exit,
        Err(error) => complain(&error.to_string(), Exit::Environment),
    }
}

fn catalog(root: &Path) -> Result<Arc<Catalog>, Exit> {
    let (catalog, problems) = Catalog::read(root);
    if problems.is_empty() { Ok(Arc::new(catalog)) } else { Err(tell(&problems)) }
}

fn up(compose: &Compose, args: &Up) -> Result<Exit, LiveError> {
    let catalog = match catalog(compose.root()) {
        Ok(catalog) => catalog,
        Err(exit) => return Ok(exit),
    };
    let current = Build::current();
    let build = match catalog.builds.get(&args.build) {
        Some(build) => build,
        None if args.build == current.id.as_str() => &current,
        None => {
            let known = catalog.builds.keys().map(String::as_str).chain([current.id.as_str()]);
            let problem = Problem::new(
                "features/builds.toml",
                0,
                format!("there is no build \"{}\"", args.build),
            );
            return Ok(tell(&[problem.did_you_mean(&args.build, known)]));
        }
    };
    let environment = configure::environment(compose.root(), build)?;
    let profiles = args.profile.iter().flat_map(|profile| ["--profile", profile]);
    let images = if args.local { &["--env-file", LOCAL][..] } else { &[] };
    let options: Vec<&str> = images.iter().copied().chain(profiles).collect();
    let mut arguments = vec!["up", "--detach", "--remove-orphans"];
    if args.local {
        arguments.push("--no-build");
    }
    let (was_up, had_data) = (!compose.services()?.0.is_empty(), compose.has_volumes()?);
    if let Err(error) = compose.show(&options, &arguments, &environment) {
        if !was_up {
            err("relapse: taking down what was started");
            let down = ["down", "--timeout", "1", "--volumes"];
            let down = if had_data { &down[..3] } else { &down[..] };
            // Why it could not be brought up is what there is to tell.
            let _ = compose.show(&PROFILES, down, &[]);
        }
        return Err(error);
    }
    wait_until_well(compose)?;
    show(compose)
}

fn wait_until_well(compose: &Compose) -> Result<(), LiveError> {
    let watch = Stopwatch::start();
    let mut told = false;
    loop {
        let services = compose.services()?;
        let unwell: Vec<&str> = services
            .0
            .iter()
            .filter(|(_, one)| !one.is_well())
            .map(|(name, _)| name.as_str())
            .collect();
        let (Some(first), elapsed_s) = (unwell.first(), watch.seconds()) else { return Ok(()) };
        if elapsed_s > WELL_WITHIN.as_secs_f64() {
            let container = &services.get(first)?.container;
            let said = crate::live::compose::docker(&["logs", "--tail", "5", container])?;
            let after_s = WELL_WITHIN.as_secs();
            return Err(LiveError::Unwell { services: unwell.join(", "), after_s, said });
        }
        if !told && elapsed_s > 5.0 {
            told = true;
            err(&format!("relapse: waiting for {}", unwell.join(", ")));
        }
        wait(LOOK_EVERY);
    }
}

fn show(compose: &Compose) -> Result<Exit, LiveError> {
    let services = compose.up()?;
    let mut well = true;
    for (name, service) in &services.0 {
        well &= service.is_well();
        let ports = service.ports.values().map(|address| format!("http://{address}"));
        let (state, ports) = (service.state(), ports.collect::<Vec<_>>().join(" "));
        out(format!("{name:14} {state:10} {ports}").trim_end());
    }
    out(&format!("build          {}", services.build().unwrap_or("unknown")));
    out(&format!("traffic        {}", or_why(status::customers(&services))));
    let list = |all: Vec<String>| if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    out(&format!("out of service {}", or_why(status::out_of_service(&services).map(list))));
    out(&format!("cut links      {}", or_why(status::cut_links(&services).map(list))));
    let faults = status::active_faults(&services).map(|all| {
        let each = all.iter().map(|one| format!("{}: {}, acted {}", one.name, one.says, one.acted));
        list(each.collect())
    });
    out(&format!("faults         {}", or_why(faults)));
    match status::alerts(&services) {
        Ok(alerts) if alerts.is_empty() => out("alerts         none"),
        Ok(alerts) => {
            for alert in alerts {
                let (state, since) = (&alert.state, &alert.since);
                out(&format!("alert          {state} since {since}: {}", alert.text()));
            }
        }
        Err(error) => out(&format!("alerts         {error}")),
    }
    Ok(if well { Exit::Pass } else { Exit::Environment })
}

/// What is known, or why it is not.
fn or_why(told: Result<String, LiveError>) -> String {
    told.unwrap_or_else(|error| format!("unknown: {error}"))
}

fn inject(compose: &Compose, args: &Inject) -> Result<Exit, LiveError> {
    let catalog = match catalog(compose.root()) {
        Ok(catalog) => catalog,
        Err(exit) => return Ok(exit),
    };
    let Some(topology) = catalog.topologies.get(TOPOLOGY) else {
        return Ok(complain(&format!("there is no topology \"{TOPOLOGY}\""), Exit::Specification));
    };
    let named = args.what.as_str();
    if !feature::FAULTS.contains(&named) && !DEEDS.contains(&named) {
        return match scenario(compose.root(), named) {
            Err(exit) => Ok(exit),
            Ok(_) if !args.dcs.is_empty() || args.fault.any().is_some() => {
                let said = "an incident is played as it is written: nothing else can be said of it";
                Ok(complain(said, Exit::Specification))
            }
            Ok(scenario) => play::play(compose, &scenario),
        };
    }
    let actions = match actions(&catalog, topology, args) {
        Ok(actions) => actions,
        Err(wrong) => return Ok(complain(&wrong, Exit::Specification)),
    };
    let services = compose.up()?;
    for action in actions {
        let said = text(&action);
        out(&format!("{said}: {}", act::apply(compose, &services, &action)?));
    }
    Ok(Exit::Pass)
}

/// The action in words; a fault without an end has no end.
fn text(action: &Action) -> String {
    match action {
        Action::Fault { fault, for_s: 0 } => format!("{fault} until it is healed"),
        action => action.text(),
    }
}

/// What one injection does, or what is wrong with it.
fn actions(
    catalog: &Arc<Catalog>,
    topology: &Topology,
    args: &Inject,
) -> Result<Vec<Action>, String> {
    let what = args.what.as_str();
    if feature::FAULTS.contains(&what) {
        if let Some(dc) = args.dcs.first() {
            return Err(format!("\"{dc}\": where {what} acts is said by --from and --to"));
        }
        let for_s = match args.fault.span.as_deref().map(|span| (span, parse_duration(span))) {
            None => 0,
            Some((_, Some(span))) if span.as_secs() > 0 && span.subsec_nanos() == 0 => {
                span.as_secs()
            }
            Some((span, _)) => {
                return Err(format!(
                    "\"{span}\" is no duration in whole seconds, such as \"30 s\""
                ));
            }
        };
        let line = args.fault.line(what);
        let fault = feature::one_fault(catalog, TOPOLOGY, &line).map_err(|wrong| said(&wrong))?;
        return Ok(vec![Action::Fault { fault, for_s }]);
    }
    if let Some(option) = args.fault.any() {
        return Err(format!("{option} is for faults of the network: {what} has none"));
    }
    if args.dcs.is_empty() {
        return Err(format!("say which data center: relapse lab inject {what} MEL"));
    }
    args.dcs
        .iter()
        .map(|name| {
            let dc = Dc::from(name.as_str());
            if !topology.dcs.contains_key(&dc) {
                let known = topology.dcs.keys().map(Dc::as_str);
                let problem = Problem::new("", 0, format!("there is no data center \"{name}\""));
                return Err(said(&problem.did_you_mean(name, known)));
            }
            Ok(match what {
                "maintenance" => Action::Maintenance { dc },
                "return" => Action::Return { dc },
                "crash" => Action::Crash { dc },
                "start" => Action::Start { dc },
                "pause" => Action::Pause { dc },
                _ => Action::Resume { dc },
            })
        })
        .collect()
}

/// A problem that stands in no file.
fn said(problem: &Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{}\n    {hint}", problem.message),
        None => problem.message.clone(),
    }
}

/// The scenario that is played in the live lab where an incident's id begins so.
fn scenario(root: &Path, id: &str) -> Result<Scenario, Exit> {
    let all = Chosen { ids: Vec::new(), tags: None };
    let library = library(root, &all)?;
    let scenarios = library.select(root, &all.selection()).map_err(|problem| tell(&[problem]))?;
    let live: Vec<Scenario> =
        scenarios.into_iter().filter(|one| one.tags.iter().any(|tag| tag == TAG)).collect();
    let known: BTreeSet<String> = live.iter().map(|one| one.feature.clone()).collect();
    live.into_iter().find(|one| !id.is_empty() && one.feature.starts_with(id)).ok_or_else(|| {
        let choices =
            feature::FAULTS.into_iter().chain(DEEDS).chain(known.iter().map(String::as_str));
        let problem = Problem::new(
            "",
            0,
            format!("there is no fault and no incident \"{id}\" for the live lab"),
        );
        let problem = said(&problem.did_you_mean(id, choices));
        let known: Vec<String> = known.into_iter().collect();
        err(&format!(
            "incidents: {}; faults: {}; data centers: {}",
            known.join(", "),
            feature::FAULTS.join(", "),
            DEEDS.join(", ")
        ));
        complain(&problem, Exit::Specification)
    })
}

fn heal(compose: &Compose) -> Result<Exit, LiveError> {
    let catalog = match catalog(compose.root()) {
        Ok(catalog) => catalog,
        Err(exit) => return Ok(exit),
    };
    let Some(topology) = catalog.topologies.get(TOPOLOGY) else {
        return Ok(complain(&format!("there is no topology \"{TOPOLOGY}\""), Exit::Specification));
    };
    act::heal(compose, topology, |line| out(&line))?;
    Ok(Exit::Pass)
}

fn load(compose: &Compose, run: &Path) -> Result<Exit, LiveError> {
    compose.up()?;
    let within = run.join("recording");
    let recording = match Recording::read(if within.is_dir() { &within } else { run }) {
        Ok(recording) => recording,
        Err(error) => return Ok(complain(&error.to_string(), Exit::Environment)),
    };
    let loaded = load::load(compose, &recording, |line| err(&format!("relapse: {line}")))?;
    let [from, until] = [recording.spec.start, recording.spec.end].map(time::format);
    out(&format!("{} samples from {from} to {until}", loaded.samples));
    for link in &loaded.dashboards {
        out(link);
    }
    if loaded.dashboards.is_empty() {
        err("relapse: Grafana does not run; `relapse lab up --profile dashboards` adds it");
    }
    out(&loaded.prometheus);
    Ok(Exit::Pass)
}

fn down(compose: &Compose, keep_data: bool) -> Result<Exit, LiveError> {
    let mut arguments = vec!["down", "--remove-orphans", "--timeout", "5"];
    if !keep_data {
        arguments.push("--volumes");
    }
    compose.show(&PROFILES, &arguments, &[])?;
    Ok(Exit::Pass)
}
