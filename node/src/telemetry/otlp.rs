//! Lines, reports and spans as OTLP in JSON: each is a request as an exporter would send it, with one record. Requests with many
//! are read back.
//!
//! Attributes go by OpenTelemetry's semantic conventions where those have a name, and begin with `relapse.` where not.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{ExceptionReport, LineContext, ResponseLine, SpanRecord};
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

/// Whether the log records of a request are exception reports.
pub fn are_exceptions(request: &Value) -> bool {
    log_records(request)
        .next()
        .is_some_and(|(_, record)| Attributes::of(record).text("exception.type").is_some())
}

/// The lines of a request; `None` where it holds anything else.
pub fn read_lines(request: &Value) -> Option<Vec<ResponseLine>> {
    log_records(request).map(|(of, record)| read_line(&of, record)).collect()
}

/// The exception reports of a request; `None` where it holds anything else.
pub fn read_exceptions(request: &Value) -> Option<Vec<ExceptionReport>> {
    log_records(request).map(|(of, record)| read_exception(&of, record)).collect()
}

/// The spans of a request; `None` where it holds anything else.
pub fn read_spans(request: &Value) -> Option<Vec<SpanRecord>> {
    let records = records(request, ["resourceSpans", "scopeSpans", "spans"]);
    records.map(|(of, record)| read_span(&of, record)).collect()
}

fn read_line(of: &Attributes<'_>, record: &Value) -> Option<ResponseLine> {
    let own = Attributes::of(record);
    let context = match own.named("relapse.role") {
        None => None,
        Some(role) => Some(LineContext {
            trace: record["traceId"].as_str()?.to_owned(),
            build: BuildId::from(of.text("service.version")?),
            revision: own.number("relapse.config.revision")?,
            isolate: own.number("relapse.isolate")?,
            role,
            namespace: own.named("relapse.namespace"),
            key_hash: own.text("relapse.key_hash").map(str::to_owned),
            owner: own.named("relapse.owner"),
            cache: own.named("relapse.cache"),
            error: own.named("error.type"),
        }),
    };
    Some(ResponseLine {
        at: moment(record, "timeUnixNano")?,
        stands_for: own.number("relapse.stands_for")?,
        dc: of.named("relapse.dc")?,
        script: of.script()?,
        operation: own.text("relapse.operation")?.to_owned(),
        status: own.number("http.response.status_code")?,
        took_us: own.number("relapse.took_us")?,
        context,
    })
}

fn read_exception(of: &Attributes<'_>, record: &Value) -> Option<ExceptionReport> {
    let own = Attributes::of(record);
    Some(ExceptionReport {
        id: own.text("relapse.exception.id")?.to_owned(),
        at: moment(record, "timeUnixNano")?,
        dc: of.named("relapse.dc")?,
        script: of.script()?,
        place: own.named("relapse.exception.place")?,
        isolate: own.number("relapse.isolate")?,
        build: BuildId::from(of.text("service.version")?),
        revision: own.number("relapse.config.revision")?,
        trace: record["traceId"].as_str()?.to_owned(),
        kind: own.text("exception.type")?.to_owned(),
        message: own.text("exception.message")?.to_owned(),
        stack: own.text("exception.stacktrace")?.split('\n').map(str::to_owned).collect(),
        fingerprint: own.text("relapse.exception.fingerprint")?.to_owned(),
    })
}

fn read_span(of: &Attributes<'_>, record: &Value) -> Option<SpanRecord> {
    let text = |field: &str| record[field].as_str().map(str::to_owned);
    let attributes = record["attributes"].as_array()?.iter().map(|one| {
        Some((one["key"].as_str()?.to_owned(), one["value"]["stringValue"].as_str()?.to_owned()))
    });
    Some(SpanRecord {
        trace: text("traceId")?,
        span: text("spanId")?,
        parent: text("parentSpanId").filter(|parent| !parent.is_empty()),
        dc: of.named("relapse.dc")?,
        script: of.script()?,
        build: BuildId::from(of.text("service.version")?),
        name: text("name")?,
        start: moment(record, "startTimeUnixNano")?,
        end: moment(record, "endTimeUnixNano")?,
        failed: record["status"]["code"].as_u64() == Some(u64::from(FAILED)),
        attributes: attributes.collect::<Option<_>>()?,
    })
}

/// The attributes of a resource or of a record, by name.
struct Attributes<'a>(BTreeMap<&'a str, &'a Value>);

impl<'a> Attributes<'a> {
    fn of(whose: &'a Value) -> Self {
        let all = whose["attributes"].as_array().into_iter().flatten();
        Self(all.filter_map(|one| Some((one["key"].as_str()?, &one["value"]))).collect())
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name)?["stringValue"].as_str()
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.0.get(name)?["intValue"].as_str()?.parse().ok()
    }

    /// What is written by its name.
    fn named<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_value(Value::from(self.text(name)?)).ok()
    }

    fn script(&self) -> Option<ScriptName> {
        let name = self.text("service.name")?.strip_prefix("kv-node/")?;
        serde_json::from_value(Value::from(name)).ok()
    }
}

fn log_records(request: &Value) -> impl Iterator<Item = (Attributes<'_>, &Value)> {
    records(request, ["resourceLogs", "scopeLogs", "logRecords"])
}

