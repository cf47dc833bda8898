//! What the names in sentences mean: builds, data centers, moments.

use std::time::Duration;

use kv_node::ids::Dc;
use kv_node::safeguards::Build;

use super::world::World;
use crate::spec::time::{self, IncidentTime};

impl World {
    pub(super) fn known_build(&mut self, name: &str) -> Option<Build> {
        let build = self.catalog.builds.get(name).cloned();
        if build.is_none() {
            let problem = self
                .problem(format!("there is no build \"{name}\""))
                .did_you_mean(name, self.catalog.builds.keys().map(String::as_str));
            self.report(problem);
        }
        build
    }

    pub(super) fn known_dcs(&mut self, names: &[String]) -> Vec<Dc> {
        let Some(topology) = &self.topology else {
            self.topology_first();
            return Vec::new();
        };
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        for name in names {
            let dc = Dc::from(name.as_str());
            if topology.dcs.contains_key(&dc) {
                known.push(dc);
            } else {
                unknown.push(
                    self.problem(format!("there is no data center \"{name}\" in the topology"))
                        .did_you_mean(name, topology.dcs.keys().map(Dc::as_str)),
                );
            }
        }
        self.problems.extend(unknown);
        known
    }

    pub(super) fn topology_first(&mut self) {
        // Where the topology is misspelt, that has been said, and nothing that follows from it is news.
        if self.problems.is_empty() {
            let problem = self.problem("the topology is not known yet");
            self.report(problem.hint("begin with: Given the topology \"small\" with its traffic"));
        }
    }

    pub(super) fn started(&mut self) -> Option<IncidentTime> {
        if self.now.is_none() && self.problems.is_empty() {
            let problem = self.problem("it is not said when the replay starts");
            self.report(problem.hint("add: Given the replay starts at 2023-07-10 09:00"));
        }
        self.now
    }

    /// The moment that a clock time means: the first such time from `from` on, or on the day after the start.
    pub(super) fn resolve(&mut self, text: &str, from: IncidentTime) -> Option<IncidentTime> {
        let start = self.start?;
        let day = |moment: IncidentTime| time::format(time::midnight(moment))[..10].to_owned();
        let a_day = Duration::from_hours(24);
        let at = if let Some(clock) = text.strip_suffix(" the next day") {
            time::parse(&format!("{} {clock}", day(start.after(a_day))))
        } else if text.len() > 5 {
            time::parse(text)
        } else {
            time::parse(&format!("{} {text}", day(from)))
                .map(|at| if at < from { at.after(a_day) } else { at })
        };
        if at.is_none() {
            let problem = self.problem(format!("\"{text}\" is no time of day"));
            self.report(problem.hint("write it as 21:52, 00:09 the next day, or 2023-07-18 00:09"));
        }
        at
    }
}
