//! What requests cost, beside a bare hyper server in the same minutes: `cargo bench -p kv-node`.
//!
//! Machines are noisy, so every load is run in turns with the bare server's, and what counts is the ratio of the two. The
//! clients share the machine with the servers. `-- --quick` is one short round; `-- --demand` ends with 1 where a bound is
//! missed; `-- --only hit` runs that load beside the bare server, and nothing else.
#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a client of processes, outside the doors"
)]

mod load;
mod loads;
mod servers;

use std::time::Duration;

use loads::{Load, Loads, Round};

/// Connections of the two halves.
const CONNECTIONS: [usize; 2] = [1, 64];
/// Requests of the bare server that a hit over REST must reach, at 64 connections.
const HIT_RATIO_MIN: f64 = 0.6;
/// Writes a second in memory, at 64 connections.
const PUTS_PER_S_MIN: f64 = 2_000.0;
/// How much faster a list of 100 keys must be than 100 gets at once.
const LIST_GAIN_MIN: f64 = 5.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if has("--bare") {
        return runtime.block_on(load::bare());
    }
    let (rounds, time) = if has("--quick") { (1, 300) } else { (7, 700) };
    let only = arguments.iter().skip_while(|argument| *argument != "--only").nth(1);
    let missed = runtime.block_on(measure(rounds, Duration::from_millis(time), only));
    for miss in &missed {
        println!("MISSED  {miss}");
    }
    if has("--demand") && !missed.is_empty() {
        std::process::exit(1);
    }
}

/// Runs everything and prints it; what misses its bound.
async fn measure(rounds: usize, time: Duration, only: Option<&String>) -> Vec<String> {
    let asked = |load: &Load| {
        *load == Load::Bare || only.is_none_or(|only| load.name().to_lowercase().contains(only))
    };
    let asked: Vec<Load> = Load::ALL.into_iter().filter(asked).collect();
    let loads = Loads::start().await;
    let mut missed = Vec::new();
    println!(
        "conns  what                       per second   of bare    p50 us    p99 us  CPU us  of bare"
    );
    for connections in CONNECTIONS {
        let mut taken: Vec<Vec<Round>> = Vec::new();
        for _ in 0..rounds {
            let mut row = Vec::new();
            for load in &asked {
                row.push(loads.run(*load, connections, time).await);
            }
            taken.push(row);
        }
        for (at, load) in asked.iter().copied().enumerate() {
            let of = |value: fn(&Round) -> f64| median(taken.iter().map(|row| value(&row[at])));
            let ratio = |value: fn(&Round) -> f64| {
                median(taken.iter().map(|row| value(&row[at]) / value(&row[0])))
            };
            let (rate, of_bare) = (of(|round| round.per_s), ratio(|round| round.per_s));
            println!(
                "{connections:5}  {:24} {rate:12.0} {of_bare:9.3} {:9.0} {:9.0} {:7.1} {:8.2}",
                load.name(),
                of(|round| round.p50_us),
                of(|round| round.p99_us),
                of(|round| round.cpu_us),
                ratio(|round| round.cpu_us),
            );
            if connections == 64 && load == Load::Hit && of_bare < HIT_RATIO_MIN {
                missed.push(format!(
                    "{}: {of_bare:.3} of bare, at least {HIT_RATIO_MIN}",
                    load.name()
                ));
            }
            if connections == 64 && load == Load::Put && rate < PUTS_PER_S_MIN {
                missed.push(format!(
                    "{}: {rate:.0} a second, at least {PUTS_PER_S_MIN}",
                    load.name()
                ));
            }
        }
    }
    if only.is_some() {
        return missed;
    }
    for (what, gain) in loads.list_against_gets(rounds).await {
        println!("list of 100 keys against 100 gets at once, {what}: {gain:.1} times faster");
        if gain < LIST_GAIN_MIN {
            missed.push(format!("list, {what}: {gain:.1} times, at least {LIST_GAIN_MIN}"));
        }
    }
    for (how, bytes) in loads.bytes_per_entry().await {
        println!("an entry of 288 bytes in an edge cache, {how}: {bytes:.0} bytes of memory");
    }
    missed
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
