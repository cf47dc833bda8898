//! A `kv-node` that dies with its handle.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that listens.
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
    said: String,
}

/// What became of a process that ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-node"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// `kv-node dev` on free ports.
pub(crate) fn dev(more: &[&str]) -> Process {
    let mut arguments = vec!["dev"];
    for option in ["--listen", "--binding-listen", "--admin-listen"] {
        arguments.extend([option, "127.0.0.1:0"]);
    }
    arguments.extend(more);
    let mut process = Process::start(&arguments);
    process.wait_for("workerd");
    process
}

/// Runs it to its end, which comes by itself.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    let output = command(arguments).stderr(Stdio::piped()).output().unwrap();
    Ended { code: output.status.code(), stderr: String::from_utf8(output.stderr).unwrap() }
}

impl Process {
    /// Starts it. What it says on stderr is for whoever looks at a failing test only if it does not start.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, said: String::new() }
    }

    /// Reads until a line begins with a word; that line without it.
    pub(crate) fn wait_for(&mut self, word: &str) -> String {
        loop {
            let told = |said: &str| {
                let line = said.lines().find(|line| line.split(' ').next() == Some(word))?;
                Some(line[word.len()..].trim().to_owned())
            };
            if let Some(rest) = told(&self.said) {
                return rest;
            }
            let before = self.said.len();
            self.lines.read_line(&mut self.said).unwrap();
            assert!(self.said.len() > before, "it ended without {word:?}: {}", self.said);
        }
    }

    /// Where a listener is.
    pub(crate) fn address(&mut self, listener: &str) -> SocketAddr {
        let url = self.wait_for(listener);
        let authority = url.strip_prefix("http://").unwrap();
        authority.split('/').next().unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn memory_max(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
    }

    /// Waits for its end; the exit code, `None` after a kill.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        self.lines.read_to_string(&mut self.said).unwrap();
        code
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
