//! `relapse customers`.

use std::io::Write;
use std::path::PathBuf;
use std::pin::pin;

use clap::Args;
use futures_util::future::select;

use super::{complain, err, raise_descriptors, stopped, tell};
use crate::exit::Exit;
use crate::lab::traffic::{self, Seen};
use crate::spec::{time, topology};

/// Where a data center of the live lab listens.
const REST_PORT: u16 = 8787;
const ADMIN_PORT: u16 = 8789;

#[derive(Debug, Args)]
pub(super) struct Customers {
    /// The topology's file. A data center is reached by its name in lowercase, at ports 8787 and 8789
    topology: PathBuf,
    /// How many requests a second, instead of the topology's
    #[arg(long, value_name = "NUMBER")]
    requests_per_s: Option<f64>,
    /// What all chance comes from: which keys, which moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Sends traffic until a signal ends it, and tells every ten seconds what came of it.
pub(super) fn customers(customers: &Customers) -> Exit {
    let file = customers.topology.display().to_string();
    let text = match std::fs::read_to_string(&customers.topology) {
        Ok(text) => text,
        Err(error) => return complain(&format!("{file}: {error}"), Exit::Specification),
    };
    let mut topology = match topology::read(&file, &text) {
        Ok(topology) => topology,
        Err(problems) => return tell(&problems),
    };
    match customers.requests_per_s {
        Some(number) if number > 0.0 => topology.traffic.requests_per_s = number,
        Some(number) => {
            return complain(&format!("{number} requests a second are none"), Exit::Specification);
        }
        None => {}
    }
    raise_descriptors();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return complain(&format!("cannot start a runtime: {error}"), Exit::Environment);
        }
    };
    let ended = runtime.block_on(async {
        let stop = match stopped() {
            Ok(stop) => stop,
            Err(error) => {
                return complain(&format!("cannot take signals: {error}"), Exit::Environment);
            }
        };
        let hosts = |dc: &kv_node::ids::Dc| {
            let host = dc.as_str().to_lowercase();
            [format!("{host}:{REST_PORT}"), format!("{host}:{ADMIN_PORT}")]
        };
        select(pin!(traffic::send(topology, customers.seed, hosts, say)), pin!(stop)).await;
        err("relapse: stopped");
        Exit::Pass
    });
    runtime.shutdown_background();
    ended
}

fn say(seen: &Seen) {
    let clock = time::clock(seen.at);
    let failures: u64 = seen.failed.values().sum();
    let mut line = format!("{clock}  {} requests, {failures} failed", seen.requests);
    if failures > 0 {
        let each = seen.failed.iter().map(|(dc, count)| format!("{dc} {count}"));
        line = format!("{line}: {}", each.collect::<Vec<_>>().join(", "));
    }
    if !seen.withdrawn.is_empty() {
        let names = seen.withdrawn.iter().map(ToString::to_string);
        line = format!("{line}; no customers in {}", names.collect::<Vec<_>>().join(", "));
    }
    let mut stdout = std::io::stdout();
    // At once, for whoever reads along. A reader that has gone is no error.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
