//! Whether what a timeline plans can happen in that order.

use std::collections::BTreeMap;

use super::world::World;
use crate::spec::Action;
use crate::spec::time;

impl World {
    /// Puts the timeline in order, and reports what contradicts what.
    pub(super) fn check_timeline(&mut self) {
        self.timeline.sort_by_key(|(planned, _)| planned.at);
        let timeline = self.timeline.clone();
        let end = self.now.unwrap_or_default();
        let mut down: BTreeMap<String, bool> = BTreeMap::new();
        for (at, (planned, line)) in timeline.iter().enumerate() {
            self.line = *line;
            let earlier = &timeline[..at];
            let subject = planned.action.subject();
            let contradicted = earlier.iter().find(|(other, _)| {
                subject.is_some() && other.at == planned.at && other.action.subject() == subject
            });
            if let (Some((other, other_line)), Some(subject)) = (contradicted, &subject) {
                let clock = time::format(planned.at);
                let problem = if other.action == planned.action {
                    self.problem(format!(
                        "said twice: line {other_line} says the same of {subject} at {clock}"
                    ))
                } else {
                    let (a, b) = (planned.action.text(), other.action.text());
                    self.problem(format!(
                        "\"{a}\" contradicts line {other_line}, \"{b}\", at {clock}"
                    ))
                };
                self.report(problem.hint("keep one of the two, or let time pass between them"));
            } else if let Some(wrong) = out_of_order(&planned.action, &mut down) {
                let problem = self.problem(wrong);
                self.report(problem);
            }
            if planned.at >= end {
                let problem = self.problem(format!(
                    "this happens at {}, when the scenario has ended",
                    time::format(planned.at)
                ));
                self.report(problem.hint("let the last When say how late it is then"));
            }
        }
    }
}

/// Whether an action asks for a state that is there already.
fn out_of_order(action: &Action, down: &mut BTreeMap<String, bool>) -> Option<String> {
    let (key, goes_down, text) = match action {
        Action::Maintenance { dc } => (format!("service {dc}"), true, "in maintenance"),
        Action::Return { dc } => (format!("service {dc}"), false, "in service"),
        Action::Crash { dc } => (format!("node {dc}"), true, "down"),
        Action::Start { dc } => (format!("node {dc}"), false, "up"),
        Action::Pause { dc } => (format!("pace {dc}"), true, "standing still"),
        Action::Resume { dc } => (format!("pace {dc}"), false, "going on"),
        _ => return None,
    };
    let was_down = down.insert(key, goes_down).unwrap_or(false);
    (was_down == goes_down).then(|| format!("{}, but it is {text} already", action.text()))
}
