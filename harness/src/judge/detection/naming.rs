//! What alerts, reports and lines say of a cause.

use std::collections::{BTreeMap, BTreeSet};

use kv_node::telemetry::{ErrorClass, ExceptionReport, ResponseLine};

use super::customers::failing;
use super::{Fired, PAGE, began};
use crate::judge::signals::said;
use crate::recording::{AlertRow, Outcome, Recording};
use crate::spec::cause::{Cause, Decoy, Names};
use crate::spec::expectation::Window;
use crate::spec::time::IncidentTime;

/// A data center that breaks so many connections was deployed to, whatever else goes on.
const BROKEN_BY_A_DEPLOY: u64 = 3;

/// Who named the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// When.
    pub at: IncidentTime,
    /// The alert's name, `report` or `line`.
    pub by: String,
    /// By which labels.
    pub names: BTreeMap<String, String>,
}

impl From<&Fired> for Named {
    fn from(fired: &Fired) -> Self {
        Self { at: fired.at, by: fired.alert.clone(), names: fired.names.clone() }
    }
}

/// A page that named what was not the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// When it began to fire.
    pub at: IncidentTime,
    /// The alert.
    pub alert: String,
    /// What it took for the cause, in words.
    pub decoy: String,
}

/// Of the labels that name something those that are told, each with its value.
pub(super) fn named<'a>(
    names: &Names,
    told: impl Fn(&str) -> Option<&'a str>,
) -> BTreeMap<String, String> {
    names
        .iter()
        .filter_map(|(label, values)| {
            let value = told(label)?;
            values.contains(value).then(|| (label.clone(), value.to_owned()))
        })
        .collect()
}

/// What a report tells under a label.
fn of_report(report: &ExceptionReport, label: &str) -> Option<String> {
    Some(match label {
        "script" => report.script.name().to_owned(),
        "dc" => report.dc.to_string(),
        "build" => report.build.to_string(),
        "revision" => report.revision.to_string(),
        "type" => report.kind.clone(),
        "fingerprint" => report.fingerprint.clone(),
        _ => return None,
    })
}

/// What a line tells under a label; nothing where the build does not tell the context.
fn of_line(line: &ResponseLine, label: &str) -> Option<String> {
    let context = line.context.as_ref();
    Some(match label {
        "script" => line.script.name().to_owned(),
        "dc" => line.dc.to_string(),
        "build" => context?.build.to_string(),
        "revision" => context?.revision.to_string(),
        "namespace" => context?.namespace.as_ref()?.to_string(),
        "owner" => context?.owner.as_ref()?.to_string(),
        _ => return None,
    })
}

/// Whether a line tells of a failure that customers do not bring about themselves.
fn is_failure(line: &ResponseLine) -> bool {
    let error = line.context.as_ref().and_then(|context| context.error);
    line.status >= 500
        || matches!(line.status, 401 | 403)
        || matches!(error, Some(ErrorClass::OwnerFailed | ErrorClass::Exception))
}

/// All labels of the cause, where they are told.
fn whole(cause: &Cause, told: impl Fn(&str) -> Option<String>) -> Option<BTreeMap<String, String>> {
    let told: BTreeMap<&str, String> =
        cause.names.keys().filter_map(|label| Some((label.as_str(), told(label)?))).collect();
    let names = named(&cause.names, |label| told.get(label).map(String::as_str));
    (names.len() == cause.names.len()).then_some(names)
}

/// The first page or report that names the whole cause.
pub(super) fn first_named<'a>(
    recording: &Recording,
    cause: &Cause,
    window: Window,
    mut pages: impl Iterator<Item = &'a Fired>,
) -> Option<Named> {
    let page = pages.find(|page| page.names.len() == cause.names.len()).map(Named::from);
    let reports = recording.exceptions.iter().filter(|report| window.contains(report.at));
    let reports = reports.filter_map(|report| {
        let names = whole(cause, |label| of_report(&report.report, label))?;
        Some(Named { at: report.at, by: "report".to_owned(), names })
    });
    page.into_iter().chain(reports).min_by_key(|named| named.at)
}

/// The first line of a failure that names the whole cause.
pub(super) fn first_line(recording: &Recording, cause: &Cause, window: Window) -> Option<Named> {
    let lines = recording.lines.iter().filter(|line| window.contains(line.at) && is_failure(line));
    let lines = lines.filter_map(|line| {
        let names = whole(cause, |label| of_line(line, label))?;
        Some(Named { at: line.at, by: "line".to_owned(), names })
    });
    lines.min_by_key(|named| named.at)
}