/// Every record of a request, with the attributes of whoever says so.
fn records<'a>(
    request: &'a Value,
    [resources, scopes, records]: [&'static str; 3],
) -> impl Iterator<Item = (Attributes<'a>, &'a Value)> {
    let each = |value: &'a Value, name: &str| value[name].as_array().into_iter().flatten();
    each(request, resources).flat_map(move |resource| {
        let all = each(resource, scopes).flat_map(move |scope| each(scope, records));
        all.map(move |record| (Attributes::of(&resource["resource"]), record))
    })
}

fn moment(record: &Value, field: &str) -> Option<Timestamp> {
    let nanos: u64 = record[field].as_str()?.parse().ok()?;
    Some(Timestamp(nanos / 1_000))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::CacheResult;
    use crate::telemetry::{ErrorClass, Place, Role};

    fn script() -> impl Strategy<Value = ScriptName> {
        prop_oneof![Just(ScriptName::Gateway), Just(ScriptName::Supercache)]
    }

    fn context() -> impl Strategy<Value = LineContext> {
        let error = prop_oneof![Just(ErrorClass::NotFound), Just(ErrorClass::OwnerFailed)];
        let cache = prop_oneof![Just(CacheResult::Hit), Just(CacheResult::Revalidated)];
        let role = prop_oneof![Just(Role::Edge), Just(Role::Regional), Just(Role::Upper)];
        let text = || "[a-z0-9]{1,8}";
        let known = (
            proptest::option::of(text()),
            proptest::option::of(text()),
            proptest::option::of(text()),
        );
        (any::<(u64, u32)>(), known, role, proptest::option::of(cache), proptest::option::of(error))
            .prop_map(|((revision, isolate), (namespace, key_hash, owner), role, cache, error)| {
                LineContext {
                    trace: "0af7651916cd43dd8448eb211c80319c".to_owned(),
                    build: BuildId::from("kv-2023-07"),
                    revision,
                    isolate,
                    role,
                    namespace: namespace.map(|name| name.as_str().into()),
                    key_hash,
                    owner: owner.map(|name| name.as_str().into()),
                    cache,
                    error,
                }
            })
    }

    /// One request with the records of many.
    fn together(requests: Vec<Value>, field: &str) -> Value {
        let all = requests.into_iter().flat_map(|mut request| {
            request[field].as_array_mut().map(std::mem::take).unwrap_or_default()
        });
        json!({ field: all.collect::<Vec<Value>>() })
    }

    proptest! {
        #[test]
        fn lines_are_read_as_they_were_written(
            contexts in proptest::collection::vec(proptest::option::of(context()), 0..4),
            (at, took_us, status, stands_for) in (0u64..1 << 53, any::<u64>(), any::<u16>(), any::<u32>()),
            script in script(),
        ) {
            let lines: Vec<ResponseLine> = contexts.into_iter().map(|context| ResponseLine {
                at: Timestamp(at),
                stands_for,
                dc: Dc::from("MEL01"),
                script,
                operation: "get".to_owned(),
                status,
                took_us,
                context,
            }).collect();
            let request = together(lines.iter().map(|one| line(one, Some("OC"))).collect(), "resourceLogs");
            prop_assert!(!are_exceptions(&request));
            prop_assert_eq!(read_lines(&request), Some(lines));
        }

        #[test]
        fn reports_are_read_as_they_were_written(
            (at, isolate, revision) in (0u64..1 << 53, any::<u32>(), any::<u64>()),
            message in ".*",
            stack in proptest::collection::vec("[a-z.]{1,12}", 1..5),
            script in script(),
        ) {
            let report = ExceptionReport {
                id: "MEL01/1f/7".to_owned(),
                at: Timestamp(at),
                dc: Dc::from("MEL01"),
                script,
                place: Place::Beside,
                isolate,
                build: BuildId::from("current"),
                revision,
                trace: "0af7651916cd43dd8448eb211c80319c".to_owned(),
                kind: "TypeError".to_owned(),
                message,
                stack,
                fingerprint: "00f067aa0ba902b7".to_owned(),
            };
            let request = exception(&report, Timestamp(0), None);
            prop_assert!(are_exceptions(&request));
            prop_assert_eq!(read_exceptions(&request), Some(vec![report]));
        }

        #[test]
        fn spans_are_read_as_they_were_written(
            (start, end, failed) in (0u64..1 << 53, 0u64..1 << 53, any::<bool>()),
            parent in proptest::option::of("[0-9a-f]{16}"),
            attributes in proptest::collection::vec((".{1,8}", ".*"), 0..4),
            script in script(),
        ) {
            let record = SpanRecord {
                trace: "0af7651916cd43dd8448eb211c80319c".to_owned(),
                span: "00f067aa0ba902b7".to_owned(),
                parent,
                dc: Dc::from("MEL01"),
                script,
                build: BuildId::from("current"),
                name: "cache.edge.read".to_owned(),
                start: Timestamp(start),
                end: Timestamp(end),
                failed,
                attributes,
            };
            let request = span(&record, Some("OC"));
            prop_assert_eq!(read_spans(&request), Some(vec![record]));
        }
    }

    #[test]
    fn what_is_no_record_of_a_node_is_none() {
        let request =
            json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "body": {} }] }] }] });
        assert_eq!(read_lines(&request), None);
        assert_eq!(read_exceptions(&request), None);
        assert_eq!(read_lines(&json!({})), Some(Vec::new()));
    }
}
