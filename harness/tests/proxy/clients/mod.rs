//! A published client of Toxiproxy. What is asserted stands in `drive.py`.
//!
//! It is installed below the target folder, once, from the package registry. Where that cannot be done a loud line says so
//! and nothing is tested; with `CI=true` that is a failure.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::Process;

const REQUIREMENTS: &str = include_str!("requirements.txt");

#[test]
fn the_python_client_of_toxiproxy_drives_every_operation() {
    let python = match installed() {
        Ok(folder) => folder.join("bin/python"),
        Err(problem) => return not_tested(&problem),
    };
    let process = Process::start(&[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/clients/drive.py");
    let (host, port) = (process.api.ip().to_string(), process.api.port().to_string());
    let output = Command::new(python).args([script, &host, &port]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
}

fn not_tested(problem: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot be tested: {problem}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    // Past the test harness, which keeps what passes to itself.
    writeln!(std::io::stderr().lock(), "NOT TESTED: {test}: {problem}").unwrap();
}

/// A folder with a Python that has what is required, or in one line why there is none.
fn installed() -> Result<PathBuf, String> {
    let version = run(Command::new("python3").arg("--version"))?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("proxy-clients");
    // Programs of a Python know where they are: a folder that was moved is made anew.
    let wanted = format!("{}\n{version}{REQUIREMENTS}", folder.display());
    let mark = folder.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let file = folder.join("requirements.txt");
    fs::write(&file, REQUIREMENTS).unwrap();
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    run(pip.arg(file))?;
    fs::write(mark, wanted).unwrap();
    Ok(folder)
}

/// What it printed, or the last line of what it complained of.
fn run(command: &mut Command) -> Result<String, String> {
    let name = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let complained = said + &String::from_utf8_lossy(&output.stderr);
    let last = complained.lines().rfind(|line| !line.trim().is_empty());
    Err(format!("{name}: {}", last.unwrap_or("it failed")))
}
