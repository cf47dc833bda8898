//! Secrets in files: those that `kv-node dev --data` makes once and keeps, and those that a configuration names.
//!
//! Nothing here is ever printed, also not in an error.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::chance::OsChance;
use super::exit::Failure;

/// What a node shares with nobody, or with its peers only.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    /// The secret of the tier and admin listeners.
    #[serde(with = "hex")]
    pub(super) secret: [u8; 32],
    /// Seals values.
    #[serde(with = "hex")]
    pub(super) sealing: [u8; 32],
}

impl Keys {
    /// New ones.
    pub(super) fn random(chance: &OsChance) -> Self {
        Self { secret: chance.bytes(), sealing: chance.bytes() }
    }

    /// Those that a file holds, or new ones that are written there first: what they seal can be opened by the next process.
    pub(super) fn kept(file: &Path, chance: &OsChance) -> Result<Self, Failure> {
        if file.exists() {
            let text = read_secret(file)?;
            // The error would show the line, and with it the key.
            return toml::from_str(&text)
                .map_err(|_| Failure::file(file, "this is not what kv-node wrote there"));
        }
        let keys = Self::random(chance);
        let text = toml::to_string(&keys).map_err(|error| Failure::file(file, error))?;
        write_new(file, &text).map_err(|error| Failure::file(file, error))?;
        Ok(keys)
    }
}

/// Whole and on disk under its name, or not there.
pub(super) fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = file.with_extension("unfinished");
    let mut open = fs::OpenOptions::new();
    let mut written = open.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&unfinished, file)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

/// The text of a file that nobody but its owner can read.
pub(super) fn read_secret(file: &Path) -> Result<String, Failure> {
    let wrong = |error| Failure::file(file, error);
    let mode = fs::metadata(file).map_err(wrong)?.permissions().mode();
    if mode & 0o077 != 0 {
        let what = format!("others can read this secret\n    chmod 600 {}", file.display());
        return Err(Failure::file(file, what));
    }
    fs::read_to_string(file).map_err(wrong)
}

/// The bytes of hexadecimal text, or `None`.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

mod hex {
    use std::fmt::Write as _;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        to.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(from)?;
        super::unhex(&text)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| de::Error::custom("not 64 hexadecimal digits"))
    }
}
