//! Our engine against the real Prometheus, where that is installed: the same answers to queries, the same alerts.
//!
//! Debian's package is 2.42, so both sides speak that dialect here. Where `prometheus` or `promtool` is missing a loud line
//! says so and nothing is compared.

mod alerts;
mod queries;
mod server;

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Whether the real one is here; says so where it is not. Written past the test harness, which keeps what passes to itself.
fn installed() -> bool {
    let missing = ["promtool", "prometheus"]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(program) = missing {
        say(&format!("NOT COMPARED WITH PROMETHEUS: {program} is not installed"));
    }
    missing.is_none()
}

fn say(line: &str) {
    let mut err = std::io::stderr().lock();
    writeln!(err, "{line}").unwrap();
}

/// Runs `promtool` in a folder; whether it was content, and what it said.
fn promtool(folder: &Path, args: &[&str]) -> (bool, String) {
    let output = Command::new("promtool").args(args).current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
