//! The public API: fourteen operations on namespaces and keys under
//! `/client/v4/accounts/{account}/storage/kv/namespaces`.
//!
//! Keys are decoded once, from the raw path. One query parameter is our own: `cache_ttl` on the `GET` of a value, which the
//! documented service has on its binding protocol only. What the service leaves open or is not known of it is marked
//! "chosen" where it stands.

mod bulk;
mod keys;
mod multipart;
mod namespaces;
mod route;
mod values;

use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderValue, Method, Request, Response, StatusCode};

pub(super) use bulk::{Kind, as_json};
pub(super) use keys::raw;
pub use route::{operation, value_path};
pub(super) use values::expiration;

use super::access::Access;
use super::status;
use crate::cache::CacheResult;
use crate::gateway::{Gateway, GatewayError};
use crate::ids::{Account, Name};
use crate::telemetry::ErrorClass;
use crate::worker::{Ctx, Thrown};
use route::Route;

/// How the edge cache answered a read.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cf-cache-status");

/// Why a request is refused before or beside what the gateway says.
pub(super) enum Refusal {
    /// The gateway's reason.
    Gateway(GatewayError),
    /// The body, a parameter or a part of it is not what the operation takes.
    Malformed(String),
    /// The path is one, the method is not: it takes these.
    Method(&'static str),
    /// The body is larger than this, in bytes.
    TooLarge(usize),
}

impl From<GatewayError> for Refusal {
    fn from(error: GatewayError) -> Self {
        Self::Gateway(error)
    }
}

/// Serves one request of a customer: the entry of the gateway script.
pub async fn serve(
    (gateway, access): (&Arc<Gateway>, &Access),
    ctx: Arc<Ctx>,
    request: &mut Request<Bytes>,
) -> Result<Response<Bytes>, Thrown> {
    let Some((account, route)) = route::parse(request.uri().path()) else {
        let message = format!("Could not route to {}", request.uri().path());
        return Ok(status::envelope_refusal(
            StatusCode::NOT_FOUND,
            7003,
            &message,
            ErrorClass::Refused,
        ));
    };
    let _stage = ctx.trace.stage("api.rest");
    if let Err(denied) = access.permits(request.headers(), account) {
        return Ok(status::denied(denied));
    }
    if let Route::Value(name) | Route::Metadata(name) = &route {
        ctx.note(|notes| notes.name = Some(name.clone()));
    }
    let account = account.to_owned();
    let call = Call { gateway, ctx: &ctx, account: &account };
    let answer = call.answer(route, request).await;
    Ok(answer.unwrap_or_else(|refusal| {
        let operation = operation(request.method(), request.uri().path());
        status::rest_refusal(operation, &refusal)
    }))
}

/// One request's surroundings.
#[derive(Clone, Copy)]
struct Call<'a> {
    gateway: &'a Arc<Gateway>,
    ctx: &'a Arc<Ctx>,
    account: &'a str,
}

impl Call<'_> {
    async fn answer(
        self,
        route: Route,
        request: &mut Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        match (route, request.method()) {
            (Route::Value(name), &Method::GET) => self.get(name, request).await,
            (Route::Value(name), &Method::PUT) => Box::pin(self.put(name, request)).await,
            (Route::Value(name), &Method::DELETE) => Box::pin(self.delete(name)).await,
            (Route::Metadata(name), &Method::GET) => Box::pin(self.metadata(name)).await,
            (Route::Keys(namespace), &Method::GET) => {
                Box::pin(self.keys(&namespace, request)).await
            }
            (Route::Bulk(namespace), &Method::PUT) => {
                Box::pin(self.put_many(&namespace, request)).await
            }
            // What wrangler still sends.
            (Route::Bulk(namespace), &Method::DELETE)
            | (Route::BulkDelete(namespace), &Method::POST) => {
                Box::pin(self.delete_many(&namespace, request)).await
            }
            (Route::BulkGet(namespace), &Method::POST) => {
                Box::pin(self.get_many(&namespace, request)).await
            }
            (Route::Namespaces, &Method::GET) => Box::pin(self.namespaces(request)).await,
            (Route::Namespaces, &Method::POST) => Box::pin(self.create_namespace(request)).await,
            (Route::Namespace(id), &Method::GET) => Box::pin(self.namespace(&id)).await,
            (Route::Namespace(id), &Method::PUT) => {
                Box::pin(self.rename_namespace(&id, request)).await
            }
            (Route::Namespace(id), &Method::DELETE) => Box::pin(self.delete_namespace(&id)).await,
            (route, _) => Err(Refusal::Method(route.methods())),
        }
    }

    fn owner(self) -> Account {
        Account::from(self.account)
    }

    async fn open(self, name: Name) -> Result<crate::gateway::OpenKey, Refusal> {
        let namespace = self.gateway.open(self.ctx, self.account, &name.namespace).await?;
        Ok(namespace.name(name)?)
    }
}

/// What a cached answer says of itself.
pub(super) fn cache_status(result: CacheResult) -> HeaderValue {
    HeaderValue::from_static(match result {
        CacheResult::Hit => "HIT",
        CacheResult::Stale => "STALE",
        CacheResult::Revalidated => "REVALIDATED",
        CacheResult::Miss => "MISS",
    })
}
