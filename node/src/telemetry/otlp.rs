//! Lines, reports and spans as OTLP in JSON: each is a request as an exporter would send it, with one record.
//!
//! Attributes go by OpenTelemetry's semantic conventions where those have a name, and begin with `relapse.` where not.

use serde_json::{Value, json};

use super::{ExceptionReport, ResponseLine, SpanRecord};
use crate::env::Timestamp;
use crate::ids::{BuildId, Dc};
use crate::worker::ScriptName;

/// Severities, as OpenTelemetry numbers them.
const INFO: (u32, &str) = (9, "INFO");
const WARN: (u32, &str) = (13, "WARN");
const ERROR: (u32, &str) = (17, "ERROR");
/// A span within a process.
const INTERNAL: u32 = 1;
/// The status of a span that failed, and of one of which nothing was said.
const FAILED: u32 = 2;
const UNSET: u32 = 0;

/// A line of the response log, of a data center in a region.
pub fn line(line: &ResponseLine, region: Option<&str>) -> Value {
    let build = line.context.as_ref().map(|context| &context.build);
    log_request(&resource(&line.dc, region, line.script, build), &line_record(line))
}

/// An exception report that came in when it was observed.
pub fn exception(report: &ExceptionReport, observed: Timestamp, region: Option<&str>) -> Value {
    let of = resource(&report.dc, region, report.script, Some(&report.build));
    let place = serde_json::to_value(report.place).unwrap_or_default();
    let attributes = [
        text("exception.type", &report.kind),
        text("exception.message", &report.message),
        text("exception.stacktrace", &report.stack.join("\n")),
        text("relapse.exception.id", &report.id),
        text("relapse.exception.fingerprint", &report.fingerprint),
        text("relapse.exception.place", place.as_str().unwrap_or_default()),
        number("relapse.isolate", u64::from(report.isolate)),
        number("relapse.config.revision", report.revision),
    ];
    log_request(
        &of,
        &json!({
            "timeUnixNano": nanos(report.at),
            "observedTimeUnixNano": nanos(observed),
            "severityNumber": ERROR.0,
            "severityText": ERROR.1,
            "body": { "stringValue": format!("{}: {}", report.kind, report.message) },
            "attributes": attributes,
            "traceId": report.trace,
        }),
    )
}

/// A span.
pub fn span(span: &SpanRecord, region: Option<&str>) -> Value {
    let of = resource(&span.dc, region, span.script, Some(&span.build));
    let attributes: Vec<Value> =
        span.attributes.iter().map(|(name, value)| text(name, value)).collect();
    let record = json!({
        "traceId": span.trace,
        "spanId": span.span,
        "parentSpanId": span.parent.as_deref().unwrap_or_default(),
        "name": span.name,
        "kind": INTERNAL,
        "startTimeUnixNano": nanos(span.start),
        "endTimeUnixNano": nanos(span.end),
        "attributes": attributes,
        "status": { "code": if span.failed { FAILED } else { UNSET } },
    });
    json!({ "resourceSpans": [{
        "resource": of,
        "scopeSpans": [{ "scope": { "name": "relapse" }, "spans": [record] }],
    }]})
}

fn line_record(line: &ResponseLine) -> Value {
    let mut attributes = vec![
        number("http.response.status_code", u64::from(line.status)),
        text("relapse.operation", &line.operation),
        number("relapse.took_us", line.took_us),
        number("relapse.stands_for", u64::from(line.stands_for)),
    ];
    let context = line.context.as_ref();
    if let Some(context) = context {
        let known = [
            ("error.type", context.error.map(|error| error.name().to_owned())),
            ("relapse.role", Some(context.role.name().to_owned())),
            ("relapse.namespace", context.namespace.as_ref().map(ToString::to_string)),
            ("relapse.key_hash", context.key_hash.clone()),
            ("relapse.owner", context.owner.as_ref().map(ToString::to_string)),
            ("relapse.cache", context.cache.map(|cache| cache.name().to_owned())),
        ];
        let known = known.into_iter().filter_map(|(name, value)| Some(text(name, &value?)));
        attributes.extend(known);
        attributes.push(number("relapse.isolate", u64::from(context.isolate)));
        attributes.push(number("relapse.config.revision", context.revision));
    }
    let severity = match line.status {
        500.. => ERROR,
        400.. => WARN,
        _ => INFO,
    };
    json!({
        "timeUnixNano": nanos(line.at),
        "observedTimeUnixNano": nanos(line.at),
        "severityNumber": severity.0,
        "severityText": severity.1,
        "body": { "stringValue": format!("{} {}", line.operation, line.status) },
        "attributes": attributes,
        "traceId": context.map(|context| context.trace.as_str()).unwrap_or_default(),
    })
}

fn log_request(resource: &Value, record: &Value) -> Value {
    json!({ "resourceLogs": [{
        "resource": resource,
        "scopeLogs": [{ "scope": { "name": "relapse" }, "logRecords": [record] }],
    }]})
}

/// Who says so: a script of a data center, and what it ran where that was said.
fn resource(dc: &Dc, region: Option<&str>, script: ScriptName, build: Option<&BuildId>) -> Value {
    let known = [
        ("service.name", Some(format!("kv-node/{}", script.name()))),
        ("service.version", build.map(|build| build.as_str().to_owned())),
        ("service.instance.id", Some(dc.as_str().to_owned())),
        ("cloud.region", region.map(str::to_owned)),
        ("relapse.dc", Some(dc.as_str().to_owned())),
    ];
    let attributes: Vec<Value> =
        known.into_iter().filter_map(|(name, value)| Some(text(name, &value?))).collect();
    json!({ "attributes": attributes })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit numbers are text in protobuf's JSON.
fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn nanos(at: Timestamp) -> String {
    format!("{}000", at.0)
}
