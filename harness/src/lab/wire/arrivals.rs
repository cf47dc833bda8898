//! What arrived where, minute by minute: the witness of what members say that they were asked.

use indexmap::IndexMap;
use kv_node::env::Listener;
use rustc_hash::FxBuildHasher;

use super::super::doors::lock;
use super::{HostKind, Wire};
use crate::recording::{Caller, INTERVAL_S, WireRow};
use crate::spec::time::IncidentTime;

/// Requests that arrived, and those of them that were sent with a control host.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Count {
    all: u64,
    controlled: u64,
}

/// What arrived where: the present interval, and rows of those before.
#[derive(Default)]
pub(super) struct Arrived {
    interval: u64,
    counts: IndexMap<(Caller, usize, Listener), Count, FxBuildHasher>,
    rows: Vec<WireRow>,
}

impl Wire {
    /// What arrived where.
    pub(in crate::lab) fn take_counts(&self) -> Vec<WireRow> {
        let mut arrived = lock(&self.counts);
        self.close(&mut arrived);
        std::mem::take(&mut arrived.rows)
    }

    fn close(&self, arrived: &mut Arrived) {
        let mut counts: Vec<_> = std::mem::take(&mut arrived.counts).into_iter().collect();
        counts.sort_unstable();
        let from = IncidentTime::from_unix_s(arrived.interval * INTERVAL_S);
        arrived.rows.extend(counts.into_iter().map(|((caller, to, listener), count)| WireRow {
            from,
            caller,
            to: self.names[to].clone(),
            listener,
            count: count.all,
            controlled: count.controlled,
        }));
    }

    pub(in crate::lab) fn caller(&self, from: usize) -> Caller {
        match self.hosts[from].kind {
            HostKind::Clients => Caller::Client,
            HostKind::Dc => Caller::Dc,
            HostKind::Products => Caller::Product,
            HostKind::Store | HostKind::Control => Caller::Control,
        }
    }

    pub(super) fn count(&self, from: usize, to: usize, listener: Listener, controlled: bool) {
        let caller = self.caller(from);
        let interval = self.clock.timestamp().unix_s() / INTERVAL_S;
        let mut arrived = lock(&self.counts);
        if arrived.interval != interval {
            self.close(&mut arrived);
            arrived.interval = interval;
        }
        let count = arrived.counts.entry((caller, to, listener)).or_default();
        count.all += 1;
        count.controlled += u64::from(controlled);
    }
}
