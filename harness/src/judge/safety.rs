//! Whether the store kept its promises, in every scenario: what was acknowledged is not lost, nothing is read that was never
//! written, what was deleted stays deleted, nothing older than the bound is read, and in the end the stores hold the same.
//!
//! Only what customers saw counts, and what lies in the stores in the end. Of two writes one is later where it was sent
//! after the other had ended; of two that overlap either may win. A write that was not acknowledged may have happened, at any
//! time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kv_node::ids::{Dc, Namespace};
use kv_node::safeguards::Safeguard;

use super::measure::Taken;
use super::partitions::{Parted, Partitions};
use super::{Finding, Verdict, ownership};
use crate::recording::{CopyRow, FIRST_VALUE, NO_VALUE, OperationRow, Outcome, Recording};
use crate::spec::time::{self, IncidentTime};
use crate::spec::{Action, Spec};

/// What a purge, a fetch that was under way and a customer's own latency may add to the bound of a minute.
const SLACK: Duration = Duration::from_secs(10);
/// The bound on reads of namespaces that are enrolled.
const BOUND: Duration = Duration::from_mins(1);
/// So long after a write, or after a store came back, both stores have it (R6-3).
const LEVEL_WITHIN: Duration = Duration::from_mins(10);
/// Findings of one kind that are told one by one.
const TOLD: usize = 5;

type Key<'a> = (&'a str, &'a str);

/// A write as the history of a key has it.
#[derive(Clone, Copy, Debug)]
struct Write<'a> {
    value: u64,
    /// Where; `None` for what was there in the beginning.
    dc: Option<&'a str>,
    sent: IncidentTime,
    /// When it was acknowledged; `None` where it was not.
    acknowledged: Option<IncidentTime>,
    /// From when on others must know of it, but for the bound: when it was acknowledged, or when a store that its writer could not
    /// reach must have it.
    known: Option<IncidentTime>,
}

impl Write<'_> {
    /// Whether it was over before another began, so that the other is later beyond doubt.
    fn over_before(&self, sent: IncidentTime) -> bool {
        self.acknowledged.is_some_and(|at| at < sent)
    }
}

/// The writes of one key.
#[derive(Default)]
struct History<'a> {
    writes: Vec<Write<'a>>,
    /// Of the acknowledged ones, by when others must know of them, the latest beginning so far.
    newest: Vec<(IncidentTime, IncidentTime)>,
}

impl<'a> History<'a> {
    fn close(&mut self) {
        let known = self.writes.iter().filter_map(|write| Some((write.known?, write.sent)));
        let mut known: Vec<(IncidentTime, IncidentTime)> = known.collect();
        known.sort_unstable();
        let mut latest = IncidentTime(0);
        for (at, sent) in known {
            latest = latest.max(sent);
            self.newest.push((at, latest));
        }
    }

    /// The latest beginning of a write of which others had to know before a moment.
    fn newest_before(&self, moment: IncidentTime) -> Option<IncidentTime> {
        let count = self.newest.partition_point(|(at, _)| *at < moment);
        self.newest[..count].last().map(|(_, sent)| *sent)
    }

    /// What may have written a value that was read by a moment.
    fn sources(&self, value: u64, by: IncidentTime) -> impl Iterator<Item = &Write<'a>> {
        self.writes.iter().filter(move |write| write.value == value && write.sent <= by)
    }
}

/// What is wrong, by kind.
#[derive(Default)]
struct Wrong {
    never_written: Vec<String>,
    lost: Vec<String>,
    undeleted: Vec<String>,
    too_old: Vec<String>,
    differing: Vec<String>,
}

pub(super) fn check(recording: &Recording, configured: &ownership::History) -> Vec<Finding> {
    let histories = histories(recording);
    let mut wrong = Wrong::default();
    let bounded = bounded(recording);
    let partitions = Partitions::of(&recording.spec);
    for read in recording.operations.iter().filter(|row| &*row.operation == "get") {
        if let Some(history) = histories.get(&(&*read.namespace, &*read.key)) {
            let bound = || bound(recording, configured, read);
            check_read(read, history, bounded.then(bound), &partitions, &mut wrong);
        }
    }
    check_copies(recording, &histories, &mut wrong);
    let Wrong { never_written, lost, undeleted, too_old, differing } = wrong;
    let mut findings = Vec::new();
    for (what, wrong) in [
        ("read what was never written", never_written),
        ("lost a write that was acknowledged", lost),
        ("brought back what was deleted", undeleted),
        ("read what is older than the bound", too_old),
        ("did not come to the same in both stores", differing),
    ] {
        let count = wrong.len();
        findings.extend(wrong.into_iter().take(TOLD).map(|text| Finding {
            verdict: Verdict::Fail,
            text: format!("safety: {what}: {text}"),
        }));
        if count > TOLD {
            let text = format!("safety: {what}: {} more", count - TOLD);
            findings.push(Finding { verdict: Verdict::Fail, text });
        }
    }
    findings
}

