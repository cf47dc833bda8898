//! Query strings.

use bytes::Bytes;
use http::Request;
use percent_encoding::percent_decode_str;

use crate::gateway::ListAsk;

/// The pairs of a request's query. A plus is a space there, as browsers and every client of the service write it.
pub(super) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(super) fn of(request: &'a Request<Bytes>) -> Self {
        Self(request.uri().query().unwrap_or_default())
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            percent_decode_str(key).eq(name.bytes()).then_some(value)
        })
    }

    /// A parameter as a number. What is no number is none that any rule allows: zero.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let text = self.text(name).transpose()?;
        // `parse` takes a plus before the digits.
        let digits = text.ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        Some(digits.and_then(|digits| digits.parse().ok()).unwrap_or(0))
    }

    /// A parameter as text; `Err` where it is not UTF-8.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, String> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let spaced = raw.replace('+', " ");
        match percent_decode_str(&spaced).decode_utf8() {
            Ok(text) => Ok(Some(text.into_owned())),
            Err(_) => Err(format!("{name} is not UTF-8")),
        }
    }
}

impl Query<'_> {
    /// Which keys a list is asked for, by prefix and cursor; an empty cursor is none.
    pub(super) fn list(&self, limit: u64) -> Result<ListAsk, String> {
        Ok(ListAsk {
            prefix: self.text("prefix")?.unwrap_or_default().into(),
            cursor: self.text("cursor")?.filter(|cursor| !cursor.is_empty()),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_decoded_once() {
        let uri = "/?prefix=p+%C3%A9%252B&%6Cimit=%37&cursor=&broken=%ff&times=many&plus=%2B7";
        let request = Request::get(uri).body(Bytes::new()).unwrap();
        let query = Query::of(&request);
        assert_eq!(query.text("prefix"), Ok(Some("p é%2B".to_owned())));
        assert_eq!(query.number("limit"), Some(7));
        assert_eq!(query.number("missing"), None);
        for none in ["times", "broken", "cursor", "plus"] {
            assert_eq!(query.number(none), Some(0), "{none}");
        }
        assert_eq!(query.text("cursor"), Ok(Some(String::new())));
        assert_eq!(query.text("missing"), Ok(None));
        assert_eq!(query.text("broken"), Err("broken is not UTF-8".to_owned()));
    }
}
