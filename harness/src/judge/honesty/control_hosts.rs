//! The control host of a request to an upper tier: what the network saw sent, against what reached whoever serves it.

use std::collections::BTreeMap;

use kv_node::env::Listener;
use kv_node::telemetry::catalogue;

use super::super::measure::{Taken, count};
use super::{steady, told, total};
use crate::recording::{Caller, Recording};

/// How many were lost between the two. Of the whole run: what is in flight at its end has ended by then.
pub(in super::super) fn lost(recording: &Recording) -> Taken {
    let mut sent: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &recording.wire {
        if row.listener == Listener::Tier && row.caller == Caller::Dc {
            *sent.entry(&row.to).or_default() += row.controlled;
        }
    }
    let (mut all, mut lost, mut worst) = (0, 0, (0, ""));
    for dc in steady(recording) {
        let sent = sent.get(dc).copied().unwrap_or(0);
        let seen: u64 = told(recording, catalogue::CONTROL_HOSTS.name, dc).map(total).sum();
        // One that nobody sent would be as wrong.
        let here = sent.abs_diff(seen);
        all += sent;
        lost += here;
        worst = worst.max((here, dc));
    }
    let note = match worst {
        (0, _) => format!("of {all}"),
        (most, dc) => format!("of {all}, most in {dc}: {most}"),
    };
    Taken::new(count(lost), all).note(note)
}
