//! `relapse parity`.

use std::path::Path;

use clap::Args;

use super::{Chosen, complain, counted, out, scenarios};
use crate::exit::Exit;
use crate::judge::{Judge, Verdict};
use crate::lab::Kind;
use crate::parity::{Parity, Side};
use crate::recording::{Recording, RecordingError};
use crate::report::{self, Watcher};
use crate::runs::{self, Plan, Run, Store};
use crate::spec::Scenario;

#[derive(Debug, Args)]
pub(super) struct Compare {
    #[command(flatten)]
    chosen: Chosen,
    /// All chance that labs have of their own comes from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// With how many seeds the simulated lab replays it: an alert that does not fire with all of them hangs on chance
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
}

pub(super) fn parity(root: &Path, args: &Compare) -> Exit {
    let slices: Vec<Scenario> = match scenarios(root, &args.chosen) {
        Ok(all) => all.into_iter().filter(|scenario| scenario.spec.speed.is_some()).collect(),
        Err(exit) => return exit,
    };
    if slices.is_empty() {
        let said = "none of these scenarios says how fast containers run it";
        return complain(said, Exit::Specification);
    }
    let binary = match runs::binary_hash() {
        Ok(binary) => binary,
        Err(error) => {
            return complain(&format!("this program cannot be read: {error}"), Exit::Environment);
        }
    };
    out(&format!(
        "relapse: {} in both labs; seed {}",
        counted(slices.len(), "scenario"),
        args.seed
    ));
    let store = Store::of(root);
    let of = |lab, seed| runs::distinct(&slices, lab, seed, &binary);
    let simulated = (0..args.seeds).map(|at| of(Kind::Simulated, args.seed.wrapping_add(at)));
    let runs: Vec<Run> =
        simulated.chain([of(Kind::Containers, args.seed)]).collect::<Vec<_>>().concat();
    let mut watcher = Watcher::new(&runs);
    let plan = Plan { runs: &runs, jobs: 1, again: false, store: &store };
    let mut exit = runs::execute(&plan, |event| watcher.event(event));
    if exit != Exit::Pass {
        return complain("not every run came to its end", exit);
    }
    for (at, scenario) in slices.iter().enumerate() {
        exit = exit.or(compare(&store, (at, scenario), &runs));
    }
    out(match exit {
        Exit::Pass => "relapse: both labs tell the same",
        Exit::Failed => "relapse: the labs do not tell the same",
        _ => "relapse: it cannot be said whether the labs tell the same",
    });
    exit
}

fn compare(store: &Store, (at, scenario): (usize, &Scenario), runs: &[Run]) -> Exit {
    let read = |lab| -> Result<Vec<Recording>, RecordingError> {
        let runs = runs.iter().filter(|run| run.lab == lab && run.scenarios.contains(&at));
        runs.map(|run| Recording::read(&store.run(&run.hash).join("recording"))).collect()
    };
    let (simulated, contained) = match (read(Kind::Simulated), read(Kind::Containers)) {
        (Ok(simulated), Ok(contained)) => (simulated, contained),
        (Err(error), _) | (_, Err(error)) => {
            return complain(&error.to_string(), Exit::Environment);
        }
    };
    let (Some((one, others)), [other]) = (simulated.split_first(), &contained[..]) else {
        return complain("a run is missing", Exit::Environment);
    };
    let judgements = [one, other].map(|recording| Judge::new(recording).scenario(scenario));
    let sides = [(&judgements[0], one), (&judgements[1], other)]
        .map(|(judgement, recording)| Side { judgement, recording });
    let parity = Parity::of(scenario, sides, others);
    out(&report::parity(scenario, [&judgements[0], &judgements[1]], &parity));
    let verdicts = judgements.each_ref().map(|judgement| judgement.verdict);
    match verdicts {
        [Verdict::Inconclusive, _] | [_, Verdict::Inconclusive] => Exit::Inconclusive,
        [a, b] if a != b || !parity.holds() => Exit::Failed,
        _ => Exit::Pass,
    }
}
