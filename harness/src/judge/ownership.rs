//! Who owned a key when: worked out from the topology and the revisions in the journal, by the placement that the nodes
//! use, without asking what any node claimed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kv_node::cache::placement::Placement;
use kv_node::ids::{Dc, Name, Namespace, Region};
use kv_node::telemetry::Lifecycle;

use crate::recording::{Journal, Recording};
use crate::spec::time::IncidentTime;

/// A revision reaches the last node within this time: requests sent meanwhile are nobody's evidence.
pub(super) const SETTLING: Duration = Duration::from_secs(5);

/// The placements of a run, one after the other.
#[derive(Debug)]
pub(super) struct History {
    placements: Vec<(IncidentTime, Placement, BTreeSet<Namespace>, bool)>,
    regions: BTreeMap<String, Region>,
}

/// Who owned a key.
pub(super) enum Owner<'a> {
    /// This data center.
    Is(&'a Dc),
    /// Nobody: the request took no tiers.
    Nobody,
    /// A revision had only just been made.
    Unsettled,
}

impl History {
    pub(super) fn new(recording: &Recording) -> Self {
        let members = recording.spec.members();
        let placements = recording
            .journal
            .iter()
            .filter_map(|(at, entry)| match entry {
                Journal::Life(Lifecycle::Revised { snapshot }) => Some((
                    *at,
                    Placement::new(&members, snapshot),
                    snapshot.enrolled.clone(),
                    snapshot.new_backend,
                )),
                _ => None,
            })
            .collect();
        let regions =
            members.dcs.iter().map(|(dc, m)| (dc.as_str().to_owned(), m.region.clone())).collect();
        Self { placements, regions }
    }

    /// The region of a data center.
    pub(super) fn region(&self, dc: &str) -> Option<&Region> {
        self.regions.get(dc)
    }

    /// The regional owner of a key for the customers of a data center.
    pub(super) fn owner<'a>(&'a self, at: IncidentTime, dc: &str, name: &'a Name) -> Owner<'a> {
        let known = self.placements.partition_point(|(from, ..)| *from <= at);
        let Some((from, placement, enrolled, on)) =
            known.checked_sub(1).map(|k| &self.placements[k])
        else {
            return Owner::Nobody;
        };
        if known > 1 && at < from.after(SETTLING) {
            return Owner::Unsettled;
        }
        if !on || !enrolled.contains(&name.namespace) {
            return Owner::Nobody;
        }
        self.regions
            .get(dc)
            .and_then(|region| placement.regional(region, name).next())
            .map_or(Owner::Nobody, Owner::Is)
    }
}
