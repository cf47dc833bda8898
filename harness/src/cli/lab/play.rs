//! An incident's timeline in the live lab, in real time, and what fires meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{complain, err, out};
use super::{LOOK_EVERY, heal};
use crate::exit::Exit;
use crate::live::status::Alert;
use crate::live::{Compose, LiveError, Services, act, status, wait};
use crate::runs::about::{Stopwatch, wall};
use crate::spec::time::{self, IncidentTime};
use crate::spec::{Planned, Scenario};

/// How often the lab's Prometheus is asked what fires while something is injected.
const ALERTS_EVERY_S: f64 = 5.0;

/// Plays a scenario's timeline in real time, and tells what fires meanwhile. Whoever interrupts it has it healed.
pub(super) fn play(compose: &Compose, scenario: &Scenario) -> Result<Exit, LiveError> {
    let services = compose.up()?;
    let spec = &scenario.spec;
    let runs = services.build().unwrap_or_default();
    let wanted = spec.build.id.as_str();
    if runs != wanted {
        err(&format!(
            "relapse: this incident is one of build {wanted}, and the lab runs {runs}: relapse lab up --build {wanted}"
        ));
    }
    let Some(begin) = spec.timeline.first().map(|planned| planned.at) else {
        return Ok(complain("nothing happens in this scenario", Exit::Specification));
    };
    let minutes = spec.end.since(begin).as_secs().div_ceil(60);
    out(&format!("{}: {} ({minutes} minutes)", scenario.place, scenario.title()));
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    // Without it an interrupt ends the process at once, as ever.
    let _ = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed));
    match play_to_the_end(compose, (&spec.timeline, begin, spec.end), &interrupted) {
        Ok(true) => {
            out(&format!("{}  the end; `relapse lab heal` undoes it", now()));
            Ok(Exit::Pass)
        }
        Err(error) if !interrupted.load(Ordering::Relaxed) => {
            err("relapse: it cannot go on: healing");
            heal(compose)?;
            Err(error)
        }
        // What is under way is interrupted as well, and fails.
        Ok(false) | Err(_) => {
            err("relapse: interrupted: healing");
            heal(compose)?;
            Ok(Exit::Interrupted)
        }
    }
}

/// False where it was interrupted.
fn play_to_the_end(
    compose: &Compose,
    (timeline, begin, end): (&[Planned], IncidentTime, IncidentTime),
    interrupted: &AtomicBool,
) -> Result<bool, LiveError> {
    let watch = Stopwatch::start();
    let mut watched = Watched { firing: firing(&compose.up()?)?, at_s: 0.0 };
    let mut wait = |until: IncidentTime| {
        while watch.seconds() < until.since(begin).as_secs_f64() {
            if interrupted.load(Ordering::Relaxed) {
                return false;
            }
            watched.look(compose, watch.seconds());
            wait(LOOK_EVERY);
        }
        true
    };
    for planned in timeline {
        if !wait(planned.at) {
            return Ok(false);
        }
        let done = act::apply(compose, &compose.up()?, &planned.action)?;
        out(&format!("{}  {}: {done}", now(), planned.action.text()));
    }
    Ok(wait(end))
}

fn now() -> String {
    time::clock(wall())
}

fn firing(services: &Services) -> Result<BTreeSet<Alert>, LiveError> {
    let alerts = status::alerts(services)?;
    Ok(alerts.into_iter().filter(|alert| alert.state == "firing").collect())
}

/// What fires, as it was told last.
struct Watched {
    firing: BTreeSet<Alert>,
    at_s: f64,
}

impl Watched {
    fn look(&mut self, compose: &Compose, at_s: f64) {
        if at_s - self.at_s < ALERTS_EVERY_S {
            return;
        }
        self.at_s = at_s;
        let firing = match compose.up().and_then(|services| firing(&services)) {
            Ok(firing) => firing,
            // Who is asked too early or too much is asked again.
            Err(error) => return err(&format!("{}  {error}", now())),
        };
        for alert in firing.difference(&self.firing) {
            out(&format!("{}  fires: {}", now(), alert.text()));
        }
        for alert in self.firing.difference(&firing) {
            out(&format!("{}  no longer fires: {}", now(), alert.text()));
        }
        self.firing = firing;
    }
}
