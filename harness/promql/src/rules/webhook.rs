//! What Alertmanager posts to a webhook, version 4 of its format.

use std::collections::BTreeMap;

use serde::Serialize;

use super::clock::rfc3339;
use super::state::{State, Transition};
use super::url::graph_link;
use crate::Labels;

/// The instant that Go writes where there is none.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The body of a webhook: alerts that began or ceased to fire. Fields are in Alertmanager's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// The receiver's name.
    pub receiver: String,
    /// `firing` if any alert fires, else `resolved`.
    pub status: String,
    /// The alerts, in the order of the transitions.
    pub alerts: Vec<NotifiedAlert>,
    /// Always empty: alerts are not grouped by labels.
    pub group_labels: BTreeMap<String, String>,
    /// The labels that all alerts have alike.
    pub common_labels: BTreeMap<String, String>,
    /// The annotations that all alerts have alike.
    pub common_annotations: BTreeMap<String, String>,
    /// Where the sender is reached.
    #[serde(rename = "externalURL")]
    pub external_url: String,
    /// The version of the format.
    pub version: String,
    /// What identifies the group of alerts.
    pub group_key: String,
    /// How many alerts were left out: none.
    pub truncated_alerts: u64,
}

/// An alert in a [`Notification`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifiedAlert {
    /// `firing` or `resolved`.
    pub status: String,
    /// Its labels, with `alertname`.
    pub labels: BTreeMap<String, String>,
    /// What it tells people.
    pub annotations: BTreeMap<String, String>,
    /// When it began to fire, in RFC 3339.
    pub starts_at: String,
    /// When it ceased to fire, in RFC 3339; the year 1 while it fires.
    pub ends_at: String,
    /// Where its query can be looked at.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// Alertmanager's hash of its labels, in hexadecimal digits.
    pub fingerprint: String,
}

/// The body that tells `receiver` about these transitions: those to firing and those from firing. The others notify nobody, and
/// without any of the two kinds there are no alerts in it.
pub fn webhook(receiver: &str, transitions: &[Transition], external_url: &str) -> Notification {
    let notifies =
        |change: &&Transition| change.from == State::Firing || change.to == State::Firing;
    let alerts: Vec<NotifiedAlert> =
        transitions.iter().filter(notifies).map(|change| notified(change, external_url)).collect();
    let fires = alerts.iter().any(|alert| alert.status == "firing");
    Notification {
        receiver: receiver.to_owned(),
        status: if fires { "firing" } else { "resolved" }.to_owned(),
        group_labels: BTreeMap::new(),
        common_labels: common(alerts.iter().map(|alert| &alert.labels)),
        common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
        external_url: external_url.to_owned(),
        version: "4".to_owned(),
        group_key: "{}:{}".to_owned(),
        truncated_alerts: 0,
        alerts,
    }
}

fn notified(change: &Transition, external_url: &str) -> NotifiedAlert {
    let fires = change.to == State::Firing;
    NotifiedAlert {
        status: if fires { "firing" } else { "resolved" }.to_owned(),
        labels: change
            .labels
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        annotations: change.annotations.clone(),
        starts_at: change.fired_at.map_or_else(|| NEVER.to_owned(), rfc3339),
        ends_at: if fires { NEVER.to_owned() } else { rfc3339(change.at) },
        generator_url: format!("{external_url}{}", graph_link(&change.query, 1)),
        fingerprint: format!("{:016x}", fingerprint(&change.labels)),
    }
}

/// What all have alike.
fn common<'a>(
    mut all: impl Iterator<Item = &'a BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let mut common = all.next().cloned().unwrap_or_default();
    for other in all {
        common.retain(|name, value| other.get(name) == Some(value));
    }
    common
}

/// FNV-1a over names and values, each followed by a byte that no text contains.
fn fingerprint(labels: &Labels) -> u64 {
    let bytes = labels
        .iter()
        .flat_map(|(name, value)| [name, value])
        .flat_map(|text| text.bytes().chain([0xff]));
    // Offset and prime are those of FNV with 64 bits.
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
