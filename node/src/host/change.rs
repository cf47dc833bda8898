//! `kv-node change`: an operator has the control plane change something.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use http::{Request, StatusCode};
use kv_node::api::auth::Secret;
use kv_node::control::{CHANGE, Change, NAME};
use kv_node::env::{Clock as _, Listener, Network as _};
use kv_node::ids::{Dc, Namespace, Peer};

use super::clock::OsClock;
use super::config;
use super::exit::{DONE, Failure};
use super::keys::{read_secret, unhex};
use super::network::HyperNetwork;
use super::run::say;

/// A control plane that takes longer has failed: it decides, and pushes behind.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// Address of the control plane
    #[arg(long, value_name = "ADDR")]
    control: String,
    /// The file with the secret of the topology, in hexadecimal digits
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    secret_file: Option<PathBuf>,
    /// The control plane's own file, for the secret in it
    #[arg(long, value_name = "FILE", conflicts_with = "secret_file")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    change: Asked,
}

#[derive(Debug, Subcommand)]
enum Asked {
    /// Take a data center out of service
    Maintenance {
        /// Which one
        #[arg(value_name = "DC")]
        dc: String,
    },
    /// Bring a data center back into service
    Return {
        /// Which one
        #[arg(value_name = "DC")]
        dc: String,
    },
    /// Switch the new backend
    NewBackend {
        /// On or off
        to: Switch,
        /// In this data center only
        #[arg(long = "in", value_name = "DC")]
        dc: Option<String>,
    },
    /// Have a namespace take the new backend
    Enroll {
        /// Which one
        #[arg(value_name = "NS")]
        namespace: String,
        /// Have it leave the new backend
        #[arg(long)]
        out: bool,
    },
    /// Release a build of a script or a configuration, or roll a release back
    Release {
        /// Who releases
        #[arg(long, value_name = "NAME")]
        by: String,
        /// What, as TOML
        #[arg(value_name = "FILE", required_unless_present = "text")]
        file: Option<PathBuf>,
        /// The same, given here
        #[arg(long, value_name = "TOML", conflicts_with = "file")]
        text: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Asked {
    fn change(&self) -> Result<Change, Failure> {
        Ok(match self {
            Self::Maintenance { dc } => Change::Maintenance { dc: Dc::from(dc.as_str()) },
            Self::Return { dc } => Change::Return { dc: Dc::from(dc.as_str()) },
            Self::NewBackend { to, dc: None } => Change::NewBackend { on: *to == Switch::On },
            Self::NewBackend { to, dc: Some(dc) } => {
                Change::NewBackendIn { dc: Dc::from(dc.as_str()), on: *to == Switch::On }
            }
            Self::Enroll { namespace, out } => {
                Change::Enroll { namespace: Namespace::from(namespace.as_str()), on: !out }
            }
            Self::Release { by, file, text } => {
                let document = match (text, file) {
                    (Some(text), _) => text.clone(),
                    (None, Some(file)) => {
                        std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?
                    }
                    (None, None) => String::new(),
                };
                Change::Release { by: by.clone(), document }
            }
        })
    }
}

/// Asks once, and says which revision came of it.
pub(super) async fn ask(args: ChangeArgs) -> Result<u8, Failure> {
    let secret = Secret::new(&args.secret()?);
    let control = Peer::from(NAME);
    let mut network = HyperNetwork::default();
    network.remote(control.clone(), Listener::Control, &args.control);
    let body = serde_json::to_vec(&args.change.change()?);
    let body = body.map_err(|error| Failure::failed(error.to_string()))?;
    let mut request = Request::post(CHANGE)
        .body(Bytes::from(body))
        .map_err(|error| Failure::failed(error.to_string()))?;
    secret.sign(&mut request, &control, OsClock::new().now());
    let answer = tokio::time::timeout(DEADLINE, network.call(&control, Listener::Control, request));
    let nobody = |why: &str| Failure::failed(format!("no answer from {}: {why}", args.control));
    let answer = match answer.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(nobody(&error.to_string())),
        Err(_) => return Err(nobody(&format!("it took longer than {} s", DEADLINE.as_secs()))),
    };
    match answer.status() {
        StatusCode::OK => say(&format!("{}\n", revision(answer.body()))).map(|()| DONE),
        StatusCode::UNAUTHORIZED => Err(Failure::refused(
            "the control plane does not take this signature: another secret, or clocks more than a minute apart",
        )),
        StatusCode::CONFLICT => Err(Failure::refused(refused(answer.body()))),
        StatusCode::BAD_REQUEST => {
            Err(Failure::refused("there is no such data center in the control plane's topology"))
        }
        status => Err(Failure::failed(format!("the control plane answered {status}"))),
    }
}

/// Why a release is refused.
fn refused(body: &Bytes) -> String {
    let told: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let why = told.as_ref().and_then(|told| told.get("refused")?.as_str());
    format!("refused: {}", why.unwrap_or("the control plane does not say why"))
}

/// `revision 7`, or whatever else it says.
fn revision(body: &Bytes) -> String {
    let told: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    match told.as_ref().and_then(|told| told.get("revision")) {
        Some(revision) => format!("revision {revision}"),
        None => String::from_utf8_lossy(body).into_owned(),
    }
}

impl ChangeArgs {
    fn secret(&self) -> Result<Vec<u8>, Failure> {
        match (&self.config, &self.secret_file) {
            (Some(file), _) => config::control::read(file)?.secret(),
            (None, Some(file)) => hexadecimal(file),
            (None, None) => Err(Failure::refused("the secret is missing: --secret-file FILE")),
        }
    }
}

fn hexadecimal(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = unhex(read_secret(file)?.trim());
    bytes.ok_or_else(|| Failure::file(file, "expected hexadecimal digits, two a byte"))
}
