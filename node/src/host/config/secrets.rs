//! Keys and tokens, in the file or in files of their own.

use std::ops::Range;
use std::path::{Path, PathBuf};

use kv_node::config::{StoreProtocol, Token};
use kv_node::storage::S3Access;
use kv_store::s3::{ANY_REGION, Credentials};
use toml::Spanned;

use super::super::exit::Failure;
use super::super::keys::{read_secret, unhex};
use super::Source;
use super::file::{SealingKey, Store, TokenTable};
use super::values::{Hex, Protocol};

/// A secret shorter than this could be tried out.
const SECRET_BYTES_MIN: usize = 16;

impl<F> Source<F> {
    /// The secret of the tier and admin listeners, and of the control plane's.
    pub(super) fn secret_of(
        &self,
        here: Option<&Hex>,
        file: Option<&Path>,
        span: Range<usize>,
    ) -> Result<Vec<u8>, Failure> {
        let secret = match (here, file) {
            (Some(secret), None) => secret.0.clone(),
            (None, Some(path)) => self.secret_bytes(path)?,
            _ => return Err(self.wrong(span, "[keys] needs either secret or secret_file")),
        };
        if secret.len() < SECRET_BYTES_MIN {
            let message = format!("the secret is too short: at least {SECRET_BYTES_MIN} bytes");
            return Err(self.wrong(span, &message));
        }
        Ok(secret)
    }

    /// A path in the file is meant from the file's folder.
    pub(super) fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new(".")).join(path)
    }

    pub(super) fn secret_text(&self, path: &Path) -> Result<String, Failure> {
        read_secret(&self.beside(path)).map(|text| text.trim().to_owned())
    }

    fn secret_bytes(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        let bytes = unhex(&self.secret_text(path)?);
        bytes.ok_or_else(|| Failure::file(path, "expected hexadecimal digits, two a byte"))
    }
}

impl Source {
    /// What a node shares with its peers.
    pub(super) fn secret(&self) -> Result<Vec<u8>, Failure> {
        let (keys, span) = (self.file.keys.get_ref(), self.file.keys.span());
        self.secret_of(keys.secret.as_ref(), keys.secret_file.as_deref(), span)
    }

    /// Sealing keys by id, in the order of the file.
    pub(super) fn sealing_keys(&self) -> Result<Vec<(u8, [u8; 32])>, Failure> {
        let keys = &self.file.keys;
        if keys.get_ref().sealing.is_empty() {
            return Err(self.wrong(keys.span(), "there is no sealing key"));
        }
        let mut read: Vec<(u8, [u8; 32])> = Vec::new();
        for entry in &keys.get_ref().sealing {
            let SealingKey { id, key, key_file } = entry.get_ref();
            let bytes = match (key, key_file) {
                (Some(key), None) => key.0.clone(),
                (None, Some(path)) => self.secret_bytes(path)?,
                _ => {
                    let message = "a sealing key needs either key or key_file";
                    return Err(self.wrong(entry.span(), message));
                }
            };
            let bytes = self.thirty_two(bytes, "a sealing key", entry.span())?;
            if read.iter().any(|(other, _)| other == id) {
                return Err(self.wrong(entry.span(), "two sealing keys have this id"));
            }
            read.push((*id, bytes));
        }
        Ok(read)
    }

    /// What a store speaks, with what S3 needs for it.
    pub(super) fn protocol(&self, store: &Spanned<Store>) -> Result<StoreProtocol, Failure> {
        let wrong = |message: &str| Err(self.wrong(store.span(), message));
        let Store { protocol, bucket, access_key, secret_key, secret_key_file, region, .. } =
            store.get_ref();
        if *protocol == Protocol::Plain {
            let given = [bucket, access_key, secret_key, region].iter().any(|key| key.is_some());
            if given || secret_key_file.is_some() {
                return wrong(
                    "the plain protocol has no bucket, keys or region: write protocol = \"s3\"",
                );
            }
            return Ok(StoreProtocol::Plain);
        }
        let (Some(bucket), Some(key)) = (bucket, access_key) else {
            return wrong("an S3 store needs bucket and access_key");
        };
        let secret = match (secret_key, secret_key_file) {
            (Some(secret), None) => secret.clone(),
            (None, Some(path)) => self.secret_text(path)?,
            _ => return wrong("an S3 store needs either secret_key or secret_key_file"),
        };
        let region = region.clone().unwrap_or_else(|| ANY_REGION.to_owned());
        let credentials = Credentials { key: key.clone(), secret, region };
        let peer = self.file.peers.get(store.get_ref().peer.get_ref());
        let address = peer.and_then(|peer| peer.store.as_ref());
        let host = address.map(|address| address.0.clone()).unwrap_or_default();
        Ok(StoreProtocol::S3(S3Access { host, bucket: bucket.clone(), credentials }))
    }

    /// The tokens of the public API.
    pub(super) fn tokens(&self) -> Result<Vec<Token>, Failure> {
        let token = |entry: &Spanned<TokenTable>| {
            let TokenTable { token, token_sha256, token_file, accounts } = entry.get_ref();
            match (token, token_sha256, token_file) {
                (Some(token), None, None) => Ok(Token::new(token, accounts.clone())),
                (None, None, Some(path)) => {
                    Ok(Token::new(&self.secret_text(path)?, accounts.clone()))
                }
                (None, Some(hash), None) => {
                    let sha256 = self.thirty_two(hash.0.clone(), "a SHA-256", entry.span())?;
                    Ok(Token { sha256, accounts: accounts.clone() })
                }
                _ => {
                    let message = "a token needs one of token, token_sha256 and token_file";
                    Err(self.wrong(entry.span(), message))
                }
            }
        };
        self.file.tokens.iter().map(token).collect()
    }

    fn thirty_two(
        &self,
        bytes: Vec<u8>,
        what: &str,
        span: Range<usize>,
    ) -> Result<[u8; 32], Failure> {
        let message = format!("{what} has 32 bytes: 64 hexadecimal digits");
        bytes.try_into().map_err(|_| self.wrong(span, &message))
    }
}
