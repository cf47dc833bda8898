//! What more data centers cost tiers and stores: six of them against ten times as many.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_node::ids::{Dc, Namespace};
use relapse::lab::{drive, sim};
use relapse::recording::{CacheStatus, RecordingWriter};
use relapse::spec::Spec;
use relapse::spec::topology::DcAbout;

use crate::repo::scenarios;

/// Six data centers, all of them tiers, without noise. One namespace takes the tiers; its customers only read.
fn six(minutes: u64, requests_per_s: f64) -> Spec {
    let mut spec = scenarios("faults").remove(0).spec;
    assert_eq!((spec.topology.dcs.len(), spec.noise), (6, false));
    spec.end = spec.start.after(Duration::from_mins(minutes));
    spec.topology.traffic.requests_per_s = requests_per_s;
    spec.topology.namespaces.retain(|namespace| namespace.enrolled);
    let tiered = &mut spec.topology.namespaces[0];
    (tiered.puts, tiered.deletes) = (0.0, 0.0);
    spec
}

/// So many times as many data centers, each with as many customers as before: the new ones as `about` says.
fn more(spec: &Spec, times: usize, about: impl Fn(&DcAbout) -> DcAbout) -> Spec {
    let mut more = spec.clone();
    let mut dcs: BTreeMap<Dc, DcAbout> = spec.topology.dcs.clone();
    for turn in 1..times {
        for (dc, old) in &spec.topology.dcs {
            dcs.insert(Dc::from(format!("{dc}-{turn}")), about(old));
        }
    }
    more.topology.dcs = dcs;
    let times = u32::try_from(times).unwrap();
    more.topology.traffic.requests_per_s *= f64::from(times);
    more
}

/// An edge: customers, and no part in the tiers.
fn edge(old: &DcAbout) -> DcAbout {
    DcAbout { tier: 0.0, upper: 0.0, ..old.clone() }
}

fn run(spec: &Spec) -> RecordingWriter {
    drive(sim::lab(1), spec, |_| {}).unwrap()
}

/// What all nodes counted under a name, where a label has a value.
fn counted(recording: &RecordingWriter, metric: &str, (label, value): (&str, &str)) -> f64 {
    let series = recording.metrics.series.iter().filter(|series| {
        series.labels.metric() == Some(metric)
            && (label.is_empty() || series.labels.get(label) == Some(value))
    });
    series.map(|series| series.samples().last().map_or(0.0, |(_, value)| value)).sum()
}

fn store_reads(recording: &RecordingWriter) -> f64 {
    counted(recording, "node_store_requests_total", ("operation", "get"))
}

/// Reads that an edge answered by itself, of all reads that were answered.
#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn hit_ratio(recording: &RecordingWriter) -> f64 {
    let count = |wanted: &[CacheStatus]| -> u64 {
        let reads = recording.truth.iter().filter(|row| &*row.operation == "get");
        reads.filter(|row| wanted.contains(&row.cache)).map(|row| row.count).sum()
    };
    let hits = count(&[CacheStatus::Hit, CacheStatus::Stale]);
    hits as f64 / (hits + count(&[CacheStatus::Miss, CacheStatus::Revalidated])) as f64
}

#[test]
fn with_more_data_centers_more_is_written_and_none_hears_more() {
    let mut six = six(15, 20.0);
    let tiered = &mut six.topology.namespaces[0];
    (tiered.puts, tiered.deletes) = (0.1, 0.01);
    let sixty = more(&six, 10, DcAbout::clone);
    let (few, many) = (run(&six), run(&sixty));
    let writes = |recording: &RecordingWriter| {
        let writes = recording.truth.iter().filter(|row| &*row.operation != "get");
        writes.filter(|row| row.outcome.succeeded()).map(|row| row.count).sum::<u64>()
    };
    assert!(writes(&many) > 9 * writes(&few), "{} and {} writes", writes(&few), writes(&many));
    let purges = |recording, dcs| counted(recording, "node_purge_sent_total", ("", "")) / dcs;
    let (few_hear, many_hear) = (purges(&few, 6.0), purges(&many, 60.0));
    assert!(
        few_hear > 0.0 && many_hear <= 1.1 * few_hear,
        "{few_hear} and {many_hear} purges each"
    );
    // Half a point is what draws from another number of customers change.
    let (few_hits, many_hits) = (hit_ratio(&few), hit_ratio(&many));
    assert!(many_hits >= few_hits - 0.005, "{few_hits} and {many_hits} of all reads are hits");
}

#[test]
fn more_edges_read_no_more_from_the_stores() {
    let mut six = six(25, 20.0);
    // Few keys, read alike, so that every one is read in every region whether or not there are many edges.
    let tiered = &mut six.topology.namespaces[0];
    (tiered.keys, tiered.zipf) = (100, 0.0);
    let (few, many) = (store_reads(&run(&six)), store_reads(&run(&more(&six, 10, edge))));
    assert!(few > 0.0 && many <= 1.2 * few, "{few} reads for six data centers, {many} for sixty");
}

#[test]
fn with_tiers_a_fifth_or_less_is_read_from_the_stores() {
    let mut with = more(&six(15, 20.0), 10, edge);
    let tiered = &mut with.topology.namespaces[0];
    (tiered.puts, tiered.deletes) = (0.04, 0.005);
    let mut without = with.clone();
    without.topology.namespaces[0].enrolled = false;
    assert_eq!(without.topology.namespaces[0].id, Namespace::from("tiered"));
    let (with, without) = (store_reads(&run(&with)), store_reads(&run(&without)));
    assert!(without >= 5.0 * with, "{with} reads with tiers, {without} without");
}
