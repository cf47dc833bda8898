//! The control plane as a process, with two nodes and a store, over sockets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use kv_node::api::auth::Secret;
use kv_node::control::{ALERTS, CONFIG};
use kv_node::env::Timestamp;
use kv_node::ids::Peer;

use crate::client::{Answer, DEADLINE, ask, connect, try_read};
use crate::process::{Process, run};
use crate::topology::{PATH, start, store};

/// What [`start`] gives every node.
fn secret() -> String {
    "0f".repeat(32)
}

/// A topology whose control plane keeps what it decided.
struct Topology {
    folder: tempfile::TempDir,
    _store: Process,
    edge: Process,
    tier: Process,
    control: Process,
}

impl Topology {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store();
        let address = store.address("store").to_string();
        let mut tier = start(folder.path(), "TIER", &address, "");
        let peers = format!("peers.TIER = {{ tier = \"{}\" }}", tier.address("tier"));
        let mut edge = start(folder.path(), "EDGE", &address, &peers);
        let control = start_control(folder.path(), &mut edge, &mut tier);
        Self { folder, _store: store, edge, tier, control }
    }

    /// The revision that `kv-node change` printed.
    fn change(&mut self, asked: &[&str]) -> u64 {
        let output = self.ask(asked);
        let said = String::from_utf8_lossy(&output.stdout);
        let revision = said.trim().strip_prefix("revision ");
        revision.unwrap_or_else(|| panic!("{output:?}")).parse().unwrap()
    }

    fn ask(&mut self, asked: &[&str]) -> Output {
        let control = self.control.address("control").to_string();
        let config = self.folder.path().join("control.toml");
        Command::new(env!("CARGO_BIN_EXE_kv-node"))
            .args(["change", "--control", &control, "--config", config.to_str().unwrap()])
            .args(asked)
            .output()
            .unwrap()
    }

    /// A secret in a file that nobody else may read.
    fn key(&self, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.folder.path().join(&text[..2]);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// Releases a text out of a file.
    fn release(&mut self, text: &str) -> Output {
        let file = self.folder.path().join("release.toml");
        std::fs::write(&file, text).unwrap();
        self.ask(&["release", "--by", "a test", file.to_str().unwrap()])
    }
}

fn start_control(folder: &Path, edge: &mut Process, tier: &mut Process) -> Process {
    let peer = |dc: &str, node: &mut Process| {
        let [rest, tier, admin] = ["rest", "tier", "admin"].map(|of| node.address(of));
        format!("[peers.{dc}]\nrest = \"{rest}\"\ntier = \"{tier}\"\nadmin = \"{admin}\"\n")
    };
    let text = format!(
        r#"
state = "state.json"
listen.control = "127.0.0.1:0"
[members]
EDGE = {{ region = "OC" }}
TIER = {{ region = "OC", regional_weight = 1, upper_weight = 1 }}
{}{}
[keys]
secret = "{}"
alerts_token = "for alerts only"
[[builds]]
id = "next"
[initial]
enrolled = ["ns"]
"#,
        peer("EDGE", edge),
        peer("TIER", tier),
        secret(),
    );
    let file = folder.join("control.toml");
    std::fs::write(&file, text).unwrap();
    let mut control = Process::start(&["control", "--config", file.to_str().unwrap()]);
    control.wait_for("control");
    control
}

/// A metric's value at a node or at the control plane.
fn metric(at: SocketAddr, series: &str) -> Option<u64> {
    let metrics = ask(at, "GET", "/metrics", b"");
    let value = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
    metrics.text().lines().find_map(value)
}

/// Asks again until a metric has a value.
fn until(at: SocketAddr, series: &str, wanted: u64) {
    let since = Instant::now();
    loop {
        let value = metric(at, series);
        if value == Some(wanted) {
            return;
        }
        assert!(since.elapsed() < DEADLINE, "{series} is {value:?}, not {wanted}");
        std::thread::yield_now();
    }
}

/// A request to the control plane with headers of its own.
fn ask_with(to: SocketAddr, method: &str, path: &str, header: &str, body: &str) -> Answer {
    use std::io::Write as _;
    let mut stream = connect(to);
    let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{header}\r\n");
    let length = format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all([&head, &length, body].concat().as_bytes()).unwrap();
    try_read(&mut stream).unwrap()
}