/// What went on beside the cause: what is declared, and the topology's noise. Nothing that is part of the cause is a decoy.
pub(super) fn decoys(recording: &Recording, cause: &Cause) -> Vec<Decoy> {
    let mut decoys = cause.decoys.clone();
    let causes = |dc: &str| {
        let of = |label: &str| cause.names.get(label).is_some_and(|values| values.contains(dc));
        of("dc") || of("owner")
    };
    let mut add = |says: String, dcs: BTreeSet<String>| {
        let values: BTreeSet<String> = dcs.into_iter().filter(|dc| !causes(dc)).collect();
        if !values.is_empty() {
            decoys.push(Decoy { says, names: Names::from([("dc".to_owned(), values)]) });
        }
    };
    let spec = &recording.spec;
    if spec.noise {
        let noise = &spec.topology.noise;
        let [a, b] = &noise.flapping_link;
        add(format!("flapping link {a} to {b}"), [a.to_string(), b.to_string()].into());
        add(format!("slow host {}", noise.slow_dc), [noise.slow_dc.to_string()].into());
        let mut broken: BTreeMap<&str, u64> = BTreeMap::new();
        let window = Window { from: cause.at, to: spec.end };
        for row in recording.requests.iter().filter(|row| window.contains(row.at)) {
            if row.outcome == Outcome::Broken {
                *broken.entry(&row.dc).or_default() += row.weight;
            }
        }
        // Where connections break because of the cause itself, none of that is a deploy.
        let deploys = broken.into_iter().filter(|(_, count)| *count >= BROKEN_BY_A_DEPLOY);
        for (dc, _) in deploys.filter(|_| !cause.outcomes.contains("broken")) {
            add(format!("deploy in {dc}"), [dc.to_owned()].into());
        }
    }
    decoys
}

/// Pages that name a decoy and nothing of the cause. Of a data center whose customers failed because of the cause a page is right,
/// whatever else goes on there; an owner that is blamed is blamed.
pub(super) fn wrong(
    recording: &Recording,
    cause: &Cause,
    window: Window,
    pages: &[&Fired],
) -> Vec<Wrong> {
    let decoys = decoys(recording, cause);
    let failing = failing(recording, cause, window);
    let hurt: BTreeSet<&str> = failing.iter().map(|row| &*row.dc).collect();
    let mut wrong = Vec::new();
    for page in pages.iter().filter(|page| page.names.is_empty()) {
        let told = |label: &str| {
            let owner = || page.labels.get("owner").filter(|_| label == "dc");
            page.labels.get(label).or_else(owner).map(String::as_str)
        };
        let blamed = decoys.iter().find(|decoy| {
            let names = named(&decoy.names, told);
            let suffers = names.len() == 1
                && !page.labels.contains_key("owner")
                && names.get("dc").is_some_and(|dc| hurt.contains(dc.as_str()));
            names.len() == decoy.names.len() && !suffers
        });
        wrong.extend(blamed.map(|decoy| Wrong {
            at: page.at,
            alert: page.alert.clone(),
            decoy: decoy.says.clone(),
        }));
    }
    wrong
}

/// What came of the search for a cause in a window: who named it first, how much there was to look at, and pages that named a
/// decoy before.
pub(in crate::judge) fn diagnosis(
    recording: &Recording,
    cause: &Cause,
    window: Window,
) -> (Option<Named>, Vec<Wrong>) {
    let page = |row: &&AlertRow| row.labels.get("severity").is_some_and(|told| told == PAGE);
    let pages = began(&recording.alerts, window).into_iter().filter(page);
    let fired = |row: &AlertRow| Fired {
        at: row.at,
        alert: row.alert.clone(),
        of_that_day: false,
        names: named(&cause.names, |label| said(row, label).map(String::as_str)),
        labels: row.labels.clone(),
    };
    let pages: Vec<Fired> = pages.map(fired).collect();
    let named = first_named(recording, cause, window, pages.iter());
    let pages: Vec<&Fired> = pages.iter().collect();
    let mut wrong = wrong(recording, cause, window, &pages);
    if let Some(named) = &named {
        wrong.retain(|wrong| wrong.at < named.at);
    }
    (named, wrong)
}
