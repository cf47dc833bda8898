//! Query strings.

use bytes::Bytes;
use http::Request;
use percent_encoding::percent_decode_str;

/// The pairs of a request's query. A plus is a space there, as browsers and every client of the service write it.
pub(super) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(super) fn of(request: &'a Request<Bytes>) -> Self {
        Self(request.uri().query().unwrap_or_default())
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// A parameter as a number. What is no number is none that any rule allows: zero.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.raw(name).map(|value| value.parse().unwrap_or(0))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_decoded_once() {
        let uri = "/?prefix=p+%C3%A9%252B&limit=7&cursor=&broken=%ff&times=many";
        let request = Request::get(uri).body(Bytes::new()).unwrap();
        let query = Query::of(&request);
        assert_eq!(query.text("prefix"), Ok(Some("p é%2B".to_owned())));
        assert_eq!(query.number("limit"), Some(7));
        assert_eq!(query.number("times"), Some(0));
        assert_eq!(query.text("cursor"), Ok(Some(String::new())));
        assert_eq!(query.text("missing"), Ok(None));
        assert_eq!(query.text("broken"), Err("broken is not UTF-8".to_owned()));
    }
}
