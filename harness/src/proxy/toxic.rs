//! A toxic as plain data: what is done to one direction of a proxy's connections.
//!
//! Seven kinds are Toxiproxy's and act on bytes, connection by connection. The others are ours and act on messages of
//! HTTP/1.1. An update makes a new [`Toxic`] with the identity and the count of the old one.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use kv_node::env::{Chance, Stream, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::error::ApiError;
use crate::lab::{Seeds, Spread};

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Direction {
    /// From the client to the upstream.
    Upstream,
    /// From the upstream to the client.
    Downstream,
}

impl Direction {
    pub(super) const BOTH: [Self; 2] = [Self::Upstream, Self::Downstream];

    fn parse(text: &str) -> Result<Self, ApiError> {
        Self::BOTH
            .into_iter()
            .find(|direction| direction.as_str().eq_ignore_ascii_case(text))
            .ok_or(ApiError::InvalidStream)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Downstream => "downstream",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a toxic does, with what Toxiproxy calls its attributes. Times are milliseconds unless their name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "attributes", rename_all = "snake_case")]
pub(super) enum Kind {
    /// Bytes arrive later by `latency`, give or take up to `jitter`.
    Latency {
        #[serde(default)]
        latency: i64,
        #[serde(default)]
        jitter: i64,
    },
    /// Bytes go at `rate` KB/s; zero is a black hole that gives back what it took when it goes.
    Bandwidth {
        #[serde(default)]
        rate: i64,
    },
    /// The end comes later by `delay`.
    SlowClose {
        #[serde(default)]
        delay: i64,
    },
    /// Bytes are dropped, and the connection is closed after `timeout`; zero is never.
    Timeout {
        #[serde(default)]
        timeout: i64,
    },
    /// The connection is reset `timeout` after the first byte.
    ResetPeer {
        #[serde(default)]
        timeout: i64,
    },
    /// Chunks are cut into pieces of about `average_size` bytes, with `delay` microseconds after each.
    Slicer {
        #[serde(default)]
        average_size: i64,
        #[serde(default)]
        size_variation: i64,
        #[serde(default)]
        delay: i64,
    },
    /// The connection is closed after so many bytes.
    LimitData {
        #[serde(default)]
        bytes: i64,
    },
    /// A message arrives later by `latency` and a drawn time below `jitter`.
    Delay {
        #[serde(default)]
        latency: u64,
        #[serde(default)]
        jitter: u64,
    },
    /// A message is lost and sent again after 200 ms, at first; what is lost five times never arrives.
    Loss {},
    /// The connection is reset upon a message.
    Reset {},
    /// A message vanishes, and nothing says so.
    Partition {},
    /// A message arrives without one of its headers.
    StripHeader { name: String },
    /// A message arrives with another value of one of its headers.
    ReplaceHeader { name: String, value: String },
    /// A message arrives with one of its headers twice.
    DuplicateHeader { name: String },
    /// Upstream: a request never arrives and is answered with this status. Downstream: an answer arrives with this status.
    Status { status: u16 },
    /// Some bytes of a message's body are others.
    CorruptBody {},
}

/// The kinds by name; those before the eighth act on bytes.
const KINDS: [&str; 16] = [
    "latency",
    "bandwidth",
    "slow_close",
    "timeout",
    "reset_peer",
    "slicer",
    "limit_data",
    "delay",
    "loss",
    "reset",
    "partition",
    "strip_header",
    "replace_header",
    "duplicate_header",
    "status",
    "corrupt_body",
];

