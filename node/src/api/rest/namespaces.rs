//! Namespaces.

use bytes::Bytes;
use http::{Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::bulk::parse;
use super::{Call, Refusal};
use crate::api::object::Object;
use crate::api::query::Query;
use crate::api::status;
use crate::gateway::{NamespaceInfo, Order};
use crate::ids::Namespace;

/// A body that names a namespace, in bytes.
const BODY_MAX: usize = 64 * 1024;
/// Namespaces on a page, where nothing else is asked for; no more can be.
const PER_PAGE: u64 = 20;
const PER_PAGE_MAX: u64 = 1_000;

#[derive(Deserialize)]
struct Wanted {
    title: String,
    #[serde(default)]
    jurisdiction: Option<Jurisdiction>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Jurisdiction {
    Eu,
    Us,
    Fedramp,
}

impl Jurisdiction {
    fn name(self) -> &'static str {
        match self {
            Self::Eu => "eu",
            Self::Us => "us",
            Self::Fedramp => "fedramp",
        }
    }
}

impl Call<'_> {
    pub(super) async fn namespaces(
        self,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        let query = Query::of(request);
        let within = |name: &str, default: u64, max: u64| match query.number(name) {
            None => Ok(default),
            Some(number) if (1..=max).contains(&number) => Ok(number),
            Some(_) => Err(Refusal::Malformed(format!("{name} must be a number from 1 to {max}"))),
        };
        let page = within("page", 1, u64::MAX)?;
        let per_page = within("per_page", PER_PAGE, PER_PAGE_MAX)?;
        let one_of = |name: &str, allowed: [&str; 2]| match query.text(name) {
            Ok(None) => Ok(0),
            Ok(Some(text)) => allowed.iter().position(|one| *one == text).ok_or_else(|| {
                Refusal::Malformed(format!("{name} must be {} or {}", allowed[0], allowed[1]))
            }),
            Err(problem) => Err(Refusal::Malformed(problem)),
        };
        let order = if one_of("order", ["id", "title"])? == 0 { Order::Id } else { Order::Title };
        let descending = one_of("direction", ["asc", "desc"])? == 1;
        let mut all = self.gateway.namespaces(self.ctx, &self.owner(), order).await?;
        if descending {
            all.reverse();
        }
        let skip = usize::try_from((page - 1).saturating_mul(per_page)).unwrap_or(usize::MAX);
        let take = usize::try_from(per_page).unwrap_or(usize::MAX);
        let rows: Vec<Value> = all.iter().skip(skip).take(take).map(shown).collect();
        let info = json!({
            "page": page, "per_page": per_page, "count": rows.len(), "total_count": all.len(),
        });
        Ok(status::envelope(Value::from(rows).to_string().as_bytes(), Some(&info)))
    }

    pub(super) async fn create_namespace(
        self,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        let Object(Wanted { title, jurisdiction }) = parse(request, BODY_MAX)?;
        let jurisdiction = jurisdiction.map(|one| one.name().to_owned());
        let created =
            self.gateway.create_namespace(self.ctx, &self.owner(), title, jurisdiction).await?;
        Ok(status::envelope(shown(&created).to_string().as_bytes(), None))
    }

    pub(super) async fn namespace(self, id: &Namespace) -> Result<Response<Bytes>, Refusal> {
        let info = self.gateway.namespace(self.ctx, &self.owner(), id).await?;
        Ok(status::envelope(shown(&info).to_string().as_bytes(), None))
    }

    pub(super) async fn rename_namespace(
        self,
        id: &Namespace,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        let Object(Wanted { title, .. }) = parse(request, BODY_MAX)?;
        let renamed = self.gateway.rename_namespace(self.ctx, &self.owner(), id, title).await?;
        Ok(status::envelope(shown(&renamed).to_string().as_bytes(), None))
    }

    pub(super) async fn delete_namespace(self, id: &Namespace) -> Result<Response<Bytes>, Refusal> {
        self.gateway.delete_namespace(self.ctx, &self.owner(), id).await?;
        Ok(status::envelope_ok())
    }
}

fn shown(info: &NamespaceInfo) -> Value {
    let mut shown = json!({
        "id": info.id.as_str(), "title": info.title, "supports_url_encoding": true,
    });
    if let Some(jurisdiction) = &info.jurisdiction {
        shown["jurisdiction"] = Value::from(jurisdiction.as_str());
    }
    shown
}
