//! The builder's second half: what is expected of the time since the When block before a step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cucumber::gherkin::Step;
use kv_node::ids::Dc;

use super::world::World;
use crate::spec::expectation::{Basis, Bound, Check, Expectation, Window};
use crate::spec::measure::{After, Extreme, Measure, Scope, Source};
use crate::spec::query;
use crate::spec::time;

impl World {
    /// Expects a measure over the time since the When block before this step.
    pub(super) fn expect(&mut self, measure: Measure, bound: Bound) {
        self.expect_all(vec![(measure, bound)]);
    }

    /// Expects several measures as one claim.
    pub(super) fn expect_all(&mut self, claims: Vec<(Measure, Bound)>) {
        let Some(window) = self.window() else { return };
        let check = |(measure, bound)| Check { measure, window, bound, basis: Basis::Assumed };
        self.expectations.push(Expectation {
            title: format!("line {}", self.line),
            says: self.text.clone(),
            line: self.line,
            checks: claims.into_iter().map(check).collect(),
        });
    }

    /// The time since the When block before this step.
    fn window(&mut self) -> Option<Window> {
        let (from, to) = (self.block_from?, self.started()?);
        if from >= to {
            let problem = self.problem("no time has passed since the When before this step");
            self.report(problem.hint("add: And 10 minutes pass"));
            return None;
        }
        Some(Window { from, to })
    }

    pub(super) fn in_dc(&mut self, dc: &str) -> Scope {
        let dcs = self.known_dcs(&[dc.to_owned()]).into_iter().collect();
        Scope { dcs, ..Scope::default() }
    }

    pub(super) fn alert_fired_for(
        &mut self,
        alert: &str,
        dcs: &[String],
        within: Option<Duration>,
    ) {
        let (Some(alert), Some(window)) = (self.known_alert(alert), self.window()) else { return };
        let within = within.unwrap_or(window.to.since(window.from));
        let claims = self.known_dcs(dcs).into_iter().map(|dc| {
            let labels = BTreeMap::from([("dc".to_owned(), dc.as_str().to_owned())]);
            let alert = alert.clone();
            let measure = Measure::SecondsToAlert { alert, labels, after: After::Window };
            (measure, Bound::at_most(within.as_secs_f64()))
        });
        let claims = claims.collect();
        self.expect_all(claims);
    }

    pub(super) fn alert_fired_for_no_other(&mut self, alert: &str, dcs: &[String]) {
        let except_dcs: BTreeSet<Dc> = dcs.iter().map(|dc| Dc::from(dc.as_str())).collect();
        let measure = Measure::AlertsFiring {
            alert: Some(alert.to_owned()),
            severity: None,
            except_dcs,
            except_alerts: BTreeSet::new(),
        };
        self.expect(measure, Bound::at_most(0.0));
    }

    pub(super) fn alert_silent(&mut self, alert: &str) {
        if let Some(alert) = self.known_alert(alert) {
            self.alert_fired_for_no_other(&alert, &[]);
        }
    }

    pub(super) fn no_alert_but(&mut self, severity: Option<String>, but: &[String]) {
        let measure = Measure::AlertsFiring {
            alert: None,
            severity,
            except_dcs: BTreeSet::new(),
            except_alerts: but.iter().cloned().collect(),
        };
        self.expect(measure, Bound::at_most(0.0));
    }

    /// A line of a table of alerts: name, what its labels say, and within which time it fires.
    pub(super) fn alert_row(&mut self, alert: &str, labels: &str, within: &str) -> Option<String> {
        let alert = self.known_alert(alert)?;
        let window = self.window()?;
        let mut wanted = BTreeMap::new();
        for word in labels.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or(("dc", word));
            if name == "dc" {
                self.known_dcs(&[value.to_owned()]);
            }
            wanted.insert(name.to_owned(), value.to_owned());
        }
        let within = if within.is_empty() {
            window.to.since(window.from)
        } else if let Some(within) = time::parse_duration(within) {
            within
        } else {
            let problem = self.problem(format!("\"{within}\" is no duration, such as 2 minutes"));
            self.report(problem);
            return None;
        };
        let name = alert.clone();
        let measure = Measure::SecondsToAlert { alert, labels: wanted, after: After::Window };
        self.expect(measure, Bound::at_most(within.as_secs_f64()));
        Some(name)
    }

    pub(super) fn known_alert(&mut self, name: &str) -> Option<String> {
        if self.catalog.alerts.contains(name) {
            return Some(name.to_owned());
        }
        let problem = self
            .problem(format!("there is no alert \"{name}\""))
            .did_you_mean(name, self.catalog.alerts.iter().map(String::as_str))
            .if_nothing_else();
        self.report(problem);
        None
    }

    /// Expects a query, given below the step, to keep to a bound at every moment.
    pub(super) fn query(&mut self, (over, extreme): (Source, Extreme), step: &Step, bound: Bound) {
        let Some(text) = step.docstring.as_ref().map(|text| text.trim().to_owned()) else {
            let problem = self.problem("a query is missing below this step");
            self.report(problem.hint("write it between two lines of \"\"\""));
            return;
        };
        if let Err((message, hint)) = query::check(over, &text) {
            let problem = self.problem(message);
            self.report(match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
            return;
        }
        self.expect(Measure::Query { over, query: text, extreme }, bound);
    }
}
