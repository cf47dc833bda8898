//! Background errors (incidents.md 7c): faults like any other, from the topology's noise section.
//!
//! Bots and customers who give up are traffic, and stand in `customers`.

use std::sync::Mutex;
use std::time::Duration;

use kv_node::env::{Chance, Listener};
use kv_node::ids::{Dc, Peer};

use super::doors::Seeds;
use super::wire::{Bursts, Spell, Wire};
use crate::spec::fault::{Fault, FaultKind, Who};
use crate::spec::peers::MONITOR;
use crate::spec::time::{self, IncidentTime};
use crate::spec::topology::Topology;

const A_DAY: Duration = Duration::from_hours(24);

pub(super) fn install(
    wire: &Wire,
    topology: &Topology,
    seeds: &Seeds,
    start: IncidentTime,
    end: IncidentTime,
) {
    let noise = &topology.noise;
    let bursts = |name: &str| {
        let draws = seeds.stream(&format!("noise/bursts/{name}"));
        Spell::Bursts(Mutex::new(Bursts::new(noise, draws, start)))
    };
    for store in topology.stores.keys() {
        let on = |kind, probability| Fault {
            kind,
            from: Who::Anyone,
            to: Who::Peer(store.clone()),
            listener: None,
            probability,
            bursts_ms: None,
        };
        let (errors, silence) = (format!("{store}/errors"), format!("{store}/timeouts"));
        let status = FaultKind::Status { status: 503 };
        wire.install_for(
            on(status, noise.store_errors),
            bursts(&errors),
            &format!("noise/{errors}"),
        );
        let partition = on(FaultKind::Partition, noise.store_timeouts);
        wire.install_for(partition, bursts(&silence), &format!("noise/{silence}"));
    }
    let [a, b] = noise.flapping_link.clone();
    let flapping = Fault {
        kind: FaultKind::Partition,
        from: Who::Peer(a),
        to: Who::Peer(b),
        listener: None,
        probability: 1.0,
        bursts_ms: None,
    };
    wire.install_for(flapping, bursts("flapping"), "noise/flapping");
    let slow = Fault {
        kind: FaultKind::Latency { ms: noise.slow_ms },
        from: Who::Anyone,
        to: Who::Peer(noise.slow_dc.peer()),
        listener: Some(Listener::Tier),
        probability: 1.0,
        bursts_ms: None,
    };
    wire.install_for(slow, Spell::Always, "noise/slow");
    let missed = Fault {
        kind: FaultKind::Partition,
        from: Who::Peer(Peer::from(MONITOR)),
        to: Who::Anyone,
        listener: Some(Listener::Admin),
        probability: noise.missed_scrapes,
        bursts_ms: None,
    };
    wire.install_for(missed, Spell::Always, "noise/scrapes");
    deploys(wire, topology, seeds, start, end);
}

/// Once a day the listener of a drawn data center breaks connections for a moment.
fn deploys(
    wire: &Wire,
    topology: &Topology,
    seeds: &Seeds,
    start: IncidentTime,
    end: IncidentTime,
) {
    let draws = seeds.stream("noise/deploys");
    let dcs: Vec<&Dc> = topology.dcs.keys().collect();
    let mut day = time::midnight(start);
    while day < end {
        let at = day.after(Duration::from_secs(draws.below(A_DAY.as_secs())));
        let dc: Peer = dcs[usize::try_from(draws.below(dcs.len() as u64)).unwrap_or(0)].peer();
        let blip = Fault {
            kind: FaultKind::Reset,
            from: Who::Clients,
            to: Who::Peer(dc),
            listener: Some(Listener::Rest),
            probability: 1.0,
            bursts_ms: None,
        };
        let until = at.after(Duration::from_secs_f64(topology.noise.deploy_blip_s));
        wire.install_for(blip, Spell::Between(at, until), "noise/deploy");
        day = day.after(A_DAY);
    }
}