fn histories(recording: &Recording) -> BTreeMap<Key<'_>, History<'_>> {
    let parted = Partitions::of(&recording.spec).keeping_from_stores();
    let known = |row: &OperationRow| {
        let kept = |parted: &&Parted| {
            parted.kept.contains(&Dc::from(&*row.dc))
                && row.at < parted.time.end
                && row.ended >= parted.time.start
        };
        let level = |parted: &Parted| parted.time.end.after(LEVEL_WITHIN);
        parted.iter().filter(kept).map(level).chain([row.ended]).max()
    };
    let mut histories: BTreeMap<Key<'_>, History<'_>> = BTreeMap::new();
    let first = |namespace: &str, key: &str| {
        let about = recording.spec.topology.namespaces.iter().find(|n| n.id.as_str() == namespace);
        let place: Option<u32> = key.strip_prefix('k').and_then(|place| place.parse().ok());
        let laid = about.zip(place).is_some_and(|(about, place)| place < about.keys);
        let begin = IncidentTime(0);
        let value = if laid { FIRST_VALUE } else { NO_VALUE };
        Write { value, dc: None, sent: begin, acknowledged: Some(begin), known: Some(begin) }
    };
    for row in &recording.operations {
        let history = histories.entry((&*row.namespace, &*row.key)).or_insert_with(|| History {
            writes: vec![first(&row.namespace, &row.key)],
            newest: Vec::new(),
        });
        if &*row.operation != "get" {
            // What is refused at once has not happened.
            let refused = matches!(row.outcome, Outcome::Status(400..=499));
            if !refused {
                history.writes.push(Write {
                    value: row.value,
                    dc: Some(&*row.dc),
                    sent: row.at,
                    acknowledged: row.outcome.succeeded().then_some(row.ended),
                    known: known(row).filter(|_| row.outcome.succeeded()),
                });
            }
        }
    }
    histories.values_mut().for_each(History::close);
    histories
}

/// Whether there is a bound at all: not without the safeguard that bounds staleness.
fn bounded(recording: &Recording) -> bool {
    let spec = &recording.spec;
    spec.topology.dcs.keys().all(|dc| spec.build_of(dc).has(Safeguard::BoundedStaleness))
}

/// How old a read may be: a minute where the namespace took the new backend all the while, else what its reader asks for.
fn bound(recording: &Recording, configured: &ownership::History, read: &OperationRow) -> Duration {
    let (dc, namespace) = (Dc::from(&*read.dc), Namespace::from(&*read.namespace));
    let while_read = (read.at.before(BOUND + SLACK), read.ended);
    if configured.took_new_backend(while_read, &dc, &namespace) {
        return BOUND;
    }
    let mut namespaces = recording.spec.topology.namespaces.iter();
    let about = namespaces.find(|about| about.id == namespace);
    about.map_or(BOUND, |about| BOUND.max(Duration::from_secs(about.cache_ttl_s)))
}

fn check_read(
    read: &OperationRow,
    history: &History<'_>,
    bound: Option<Duration>,
    partitions: &Partitions<'_>,
    wrong: &mut Wrong,
) {
    if !matches!(read.outcome, Outcome::Status(200 | 404)) {
        return;
    }
    let mut sources = history.sources(read.value, read.ended).peekable();
    if sources.peek().is_none() {
        let what = format!("{} at {}", told(read), time::format(read.at));
        if read.value == NO_VALUE {
            wrong.lost.push(format!("{what}: there is none, and nobody deleted it"));
        } else {
            wrong.never_written.push(what);
        }
        return;
    }
    let Some(bound) = bound else { return };
    let known_before = read.at.before(bound + SLACK);
    let Some(newest) = history.newest_before(known_before) else { return };
    let older = |sent: IncidentTime| {
        history.sources(read.value, read.ended).all(|write| write.over_before(sent))
    };
    if !older(newest) {
        return;
    }
    // Nobody hears of a write over no road: only those count of which this data center could hear.
    let reader = Dc::from(&*read.dc);
    let heard = |write: &&Write<'_>| {
        let Some(known) = write.known else { return false };
        let told = write.dc.map(|dc| partitions.heard_from(&Dc::from(dc), &reader, known));
        told.unwrap_or(known) < known_before
    };
    let later = history.writes.iter().filter(heard).max_by_key(|write| write.sent);
    if let Some(later) = later.filter(|later| older(later.sent)) {
        let what = format!(
            "{} at {}, a later write was sent at {}{}",
            told(read),
            time::format(read.at),
            time::format(later.sent),
            later.dc.map(|dc| format!(" in {dc}")).unwrap_or_default()
        );
        if later.value == NO_VALUE {
            wrong.undeleted.push(what);
        } else {
            wrong.too_old.push(what);
        }
    }
}

