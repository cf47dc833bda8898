//! `kv-node control --config FILE`: what the control plane's file may say.
//!
//! Members, origins, peers, builds and `initial` are those of a node's file, so that one can be copied from the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kv_node::config::{Members, Snapshot, Token};
use kv_node::control::ControlConfig;
use kv_node::ids::{BuildId, Dc, Namespace, Region};
use kv_node::safeguards::{Build, Environment};
use serde::Deserialize;
use toml::Spanned;

use super::super::chance::OsChance;
use super::super::control::Setup;
use super::super::exit::Failure;
use super::super::limits::ServerLimits;
use super::super::sink::Told;
use super::file::{Initial, MemberTable, PeerTable};
use super::problem::{at, of_toml};
use super::values::{Address, Hex};
use super::{Source, network, parse, text};

/// What a node's file says, and has no meaning here.
const OF_NODES: [&str; 11] = [
    "data_center",
    "stores",
    "control",
    "intakes",
    "isolates",
    "pipelines",
    "namespaces",
    "tokens",
    "limits",
    "replay",
    "sealing",
];

/// All of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ControlFile {
    listen: Listen,
    members: Spanned<BTreeMap<Dc, MemberTable>>,
    #[serde(default)]
    origins: BTreeMap<Region, Region>,
    /// Every member with `admin`, `tier` and `rest`: it is told, probed, and read from.
    #[serde(default)]
    peers: BTreeMap<String, PeerTable>,
    keys: Spanned<Keys>,
    /// Besides "current", which lacks nothing.
    #[serde(default)]
    builds: Vec<Spanned<Build>>,
    /// Whose builds it releases; production where nothing is said.
    #[serde(default)]
    environment: Environment,
    /// The class of each member, in which releases have their stages.
    #[serde(default)]
    classes: BTreeMap<Dc, String>,
    /// What the control plane runs; "current" where nothing is said.
    build: Option<Spanned<BuildId>>,
    /// The namespace of synthetic reads; the first enrolled one where none is given.
    probe_namespace: Option<Namespace>,
    /// Where the newest configuration is kept.
    state: Option<PathBuf>,
    #[serde(default)]
    server: ServerLimits,
    /// Where nothing is kept yet.
    #[serde(default)]
    initial: Initial,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listen {
    control: Address,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The same at every node.
    secret: Option<Hex>,
    secret_file: Option<PathBuf>,
    /// What Alertmanager sends as its bearer token.
    alerts_token: Option<String>,
    alerts_token_file: Option<PathBuf>,
}

/// Reads a control plane's file.
pub(in super::super) fn read(path: &Path) -> Result<Source<ControlFile>, Failure> {
    parse(path, text(path)?, wrong)
}

/// As for a node, but for what is fine in a node's file.
fn wrong(path: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let field = error.message().strip_prefix("unknown field `");
    let field = field.and_then(|rest| rest.split('`').next()).unwrap_or_default();
    if OF_NODES.contains(&field) {
        let message =
            format!("`{field}` is for a node's file: the control plane has no use for it");
        return at(path, text, error.span(), &message);
    }
    of_toml(path, text, error)
}

impl Source<ControlFile> {
    /// What a control plane is started with.
    pub(in super::super) fn setup(self, told: Told) -> Result<Setup, Failure> {
        self.check_peers()?;
        let (secret, alerts_token) = (self.secret()?, self.alerts_token()?);
        let builds = self.builds(&self.file.builds)?;
        let build = match &self.file.build {
            Some(name) => self.build(&builds, name)?.clone(),
            None => Build::current(),
        };
        let state = self.file.state.as_deref().map(|state| self.beside(state));
        let chance = OsChance::new()
            .map_err(|error| Failure::failed(format!("the system has no entropy: {error}")))?;
        let file = self.file;
        let members = file.members.into_inner();
        Ok(Setup {
            config: ControlConfig {
                members: Arc::new(Members {
                    dcs: members.into_iter().map(|(dc, table)| (dc, table.into())).collect(),
                    origins: file.origins,
                    store_hosts: None,
                }),
                secret: secret.into(),
                environment: file.environment,
                build,
                builds,
                classes: file.classes,
                // The products are a part of labs: no process runs them.
                login: None,
                initial: Snapshot {
                    revision: file.initial.revision,
                    new_backend: file.initial.new_backend,
                    enrolled: file.initial.enrolled,
                    ..Snapshot::default()
                },
                probe_namespace: file.probe_namespace,
                alerts_token,
            },
            network: network(file.peers, 1),
            chance,
            listen: file.listen.control.0,
            limits: file.server,
            state,
            told,
        })
    }

