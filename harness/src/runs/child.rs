//! Runs in processes of their own: each has its panic hook and its memory to itself, and a kill ends all of it.

use std::io::{BufRead, BufReader, Write};
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
    /// A run came to its end, or was there already.
    Finished(usize, Box<About>, bool),
    /// A run did not.
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

/// Executes runs, each in a child process, and tells what happens. Ends with every child.
///
/// Returns [`Exit::Interrupted`] after an interruption, [`Exit::Environment`] where a run failed.
pub fn execute(plan: &Plan<'_>, mut tell: impl FnMut(&Event)) -> Exit {
    let (events, told) = channel();
    let interrupts = events.clone();
    // A handler can be set once a process; whoever set it first keeps it.
    let _ = ctrlc::set_handler(move || {
        // Once the runs are done nobody listens, and nothing is left to be stopped.
        if interrupts.send(Event::Interrupted).is_err() {
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
    });
    let children: Children = Arc::default();
    let exit = supervise(plan, &events, &told, &children, &mut tell);
    for (_, child) in children.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
        // One that has ended cannot be killed, which is as well.
        let _ = child.kill();
        let _ = child.wait();
    }
    // What a lab was making when it was killed it can no longer remove.
    if plan.runs.iter().any(|run| run.lab == Kind::Containers) {
        return exit.or(swept());
    }
    exit
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

fn supervise(
    plan: &Plan<'_>,
    events: &Sender<Event>,
    told: &Receiver<Event>,
    children: &Children,
    tell: &mut impl FnMut(&Event),
) -> Exit {
    let mut exit = Exit::Pass;
    let mut waiting = (0..plan.runs.len()).collect::<std::collections::VecDeque<_>>();
    let mut running = 0;
    loop {
        while running < plan.jobs.max(1)
            && let Some(at) = waiting.pop_front()
        {
            let run = &plan.runs[at];
            if !plan.again
                && run.lab == Kind::Simulated
                && let Some(about) = plan.store.known(&run.hash)
            {
                tell(&Event::Finished(at, Box::new(about), true));
                continue;
            }
            match begin(plan, at, events) {
                Ok(child) => {
                    children.lock().unwrap_or_else(PoisonError::into_inner).push((at, child));
                    running += 1;
                }
                Err(error) => {
                    tell(&Event::Failed(at, error.to_string()));
                    exit = exit.or(Exit::Environment);
                }
            }
        }
        if running == 0 {
            return exit;
        }
        let Ok(mut event) = told.recv() else { return exit };
        match &event {
            Event::Progress(..) => {}
            Event::Interrupted => {
                for run in plan.runs {
                    // What is not there need not be removed.
                    let _ = std::fs::remove_dir_all(plan.store.unfinished(&run.hash));
                }
                return Exit::Interrupted;
            }
            Event::Finished(at, ..) => {
                running -= 1;
                take_leave(children, *at);
                if let Err(error) = plan.store.keep(&plan.runs[*at].hash) {
                    event = Event::Failed(*at, format!("the run cannot be kept: {error}"));
                    exit = exit.or(Exit::Environment);
                }
            }
            Event::Failed(at, _) => {
                running -= 1;
                take_leave(children, *at);
                let _ = std::fs::remove_dir_all(plan.store.unfinished(&plan.runs[*at].hash));
                exit = exit.or(Exit::Environment);
            }
        }
        tell(&event);
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

fn begin(plan: &Plan<'_>, at: usize, events: &Sender<Event>) -> std::io::Result<Child> {
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
    let events = events.clone();
    std::thread::spawn(move || {
        let mut done = None;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(Line::Progress(progress)) => {
                    // Who no longer listens is about to end us.
                    let _ = events.send(Event::Progress(at, progress));
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
        let _ = events.send(event);
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
