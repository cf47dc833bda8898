//! Names of things. Each is a type of its own, so that a region is never taken for a data center.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// A data center, such as `MEL01`.
    Dc
}
name! {
    /// Data centers that share regional tiers, such as `OC`. Origin regions are regions too.
    Region
}
name! {
    /// A namespace: one customer's keys.
    Namespace
}
name! {
    /// A customer's account: whose namespaces are whose.
    Account
}
name! {
    /// A class of namespaces, such as `product` or `customer`: what a dashboard can tell apart where there are too many
    /// namespaces to name each.
    NamespaceClass
}
name! {
    /// Whoever can be called over the network: a data center by its id, a store, `control`, a client.
    Peer
}
name! {
    /// What a release ships, such as `kv-2023-07`.
    BuildId
}

/// The host name under which a namespace's stores are reached: not empty, and such that a header carries it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(Arc<str>);

impl HostName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no [`HostName`]. Whoever wrote it writes letters, digits, dots and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no host name")]
pub struct NoHostName(String);

impl FromStr for HostName {
    type Err = NoHostName;

    fn from_str(text: &str) -> Result<Self, NoHostName> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoHostName(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for HostName {
    type Error = NoHostName;

    fn try_from(text: String) -> Result<Self, NoHostName> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl Dc {
    /// The data center as an address.
    pub fn peer(&self) -> Peer {
        Peer(self.0.clone())
    }
}

/// A key within a namespace: 1 to 512 bytes of UTF-8, checked by the gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Whose key it is.
    pub namespace: Namespace,
    /// The key, decoded.
    pub key: Arc<str>,
}

impl Name {
    /// A key of a namespace.
    pub fn new(namespace: Namespace, key: &str) -> Self {
        Self { namespace, key: key.into() }
    }
}

/// Which of two writes of a key is newer: time first, then a drawn number. Both halves come through doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// Microseconds since 1970 at the gateway that took the write.
    pub at_us: u64,
    /// Drawn, so that two gateways in the same microsecond still agree on a winner.
    pub tie: u32,
}

impl Version {
    /// Older than any write.
    pub const ZERO: Self = Self { at_us: 0, tie: 0 };

    /// 24 hexadecimal digits whose byte order is the order of versions.
    pub fn encode(self) -> String {
        format!("{:016x}{:08x}", self.at_us, self.tie)
    }

    /// What [`Self::encode`] was given, or `None` for any other text.
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() != 24 || !text.is_ascii() {
            return None;
        }
        let (at_us, tie) = text.split_at(16);
        Some(Self {
            at_us: u64::from_str_radix(at_us, 16).ok()?,
            tie: u32::from_str_radix(tie, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn versions_survive_as_text_and_keep_their_order(a: (u64, u32), b: (u64, u32)) {
            let (a, b) = (Version { at_us: a.0, tie: a.1 }, Version { at_us: b.0, tie: b.1 });
            prop_assert_eq!(Version::decode(&a.encode()), Some(a));
            prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
        }
    }
}
