//! Values whose form is checked while the file is read, so that a wrong one is told with its place.

use serde::{Deserialize, Deserializer, de};

use super::super::keys::unhex;

/// `host:port`.
#[derive(Clone, Debug)]
pub(super) struct Address(pub(super) String);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        match parts.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(_)) => Ok(Self(text)),
            _ => Err(de::Error::custom(format!(
                "\"{text}\" is no address: write host:port, such as \"10.0.0.5:8787\""
            ))),
        }
    }
}

/// Bytes in hexadecimal. They may be secret: no error shows them.
#[derive(Clone)]
pub(super) struct Hex(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = unhex(&text).map(Self);
        bytes.ok_or_else(|| de::Error::custom("expected hexadecimal digits, two a byte"))
    }
}

/// How a store is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Protocol {
    /// The project's own protocol.
    #[default]
    Plain,
    /// S3, of ours or anybody's.
    S3,
}
