//! Rule files, their templates, and the states of alerts, as Prometheus has them.

mod alerts;
mod check;
mod clock;
mod file;
mod rule;
mod state;
mod template;
mod url;
mod webhook;
mod within;
mod yaml;

#[cfg(test)]
mod tests;

pub use alerts::{AlertSettings, Alerts, RuleFailure, Step};
pub use file::{AlertingRule, Group, RecordingRule, Rule, RuleFile, RuleProblem};
pub use state::{ActiveAlert, State, Transition};
pub use template::{RunQuery, Template, TemplateData, TemplateError};
pub use webhook::{Notification, NotifiedAlert, webhook};
