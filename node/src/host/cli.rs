//! The command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::exit::{DONE, Failure};
use super::sink::Told;
use super::store::{Bucket, EmbeddedStore};
use super::{change, config, control, dev, health, run};

/// A key-value node modelled on Workers KV.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 ended as asked, 1 the system failed, 2 arguments, configuration or a port cannot \
                        be used, 130 a second signal ended it at once."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Debug, Args)]
struct NodeArgs {
    /// Run the node that this file describes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The same, where the environment variable of this name holds the file's text: for containers
    #[arg(long, value_name = "VARIABLE", conflicts_with = "config")]
    config_from: Option<String>,
    /// Ship telemetry to the OpenTelemetry collector there (OTLP over HTTP), whatever the file says of intakes
    #[arg(long, value_name = "ADDR", env = "KV_NODE_OTLP")]
    otlp: Option<String>,
    #[command(flatten)]
    log: LogArgs,
}

impl NodeArgs {
    fn source(&self) -> Result<config::Source, Failure> {
        match (&self.config, &self.config_from) {
            (Some(file), _) => config::read(file),
            (None, Some(variable)) => config::read_variable(variable),
            (None, None) => {
                Err(Failure::refused("what to run is missing: --config FILE, or a command"))
            }
        }
    }
}

#[derive(Debug, Args)]
struct LogArgs {
    /// Tell more on stderr than exceptions and what happens in the node's life
    #[arg(long, value_name = "WHAT")]
    log: Vec<Log>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Log {
    /// A line for answers that are no success, sampled as the response log is
    Responses,
    /// Each isolate that begins
    Isolates,
}

impl LogArgs {
    fn told(&self) -> Told {
        Told {
            responses: self.log.contains(&Log::Responses),
            isolates: self.log.contains(&Log::Isolates),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One data center with two stores, to develop against
    Dev(DevArgs),
    /// A store as a process of its own: the plain protocol without authentication, or S3
    Store(StoreArgs),
    /// The control plane: it tells every node the configuration, and who may own keys
    Control {
        /// Its file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        #[command(flatten)]
        log: LogArgs,
    },
    /// Have the control plane change something, and say which revision came of it
    Change(change::ChangeArgs),
    /// Whether a listener answers: ends with 0 or 1
    Health {
        /// Its address
        #[arg(value_name = "ADDR")]
        address: String,
    },
    /// Say what is wrong with a configuration file, and run nothing
    Check {
        /// The file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// It is the control plane's file
        #[arg(long)]
        control: bool,
    },
}

#[derive(Debug, Args)]
struct DevArgs {
    /// Address of the REST API
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    listen: String,
    /// Address of the binding protocol
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8788")]
    binding_listen: String,
    /// Address of metrics and the admin API
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8789")]
    admin_listen: String,
    /// Keep everything in this directory; without it everything is gone with the process
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Demand this bearer token of the REST API
    #[arg(long, value_name = "T")]
    token: Option<String>,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Args)]
struct StoreArgs {
    /// Where it listens
    #[arg(long, value_name = "ADDR")]
    listen: String,
    /// Keep objects in this directory; without it they are gone with the process
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Speak S3, with this one bucket
    #[arg(long, value_name = "NAME", requires_all = ["access_key", "secret_key"])]
    bucket: Option<String>,
    /// The access key of whoever may use the bucket
    #[arg(long, value_name = "KEY", requires = "bucket")]
    access_key: Option<String>,
    /// The file with the secret key
    #[arg(long, value_name = "FILE", requires = "bucket", group = "secret_key")]
    secret_key_file: Option<PathBuf>,
    /// The environment variable with the secret key: for containers
    #[arg(long, value_name = "VARIABLE", requires = "bucket", group = "secret_key")]
    secret_key_from: Option<String>,
}

impl StoreArgs {
    fn bucket(&self) -> Result<Option<Bucket>, Failure> {
        let (Some(name), Some(access_key)) = (&self.bucket, &self.access_key) else {
            return Ok(None);
        };
        let secret = match (&self.secret_key_file, &self.secret_key_from) {
            (Some(file), _) => {
                std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?
            }
            (None, Some(variable)) => std::env::var(variable)
                .map_err(|error| Failure::refused(format!("{variable}: {error}")))?,
            (None, None) => return Ok(None),
        };
        Ok(Some(Bucket {
            name: name.clone(),
            access_key: access_key.clone(),
            secret_key: secret.trim_end().to_owned(),
        }))
    }
}

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    // Prints by itself what is wrong with arguments, and ends with 2.
    let cli = Cli::parse();
    let ended = match cli.command {
        None => cli
            .node
            .source()
            .and_then(|file| file.setup(cli.node.log.told()))
            .map(|setup| match cli.node.otlp.filter(|address| !address.is_empty()) {
                Some(address) => setup.shipping_to(&address),
                None => setup,
            })
            .and_then(|setup| run::on_runtime(run::node(setup, listeners))),
        Some(Command::Dev(args)) => dev::setup(&dev::Options {
            told: args.log.told(),
            listen: [args.listen, args.binding_listen, args.admin_listen],
            data: args.data,
            token: args.token.clone(),
        })
        .and_then(|setup| {
            run::on_runtime(run::node(setup, |bound| dev::banner(bound, args.token.as_deref())))
        }),
        Some(Command::Store(args)) => store(args),
        Some(Command::Control { config, log }) => config::control::read(&config)
            .and_then(|file| file.setup(log.told()))
            .and_then(|setup| run::on_runtime(control::control(setup, listeners))),
        Some(Command::Change(args)) => run::on_runtime(change::ask(args)),
        Some(Command::Health { address }) => run::on_runtime(health::ask(address)),
        Some(Command::Check { config, control }) => checked(&config, control)
            .and_then(|()| run::say(&format!("{}: fine\n", config.display())))
            .map(|()| DONE),
    };
    match ended {
        Ok(code) => code.into(),
        Err(Failure { message, code }) => {
            // Where stderr is closed the exit code still tells.
            let _ = writeln!(std::io::stderr(), "kv-node: {message}");
            code.into()
        }
    }
}

fn checked(file: &Path, control: bool) -> Result<(), Failure> {
    if control {
        config::control::read(file)?.setup(Told::default()).map(|_| ())
    } else {
        config::read(file)?.setup(Told::default()).map(|_| ())
    }
}

fn store(args: StoreArgs) -> Result<u8, Failure> {
    let bucket = args.bucket()?;
    let mut store = match &args.data {
        Some(data) => EmbeddedStore::directory(data)?,
        None => EmbeddedStore::memory(),
    };
    if let Some(bucket) = bucket {
        store = store.over_s3(bucket);
    }
    run::on_runtime(run::store(store, args.listen, listeners))
}

/// One line for each listener.
fn listeners(bound: &run::Bound) -> String {
    let line = |(kind, address): &_| format!("{:<8} http://{address}", run::name_of(*kind));
    let lines: Vec<String> = bound.iter().map(line).collect();
    lines.join("\n") + "\n"
}
