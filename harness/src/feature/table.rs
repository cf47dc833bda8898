//! The tables of faults and of alerts.

use std::time::Duration;

use cucumber::gherkin::Step;
use kv_node::env::Listener;
use kv_node::ids::{Peer, Region};

use super::world::World;
use crate::spec::Action;
use crate::spec::fault::{Fault, FaultKind, Who};
use crate::spec::problem::Problem;
use crate::spec::time::parse_duration;

const COLUMNS: [&str; 5] = ["fault", "from", "to", "amount", "share"];
pub(super) const KINDS: [&str; 7] =
    ["latency", "jitter", "loss", "reset", "partition", "strip header", "status"];

/// Reads the table `| fault | from | to | amount | share |` below a step and adds its rows to the timeline.
pub(super) fn faults(world: &mut World, span: Duration, step: &Step) {
    let Some((header, rows)) = step.table.as_ref().and_then(|table| table.rows.split_first())
    else {
        let problem = world.problem("a table of faults is missing below this step");
        world.report(problem.hint(format!("| {} |", COLUMNS.join(" | "))));
        return;
    };
    if header.iter().map(String::as_str).ne(COLUMNS) {
        let problem = world.problem("this is no table of faults");
        world.report(problem.hint(format!("its first line is | {} |", COLUMNS.join(" | "))));
        return;
    }
    for (at, row) in rows.iter().enumerate() {
        world.at_table_row(step, at + 1);
        match fault(world, row) {
            Ok(fault) => world.act(Action::Fault { fault, for_s: span.as_secs() }),
            Err(problem) => world.report(problem),
        }
    }
    world.at_step(step);
}

const ALERT_COLUMNS: [&str; 3] = ["alert", "for", "within"];

/// Reads the table `| alert | for | within |` below a step: each of its alerts fires, and no other of any kind.
pub(super) fn alerts(world: &mut World, severity: Option<String>, step: &Step) {
    let columns = format!("| {} |", ALERT_COLUMNS.join(" | "));
    let table = step.table.as_ref().and_then(|table| table.rows.split_first());
    let Some((_, rows)) = table.filter(|(header, _)| header.iter().eq(ALERT_COLUMNS.iter())) else {
        let problem = world.problem("a table of alerts is missing below this step");
        world.report(problem.hint(format!("its first line is {columns}")));
        return;
    };
    let mut named = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        world.at_table_row(step, at + 1);
        let [alert, labels, within] = row.as_slice() else {
            let problem = world.problem("this line has not as many cells as the first one");
            world.report(problem);
            continue;
        };
        named.extend(world.alert_row(alert, labels, within));
    }
    world.at_step(step);
    world.no_alert_but(severity, &named);
}

pub(super) fn fault(world: &World, row: &[String]) -> Result<Fault, Problem> {
    let [kind, from, to, amount, share] = row else {
        return Err(world.problem("this line has not as many cells as the first one"));
    };
    let (probability, bursts_ms) = share_of(world, share)?;
    let (to, listener) = to_of(world, to)?;
    let kind = kind_of(world, kind, amount)?;
    if kind == FaultKind::Loss && bursts_ms.is_some() {
        let problem = world.problem("packets are lost by chance, not in bursts");
        return Err(problem.hint("a partition in bursts loses them all"));
    }
    Ok(Fault { kind, from: who(world, from)?, to, listener, probability, bursts_ms })
}