/// The header that signs a request to the control plane.
fn signature(method: &str, path: &str, body: &str) -> String {
    let mut request =
        Request::builder().method(method).uri(path).body(Bytes::from(body.to_owned())).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let now = Timestamp(u64::try_from(now.as_micros()).unwrap());
    Secret::new(&[0x0f; 32]).sign(&mut request, &Peer::from("control"), now);
    let value = request.headers()[kv_node::api::auth::AUTH].to_str().unwrap();
    format!("{}: {value}", kv_node::api::auth::AUTH)
}

#[test]
fn a_data_center_goes_into_maintenance_and_comes_back_through_the_gate() {
    let mut topology = Topology::new();
    let (edge, tier) = (topology.edge.address("admin"), topology.tier.address("admin"));

    let revision = topology.change(&["maintenance", "TIER"]);
    until(tier, "node_serving ", 0);
    until(edge, "node_config_revision ", revision);
    let read = ask(topology.edge.address("rest"), "GET", PATH, b"");
    assert_eq!(read.status, 404, "the edge goes past the tier that is away");

    let returning = topology.change(&["return", "TIER"]);
    assert_eq!(returning, revision + 1);
    until(tier, "node_serving ", 1);
    until(edge, "node_config_revision ", returning + 1);
    let control = topology.control.address("control");
    assert_eq!(metric(control, "control_member_serving{dc=\"TIER\"} "), Some(1));
}

#[test]
fn what_was_decided_outlives_the_control_plane_and_a_node_that_starts_asks_for_it() {
    let mut topology = Topology::new();
    let revision = topology.change(&["maintenance", "EDGE"]);
    let (folder, tier) = (topology.folder.path().to_owned(), &mut topology.tier);
    topology.control = start_control(&folder, &mut topology.edge, tier);
    let control = topology.control.address("control");
    assert_eq!(metric(control, "control_config_revision "), Some(revision));
    assert_eq!(metric(control, "control_member_serving{dc=\"EDGE\"} "), Some(0));

    let peers = format!("control = \"control\"\npeers.control = {{ control = \"{control}\" }}");
    let mut again = start(&folder, "EDGE", "127.0.0.1:1", &peers);
    until(again.address("admin"), "node_serving ", 0);
    assert_eq!(topology.change(&["new-backend", "off", "--in", "EDGE"]), revision + 1);
}

#[test]
fn every_kind_of_change_has_a_word() {
    let mut topology = Topology::new();
    let words: [&[&str]; 5] = [
        &["new-backend", "off"],
        &["new-backend", "on"],
        &["new-backend", "off", "--in", "EDGE"],
        &["enroll", "direct"],
        &["enroll", "ns", "--out"],
    ];
    let last = words.map(|asked| topology.change(asked))[4];
    let control = topology.control.address("control");
    let signed = signature("GET", CONFIG, "");
    let config = ask_with(control, "GET", CONFIG, &signed, "");
    let config: serde_json::Value = serde_json::from_slice(&config.body).unwrap();
    assert_eq!(config["revision"], last);
    assert_eq!(config["new_backend"], true);
    assert_eq!(config["dcs"]["EDGE"]["new_backend"], false);
    assert_eq!(config["enrolled"], serde_json::json!(["direct"]));
}

#[test]
fn only_whoever_knows_the_secret_or_for_alerts_the_token_is_let_in() {
    let mut topology = Topology::new();
    let control = topology.control.address("control");
    let alerts = r#"{"alerts":[{"status":"firing","labels":{"alertname":"TargetDown"}}]}"#;
    let token = "authorization: Bearer for alerts only";
    let asked = |path, header: &str| ask_with(control, "POST", path, header, alerts).status;

    assert_eq!(asked(ALERTS, token), 200);
    assert_eq!(asked(ALERTS, &signature("POST", ALERTS, alerts)), 200);
    assert_eq!(asked(ALERTS, "authorization: Bearer another"), 401);
    assert_eq!(asked(ALERTS, "x-nothing: x"), 401);
    assert_eq!(asked("/control/v1/change", token), 401, "the token is for alerts only");
    let counted = "control_alerts_received_total{alert=\"TargetDown\",status=\"firing\"} ";
    assert_eq!(metric(control, counted), Some(2));
}

