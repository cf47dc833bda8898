//! Who may use the public API: bearer tokens.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use crate::config::Token;

/// The older way of the service: a key in a header of its own.
const KEY: &str = "x-auth-key";

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The request names no token.
    Missing,
    /// The token is not known, or does not open this account: which of the two is not said.
    Unknown,
}

/// The tokens of a node.
#[derive(Debug, Default)]
pub struct Access {
    tokens: Vec<Token>,
}

impl Access {
    /// From the configured tokens; without any, everybody is let in.
    pub fn new(tokens: Vec<Token>) -> Self {
        Self { tokens }
    }

    /// Whether a request's token opens an account. How long that takes says nothing of the tokens.
    pub fn permits(&self, headers: &HeaderMap, account: &str) -> Result<(), Denied> {
        if self.tokens.is_empty() {
            return Ok(());
        }
        let bearer = headers.get(AUTHORIZATION).and_then(bearer);
        let given = bearer
            .or_else(|| headers.get(KEY).map(HeaderValue::as_bytes))
            .ok_or(Denied::Missing)?;
        let given: [u8; 32] = Sha256::digest(given).into();
        let mut permitted = false;
        for token in &self.tokens {
            let opens = token.accounts.is_empty()
                || token.accounts.iter().any(|opened| opened.as_str() == account);
            permitted |= equal(&token.sha256, &given) & opens;
        }
        if permitted { Ok(()) } else { Err(Denied::Unknown) }
    }
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Compares all bytes, wherever the first difference is.
fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(access: &Access, header: &'static str, value: &str, account: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header, HeaderValue::from_str(value).unwrap());
        access.permits(&headers, account).is_ok()
    }

    #[test]
    fn a_token_opens_its_accounts_and_no_other() {
        let access =
            Access::new(vec![Token::new("one", vec!["a".into()]), Token::new("all", Vec::new())]);
        assert!(asked(&access, "authorization", "Bearer one", "a"));
        assert!(asked(&access, "x-auth-key", "one", "a"));
        assert!(asked(&access, "authorization", "bearer all", "b"));
        for value in ["Bearer one", "Bearer ", "Bearer two", "Basic one", "one"] {
            assert!(!asked(&access, "authorization", value, "b"), "{value}");
        }
        assert_eq!(access.permits(&HeaderMap::new(), "a"), Err(Denied::Missing));
        assert_eq!(Access::default().permits(&HeaderMap::new(), "a"), Ok(()));
        assert!(!format!("{access:?}").contains("one"), "tokens are not logged");
    }
}