    /// The secret that the control plane shares with every node.
    pub(in super::super) fn secret(&self) -> Result<Vec<u8>, Failure> {
        let keys = self.file.keys.get_ref();
        let span = self.file.keys.span();
        self.secret_of(keys.secret.as_ref(), keys.secret_file.as_deref(), span)
    }

    fn alerts_token(&self) -> Result<Option<Token>, Failure> {
        let keys = self.file.keys.get_ref();
        let token = match (&keys.alerts_token, &keys.alerts_token_file) {
            (None, None) => return Ok(None),
            (Some(token), None) => token.clone(),
            (None, Some(path)) => self.secret_text(path)?,
            (Some(_), Some(_)) => {
                let message = "[keys] takes either alerts_token or alerts_token_file";
                return Err(self.wrong(self.file.keys.span(), message));
            }
        };
        if token.is_empty() {
            return Err(self.wrong(self.file.keys.span(), "the token of alerts is empty"));
        }
        Ok(Some(Token::new(&token, Vec::new())))
    }

    /// A member that cannot be told, probed or read from would never come back from maintenance.
    fn check_peers(&self) -> Result<(), Failure> {
        for dc in self.file.members.get_ref().keys() {
            let peer = self.file.peers.get(dc.as_str());
            let lacks = |address: fn(&PeerTable) -> bool| !peer.is_some_and(address);
            let lacking = [
                ("admin", lacks(|peer| peer.admin.is_some())),
                ("tier", lacks(|peer| peer.tier.is_some())),
                ("rest", lacks(|peer| peer.rest.is_some())),
            ];
            if let Some((listener, _)) = lacking.iter().find(|(_, lacks)| *lacks) {
                let message = format!(
                    "member \"{dc}\" has no {listener} address\n    write {listener} = \"host:port\" in [peers.{dc}]"
                );
                return Err(self.wrong(self.file.members.span(), &message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole file with everything in it that can be said.
    const WHOLE: &str = r#"
build = "kv-2023-07"
probe_namespace = "ns-2"
state = "state.json"

[listen]
control = "0.0.0.0:8789"

[members]
SYD = { region = "OC", regional_weight = 1, upper_weight = 1 }

[origins]
OC = "OC"

[peers]
SYD = { rest = "10.0.0.2:8787", tier = "10.0.0.2:8790", admin = "10.0.0.2:8789" }

[keys]
secret = "000102030405060708090a0b0c0d0e0f"
alerts_token = "5ec2e7"

[[builds]]
id = "kv-2023-07"
lacks = ["return-gate"]

[server]
idle_ms = 1000

[initial]
revision = 7
enrolled = ["ns-1"]
"#;

    fn setup(text: String) -> Result<Setup, Failure> {
        let source: Source<ControlFile> = parse(Path::new("etc/control.toml"), text, wrong)?;
        source.setup(Told::default())
    }

    fn told(from: &str, to: &str) -> String {
        assert!(WHOLE.contains(from), "{from}");
        let setup = setup(WHOLE.replacen(from, to, 1));
        setup.err().map_or_else(|| "fine".to_owned(), |failure| failure.message)
    }

    #[test]
    fn a_whole_file_says_a_whole_control_plane() {
        let setup = setup(WHOLE.to_owned()).ok().unwrap();
        assert_eq!(setup.config.members.dcs.len(), 1);
        assert_eq!(setup.config.build.lacks.len(), 1);
        assert_eq!(setup.config.initial.revision, 7);
        assert_eq!(setup.config.alerts_token, Some(Token::new("5ec2e7", Vec::new())));
        assert_eq!(setup.state.as_deref(), Some(Path::new("etc/state.json")));
        assert_eq!(setup.limits.idle_ms, 1_000);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let told = [
            told("probe_namespace", "data_center = \"SYD\"\nprobe_namespace"),
            told("[initial]", "[[stores]]\npeer = \"store-a\"\n[initial]"),
            told("alerts_token", "sealing = []\nalerts_token"),
            told("probe_namespace", "probe_namespaces"),
            told("build = \"kv-2023-07\"", "build = \"kv-2023\""),
            told(", admin = \"10.0.0.2:8789\"", ""),
            told("SYD = { rest", "MEL = { rest"),
            told("secret = \"000102030405060708090a0b0c0d0e0f\"", "secret = \"5ec2e7\""),
            told("alerts_token = \"5ec2e7\"", "alerts_token = \"\""),
            told("alerts_token", "alerts_token_file = \"5ec2e7\"\nalerts_token"),
        ];
        assert!(!told.join("\n").contains("5ec2e7"), "no error shows a secret");
        insta::assert_snapshot!(told.join("\n"));
    }
}
