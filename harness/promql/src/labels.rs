//! Label sets: what identifies a series, and what every element of a result carries.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxHasher;

/// The label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";

/// A set of labels, sorted by name. A label with an empty value is the same as none, so it is not kept.
///
/// A clone copies a pointer. Comparing looks at the pointer first, then at a hash of the content: results of successive
/// evaluations mostly share their label sets.
#[derive(Clone)]
pub struct Labels(Arc<Content>);

type Pair = (Arc<str>, Arc<str>);

struct Content {
    hash: u64,
    named: bool,
    pairs: Box<[Pair]>,
}

impl Labels {
    /// Builds a set from pairs in any order. Of two pairs with one name, the later counts.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut sorted: Vec<Pair> = Vec::new();
        for (name, value) in pairs {
            let pair = (Arc::from(name.as_ref()), Arc::from(value.as_ref()));
            match sorted.binary_search_by(|(known, _)| (**known).cmp(name.as_ref())) {
                Ok(at) => sorted[at] = pair,
                Err(at) => sorted.insert(at, pair),
            }
        }
        Self::from_sorted(sorted)
    }

    /// The set without labels.
    pub fn empty() -> Self {
        Self::from_sorted(Vec::new())
    }

    fn from_sorted(mut pairs: Vec<Pair>) -> Self {
        pairs.retain(|(_, value)| !value.is_empty());
        let mut hasher = FxHasher::default();
        for (name, value) in &pairs {
            name.hash(&mut hasher);
            value.hash(&mut hasher);
        }
        let named = pairs.iter().any(|(name, _)| &**name == METRIC_NAME);
        Self(Arc::new(Content { hash: hasher.finish(), named, pairs: pairs.into_boxed_slice() }))
    }

    /// The value of a label, if it has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.pairs.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.0.pairs.is_empty()
    }

    /// The metric name.
    pub fn metric(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// Whether there is a metric name.
    pub(crate) fn is_named(&self) -> bool {
        self.0.named
    }

    /// The same set with one label set; an empty value removes it.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs = self.0.pairs.to_vec();
        let pair = (Arc::from(name), Arc::from(value));
        match pairs.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(at) => pairs[at] = pair,
            Err(at) => pairs.insert(at, pair),
        }
        Self::from_sorted(pairs)
    }

    /// The same set with one label removed.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        if self.get(name).is_none() { self.clone() } else { self.keeping(|known| known != name) }
    }

    /// The labels whose names pass.
    #[must_use]
    pub(crate) fn keeping(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self::from_sorted(self.0.pairs.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// Whether both are one allocation, which implies equality.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || (self.0.hash == other.0.hash && self.0.pairs == other.0.pairs)
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_same(other) { Ordering::Equal } else { self.0.pairs.cmp(&other.0.pairs) }
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self::new(pairs)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.metric().filter(|name| is_plain(name, true));
        f.write_str(plain.unwrap_or(""))?;
        let rest = self.iter().filter(|(name, _)| *name != METRIC_NAME || plain.is_none());
        let mut opened = false;
        for (name, value) in rest {
            f.write_str(if opened { ", " } else { "{" })?;
            opened = true;
            let name =
                if is_plain(name, false) { Cow::Borrowed(name) } else { Cow::Owned(quote(name)) };
            write!(f, "{name}={}", quote(value))?;
        }
        match (opened, plain) {
            (true, _) => f.write_str("}"),
            (false, None) => f.write_str("{}"),
            (false, Some(_)) => Ok(()),
        }
    }
}

/// Whether a name needs no quotes. Only metric names may contain colons.
fn is_plain(name: &str, colons: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty()
}

/// A text in double quotes, escaped as Go's `%q` does.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            c if c.is_ascii_control() => _ = write!(quoted, "\\x{:02x}", u32::from(c)),
            c if c.is_control() => _ = write!(quoted, "\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_sorted_and_has_no_empty_values() {
        let labels =
            Labels::new([("job", "kv"), ("empty", ""), ("__name__", "up"), ("dc", "a\"b\\\n")]);
        assert_eq!(labels.to_string(), r#"up{dc="a\"b\\\n", job="kv"}"#);
        assert_eq!(labels.get("empty"), None);
        assert_eq!(labels.metric(), Some("up"));
        assert_eq!(labels.without("dc").with("job", "").to_string(), "up");
        assert_eq!(Labels::empty().to_string(), "{}");
        assert_eq!(Labels::new([("a.b", "\u{1}")]).to_string(), r#"{"a.b"="\x01"}"#);
    }

    #[test]
    fn equality_and_order_are_those_of_the_content() {
        let a = Labels::new([("a", "1"), ("b", "2")]);
        assert_eq!(a, Labels::new([("b", "2"), ("a", "1")]));
        assert!(a < Labels::new([("a", "2")]));
        assert!(Labels::empty() < a);
    }
}
