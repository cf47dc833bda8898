//! Telemetry to an OpenTelemetry collector.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use crate::client::{DEADLINE, ask};
use crate::process::Process;
use crate::topology::{PATH, file, store};

/// A request that a collector got: its path and its body.
fn taken(stream: &mut BufReader<TcpStream>) -> (String, Value) {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap().to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(told) = line.strip_prefix("content-length: ") {
            length = told.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (path, serde_json::from_slice(&body).unwrap())
}

#[test]
fn a_collector_gets_lines_as_otlp_and_a_batch_that_it_could_not_take_again() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = collector.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let mut store = store();
    let file = file(folder.path(), "TIER", &store.address("store").to_string());
    let mut node = Process::start(&["--config", file.to_str().unwrap(), "--otlp", &at]);
    assert_eq!(ask(node.address("rest"), "GET", PATH, b"").status, 404);

    let (stream, _) = collector.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut stream = BufReader::new(stream);
    let first = taken(&mut stream);
    let busy = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    stream.get_mut().write_all(busy.as_bytes()).unwrap();
    let again = taken(&mut stream);
    let fine = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    stream.get_mut().write_all(fine.as_bytes()).unwrap();

    assert_eq!(first, again);
    let (path, body) = first;
    assert_eq!(path, "/v1/logs");
    let of = &body["resourceLogs"][0];
    let attributes = of["resource"]["attributes"].to_string();
    assert!(attributes.contains("kv-node/") && attributes.contains("\"OC\""), "{attributes}");
    let record = &of["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["severityText"], "WARN");
    assert!(record.to_string().contains("http.response.status_code"), "{record}");
}
