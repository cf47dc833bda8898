//! The command line. Data goes to standard output, everything else to standard error.

mod check;
mod clean;
mod customers;
mod dashboards;
mod detectors;
mod export;
mod fork;
mod judge;
mod lab;
mod list;
mod new;
mod parity;
mod plan;
mod proxy;
mod run;
mod safeguards;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use futures_util::future::select;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::feature::{Catalog, Library, Selection};
use crate::lab::Kind;
use crate::runs;
use crate::spec::Scenario;
use crate::spec::problem::Problem;

/// Replays incidents of a key-value service and judges what on-call would have seen.
#[derive(Debug, Parser)]
#[command(name = "relapse", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Incidents, controls and behaviors, by id
    List,
    /// Finds what is wrong in features, topologies, builds and incidents, without running anything
    Check(Chosen),
    /// The compiled timeline and expectations, without running anything
    Plan(Chosen),
    /// Every sentence that a feature file may contain
    Steps,
    /// Replays and judges
    Run(run::Run),
    /// Runs scenarios in the simulated lab and in containers, and compares what the two tell
    Parity(parity::Compare),
    /// Every safeguard and the incidents that it answers, with its level in the hierarchy of controls
    Safeguards(safeguards::Safeguards),
    /// Takes safeguards away one at a time, and tells which rows fall and what each saves
    Ablate(safeguards::Ablate),
    /// The same history with another action: what it would have saved
    Fork(fork::Fork),
    /// Begins something new
    New {
        #[command(subcommand)]
        command: new::Command,
    },
    /// Judges the recordings of an earlier `run --out` again, by the features as they are now
    Judge {
        /// The folder that was given to `run --out`, or one run of it
        dir: PathBuf,
        /// Writes the verdicts here as JUnit XML, whatever they are
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
    /// Of each incident: who saw it first, after how long, naming what. Replays what is not known yet
    Detectors(detectors::Detectors),
    /// Writes a recording out for other tools: OpenMetrics, OTLP as JSON lines, CSV
    Export {
        /// A run's folder, as `run --out` writes it, or the recording in it
        run: PathBuf,
        /// Where to: a folder that is empty or is not there yet
        dir: PathBuf,
    },
    /// What on-call looks at: dashboards, rules, runbooks
    Dashboards {
        #[command(subcommand)]
        command: dashboards::Command,
    },
    /// Removes what labs left behind that were killed: containers, networks, unfinished runs
    Clean {
        /// Also what belongs to labs that are running
        #[arg(long)]
        all: bool,
    },
    /// A fault proxy with Toxiproxy's API, toxics for HTTP, and the faults of every lab
    Proxy(proxy::Proxy),
    /// The live lab of docker-compose.yml: real time, with Prometheus, Alertmanager, Grafana
    Lab {
        #[command(subcommand)]
        command: lab::Command,
    },
    /// Sends what a topology's customers send, to data centers that run elsewhere
    Customers(customers::Customers),
    /// One run, in this process
    #[command(hide = true)]
    LabRun {
        spec: PathBuf,
        #[arg(long, value_enum)]
        on: Kind,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        hash: String,
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
struct Chosen {
    /// Beginnings of ids (2023-07-17), or paths of feature files; none means all
    #[arg(value_name = "ID|PATH")]
    ids: Vec<String>,
    /// Only scenarios whose tags fit, such as "@control and not @slow"
    #[arg(long, value_name = "EXPR")]
    tags: Option<String>,
}

impl Chosen {
    fn selection(&self) -> Selection {
        Selection { ids: self.ids.clone(), tags: self.tags.clone() }
    }
}

/// Parses the command line and does what it says.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // What cannot be printed cannot be helped.
            let _ = error.print();
            return if error.use_stderr() { Exit::Specification } else { Exit::Pass };
        }
    };
    if let Command::LabRun { spec, on, seed, hash, out } = &cli.command {
        return match runs::lab_run(*on, (spec, *seed), hash, out) {
            Ok(()) => Exit::Pass,
            Err(error) => complain(&error, Exit::Environment),
        };
    }
    if let Command::Export { run, dir } = &cli.command {
        return export::export(run, dir);
    }
    if let Command::Proxy(proxy) = &cli.command {
        return proxy::proxy(proxy);
    }
    if let Command::Customers(customers) = &cli.command {
        return customers::customers(customers);
    }
    let root = match root() {
        Ok(root) => root,
        Err(error) => return complain(&error, Exit::Specification),
    };
    match cli.command {
        Command::List => list::list(&root),
        Command::Check(chosen) => check::check(&root, &chosen),
        Command::Plan(chosen) => plan::plan(&root, &chosen),
        Command::Steps => list::steps(),
        Command::Run(run) => run::run(&root, &run),
        Command::Parity(compare) => parity::parity(&root, &compare),
        Command::Detectors(detectors) => detectors::detectors(&root, &detectors),
        Command::Safeguards(args) => safeguards::safeguards(&root, &args),
        Command::Ablate(args) => safeguards::ablate(&root, &args),
        Command::Fork(args) => fork::fork(&root, &args),
        Command::New { command } => new::new(&root, &command),
        Command::Judge { dir, junit } => judge::judge(&root, &dir, junit.as_deref()),
        Command::Clean { all } => clean::clean(&root, all),
        Command::Dashboards { command } => dashboards::dashboards(&root, &command),
        Command::Lab { command } => lab::lab(&root, &command),
        Command::LabRun { .. }
        | Command::Export { .. }
        | Command::Proxy(_)
        | Command::Customers(_) => Exit::Pass,
    }
}

