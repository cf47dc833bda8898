//! A repository of two short scenarios, and the engine as whoever cleans up after a lab sees it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A lab has the machine to itself, and whoever looks for what it left looks at all.
static ALONE: Mutex<()> = Mutex::new(());

const SLICE: &str = r#"Feature: A short slice
  Scenario: half a minute
    Given the topology "small" with its traffic and without noise
    And the replay starts at 2023-07-11 12:00
    And customers send 10 requests a second
    And containers run it 10 times as fast
    When 5 minutes pass
    Then no request fails
"#;

const PLAIN: &str = r#"Feature: Plain
  Scenario: a few minutes
    Given the topology "small" with its traffic and without noise
    And the replay starts at 2023-07-11 12:00
    When 5 minutes pass
    Then no request fails
"#;

pub(crate) struct Rig {
    folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// On both outputs.
    pub(crate) said: String,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        copy(&repository.join("features/topologies"), &folder.path().join("features/topologies"));
        copy(
            &repository.join("dashboards/prometheus"),
            &folder.path().join("dashboards/prometheus"),
        );
        std::fs::copy(
            repository.join("features/builds.toml"),
            folder.path().join("features/builds.toml"),
        )
        .unwrap();
        std::fs::write(folder.path().join("features/slice.feature"), SLICE).unwrap();
        std::fs::write(folder.path().join("features/plain.feature"), PLAIN).unwrap();
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self { folder, _alone: alone }
    }

    /// A rig where containers can run; otherwise says so once, or fails where they are required.
    pub(crate) fn with_engine() -> Option<Self> {
        static LACKING: OnceLock<Option<String>> = OnceLock::new();
        let lacking = LACKING.get_or_init(|| {
            let lacking = lacking();
            if let Some(lacking) = &lacking {
                say(&format!("THE CONTAINERS LAB IS NOT TESTED: {lacking}"));
            }
            lacking
        });
        match lacking {
            None => Some(Self::new()),
            Some(lacking) => {
                let required = std::env::var("RELAPSE_REQUIRE_DOCKER").as_deref() == Ok("1");
                assert!(!required, "{lacking}");
                None
            }
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn relapse(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relapse"));
        command.args(arguments).current_dir(self.root()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Containers, networks, volumes and unfinished runs that are left.
    pub(crate) fn left(&self) -> String {
        let label = "label=relapse.run";
        let docker = [
            docker(&["ps", "--all", "--filter", label, "--format", "container {{.Names}}"]),
            docker(&["network", "ls", "--filter", label, "--format", "network {{.Name}}"]),
            docker(&["volume", "ls", "--filter", label, "--format", "volume {{.Name}}"]),
        ];
        let runs = std::fs::read_dir(self.root().join(".relapse/runs"));
        let names = runs.into_iter().flatten().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        let unfinished = names.filter(|name| name.starts_with('.'));
        let lines = docker.iter().flat_map(|text| text.lines()).map(str::to_owned);
        lines.chain(unfinished).collect::<Vec<_>>().join("\n")
    }
}

/// The name of an image: what a variable names, or what `.ci/images` calls it.
pub(crate) fn image(variable: &str) -> String {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let names = std::fs::read_to_string(repository.join("lab/local.env")).unwrap();
    let mut lines = names.lines().filter_map(|line| line.split_once('='));
    let known = lines.find(|(name, _)| *name == variable).unwrap().1;
    std::env::var(variable).unwrap_or_else(|_| known.to_owned())
}

/// Runs a command to its end.
pub(crate) fn end(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Ended { code: output.status.code(), said: String::from_utf8_lossy(&said).into_owned() }
}

/// Waits until a container of a lab runs.
pub(crate) fn until_a_container_runs() {
    while docker(&["ps", "--quiet", "--filter", "label=relapse.run"]).is_empty() {
        std::thread::yield_now();
    }
}

/// A line that is seen also where the tests pass.
fn say(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}

/// What containers cannot do without.
fn lacking() -> Option<String> {
    let answers = |arguments: &[&str]| {
        let output = Command::new("docker").args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !answers(&["version"]) {
        return Some("no Docker engine answers; see .ci/engine".to_owned());
    }
    ["RELAPSE_NODE_IMAGE", "RELAPSE_LIAR_IMAGE"]
        .map(image)
        .iter()
        .find(|image| !answers(&["image", "inspect", image]))
        .map(|image| format!("there is no image {image}; see .ci/images"))
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn copy(from: &Path, to: &Path) {
    relapse::runs::copy(from, to).unwrap();
}

/// What Ctrl-C does.
pub(crate) fn interrupt(run: &Child) {
    let process = nix::unistd::Pid::from_raw(i32::try_from(run.id()).unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGINT).unwrap();
}

/// Moments that are drawn anew each time; a failure tells the seed.
pub(crate) struct Draws {
    pub(crate) seed: u64,
    state: u64,
}

impl Draws {
    pub(crate) fn new() -> Self {
        let seed = std::env::var("RELAPSE_SEED").map_or_else(
            |_| {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                u64::from(now.unwrap().subsec_nanos())
            },
            |seed| seed.parse().unwrap(),
        );
        Self { seed, state: seed }
    }

    /// The next number of `SplitMix64`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A disk of 64 KiB over a folder, for as long as this lives. Only root can have one.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn over(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "relapse"])
            .arg(folder)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        say("A FULL DISK IS NOT TESTED: only root can mount one");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
