//! The body of a write: the value itself, or a form with the value and its metadata.

use std::mem::take;

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http::header::CONTENT_TYPE;
use multer::Multipart;

use super::Refusal;

/// The value and the metadata that a request carries. Parts may come in either order; of a part that comes twice the first
/// one counts, and parts of other names are ignored (chosen): one client writes metadata as `metadata[name]` fields, which the
/// service does not take for metadata either.
pub(super) async fn value_of(
    request: &mut Request<Bytes>,
) -> Result<(Bytes, Option<Bytes>), Refusal> {
    let body = take(request.body_mut());
    let form =
        request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).filter(|kind| {
            kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data")
        });
    let Some(form) = form else { return Ok((body, None)) };
    let boundary = multer::parse_boundary(form).map_err(|error| malformed(&error))?;
    let body = stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(body)));
    let mut parts = Multipart::new(body, boundary);
    let (mut value, mut metadata) = (None, None);
    while let Some(part) = parts.next_field().await.map_err(|error| malformed(&error))? {
        let kept = match part.name() {
            Some("value") => &mut value,
            Some("metadata") => &mut metadata,
            _ => continue,
        };
        let bytes = part.bytes().await.map_err(|error| malformed(&error))?;
        kept.get_or_insert(bytes);
    }
    let value = value.ok_or_else(|| Refusal::Malformed("the form has no part value".to_owned()))?;
    Ok((value, metadata))
}

fn malformed(error: &multer::Error) -> Refusal {
    Refusal::Malformed(format!("multipart: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(kind: &str, body: &str) -> Option<(Bytes, Option<Bytes>)> {
        let request =
            Request::put("/").header(CONTENT_TYPE, kind).body(Bytes::from(body.to_owned()));
        value_of(&mut request.unwrap()).await.ok()
    }

    fn form(parts: &[(&str, &str)]) -> String {
        let part = |(name, text): &(&str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        parts.iter().map(part).collect::<String>() + "--b--\r\n"
    }

    #[tokio::test]
    async fn parts_come_in_either_order_and_anything_else_is_the_value_itself() {
        let kind = "multipart/form-data; boundary=b";
        let both = Some(("v\r\n".into(), Some("{\"m\":1}".into())));
        let (value, metadata) = (("value", "v\r\n"), ("metadata", "{\"m\":1}"));
        assert_eq!(parse(kind, &form(&[value, metadata])).await, both);
        assert_eq!(parse(kind, &form(&[metadata, value])).await, both);
        assert_eq!(parse(kind, &form(&[("value", ""), ("x", "y")])).await, Some(("".into(), None)));
        assert_eq!(parse("text/plain", "--b").await, Some(("--b".into(), None)));
    }

    #[tokio::test]
    async fn a_form_that_is_none_is_refused() {
        let kind = "multipart/form-data; boundary=b";
        assert_eq!(parse(kind, &form(&[("metadata", "{}")])).await, None);
        assert_eq!(parse(kind, "--b\r\nContent-Disposition: form-data").await, None);
        assert_eq!(parse("multipart/form-data", &form(&[("value", "v")])).await, None);
    }
}
