//! Runs in processes of their own: each has its panic hook and its memory to itself, and a kill ends all of it.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::about::{self, About, Stopwatch};
use super::{Run, Store};
use crate::exit::Exit;
use crate::lab::{self, Kind, LabError, Progress};
use crate::spec::Spec;

/// What happens while runs are under way.
#[derive(Debug)]
pub enum Event {
    /// A run is further on.
    Progress(usize, Progress),
    /// A run came to its end, or was there already. It is read now.
    Finished(usize, Box<About>, bool),
    /// A run did not come to its end.
    Failed(usize, String),
    /// Someone pressed the key.
    Interrupted,
}

/// What is to be run and how.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The runs.
    pub runs: &'a [Run],
    /// How many at once.
    pub jobs: usize,
    /// Whether a run that was done before is done again.
    pub again: bool,
    /// Where they are kept.
    pub store: &'a Store,
}

/// What a child says on its standard output, one JSON line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Progress(Progress),
    Done(Box<About>),
}

type Children = Arc<Mutex<Vec<(usize, Child)>>>;

/// How a run that came to its end is read, such as by judging it: given its place among the runs, and what is known of it.
pub type Reader<T> = Arc<dyn Fn(usize, &About) -> T + Send + Sync>;

/// What a reader panicked with.
type Panic = Box<dyn Any + Send>;

/// What the supervisor hears of.
enum Heard<T> {
    Event(Event),
    /// What reading a run came to.
    Read(usize, Result<T, Panic>),
}

/// Executes runs, each in a child process, and tells what happens. Ends with every child.
///
/// Returns [`Exit::Interrupted`] after an interruption, [`Exit::Environment`] where a run failed.
pub fn execute(plan: &Plan<'_>, tell: impl FnMut(&Event)) -> Exit {
    let nothing: Reader<()> = Arc::new(|_, _| ());
    execute_and_read(plan, &nothing, tell).0
}

/// The same, with every run read as soon as it is there and while others are under way: reading takes the place of the run among
/// those that may go on at once. What it came to stands at the run's place; none where the run did not come to its end.
pub fn execute_and_read<T: Send + 'static>(
    plan: &Plan<'_>,
    reader: &Reader<T>,
    mut tell: impl FnMut(&Event),
) -> (Exit, Vec<Option<T>>) {
    let (heard, hears) = channel();
    let interrupts = heard.clone();
    listen(Some(Box::new(move || {
        // Who no longer listens has come to its end.
        let _ = interrupts.send(Heard::Event(Event::Interrupted));
    })));
    let children: Children = Arc::default();
    let mut read: Vec<Option<T>> = plan.runs.iter().map(|_| None).collect();
    let mut supervisor = Supervisor { plan, reader, heard, children: &children, running: 0 };
    let ended = supervisor.supervise(&hears, &mut read, &mut tell);
    listen(None);
    // It may have come when nothing was under way any more.
    let interrupted =
        hears.try_iter().any(|heard| matches!(heard, Heard::Event(Event::Interrupted)));
    for (_, child) in children.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
        // One that has ended cannot be killed, which is as well.
        let _ = child.kill();
        let _ = child.wait();
    }
    if !matches!(ended, Ok(Exit::Pass)) {
        for run in plan.runs {
            // What is not there need not be removed.
            let _ = std::fs::remove_dir_all(plan.store.unfinished(&run.hash));
        }
    }
    // What a lab was making when it was killed it can no longer remove.
    let contained = plan.runs.iter().any(|run| run.lab == Kind::Containers);
    let swept = if contained { swept() } else { Exit::Pass };
    match ended {
        Ok(exit) => (if interrupted { Exit::Interrupted } else { exit }.or(swept), read),
        Err(panic) => resume_unwind(panic),
    }
}

/// Who is told when somebody presses the key. A handler can be set only once a process, and runs are executed more often.
type Listener = Box<dyn Fn() + Send>;
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);

