//! Lines, reports and spans as OTLP in JSON: each line is a request as an exporter would send it, with one record.

use std::io::{Result, Write};

use kv_node::ids::Dc;
use kv_node::telemetry::otlp;
use serde_json::Value;

use crate::recording::Recording;

/// Writes the response log.
pub(super) fn logs(recording: &Recording, to: &mut dyn Write) -> Result<u64> {
    put(to, recording.lines.iter().map(|line| otlp::line(line, region(recording, &line.dc))))
}

/// Writes the exception reports.
pub(super) fn exceptions(recording: &Recording, to: &mut dyn Write) -> Result<u64> {
    put(
        to,
        recording.exceptions.iter().map(|taken| {
            otlp::exception(&taken.report, taken.at, region(recording, &taken.report.dc))
        }),
    )
}

/// Writes the spans.
pub(super) fn traces(recording: &Recording, to: &mut dyn Write) -> Result<u64> {
    put(to, recording.spans.iter().map(|span| otlp::span(span, region(recording, &span.dc))))
}

fn region<'a>(recording: &'a Recording, dc: &Dc) -> Option<&'a str> {
    recording.spec.topology.dcs.get(dc).map(|center| center.region.as_str())
}

fn put(to: &mut dyn Write, requests: impl Iterator<Item = Value>) -> Result<u64> {
    let mut written = 0;
    for request in requests {
        serde_json::to_writer(&mut *to, &request)?;
        to.write_all(b"\n")?;
        written += 1;
    }
    Ok(written)
}
