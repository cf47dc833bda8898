//! What the proxy counts, as Prometheus reads it: Toxiproxy's two families, and two of toxics.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use super::collection::Proxies;
use super::toxic::{Direction, Toxic};

/// Bytes that went through a proxy.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    received: [AtomicU64; 2],
    sent: [AtomicU64; 2],
}

impl Traffic {
    pub(super) fn received(&self, direction: Direction, bytes: usize) {
        self.received[direction as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, direction: Direction, bytes: usize) {
        self.sent[direction as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Interventions of toxics that are gone: a counter that goes back would be taken for a restart.
#[derive(Debug, Default)]
pub(super) struct Past(BTreeMap<Key, u64>);

/// Toxics that are gone and still told of; the rest of them is forgotten.
const PAST_MAX: usize = 1_024;

impl Past {
    /// A toxic goes.
    pub(super) fn keep(&mut self, proxy: &str, toxic: &Toxic) {
        let key = key(proxy, toxic);
        if self.0.len() < PAST_MAX || self.0.contains_key(&key) {
            *self.0.entry(key).or_default() += toxic.acted();
        }
    }
}

fn key(proxy: &str, toxic: &Toxic) -> Key {
    (proxy.to_owned(), toxic.name.clone(), toxic.kind.name(), toxic.stream)
}

/// Everything as text.
pub(super) fn text(proxies: &Proxies) -> String {
    let mut text = String::new();
    let traffic =
        |text: &mut String, name: &str, help: &str, of: fn(&Traffic) -> &[AtomicU64; 2]| {
            family(text, name, help, "counter");
            for proxy in proxies.all() {
                for direction in Direction::BOTH {
                    let bytes = of(proxy.traffic())[direction as usize].load(Ordering::Relaxed);
                    let labels = [
                        ("direction", direction.as_str()),
                        ("listener", proxy.listen()),
                        ("proxy", proxy.name()),
                        ("upstream", proxy.upstream()),
                    ];
                    sample(text, name, &labels, bytes);
                }
            }
        };
    let received = "toxiproxy_proxy_received_bytes_total";
    traffic(&mut text, received, "Bytes that a proxy received.", |traffic| &traffic.received);
    let sent = "toxiproxy_proxy_sent_bytes_total";
    traffic(&mut text, sent, "Bytes that a proxy sent.", |traffic| &traffic.sent);

    let active = "chaos_fault_active";
    family(&mut text, active, "Toxics that are installed.", "gauge");
    let mut acted = proxies.past().0.clone();
    for proxy in proxies.all() {
        for toxic in proxy.toxics() {
            let key = key(proxy.name(), toxic);
            sample(&mut text, active, &labels(&key), 1);
            *acted.entry(key).or_default() += toxic.acted();
        }
    }
    let interventions = "chaos_interventions_total";
    let help = "Connections or messages that a toxic acted on.";
    family(&mut text, interventions, help, "counter");
    for (key, count) in &acted {
        sample(&mut text, interventions, &labels(key), *count);
    }
    text
}

type Key = (String, String, &'static str, Direction);

fn labels((proxy, toxic, kind, stream): &Key) -> [(&'static str, &str); 4] {
    [("proxy", proxy), ("toxic", toxic), ("type", kind), ("stream", stream.as_str())]
}

fn family(text: &mut String, name: &str, help: &str, kind: &str) {
    // Writing into a string never fails, here and below.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let _ = write!(text, "{name}{{");
    for (at, (label, said)) in labels.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let said = said.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{comma}{label}=\"{said}\"");
    }
    let _ = writeln!(text, "}} {value}");
}