fn listen(listener: Option<Listener>) {
    *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = listener;
    // Whoever set it first keeps it, which is always this.
    let _ = ctrlc::set_handler(|| {
        match &*LISTENER.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(tell) => tell(),
            // Nothing is under way, and so nothing is left to be stopped.
            None => std::process::exit(i32::from(Exit::Interrupted.code())),
        }
    });
}

/// Removes the containers of labs that have ended. Without an engine there are none.
fn swept() -> Exit {
    match lab::containers::sweep(false) {
        Ok(_) | Err(LabError::NoEngine(_)) => Exit::Pass,
        Err(_) => Exit::Environment,
    }
}

/// Ends this process when its parent does, however that ends: then nobody is left to be told anything.
fn end_with_parent() {
    std::thread::spawn(|| {
        // Nothing is ever written there.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(i32::from(Exit::Interrupted.code()));
    });
}

struct Supervisor<'a, T> {
    plan: &'a Plan<'a>,
    reader: &'a Reader<T>,
    heard: Sender<Heard<T>>,
    children: &'a Children,
    /// Runs under way, and those that are read.
    running: usize,
}

impl<T: Send + 'static> Supervisor<'_, T> {
    fn supervise(
        &mut self,
        hears: &Receiver<Heard<T>>,
        read: &mut [Option<T>],
        tell: &mut impl FnMut(&Event),
    ) -> Result<Exit, Panic> {
        let mut exit = Exit::Pass;
        let mut waiting: VecDeque<usize> = (0..self.plan.runs.len()).collect();
        loop {
            exit = exit.or(self.fill(&mut waiting, tell));
            if self.running == 0 {
                return Ok(exit);
            }
            let mut event = match hears.recv() {
                Ok(Heard::Event(event)) => event,
                Ok(Heard::Read(at, Ok(found))) => {
                    self.running -= 1;
                    read[at] = Some(found);
                    continue;
                }
                Ok(Heard::Read(_, Err(panic))) => return Err(panic),
                Err(_) => return Ok(exit),
            };
            match &event {
                Event::Progress(..) => {}
                Event::Interrupted => return Ok(Exit::Interrupted),
                Event::Finished(at, about, _) => {
                    take_leave(self.children, *at);
                    match self.plan.store.keep(&self.plan.runs[*at].hash) {
                        Ok(()) => self.read(*at, about),
                        Err(error) => {
                            self.running -= 1;
                            event = Event::Failed(*at, format!("the run cannot be kept: {error}"));
                            exit = exit.or(Exit::Environment);
                        }
                    }
                }
                Event::Failed(at, _) => {
                    self.running -= 1;
                    take_leave(self.children, *at);
                    let unfinished = self.plan.store.unfinished(&self.plan.runs[*at].hash);
                    let _ = std::fs::remove_dir_all(unfinished);
                    exit = exit.or(Exit::Environment);
                }
            }
            tell(&event);
        }
    }

    /// Begins what waits until as much is under way as may be.
    fn fill(&mut self, waiting: &mut VecDeque<usize>, tell: &mut impl FnMut(&Event)) -> Exit {
        let mut exit = Exit::Pass;
        while self.running < self.plan.jobs.max(1)
            && let Some(at) = waiting.pop_front()
        {
            let run = &self.plan.runs[at];
            if !self.plan.again
                && run.lab == Kind::Simulated
                && let Some(about) = self.plan.store.known(&run.hash)
            {
                self.running += 1;
                self.read(at, &about);
                tell(&Event::Finished(at, Box::new(about), true));
                continue;
            }
            match begin(self.plan, at, &self.heard) {
                Ok(child) => {
                    let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
                    children.push((at, child));
                    self.running += 1;
                }
                Err(error) => {
                    tell(&Event::Failed(at, error.to_string()));
                    exit = exit.or(Exit::Environment);
                }
            }
        }
        exit
    }

