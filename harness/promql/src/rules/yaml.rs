//! What a rule file says, before anything about it is checked but its form. Everything keeps its place.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// A scalar as it stands in the file, with its place. Null is an empty text, as in Prometheus.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) place: Place,
}

/// A place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 1.
    pub(super) column: usize,
    /// In bytes from the start of the file.
    pub(super) offset: usize,
    /// How many bytes of the file it covers.
    pub(super) length: usize,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let number =
            |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok()).unwrap_or(0);
        Self {
            line: number(Some(location.line())),
            column: number(Some(location.column())),
            offset: number(location.span().byte_offset()),
            length: number(location.span().byte_len()),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Spanned::<Option<String>>::deserialize(deserializer)?;
        Ok(Self { text: read.value.unwrap_or_default(), place: read.referenced.into() })
    }
}

/// A mapping of names to texts, in the file's order.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts(pub(super) Vec<(Scalar, Scalar)>);

/// A key that should not be there.
#[derive(Clone, Debug)]
pub(super) struct Unknown {
    pub(super) key: Scalar,
    /// The keys that may be there.
    pub(super) known: &'static [&'static str],
}

/// The whole file.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) groups: Vec<Group>,
    pub(super) unknown: Vec<Unknown>,
}

/// A group of rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) place: Option<Place>,
    pub(super) name: Option<Scalar>,
    pub(super) interval: Option<Scalar>,
    pub(super) query_offset: Option<Scalar>,
    pub(super) limit: Option<Scalar>,
    pub(super) labels: Texts,
    pub(super) rules: Vec<Rule>,
    pub(super) unknown: Vec<Unknown>,
}

/// A rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Rule {
    pub(super) place: Option<Place>,
    pub(super) record: Option<Scalar>,
    pub(super) alert: Option<Scalar>,
    pub(super) expr: Option<Scalar>,
    pub(super) hold: Option<Scalar>,
    pub(super) keep_firing_for: Option<Scalar>,
    pub(super) labels: Texts,
    pub(super) annotations: Texts,
    pub(super) unknown: Vec<Unknown>,
}

/// A mapping with known keys.
trait Keyed: Default {
    const KEYS: &'static [&'static str];

    fn unknown(&mut self) -> &mut Vec<Unknown>;

    /// Reads the value of a key that is one of [`Keyed::KEYS`].
    fn read<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error>;

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeyedVisitor(PhantomData))
    }
}

struct KeyedVisitor<T>(PhantomData<T>);

impl<'de, T: Keyed> Visitor<'de> for KeyedVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a mapping with the keys {}", T::KEYS.join(", "))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<T, M::Error> {
        let mut read = T::default();
        while let Some(key) = map.next_key::<Scalar>()? {
            if T::KEYS.contains(&key.text.as_str()) {
                read.read(&key.text, &mut map)?;
            } else {
                map.next_value::<IgnoredAny>()?;
                read.unknown().push(Unknown { key, known: T::KEYS });
            }
        }
        Ok(read)
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }
}

impl Keyed for File {
    const KEYS: &'static [&'static str] = &["groups"];

    fn unknown(&mut self) -> &mut Vec<Unknown> {
        &mut self.unknown
    }

    fn read<'de, M: MapAccess<'de>>(&mut self, _: &str, map: &mut M) -> Result<(), M::Error> {
        let groups: Option<Vec<Spanned<Group>>> = map.next_value()?;
        let placed =
            |group: Spanned<Group>| Group { place: Some(group.referenced.into()), ..group.value };
        self.groups = groups.unwrap_or_default().into_iter().map(placed).collect();
        Ok(())
    }
}

impl Keyed for Group {
    const KEYS: &'static [&'static str] =
        &["name", "interval", "query_offset", "limit", "labels", "rules"];

    fn unknown(&mut self) -> &mut Vec<Unknown> {
        &mut self.unknown
    }

    fn read<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        match key {
            "name" => self.name = map.next_value()?,
            "interval" => self.interval = map.next_value()?,
            "query_offset" => self.query_offset = map.next_value()?,
            "limit" => self.limit = map.next_value()?,
            "labels" => self.labels = map.next_value::<Option<_>>()?.unwrap_or_default(),
            _ => {
                let rules: Option<Vec<Spanned<Rule>>> = map.next_value()?;
                let placed = |rule: Spanned<Rule>| Rule {
                    place: Some(rule.referenced.into()),
                    ..rule.value
                };
                self.rules = rules.unwrap_or_default().into_iter().map(placed).collect();
            }
        }
        Ok(())
    }
}

impl Keyed for Rule {
    const KEYS: &'static [&'static str] =
        &["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];

    fn unknown(&mut self) -> &mut Vec<Unknown> {
        &mut self.unknown
    }

    fn read<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        match key {
            "record" => self.record = map.next_value()?,
            "alert" => self.alert = map.next_value()?,
            "expr" => self.expr = map.next_value()?,
            "for" => self.hold = map.next_value()?,
            "keep_firing_for" => self.keep_firing_for = map.next_value()?,
            "labels" => self.labels = map.next_value::<Option<_>>()?.unwrap_or_default(),
            _ => self.annotations = map.next_value::<Option<_>>()?.unwrap_or_default(),
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Keyed::deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Keyed::deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Keyed::deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;

        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of names to texts")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Texts, M::Error> {
                let mut texts = Texts::default();
                while let Some(entry) = map.next_entry()? {
                    texts.0.push(entry);
                }
                Ok(texts)
            }
        }

        deserializer.deserialize_map(TextsVisitor)
    }
}
