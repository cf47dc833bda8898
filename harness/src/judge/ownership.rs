//! Who owned a key when: worked out from the topology and the revisions in the journal, by the configuration that the nodes
//! make of them, without asking what any node claimed.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_node::config::Config;
use kv_node::ids::{Dc, Name, Namespace, Region};
use kv_node::telemetry::Lifecycle;

use crate::recording::{Journal, Recording};
use crate::spec::time::IncidentTime;

/// A revision reaches the last node within this time: requests sent meanwhile are nobody's evidence.
pub(super) const SETTLING: Duration = Duration::from_secs(5);

/// The configurations of a run, one after the other.
#[derive(Debug)]
pub(super) struct History {
    configs: Vec<(IncidentTime, Config)>,
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
        let namespaces = recording.spec.namespaces();
        let configs = recording
            .journal
            .iter()
            .filter_map(|(at, entry)| match entry {
                Journal::Life(Lifecycle::Revised { snapshot }) => {
                    Some((*at, Config::new(snapshot.clone(), &members, &namespaces)))
                }
                _ => None,
            })
            .collect();
        let regions =
            members.dcs.iter().map(|(dc, m)| (dc.as_str().to_owned(), m.region.clone())).collect();
        Self { configs, regions }
    }

    /// The region of a data center.
    pub(super) fn region(&self, dc: &str) -> Option<&Region> {
        self.regions.get(dc)
    }

    /// The regional owner of a key for the customers of a data center.
    pub(super) fn owner<'a>(&'a self, at: IncidentTime, dc: &str, name: &'a Name) -> Owner<'a> {
        let known = self.configs.partition_point(|(from, _)| *from <= at);
        let Some((from, config)) = known.checked_sub(1).map(|k| &self.configs[k]) else {
            return Owner::Nobody;
        };
        if known > 1 && at < from.after(SETTLING) {
            return Owner::Unsettled;
        }
        if !config.takes_new_backend(&Dc::from(dc), &name.namespace) {
            return Owner::Nobody;
        }
        self.regions
            .get(dc)
            .and_then(|region| config.placement.regional(region, name).next())
            .map_or(Owner::Nobody, Owner::Is)
    }

    /// Whether requests for a namespace took the new backend in a data center all the time between two moments.
    pub(super) fn took_new_backend(
        &self,
        (from, to): (IncidentTime, IncidentTime),
        dc: &Dc,
        namespace: &Namespace,
    ) -> bool {
        let first = self.configs.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        let end = self.configs.partition_point(|(at, _)| *at <= to);
        let configs = self.configs.get(first..end).unwrap_or_default();
        !configs.is_empty()
            && configs.iter().all(|(_, config)| config.takes_new_backend(dc, namespace))
    }
}