    /// Has a run read. Nobody waits for readers after an interruption: they end with the process.
    fn read(&self, at: usize, about: &About) {
        let (reader, heard, about) = (Arc::clone(self.reader), self.heard.clone(), about.clone());
        std::thread::spawn(move || {
            let found = catch_unwind(AssertUnwindSafe(|| reader(at, &about)));
            // Who no longer listens is about to end us.
            let _ = heard.send(Heard::Read(at, found));
        });
    }
}

/// Waits for a child that has closed its output, and so is about to end: else its process would stay in the system's table until
/// we end.
fn take_leave(children: &Children, at: usize) {
    let mut children = children.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = children.iter().position(|(of, _)| *of == at) {
        let (_, mut child) = children.swap_remove(place);
        // Who cannot be waited for has gone.
        let _ = child.wait();
    }
}

fn begin<T: Send + 'static>(
    plan: &Plan<'_>,
    at: usize,
    heard: &Sender<Heard<T>>,
) -> std::io::Result<Child> {
    let run = &plan.runs[at];
    let folder = plan.store.unfinished(&run.hash);
    std::fs::create_dir_all(&folder)?;
    let spec = folder.join("spec.json");
    std::fs::write(&spec, serde_json::to_vec(&run.spec)?)?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("lab-run")
        .arg(&spec)
        .args([
            "--on",
            run.lab.name(),
            "--seed",
            &run.seed.to_string(),
            "--hash",
            &run.hash,
            "--out",
        ])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(std::io::Error::other("the child has no output"));
    };
    let heard = heard.clone();
    std::thread::spawn(move || {
        let mut done = None;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(Line::Progress(progress)) => {
                    // Who no longer listens is about to end us.
                    let _ = heard.send(Heard::Event(Event::Progress(at, progress)));
                }
                Ok(Line::Done(about)) => done = Some(about),
                Err(_) => {}
            }
        }
        let event = match done {
            Some(about) => Event::Finished(at, about, false),
            None => {
                let said: Vec<String> =
                    BufReader::new(stderr).lines().map_while(Result::ok).take(20).collect();
                Event::Failed(at, format!("the lab ended early: {}", said.join("\n")))
            }
        };
        let _ = heard.send(Heard::Event(event));
    });
    Ok(child)
}

/// The child's side: runs one spec and says how far it is.
pub fn lab_run(
    lab: Kind,
    (spec, seed): (&Path, u64),
    hash: &str,
    out: &Path,
) -> Result<(), String> {
    end_with_parent();
    let watch = Stopwatch::start();
    let calibration_ms = about::calibrate();
    let bytes = std::fs::read(spec).map_err(|error| format!("{}: {error}", spec.display()))?;
    let spec: Spec = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let recording: PathBuf = out.join("recording");
    let mut stdout = std::io::stdout().lock();
    let mut say = move |line: &Line| {
        // A parent that has gone reads no more; the run goes on to its end all the same.
        let _ = serde_json::to_writer(&mut stdout, line);
        let _ = stdout.write_all(b"\n").and_then(|()| stdout.flush());
    };
    let lab = lab.lab(seed, hash, out);
    let (recording_bytes, last) = lab::run(lab, (&spec, seed), &recording, |progress| {
        say(&Line::Progress(progress));
    })
    .map_err(|error| error.to_string())?;
    let (cpu_s, memory_mb) = about::usage();
    let about = About {
        hash: hash.to_owned(),
        seed,
        commit: about::commit(),
        host: about::host(),
        wall_s: watch.seconds(),
        cpu_s,
        monitoring_s: lab::cost::monitoring_s(),
        memory_mb,
        incident_s: spec.end.since(spec.start).as_secs_f64(),
        requests: last.requests,
        failures: last.failures,
        recording_bytes,
        asked: kv_node::safeguards::asked(),
        calibration_ms,
    };
    let json = serde_json::to_vec_pretty(&about).map_err(|error| error.to_string())?;
    std::fs::write(out.join("run.json"), json).map_err(|error| error.to_string())?;
    say(&Line::Done(Box::new(about)));
    Ok(())
}
