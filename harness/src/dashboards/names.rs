//! The metrics that there are, with their labels: those of the catalogue, and those that rules write.

use std::collections::{BTreeMap, BTreeSet};

use kv_node::telemetry::catalogue::{Kind, METRICS, SCRAPED, TARGET_LABELS};
use promql::rules::{Rule, RuleFile};
use promql::{LabelNames, Query};

use crate::alerts;
use crate::export::JOURNAL;
use crate::spec::problem::{Problem, nearest};

/// The labels that series of alerts have beside those of the alert.
const OF_ALERTS: [&str; 2] = ["alertname", "alertstate"];

/// Metrics by name, each with the labels that its series can have.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeMap<String, LabelNames>);

impl Names {
    /// What is scraped, and what rules make of it.
    pub(super) fn new(files: &[RuleFile]) -> Self {
        let mut names = Self(scraped());
        // What `relapse lab load` adds.
        names.0.insert(JOURNAL.to_owned(), Some(["text".to_owned()].into()));
        let rules: Vec<&Rule> =
            files.iter().flat_map(|file| &file.groups).flat_map(|group| &group.rules).collect();
        for name in alerts::written(files) {
            names.0.insert(name, None);
        }
        // A rule may read what one after it writes. Each round gets one rule further.
        for _ in 0..=rules.len() {
            let next = names.round(&rules);
            if next.iter().all(|(name, labels)| names.0.get(name) == Some(labels)) {
                break;
            }
            names.0.extend(next);
        }
        names
    }

    /// The labels of what rules write, as far as those of what they read are known.
    fn round(&self, rules: &[&Rule]) -> BTreeMap<String, LabelNames> {
        let mut next: BTreeMap<String, LabelNames> = BTreeMap::new();
        let mut add = |name: &str, labels: LabelNames| {
            let known = next.entry(name.to_owned()).or_insert_with(|| Some(BTreeSet::new()));
            *known = known.take().zip(labels).map(|(known, labels)| &known | &labels);
        };
        let own = |labels: LabelNames, own: BTreeSet<String>| labels.map(|labels| &labels | &own);
        for rule in rules {
            let labels = self.shape(rule.query()).0;
            match rule {
                Rule::Record(rule) => {
                    add(&rule.name, own(labels, rule.labels.keys().cloned().collect()));
                }
                Rule::Alert(rule) => {
                    let set = rule.labels.keys().cloned().chain(OF_ALERTS.map(str::to_owned));
                    let labels = own(labels, set.collect());
                    add("ALERTS_FOR_STATE", labels.clone());
                    add("ALERTS", labels);
                }
            }
        }
        next
    }

    /// The labels that a query's result can have, and what is wrong with those that it names: message and hint.
    fn shape(&self, query: &Query) -> (LabelNames, Vec<(String, Option<String>)>) {
        let shape = query.shape(&|metric| self.0.get(metric).cloned().flatten());
        let wrong = shape.unknown.iter().map(|unknown| {
            let metrics: Vec<String> =
                unknown.metrics.iter().map(|name| format!("\"{name}\"")).collect();
            let of = if metrics.is_empty() { "this".to_owned() } else { metrics.join(", ") };
            let known: Vec<&str> = unknown.known.iter().map(String::as_str).collect();
            let hint = match nearest(&unknown.label, &known) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("there are: {}", known.join(", ")),
            };
            (format!("{of} has no label \"{}\" here", unknown.label), Some(hint))
        });
        let wrong = wrong.collect();
        (shape.labels, wrong)
    }

    /// What is wrong with a query that stands at a place, and the labels that its result can have; none where something is.
    pub(super) fn check(&self, at: &Problem, query: &Query) -> (LabelNames, Vec<Problem>) {
        let say = |message: String, hint: Option<String>| Problem {
            message: format!("{}{message}", at.message),
            hint,
            ..at.clone()
        };
        let metrics = query.metrics();
        let mut problems = Vec::new();
        if metrics.any {
            problems.push(say("a selector of this query names no metric".to_owned(), None));
        }
        let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
        for unknown in metrics.names.iter().filter(|name| !self.0.contains_key(*name)) {
            let near = nearest(unknown, &known).map(|near| format!("did you mean \"{near}\"?"));
            problems.push(say(format!("there is no metric \"{unknown}\""), near));
        }
        let (labels, wrong) = self.shape(query);
        problems.extend(wrong.into_iter().map(|(message, hint)| say(message, hint)));
        // What is wrong already is not told again by what shows its labels.
        (labels.filter(|_| problems.is_empty()), problems)
    }
}

/// What a scrape has, with the parts of histograms.
fn scraped() -> BTreeMap<String, LabelNames> {
    let labels_of = |own: &[&str]| -> LabelNames {
        Some(own.iter().chain(&TARGET_LABELS).map(|label| (*label).to_owned()).collect())
    };
    let mut names: BTreeMap<String, LabelNames> =
        SCRAPED.iter().map(|(name, _)| ((*name).to_owned(), labels_of(&[]))).collect();
    for metric in METRICS {
        if metric.kind == Kind::Histogram {
            let bucket: Vec<&str> = metric.labels.iter().copied().chain(["le"]).collect();
            names.insert(format!("{}_bucket", metric.name), labels_of(&bucket));
            names.insert(format!("{}_sum", metric.name), labels_of(metric.labels));
            names.insert(format!("{}_count", metric.name), labels_of(metric.labels));
        } else {
            names.insert(metric.name.to_owned(), labels_of(metric.labels));
        }
    }
    names
}
