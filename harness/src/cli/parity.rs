//! `relapse parity`.

use std::path::Path;

use clap::Args;

use super::{Chosen, complain, cores, counted, out, scenarios};
use crate::exit::Exit;
use crate::judge::{Judge, Verdict};
use crate::lab::Kind;
use crate::parity::{Fired, Parity, Side, first_fired};
use crate::recording::Recording;
use crate::report::{self, Watcher};
use crate::runs::{self, Plan, Run, Store};
use crate::spec::Scenario;

/// Where alerts alone differ, the simulated lab replays with so many times as many seeds before that is said.
const IN_DOUBT: u64 = 4;

#[derive(Debug, Args)]
pub(super) struct Compare {
    #[command(flatten)]
    chosen: Chosen,
    /// All chance that labs have of their own comes from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// With how many seeds the simulated lab replays it, and four times as many where alerts differ: an alert that does not fire
    /// with all of them hangs on chance
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
        let compared = compare(&store, (at, scenario), &runs).and_then(|compared| {
            if !compared.in_doubt {
                return Ok(compared);
            }
            let seeds = args.seeds..args.seeds * IN_DOUBT;
            let more = seeds.flat_map(|more| of(Kind::Simulated, args.seed.wrapping_add(more)));
            let more: Vec<Run> = more.filter(|run| run.scenarios.contains(&at)).collect();
            let mut watcher = Watcher::new(&more);
            let plan = Plan { runs: &more, jobs: cores(), again: false, store: &store };
            match runs::execute(&plan, |event| watcher.event(event)) {
                Exit::Pass => compare(&store, (at, scenario), &[&runs[..], &more].concat()),
                exit => Err(complain("not every run came to its end", exit)),
            }
        });
        exit = exit.or(match compared {
            Ok(compared) => {
                out(&compared.text);
                compared.exit
            }
            Err(exit) => exit,
        });
    }
    out(match exit {
        Exit::Pass => "relapse: both labs tell the same",
        Exit::Failed => "relapse: the labs do not tell the same",
        _ => "relapse: it cannot be said whether the labs tell the same",
    });
    exit
}

/// What became of a scenario in both labs.
struct Compared {
    exit: Exit,
    text: String,
    in_doubt: bool,
}

fn compare(
    store: &Store,
    (at, scenario): (usize, &Scenario),
    runs: &[Run],
) -> Result<Compared, Exit> {
    let of = |lab| runs.iter().filter(move |run| run.lab == lab && run.scenarios.contains(&at));
    let read = |run: &Run| -> Result<Recording, Exit> {
        store
            .recording(&run.hash, run.lab)
            .map_err(|error| complain(&error.to_string(), Exit::Environment))
    };
    let mut simulated = of(Kind::Simulated);
    let (Some(one), Some(other)) = (simulated.next(), of(Kind::Containers).next()) else {
        return Err(complain("a run is missing", Exit::Environment));
    };
    let (one, other) = (read(one)?, read(other)?);
    // One at a time: a recording is large, and when alerts fired first is little.
    let others = simulated.map(|run| Ok(first_fired(&read(run)?, scenario)));
    let others: Vec<Fired> = others.collect::<Result<_, Exit>>()?;
    let judgements = [&one, &other].map(|recording| Judge::new(recording).scenario(scenario));
    let sides = [(&judgements[0], &one), (&judgements[1], &other)]
        .map(|(judgement, recording)| Side { judgement, recording });
    let parity = Parity::of(scenario, sides, &others);
    let verdicts = judgements.each_ref().map(|judgement| judgement.verdict);
    let exit = match verdicts {
        [Verdict::Inconclusive, _] | [_, Verdict::Inconclusive] => Exit::Inconclusive,
        [a, b] if a != b || !parity.holds() => Exit::Failed,
        _ => Exit::Pass,
    };
    Ok(Compared {
        exit,
        text: report::parity(scenario, [&judgements[0], &judgements[1]], &parity),
        in_doubt: parity.differs_in_alerts_alone(),
    })
}
