//! Who is kept from whom, or from what, while partitions and other faults last, as the specification has them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use kv_node::cache::HEARD_WITHIN;
use kv_node::env::Listener;
use kv_node::ids::{Dc, Peer};

use crate::spec::fault::{Fault, FaultKind, Who};
use crate::spec::time::IncidentTime;
use crate::spec::topology::Topology;
use crate::spec::{Action, Spec};

/// So long a purge may be under way; a partition that comes sooner may lose it.
const UNDER_WAY: Duration = Duration::from_secs(10);

/// The partitions of a run.
pub(super) struct Partitions<'a> {
    topology: &'a Topology,
    cuts: Vec<(&'a Fault, Range<IncidentTime>)>,
}

/// A store out of reach for some.
pub(super) struct Parted {
    /// Whom a partition keeps from the store.
    pub(super) kept: BTreeSet<Dc>,
    /// While it does.
    pub(super) time: Range<IncidentTime>,
}

impl<'a> Partitions<'a> {
    pub(super) fn of(spec: &'a Spec) -> Self {
        let cuts = spec.timeline.iter().filter_map(|planned| match &planned.action {
            Action::Fault { fault, for_s } if fault.kind == FaultKind::Partition => {
                let healed = planned.at.after(Duration::from_secs(*for_s));
                Some((fault, planned.at..healed))
            }
            _ => None,
        });
        Self { topology: &spec.topology, cuts: cuts.collect() }
    }

    /// Where a partition keeps some data centers from a store that others reach. What one of them writes lies in the other store
    /// alone, and whoever reaches both takes the first answer: of consistency and availability this design chose the latter
    /// (kv.md C.2, PA/EL).
    pub(super) fn keeping_from_stores(&self) -> Vec<Parted> {
        let is_store = |who: &Who| {
            self.topology.stores.iter().any(|(store, region)| who.is_store(store, region))
        };
        let kept = |fault: &Fault| -> BTreeSet<Dc> {
            // It cuts both ways, however it is written.
            let cut = |dc: &&Dc| {
                (self.is(&fault.from, dc) && is_store(&fault.to))
                    || (is_store(&fault.from) && self.is(&fault.to, dc))
            };
            self.topology.dcs.keys().filter(cut).cloned().collect()
        };
        let parted =
            self.cuts.iter().map(|(fault, time)| Parted { kept: kept(fault), time: time.clone() });
        parted.filter(|parted| parted.kept.len() < self.topology.dcs.len()).collect()
    }

    /// From when on one data center can have heard of what another tells everybody from a moment on: at once, but where the two
    /// are then out of each other's reach, by way of others as well, only when they no longer are.
    pub(super) fn heard_from(
        &self,
        told_by: &Dc,
        heard_by: &Dc,
        told: IncidentTime,
    ) -> IncidentTime {
        let until = |cut: &Range<IncidentTime>| cut.end.after(HEARD_WITHIN);
        let mut at = told;
        loop {
            let lasts =
                |cut: &Range<IncidentTime>| cut.start < at.after(UNDER_WAY) && at < until(cut);
            let lasting = self.cuts.iter().filter(|(_, cut)| lasts(cut));
            let (faults, ends): (Vec<&Fault>, Vec<IncidentTime>) =
                lasting.map(|(fault, cut)| (*fault, until(cut))).unzip();
            match ends.into_iter().min() {
                Some(end) if !self.reaches(told_by, heard_by, &faults) => at = end,
                _ => return at,
            }
        }
    }

    /// By way of any number of others; a node asks one, which is the same unless partitions leave a chain.
    fn reaches(&self, one: &Dc, other: &Dc, faults: &[&Fault]) -> bool {
        let cut = |fault: &&&Fault, a: &Dc, b: &Dc| {
            // Of purges between data centers.
            fault.listener.is_none_or(|listener| listener == Listener::Tier)
                && fault.probability >= 1.0
                && ((self.is(&fault.from, a) && self.is(&fault.to, b))
                    || (self.is(&fault.from, b) && self.is(&fault.to, a)))
        };
        let mut reached = BTreeSet::from([one]);
        let mut ahead = vec![one];
        while let Some(at) = ahead.pop() {
            for next in self.topology.dcs.keys() {
                if !faults.iter().any(|fault| cut(&fault, at, next)) && reached.insert(next) {
                    ahead.push(next);
                }
            }
        }
        reached.contains(other)
    }

    fn is(&self, who: &Who, dc: &Dc) -> bool {
        self.topology.dcs.get(dc).is_some_and(|about| who.is(&dc.peer(), &about.region))
    }
}

/// Whether a fault of whatever kind acted between a data center and a peer, one way or the other, so late that who tries again within
/// some time may not have done so before the end.
pub(super) fn kept_to_the_end(spec: &Spec, dc: &Dc, peer: &Peer, tries_within: Duration) -> bool {
    let Some(about) = spec.topology.dcs.get(dc) else { return false };
    let is_dc = |who: &Who| who.is(&dc.peer(), &about.region);
    let is_peer = |who: &Who| who.is_apart(peer);
    spec.timeline.iter().any(|planned| match &planned.action {
        Action::Fault { fault, for_s } => {
            let between = is_dc(&fault.from) && is_peer(&fault.to);
            let back = is_peer(&fault.from) && is_dc(&fault.to);
            let tried = planned.at.after(Duration::from_secs(*for_s) + tries_within);
            (between || back) && tried >= spec.end
        }
        _ => false,
    })
}
