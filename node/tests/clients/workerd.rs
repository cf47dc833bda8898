//! A Worker in workerd, bound to a node by what `kv-node dev` prints for it. What is asserted stands in `worker.js`.

use std::fs;

use crate::TOKEN;
use crate::process::dev;
use crate::tools::{command, node, succeed};

#[test]
fn a_worker_uses_its_binding() {
    if !node() {
        return;
    }
    let mut node = dev(&["--token", TOKEN]);
    let service = node.wait_for("workerd");
    let config = format!(
        r#"
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [
  (name = "main", worker = .worker),
  {service}
]);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-01-01",
  bindings = [(name = "KV", kvNamespace = "kv")]
);
"#
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("worker.js"), include_str!("worker.js")).unwrap();
    fs::write(folder.path().join("config.capnp"), config).unwrap();
    succeed(command(&["workerd", "test", "config.capnp"]).current_dir(folder.path()));
}
