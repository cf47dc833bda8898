//! The processes that are measured.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What Linux counts CPU time in towards programs, on every machine.
const TICK_US: f64 = 10_000.0;
/// The namespace of `kv-node dev`.
pub(crate) const DEV: &str = "0f2ac74b498b48028cb68387c421e279";

/// A process that listens, and dies with its handle.
pub(crate) struct Server {
    child: Child,
    listens: Vec<(String, SocketAddr)>,
}

impl Server {
    fn start(program: &Path, arguments: &[&str], last: &str) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, listens: Vec::new() };
        for line in said.lines() {
            let line = line.unwrap();
            let Some((name, url)) = line.split_once(' ') else { continue };
            let Some(authority) = url.trim().strip_prefix("http://") else { continue };
            let address = authority.split('/').next().unwrap().parse().unwrap();
            server.listens.push((name.to_owned(), address));
            if name == last {
                return server;
            }
        }
        panic!("{} {arguments:?} ended", program.display());
    }

    fn node(arguments: &[&str], last: &str) -> Self {
        Self::start(Path::new(env!("CARGO_BIN_EXE_kv-node")), arguments, last)
    }

    /// The server to compare with: this program, called another way.
    pub(crate) fn bare() -> Self {
        Self::start(&std::env::current_exe().unwrap(), &["--bare"], "bare")
    }

    /// One data center with its stores in memory.
    pub(crate) fn dev() -> Self {
        let mut arguments = vec!["dev"];
        for option in ["--listen", "--binding-listen", "--admin-listen"] {
            arguments.extend([option, "127.0.0.1:0"]);
        }
        Self::node(&arguments, "admin")
    }

    /// A store in memory.
    pub(crate) fn store() -> Self {
        Self::node(&["store", "--listen", "127.0.0.1:0"], "store")
    }

    pub(crate) fn at(&self, listener: &str) -> SocketAddr {
        self.listens.iter().find(|(name, _)| name == listener).unwrap().1
    }

    /// CPU time so far, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        let stat = self.proc("stat");
        // The name before it may contain anything, also spaces.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 =
            [11, 12].into_iter().map(|field| fields[field].parse::<f64>().unwrap()).sum();
        ticks * TICK_US
    }

    /// Memory that it holds, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three data centers: an edge, the owner of its region, and the upper tier in another; two stores.
pub(crate) struct Topology {
    pub(crate) edge: Server,
    pub(crate) upper: Server,
    others: Vec<Server>,
}

impl Topology {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stores = [Server::store(), Server::store()];
        let at = stores.each_ref().map(|store| store.at("store"));
        // Everybody knows the others' ports before anybody is there.
        let ports = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = ports.map(|socket| socket.local_addr().unwrap().port());
        let names = ["EDGE", "TIER", "UPPER"];
        let peers = |dc: &str| {
            let others = names.iter().zip(ports).filter(|(name, _)| **name != dc);
            let peer = |(name, port)| format!("peers.{name} = {{ tier = \"127.0.0.1:{port}\" }}");
            others.map(peer).collect::<Vec<_>>().join("\n")
        };
        let node = |at_port: usize| {
            let (dc, port, peers) = (names[at_port], ports[at_port], peers(names[at_port]));
            let key = "0f".repeat(32);
            let text = format!(
                r#"
data_center = "{dc}"
stores = [{{ peer = "store-a" }}, {{ peer = "store-b" }}]
namespaces = [{{ id = "ns", title = "one" }}]
listen = {{ rest = "127.0.0.1:0", tier = "127.0.0.1:{port}", admin = "127.0.0.1:0" }}
{peers}
[members]
EDGE = {{ region = "OC" }}
TIER = {{ region = "OC", regional_weight = 1 }}
UPPER = {{ region = "NA", regional_weight = 1, upper_weight = 1 }}
[origins]
OC = "NA"
[peers.store-a]
store = "{}"
[peers.store-b]
store = "{}"
[keys]
secret = "{key}"
sealing = [{{ id = 1, key = "{key}" }}]
[initial]
enrolled = ["ns"]
"#,
                at[0], at[1]
            );
            let file = folder.path().join(format!("{dc}.toml"));
            std::fs::write(&file, text).unwrap();
            Server::node(&["--config", file.to_str().unwrap()], "admin")
        };
        let [edge, tier, upper] = [0, 1, 2].map(node);
        let [one, other] = stores;
        Self { edge, upper, others: vec![tier, one, other] }
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        let rest: f64 = self.others.iter().map(Server::cpu_us).sum();
        self.edge.cpu_us() + self.upper.cpu_us() + rest
    }
}

/// The path of a namespace.
pub(crate) fn namespace(id: &str) -> String {
    format!("/client/v4/accounts/0123456789abcdef0123456789abcdef/storage/kv/namespaces/{id}")
}