/// A share of the requests, or one of the time, such as `1 % in bursts of 4 s`.
fn share_of(world: &World, text: &str) -> Result<(f64, Option<u64>), Problem> {
    let wrong = || {
        let problem = world.problem(format!("\"{text}\" is no share"));
        problem.hint("10 % of the requests, or of the time: 1 % in bursts of 4 s")
    };
    let (share, bursts) = match text.split_once(" in bursts of ") {
        Some((share, length)) => (share, Some(parse_duration(length).ok_or_else(wrong)?)),
        None => (text, None),
    };
    let percent = share.trim_end_matches(['%', ' ']).parse::<f64>().map_err(|_| wrong())?;
    let bursts_ms = bursts.map(|length| u64::try_from(length.as_millis()).unwrap_or(0));
    let fits = match bursts_ms {
        // Less often than that it would never come in any replay.
        Some(ms) => ms > 0 && (0.001..100.0).contains(&percent),
        None => (0.0..=100.0).contains(&percent),
    };
    if fits { Ok((percent / 100.0, bursts_ms)) } else { Err(wrong()) }
}

fn kind_of(world: &World, kind: &str, amount: &str) -> Result<FaultKind, Problem> {
    let ms = || {
        parse_duration(amount)
            .and_then(|d| u64::try_from(d.as_millis()).ok())
            .ok_or_else(|| world.problem(format!("\"{amount}\" is no duration, such as 250 ms")))
    };
    match kind {
        "latency" => Ok(FaultKind::Latency { ms: ms()? }),
        "jitter" => Ok(FaultKind::Jitter { ms: ms()? }),
        "loss" => Ok(FaultKind::Loss),
        "reset" => Ok(FaultKind::Reset),
        "partition" => Ok(FaultKind::Partition),
        "strip header" if amount.is_empty() => {
            Err(world.problem("which header is stripped stands in the column amount"))
        }
        "strip header" => Ok(FaultKind::StripHeader { name: amount.to_lowercase() }),
        "status" => match amount.parse() {
            Ok(status @ 200..=599) => Ok(FaultKind::Status { status }),
            _ => Err(world.problem(format!("\"{amount}\" is no status, such as 503"))),
        },
        _ => Err(world.problem(format!("there is no fault \"{kind}\"")).did_you_mean(kind, KINDS)),
    }
}

fn who(world: &World, text: &str) -> Result<Who, Problem> {
    match text {
        "anyone" => return Ok(Who::Anyone),
        "clients" => return Ok(Who::Clients),
        "stores" => return Ok(Who::Stores),
        _ => {}
    }
    let Some(topology) = world.known_topology() else {
        return Err(world.problem("the topology comes before the faults"));
    };
    if let Some(region) = text.strip_prefix("region ") {
        let region = Region::from(region);
        if topology.regions.contains_key(&region) {
            return Ok(Who::Region(region));
        }
        let known = topology.regions.keys().map(Region::as_str);
        let problem = world.problem(format!("there is no region \"{region}\""));
        return Err(problem.did_you_mean(region.as_str(), known));
    }
    let peer = Peer::from(text);
    if topology.region_of(&peer).is_some() {
        return Ok(Who::Peer(peer));
    }
    let known: Vec<&str> = topology
        .dcs
        .keys()
        .map(kv_node::ids::Dc::as_str)
        .chain(topology.stores.keys().map(Peer::as_str))
        .chain(["anyone", "clients", "stores", "control", "monitor"])
        .collect();
    Err(world.problem(format!("there is no peer \"{text}\"")).did_you_mean(text, known))
}

/// The receiving end: a peer, and after a colon the listener if only one is meant.
fn to_of(world: &World, text: &str) -> Result<(Who, Option<Listener>), Problem> {
    let (peer, listener) = match text.rsplit_once(':') {
        Some((peer, listener)) => (peer, Some(listener)),
        None => (text, None),
    };
    let listener = match listener {
        None => None,
        Some("rest") => Some(Listener::Rest),
        Some("binding") => Some(Listener::Binding),
        Some("tier") => Some(Listener::Tier),
        Some("admin") => Some(Listener::Admin),
        Some(other) => {
            let problem = world.problem(format!("there is no listener \"{other}\""));
            return Err(problem.did_you_mean(other, ["rest", "binding", "tier", "admin"]));
        }
    };
    Ok((who(world, peer)?, listener))
}
