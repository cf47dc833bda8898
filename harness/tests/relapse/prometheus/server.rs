//! A Prometheus server on blocks that were filled from an export.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use promql::Labels;
use serde_json::Value;

use crate::export::Samples;

/// The server; ends when it is dropped.
pub(super) struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts one on a folder of blocks and waits for its word that it is ready.
    pub(super) fn start(folder: &Path, blocks: &str) -> Self {
        std::fs::write(folder.join("empty.yml"), "\n").unwrap();
        let mut child = Command::new("prometheus")
            .args(["--config.file=empty.yml", "--storage.tsdb.retention.time=100y"])
            // The system chooses the port, and the server tells which.
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=info"])
            .arg(format!("--storage.tsdb.path={blocks}"))
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut server, mut said) = (Self { child, address: String::new() }, Vec::new());
        let mut is_ready = false;
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some((_, address)) = line.split_once("msg=\"Listening on\" address=") {
                address.trim().clone_into(&mut server.address);
            }
            is_ready |= line.contains("Server is ready to receive web requests");
            // Which of the two it says first is its scheduler's choice.
            if is_ready && !server.address.is_empty() {
                // What it says from now on must be read, or it waits for a reader.
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
                return server;
            }
            said.push(line);
        }
        panic!("prometheus does not start: {}", said.join("\n"));
    }

    /// The answer to a range query, or why there is none.
    pub(super) fn range(
        &self,
        query: &str,
        from_ms: i64,
        to_ms: i64,
        step_ms: i64,
    ) -> Result<Samples, String> {
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
        let (from, to, step) = (seconds(from_ms), seconds(to_ms), seconds(step_ms));
        let query = encoded(query);
        let path = format!("/api/v1/query_range?query={query}&start={from}&end={to}&step={step}");
        let answer = self.get(&path);
        match answer["data"]["result"].as_array() {
            Some(result) => Ok(result.iter().map(series).collect()),
            None => Err(answer["error"].as_str().unwrap_or_default().to_owned()),
        }
    }

    /// In HTTP 1.0 an answer ends with its connection: nothing else need be understood.
    fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended cannot be killed, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn series(of: &Value) -> (Labels, Vec<(i64, f64)>) {
    let labels = of["metric"].as_object().unwrap();
    let labels = Labels::new(labels.iter().map(|(name, value)| (name, value.as_str().unwrap())));
    let points = of["values"].as_array().unwrap().iter().map(|point| {
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this century")]
        let at = (point[0].as_f64().unwrap() * 1_000.0).round() as i64;
        (at, point[1].as_str().unwrap().parse().unwrap())
    });
    (labels, points.collect())
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