impl Kind {
    /// Reads a kind from its name and its attributes.
    fn parse(name: &str, attributes: &Map<String, Value>) -> Result<Self, ApiError> {
        if !KINDS.contains(&name) {
            return Err(ApiError::InvalidToxicType);
        }
        let bad = |error: serde_json::Error| match error.to_string().split_once("missing field `") {
            Some((_, field)) => {
                ApiError::MissingField(field.split('`').next().unwrap_or_default().to_owned())
            }
            None => ApiError::BadRequestBody(error.to_string()),
        };
        let kind: Self =
            serde_json::from_value(json!({"type": name, "attributes": attributes})).map_err(bad)?;
        // Toxiproxy lets what it does not know pass; of our own kinds a misspelt attribute is said to be one.
        let known = kind.attributes();
        match attributes.keys().find(|attribute| !known.contains_key(attribute.as_str())) {
            Some(attribute) if kind.is_of_messages() => {
                Err(ApiError::BadRequestBody(format!("unknown attribute `{attribute}`")))
            }
            _ => Ok(kind),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        KINDS[match self {
            Self::Latency { .. } => 0,
            Self::Bandwidth { .. } => 1,
            Self::SlowClose { .. } => 2,
            Self::Timeout { .. } => 3,
            Self::ResetPeer { .. } => 4,
            Self::Slicer { .. } => 5,
            Self::LimitData { .. } => 6,
            Self::Delay { .. } => 7,
            Self::Loss {} => 8,
            Self::Reset {} => 9,
            Self::Partition {} => 10,
            Self::StripHeader { .. } => 11,
            Self::ReplaceHeader { .. } => 12,
            Self::DuplicateHeader { .. } => 13,
            Self::Status { .. } => 14,
            Self::CorruptBody {} => 15,
        }]
    }

    fn attributes(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(mut whole)) => match whole.remove("attributes") {
                Some(Value::Object(attributes)) => attributes,
                _ => Map::new(),
            },
            _ => Map::new(),
        }
    }

    /// Whether it acts on messages, not on bytes.
    pub(super) fn is_of_messages(&self) -> bool {
        KINDS.iter().position(|known| *known == self.name()).is_some_and(|at| at >= 7)
    }

    fn check(&self, stream: Direction) -> Result<(), ApiError> {
        let bad = |what: String| Err(ApiError::BadRequestBody(what));
        match self {
            Self::StripHeader { name }
            | Self::DuplicateHeader { name }
            | Self::ReplaceHeader { name, .. }
                if HeaderName::try_from(name.as_str()).is_err() =>
            {
                bad(format!("no name of a header: {name:?}"))
            }
            Self::ReplaceHeader { value, .. } if HeaderValue::try_from(value.as_str()).is_err() => {
                bad(format!("no value of a header: {value:?}"))
            }
            Self::Status { status } if !(200..=599).contains(status) => {
                bad(format!("status {status} is not within 200 to 599"))
            }
            Self::Status { status: status @ (204 | 304) } if stream == Direction::Downstream => {
                bad(format!("an answer with a body cannot have status {status}"))
            }
            _ => Ok(()),
        }
    }
}

/// When a toxic with bursts acts.
struct Bursts {
    length_ms: u64,
    origin: Instant,
    spread: Mutex<Spread>,
}

/// A toxic as it is now.
pub(super) struct Toxic {
    /// The same after an update, another for every toxic that was added.
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) stream: Direction,
    pub(super) kind: Kind,
    /// The share of connections or messages that it acts on; with bursts the share of the time.
    pub(super) toxicity: f64,
    bursts: Option<Bursts>,
    seeds: Seeds,
    acted: Arc<AtomicU64>,
}

/// A toxic as someone asks for it.
#[derive(Debug, Deserialize)]
pub(super) struct ToxicInput {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) stream: Option<String>,
    #[serde(default)]
    pub(super) toxicity: Option<f64>,
    #[serde(default)]
    pub(super) attributes: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) bursts_ms: Option<u64>,
}

impl Toxic {
    /// A toxic as it was asked for. `seeds` are those of its proxy.
    pub(super) fn new(id: u64, input: ToxicInput, seeds: &Seeds) -> Result<Self, ApiError> {
        let stream = Direction::parse(input.stream.as_deref().unwrap_or("downstream"))?;
        let kind = input.kind.unwrap_or_default();
        let kind = Kind::parse(&kind, &without_nulls(input.attributes.unwrap_or_default()))?;
        let named = input.name.filter(|name| !name.is_empty());
        let name = named.unwrap_or_else(|| format!("{}_{stream}", kind.name()));
        let seeds = seeds.below(&name);
        let toxicity = input.toxicity.unwrap_or(1.0);
        let bursts = Bursts::new(input.bursts_ms, &kind, toxicity, &seeds)?;
        kind.check(stream)?;
        Ok(Self { id, name, stream, kind, toxicity, bursts, seeds, acted: Arc::default() })
    }

