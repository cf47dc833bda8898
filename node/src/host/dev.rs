//! `kv-node dev`: one data center and its two stores in one process, for developing against.
//!
//! The data center is in no tier role and its namespaces are not enrolled in the new backend: reads and writes go from the
//! edge cache straight to the stores, and `cache_ttl` means what the documented service says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use kv_node::config::{
    Limits, Member, Members, NamespaceAbout, NodeConfig, PipelineEntry, Snapshot, StoreAbout, Token,
};
use kv_node::env::Listener;
use kv_node::ids::{Dc, Namespace, Peer, Region};
use kv_node::safeguards::{Build, Environment};

use super::chance::OsChance;
use super::exit::Failure;
use super::keys::Keys;
use super::limits::ServerLimits;
use super::network::HyperNetwork;
use super::run::{Bound, Setup};
use super::sink::Told;
use super::store::EmbeddedStore;

/// The data center and its region.
const LOCAL: &str = "LOCAL";
/// Any account will do; this one is printed.
const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
/// The namespace that is there from the beginning.
const NAMESPACE: &str = "0f2ac74b498b48028cb68387c421e279";
const STORES: [&str; 2] = ["store-a", "store-b"];
/// An isolate keeps state of its own; with a few of them a developer sees what that means.
const ISOLATES: usize = 4;
/// Where stores are kept: a hundred thousand keys are compared in a quarter of an hour.
const CRAWL_KEYS_PER_S: u32 = 100;

/// What the command line says.
#[derive(Debug)]
pub(super) struct Options {
    /// REST, binding, admin.
    pub(super) listen: [String; 3],
    pub(super) data: Option<PathBuf>,
    pub(super) token: Option<String>,
    pub(super) told: Told,
}

/// A node with two stores in memory, or in `data`.
pub(super) fn setup(options: &Options) -> Result<Setup, Failure> {
    let chance = OsChance::new()
        .map_err(|error| Failure::failed(format!("the system has no entropy: {error}")))?;
    let mut network = HyperNetwork::default();
    let mut stores = Vec::new();
    for name in STORES {
        let store = match &options.data {
            Some(data) => EmbeddedStore::directory(&data.join(name))?,
            None => EmbeddedStore::memory(),
        };
        network.embed(Peer::from(name), Listener::Store, store.service());
        stores.push(store);
    }
    let keys = match &options.data {
        // The stores are open, so nobody else is making keys in this directory.
        Some(data) => Keys::kept(&data.join("keys.toml"), &chance)?,
        None => Keys::random(&chance),
    };
    let [rest, binding, admin] = options.listen.clone();
    Ok(Setup {
        config: config(&keys, options),
        network,
        chance,
        intakes: None,
        stores,
        listen: vec![
            (Listener::Rest, rest),
            (Listener::Binding, binding),
            (Listener::Admin, admin),
        ],
        limits: ServerLimits::default(),
        told: options.told,
        replay: None,
    })
}

fn config(keys: &Keys, options: &Options) -> NodeConfig {
    let member = Member { region: Region::from(LOCAL), regional_weight: 0, upper_weight: 0 };
    let pipeline = vec![PipelineEntry { weight: 1, build: Build::current() }];
    let about = NamespaceAbout { class: "dev".into(), title: "dev".to_owned(), account: None };
    NodeConfig {
        dc: Dc::from(LOCAL),
        members: Arc::new(Members {
            dcs: BTreeMap::from([(Dc::from(LOCAL), member)]),
            origins: BTreeMap::new(),
            store_hosts: None,
        }),
        stores: STORES.map(StoreAbout::plain).to_vec(),
        control: None,
        environment: Environment::Production,
        gateway_pipeline: pipeline.clone(),
        supercache_pipeline: pipeline,
        isolates: ISOLATES,
        secret: keys.secret.as_slice().into(),
        sealing_keys: vec![(1, keys.sealing)],
        namespaces: Arc::new([(Namespace::from(NAMESPACE), about)].into_iter().collect()),
        tokens: options.token.iter().map(|token| Token::new(token, Vec::new())).collect(),
        // Stores in memory begin and end together. Those on disk may differ after a crash.
        limits: Limits {
            // What the documented service allows today.
            cache_ttl_min_s: 30,
            crawl_keys_per_s: if options.data.is_some() { CRAWL_KEYS_PER_S } else { 0 },
            ..Limits::default()
        },
        initial: Snapshot { revision: 1, new_backend: true, ..Snapshot::default() },
    }
}

/// What is printed once the node is ready.
pub(super) fn banner(bound: &Bound, token: Option<&str>) -> String {
    let at = |kind| bound.iter().find(|(listener, _)| *listener == kind);
    let url = |kind| at(kind).map(|(_, address)| address.to_string()).unwrap_or_default();
    let (rest, binding, admin) =
        (url(Listener::Rest), url(Listener::Binding), url(Listener::Admin));
    let key = format!(
        "http://{rest}/client/v4/accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}/values/greeting"
    );
    let auth =
        token.map(|token| format!(" -H {}", quoted(&format!("Authorization: Bearer {token}"))));
    let auth = auth.unwrap_or_default();
    let secret = quoted(token.unwrap_or("any"));
    let inject = token.map(|token| {
        format!(", (name = \"authorization\", value = {:?})", format!("Bearer {token}"))
    });
    let inject = inject.unwrap_or_default();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\
rest      http://{rest}/client/v4
binding   http://{binding}
admin     http://{admin}/metrics

curl      U={key}; curl -fsS{auth} -X PUT --data-binary hello $U && curl -fsS{auth} $U

wrangler  CLOUDFLARE_API_BASE_URL=http://{rest}/client/v4 CLOUDFLARE_API_TOKEN={secret} \
CLOUDFLARE_ACCOUNT_ID={ACCOUNT} WRANGLER_SEND_METRICS=false \
wrangler kv key put --remote --namespace-id {NAMESPACE} greeting hello

workerd   (name = \"kv\", external = (address = \"{binding}\", http = (injectRequestHeaders = \
[(name = \"cf-kv-namespace\", value = \"{NAMESPACE}\"){inject}])))
          and the binding (name = \"KV\", kvNamespace = \"kv\")
"
    );
    text
}

/// A word for a shell, in quotes only where it needs them.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
