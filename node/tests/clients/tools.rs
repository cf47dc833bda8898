//! Programs of others, each kind in a folder of its own below the target folder.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

const REQUIREMENTS: &str = include_str!("requirements.txt");
const PACKAGES: &str = include_str!("package.json");

/// What could be installed, or in one line why not.
type Installed = LazyLock<Result<PathBuf, String>>;

static PYTHON: Installed = LazyLock::new(|| {
    let version = run(Command::new("python3").arg("--version"))?;
    kept("python", &format!("{version}{REQUIREMENTS}"), |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let file = folder.join("requirements.txt");
        fs::write(&file, REQUIREMENTS).unwrap();
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        run(pip.arg(file)).map(drop)
    })
});

static NODE: Installed = LazyLock::new(|| {
    PYTHON.as_ref()?;
    kept("node", &format!("{REQUIREMENTS}{PACKAGES}"), |folder| {
        fs::write(folder.join("package.json"), PACKAGES).unwrap();
        let mut npm = command(&["npm", "install", "--silent", "--no-audit", "--no-fund"]);
        // Nothing of a package runs before a test does.
        run(npm.arg("--ignore-scripts").current_dir(folder)).map(drop)
    })
});

/// Whether there is a Python with what `requirements.txt` names; says so where there is none.
pub(crate) fn python() -> bool {
    told(&PYTHON)
}

/// The same of a Node.js with what `package.json` names.
pub(crate) fn node() -> bool {
    told(&NODE)
}

fn told(installed: &'static Installed) -> bool {
    let Err(problem) = &**installed else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot be tested: {problem}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    // Past the test harness, which keeps what passes to itself.
    writeln!(std::io::stderr().lock(), "NOT TESTED: {test}: {problem}").unwrap();
    false
}

/// A program that finds the installed ones before those of the machine.
pub(crate) fn command(words: &[&str]) -> Command {
    let folders = [folder("node").join("node_modules/.bin"), folder("python").join("bin")];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)));
    // Here already, for what it starts as well.
    let mut command = Command::new("env");
    command.arg(format!("PATH={}", path.unwrap().to_str().unwrap())).args(words);
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end, which is a success; what it printed.
pub(crate) fn succeed(command: &mut Command) -> Vec<u8> {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{said}\n{complained}");
    stdout
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(name)
}

/// Installs what is wanted into a folder, unless it is there already.
fn kept(
    name: &str,
    wanted: &str,
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let folder = folder(name);
    // Programs of a Python know where they are: a folder that was moved is made anew.
    let wanted = format!("{}\n{wanted}", folder.display());
    let mark = folder.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    install(&folder)?;
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