    /// The same toxic with other attributes, another toxicity, or both.
    pub(super) fn updated(&self, input: ToxicInput) -> Result<Self, ApiError> {
        let mut attributes = self.kind.attributes();
        attributes.extend(without_nulls(input.attributes.unwrap_or_default()));
        let kind = Kind::parse(self.kind.name(), &attributes)?;
        kind.check(self.stream)?;
        let toxicity = input.toxicity.unwrap_or(self.toxicity);
        let bursts_ms = input.bursts_ms.or(self.bursts.as_ref().map(|bursts| bursts.length_ms));
        Ok(Self {
            id: self.id,
            name: self.name.clone(),
            stream: self.stream,
            bursts: Bursts::new(bursts_ms, &kind, toxicity, &self.seeds)?,
            kind,
            toxicity,
            seeds: self.seeds.clone(),
            acted: self.acted.clone(),
        })
    }

    /// As the API tells it.
    pub(super) fn told(&self) -> Value {
        let mut told = json!({
            "attributes": self.kind.attributes(),
            "name": self.name,
            "type": self.kind.name(),
            "stream": self.stream.as_str(),
            "toxicity": self.toxicity,
            "acted": self.acted(),
        });
        if let (Some(bursts), Some(told)) = (&self.bursts, told.as_object_mut()) {
            told.insert("bursts_ms".to_owned(), bursts.length_ms.into());
        }
        told
    }

    /// Its chance on one connection.
    pub(super) fn draws(&self, connection: u64) -> Stream {
        self.seeds.stream(&connection.to_string())
    }

    /// Whether it acts on what is on its way now.
    pub(super) fn acts(&self, draws: &Stream, now: Instant) -> bool {
        match &self.bursts {
            Some(bursts) => bursts.covers(now),
            None => self.toxicity >= 1.0 || draws.unit() < self.toxicity,
        }
    }

    /// Whether it acts now and then.
    pub(super) fn is_in_bursts(&self) -> bool {
        self.bursts.is_some()
    }

    /// How many connections or messages it has acted on.
    pub(super) fn acted(&self) -> u64 {
        self.acted.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) {
        self.acted.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Toxic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.name, self.kind.name(), self.stream)
    }
}

impl Bursts {
    fn new(
        length_ms: Option<u64>,
        kind: &Kind,
        share: f64,
        seeds: &Seeds,
    ) -> Result<Option<Self>, ApiError> {
        let Some(length_ms) = length_ms else { return Ok(None) };
        if !kind.is_of_messages() {
            let what = "bursts_ms: only toxics that act on messages come in bursts";
            return Err(ApiError::BadRequestBody(what.to_owned()));
        }
        if length_ms == 0 || share <= 0.0 || share >= 1.0 {
            let what = "bursts_ms: bursts have a length, and a toxicity between 0 and 1";
            return Err(ApiError::BadRequestBody(what.to_owned()));
        }
        let length = Duration::from_millis(length_ms);
        let spread = Spread::new(length, share, seeds.stream("bursts"), Timestamp::default());
        Ok(Some(Self { length_ms, origin: Instant::now(), spread: Mutex::new(spread) }))
    }

    fn covers(&self, now: Instant) -> bool {
        let now = Timestamp::default().after(now.saturating_duration_since(self.origin));
        self.spread.lock().unwrap_or_else(PoisonError::into_inner).covers(now)
    }
}

/// Toxiproxy takes `null` for "as it is".
fn without_nulls(mut attributes: Map<String, Value>) -> Map<String, Value> {
    attributes.retain(|_, value| !value.is_null());
    attributes
}

/// Milliseconds as the API gives them; what is below zero is none.
pub(super) fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