/// The nearest folder, from here upwards, that holds `features`.
fn root() -> Result<PathBuf, String> {
    let here = std::env::current_dir().map_err(|error| format!("no current folder: {error}"))?;
    here.ancestors()
        .find(|folder| folder.join("features").is_dir())
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("there is no folder \"features\" in {} or above it", here.display()))
}

/// As many descriptors as this process may have: a connection takes two, and shells often allow a thousand.
fn raise_descriptors() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it is not allowed the proxy does with what there is.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Completes on SIGTERM or SIGINT.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        select(pin!(term.recv()), pin!(interrupt.recv())).await;
    })
}

/// The chosen scenarios, or everything that is wrong.
fn scenarios(root: &Path, chosen: &Chosen) -> Result<Vec<Scenario>, Exit> {
    scenarios_of(root, chosen).map(|(scenarios, _)| scenarios)
}

/// The chosen scenarios with the files that they name, or everything that is wrong.
fn scenarios_of(root: &Path, chosen: &Chosen) -> Result<(Vec<Scenario>, Arc<Catalog>), Exit> {
    let library = library(root, chosen)?;
    let scenarios =
        library.select(root, &chosen.selection()).map_err(|problem| tell(&[problem]))?;
    Ok((scenarios, library.catalog))
}

/// Every feature of the repository, and any other file that was named.
fn library(root: &Path, chosen: &Chosen) -> Result<Library, Exit> {
    let elsewhere: Vec<String> = chosen
        .ids
        .iter()
        .filter(|id| id.ends_with(".feature") && Path::new(id).is_file())
        .map(|id| path_from(root, id))
        .collect();
    let library = if !elsewhere.is_empty() && elsewhere.len() == chosen.ids.len() {
        Library::read_files(root, elsewhere)
    } else {
        Library::read(root)
    };
    if library.problems.is_empty() { Ok(library) } else { Err(tell(&library.problems)) }
}

fn path_from(root: &Path, path: &str) -> String {
    let absolute = std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let root = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
    absolute.strip_prefix(&root).unwrap_or(&absolute).display().to_string()
}

fn tell(problems: &[Problem]) -> Exit {
    for problem in problems {
        err(&problem.to_string());
    }
    let n = problems.len();
    complain(
        &format!("{n} problem{} in the specification", if n == 1 { "" } else { "s" }),
        Exit::Specification,
    )
}

/// As many runs at once as the machine has cores.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn complain(message: &str, exit: Exit) -> Exit {
    err(&format!("relapse: {message}"));
    exit
}

/// Prints a line of data. A reader that has gone (`| head`) is no error.
fn out(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints a line for people.
fn err(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
