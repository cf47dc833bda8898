//! Paths of the public API.

use http::Method;

use crate::api::{decode_segment, encode_segment};
use crate::ids::{Name, Namespace};

const PREFIX: &str = "/client/v4/accounts/";
const NAMESPACES: &str = "storage/kv/namespaces";
/// The path of old, the same to the service.
const NAMESPACES_ALIAS: &str = "workers/namespaces";
/// Characters of an account's id.
const ACCOUNT_MAX: usize = 64;

/// What a path leads to.
pub(super) enum Route {
    Namespaces,
    Namespace(Namespace),
    Value(Name),
    Metadata(Name),
    Keys(Namespace),
    Bulk(Namespace),
    BulkDelete(Namespace),
    BulkGet(Namespace),
}

impl Route {
    /// The methods that it takes.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Namespaces => "GET, POST",
            Self::Namespace(_) | Self::Value(_) => "GET, PUT, DELETE",
            Self::Metadata(_) | Self::Keys(_) => "GET",
            Self::Bulk(_) => "PUT, DELETE",
            Self::BulkDelete(_) | Self::BulkGet(_) => "POST",
        }
    }
}

/// What a request does, as metrics name it.
pub fn operation(method: &Method, path: &str) -> &'static str {
    let Some((_, under)) = under_namespaces(path) else { return "other" };
    let mut segments = under.split('/').skip(2);
    match (segments.next(), segments.next(), method) {
        (Some("values"), Some(_), &Method::GET) => "get",
        (Some("values"), Some(_), &Method::PUT) => "put",
        (Some("values"), Some(_), &Method::DELETE) => "delete",
        (Some("metadata"), Some(_), &Method::GET) => "metadata",
        (Some("keys"), None, &Method::GET) => "list",
        (Some("bulk"), None, &Method::PUT) => "bulk-put",
        (Some("bulk"), None, &Method::DELETE) | (Some("bulk"), Some("delete"), &Method::POST) => {
            "bulk-delete"
        }
        (Some("bulk"), Some("get"), &Method::POST) => "bulk-get",
        (None, None, _) => "namespace",
        _ => "other",
    }
}

/// The account of a path, and what follows after the namespaces.
fn under_namespaces(path: &str) -> Option<(&str, &str)> {
    let (account, rest) = path.strip_prefix(PREFIX)?.split_once('/')?;
    let under = rest.strip_prefix(NAMESPACES).or_else(|| rest.strip_prefix(NAMESPACES_ALIAS))?;
    Some((account, under))
}

/// The path of a value.
pub fn value_path(account: &str, name: &Name) -> String {
    format!(
        "{PREFIX}{account}/{NAMESPACES}/{}/values/{}",
        encode_segment(name.namespace.as_str()),
        encode_segment(&name.key)
    )
}

/// The account and what the rest leads to; `None` where there is no such path.
pub(super) fn parse(path: &str) -> Option<(&str, Route)> {
    let (account, rest) = under_namespaces(path)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if account.is_empty() || account.len() > ACCOUNT_MAX || !account.bytes().all(plain) {
        return None;
    }
    let Some(rest) = rest.strip_prefix('/') else {
        return rest.is_empty().then_some((account, Route::Namespaces));
    };
    let mut segments = rest.split('/');
    let namespace = Namespace::from(&*decode_segment(segments.next()?)?);
    if namespace.as_str().is_empty() {
        return None;
    }
    let tail = (segments.next(), segments.next(), segments.next());
    let route = match tail {
        (Some("values"), Some(key), None) => Route::Value(name(namespace, key)?),
        (Some("metadata"), Some(key), None) => Route::Metadata(name(namespace, key)?),
        (Some("keys"), None, None) => Route::Keys(namespace),
        (Some("bulk"), None, None) => Route::Bulk(namespace),
        (Some("bulk"), Some("delete"), None) => Route::BulkDelete(namespace),
        (Some("bulk"), Some("get"), None) => Route::BulkGet(namespace),
        (None, None, None) => Route::Namespace(namespace),
        _ => return None,
    };
    Some((account, route))
}

fn name(namespace: Namespace, key: &str) -> Option<Name> {
    let key = decode_segment(key).filter(|key| !key.is_empty())?;
    Some(Name::new(namespace, &key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key_of(path: &str) -> Option<String> {
        match parse(path)? {
            ("a", Route::Value(name)) => Some(name.key.as_ref().to_owned()),
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn any_key_survives_the_path(key in "\\PC{1,60}|[\\x00-\\x7f]{1,60}") {
            let path = value_path("a", &Name::new("ns".into(), &key));
            prop_assert_eq!(operation(&Method::GET, &path), "get");
            prop_assert_eq!(key_of(&path), Some(key));
        }
    }

    #[test]
    fn clients_that_encode_differently_reach_one_key() {
        let base = "/client/v4/accounts/a/storage/kv/namespaces/ns/values/";
        for encoded in ["a%2Fb%3A%C3%A9", "a%2fb:%c3%a9"] {
            assert_eq!(key_of(&format!("{base}{encoded}")).as_deref(), Some("a/b:é"));
        }
        assert_eq!(key_of(&format!("{base}a+b%2B..")).as_deref(), Some("a+b+.."));
        let alias = "/client/v4/accounts/a/workers/namespaces/ns/values/k";
        assert_eq!(key_of(alias).as_deref(), Some("k"));
    }

    #[test]
    fn what_is_no_path_of_the_api_leads_nowhere() {
        for path in [
            "/client/v4/accounts//storage/kv/namespaces",
            "/client/v4/accounts/a%2Fb/storage/kv/namespaces",
            "/client/v4/accounts/a/storage/kv/namespacesx",
            "/client/v4/accounts/a/storage/kv/namespaces/",
            "/client/v4/accounts/a/storage/kv/namespaces/ns/values/",
            "/client/v4/accounts/a/storage/kv/namespaces/ns/values/a/b",
            "/client/v4/accounts/a/storage/kv/namespaces/ns/values/%ff",
            "/client/v4/accounts/a/storage/kv/namespaces/ns/bulk/put",
            "/tier/v1/ns/k",
        ] {
            assert!(parse(path).is_none(), "{path}");
        }
    }
}