fn told(read: &OperationRow) -> String {
    format!("{}/{} in {}", read.namespace, read.key, read.dc)
}

fn check_copies(
    recording: &Recording,
    histories: &BTreeMap<Key<'_>, History<'_>>,
    wrong: &mut Wrong,
) {
    let mut by_key: BTreeMap<Key<'_>, Vec<&CopyRow>> = BTreeMap::new();
    for copy in &recording.copies {
        by_key.entry((&*copy.namespace, &*copy.key)).or_default().push(copy);
    }
    let level_from = level_from(&recording.spec);
    for (key, copies) in by_key {
        let name = format!("{}/{}", key.0, key.1);
        let history = histories.get(&key);
        let settled = history.is_none_or(|history| {
            level_from.is_some_and(|from| history.writes.iter().all(|write| write.sent < from))
        });
        let versions: Vec<&Arc<str>> = copies.iter().map(|copy| &copy.version).collect();
        if settled && versions.windows(2).any(|pair| pair[0] != pair[1]) {
            let held: Vec<String> =
                copies.iter().map(|copy| format!("{} holds {}", copy.store, held(copy))).collect();
            wrong.differing.push(format!("{name}: {}", held.join(", ")));
        }
        let Some(history) = history else { continue };
        let Some(newest) = history.newest.last().map(|(_, sent)| *sent) else { continue };
        let Some(best) = copies.iter().max_by_key(|copy| &copy.version) else { continue };
        let kept =
            history.sources(best.value, recording.spec.end).any(|write| !write.over_before(newest));
        if !kept {
            wrong.lost.push(format!(
                "{name}: in the end there is {}, of before {}",
                held(best),
                time::format(newest)
            ));
        }
    }
}

/// Of the keys that were written with success, but for the last minutes, the share that the stores hold alike in the end.
pub(super) fn written_alike(recording: &Recording) -> Taken {
    let histories = histories(recording);
    let until = recording.spec.end.before(LEVEL_WITHIN);
    let settled = |key: &Key<'_>| {
        let writes = histories.get(key).map(|history| &history.writes[1..]).unwrap_or_default();
        writes.iter().any(|write| write.acknowledged.is_some())
            && writes.iter().all(|write| write.sent < until)
    };
    let mut versions: BTreeMap<Key<'_>, Vec<&str>> = BTreeMap::new();
    for copy in &recording.copies {
        versions.entry((&*copy.namespace, &*copy.key)).or_default().push(&copy.version);
    }
    versions.retain(|key, _| settled(key));
    let alike = versions.values().filter(|held| held.windows(2).all(|pair| pair[0] == pair[1]));
    let (alike, all) = (alike.count(), versions.len());
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let share = alike as f64 / all.max(1) as f64;
    Taken::new(share, all as u64).note(format!("{alike} of {all} keys"))
}

/// Writes that were sent before this moment are in both stores when the run ends; `None` where that cannot be asked: a store
/// was away until the end, or a node died with what it had in mind and no crawler runs.
fn level_from(spec: &Spec) -> Option<IncidentTime> {
    let moment = spec.end.before(LEVEL_WITHIN);
    for planned in &spec.timeline {
        match &planned.action {
            Action::Crash { .. } => return None,
            Action::Fault { for_s, .. } => {
                let healed = planned.at.after(Duration::from_secs(*for_s));
                if healed >= moment {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(moment)
}

fn held(copy: &CopyRow) -> String {
    if copy.version.is_empty() { "nothing".to_owned() } else { format!("version {}", copy.version) }
}