#[test]
fn a_change_that_cannot_be_made_says_why() {
    let mut topology = Topology::new();
    let control = topology.control.address("control").to_string();
    let (right, wrong) = (topology.key(&secret()), topology.key(&"1f".repeat(32)));
    let asked = |at: &str, key: &Path, dc: &str| {
        let secret = ["--secret-file", key.to_str().unwrap()];
        let ended =
            run(&[&["change", "--control", at], &secret[..], &["maintenance", dc]].concat());
        (ended.code, ended.stderr)
    };
    let (code, said) = asked(&control, &right, "TEIR");
    assert!(code == Some(2) && said.contains("no such data center"), "{said}");
    let (code, said) = asked(&control, &wrong, "TIER");
    assert!(code == Some(2) && said.contains("another secret"), "{said}");
    let (code, said) = asked("127.0.0.1:1", &right, "TIER");
    assert!(code == Some(1) && said.contains("no answer from 127.0.0.1:1"), "{said}");
}

#[test]
fn health_is_whether_a_listener_answers() {
    let mut store = store();
    let address = store.address("store").to_string();
    assert_eq!(run(&["health", &address]).code, Some(0));
    drop(store);
    assert_eq!(run(&["health", &address]).code, Some(1));
}

#[test]
fn a_release_is_refused_with_its_reason_or_taken_and_taken_back() {
    let mut topology = Topology::new();
    let admin = topology.edge.address("admin");
    let next = "node_build_info{script=\"gateway\",build=\"next\",environment=\"production\"} ";

    let release = "environment = \"production\"\n[gateway]\nbuild = \"next\"\npercent = 50\n";
    let misspelt = topology.release(&release.replace("next", "nxt"));
    let said = String::from_utf8_lossy(&misspelt.stderr);
    assert!(!misspelt.status.success() && misspelt.stdout.is_empty(), "{misspelt:?}");
    let reason = "environment production, line 3, gateway.build: there is no build \"nxt\"; did you mean \"next\"?";
    assert!(said.contains(reason), "{said}");
    assert_eq!(metric(admin, next), None, "nothing of it was done");

    assert!(topology.release(release).status.success());
    until(admin, next, 1);
    let back = topology.release("environment = \"production\"\nrollback = \"gateway\"\n");
    assert!(back.status.success(), "{back:?}");
    until(admin, next, 0);
    let again = topology.release("environment = \"production\"\nrollback = \"gateway\"\n");
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("no release of gateway is there to be rolled back"), "{said}");
}

#[test]
fn breaking_the_glass_passes_the_login_and_nothing_else() {
    let mut topology = Topology::new();
    let admin = topology.edge.address("admin");
    let next = "node_build_info{script=\"gateway\",build=\"next\",environment=\"production\"} ";
    let glass = "break_glass = \"the login is down\"\n[gateway]\nbuild = \"next\"\npercent = 50\n";

    let elsewhere = topology.release(&format!("environment = \"staging\"\n{glass}"));
    let said = String::from_utf8_lossy(&elsewhere.stderr);
    assert!(!elsewhere.status.success(), "{elsewhere:?}");
    assert!(said.contains("this is production, and the release is for staging"), "{said}");
    let for_nothing = glass.replace("the login is down", "");
    let reasonless = topology.release(&format!("environment = \"production\"\n{for_nothing}"));
    let said = String::from_utf8_lossy(&reasonless.stderr);
    assert!(said.contains("line 2, break_glass: it gives no reason"), "{said}");
    assert_eq!(metric(admin, next), None, "nothing of it was done");

    let file = topology.folder.path().join("unsigned.toml");
    std::fs::write(&file, format!("environment = \"production\"\n{glass}")).unwrap();
    let key = topology.key(&"1f".repeat(32));
    let at = topology.control.address("control").to_string();
    let [key, file] = [&key, &file].map(|path| path.to_str().unwrap());
    let release = ["release", "--by", "a stranger", file];
    let said = run(&[&["change", "--control", &at, "--secret-file", key], &release[..]].concat());
    assert!(said.code == Some(2) && said.stderr.contains("another secret"), "{}", said.stderr);
    assert_eq!(metric(admin, next), None, "a reason is no signature");

    assert!(topology.release(&format!("environment = \"production\"\n{glass}")).status.success());
    until(admin, next, 1);
}
