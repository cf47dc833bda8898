//! Control headers: what a lower tier tells an upper one that knows no namespaces. `ctl-host` is the name of the namespace's
//! stores, `ctl-route` who asks, `ctl-trace` the trace, for the wrapper that traces the entry of tiers.

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Response};

use super::status;
use crate::cache::{Cache, ControlContext, TierAsk, TierError};
use crate::ids::{Dc, HostName};
use crate::worker::Ctx;

/// The name under which the stores of the namespace are reached.
pub const HOST: HeaderName = HeaderName::from_static("ctl-host");
/// The data center that asks.
const ROUTE: HeaderName = HeaderName::from_static("ctl-route");
/// The trace that it asks within.
const TRACE: HeaderName = HeaderName::from_static("ctl-trace");

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The wrapper that traces the entry of tiers: reads what it traces and passes it on.
pub(super) fn read(headers: &mut HeaderMap) -> Option<String> {
    let route = text(headers, ROUTE)?;
    let trace = text(headers, TRACE);
    Some(trace.map_or_else(|| route.to_owned(), |trace| format!("{route} {trace}")))
}

/// As it was on 25 October 2022: reads it and clears it, as if whatever it is for had been done.
pub(super) fn take(headers: &mut HeaderMap) -> Option<String> {
    let traced = read(headers);
    for name in [HOST, ROUTE, TRACE] {
        headers.remove(name);
    }
    traced
}

/// Refuses what lacks the control host that it needs, before anybody asks for a name that nobody has.
pub(super) fn required(cache: &Cache, ctx: &Ctx, ask: &TierAsk) -> Option<Response<Bytes>> {
    cache.lacks_context(ask).then(|| {
        cache.control_host(ctx, false);
        status::missing_control(&HOST)
    })
}

/// As it was in October 2022: whatever is missing shows further on.
pub(super) fn taken_for_granted(_: &Cache, _: &Ctx, _: &TierAsk) -> Option<Response<Bytes>> {
    None
}

/// What the sender told.
pub(super) fn context(headers: &HeaderMap) -> Option<ControlContext> {
    let host: HostName = text(headers, HOST)?.parse().ok()?;
    Some(ControlContext { host, route: Dc::from(text(headers, ROUTE).unwrap_or_default()) })
}

/// Tells it.
pub(super) fn write(
    headers: &mut HeaderMap,
    context: &ControlContext,
    trace: Option<&HeaderValue>,
) -> Result<(), TierError> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| TierError::Failed);
    headers.insert(HOST, value(context.host.as_str())?);
    headers.insert(ROUTE, value(context.route.as_str())?);
    if let Some(trace) = trace {
        headers.insert(TRACE, trace.clone());
    }
    Ok(())
}
