//! The API: Toxiproxy's words and codes.

use std::io::{Read, Write};
use std::net::TcpListener;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::rig::{Process, Rig, command, connect, expect, finish, read_all};

/// A request that is refused as Toxiproxy refuses it.
fn refused(process: &Process, request: (&str, &str, Value), status: u16, error: &str) {
    let (method, path, body) = request;
    let (code, said) = process.call(method, path, &body);
    assert_eq!(said, json!({"error": error, "status": status}), "{method} {path} {body}");
    assert_eq!(code, status);
}

#[test]
fn a_proxy_is_made_shown_updated_and_deleted() {
    let process = Process::start(&[]);
    let wanted = json!({"name": "p", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"});
    let (status, made) = process.call("POST", "/proxies", &wanted);
    assert_eq!(status, 201);
    let listen = made["listen"].as_str().unwrap();
    assert!(!listen.ends_with(":0"), "the port that was found: {listen}");
    let told = json!({
        "name": "p", "listen": listen, "upstream": "127.0.0.1:1", "enabled": true, "toxics": []
    });
    assert_eq!(made, told);
    assert_eq!(process.ok("GET", "/proxies/p", &Value::Null), told);
    assert_eq!(process.ok("GET", "/proxies", &Value::Null), json!({"p": told}));
    for method in ["POST", "PATCH"] {
        let off = process.ok(method, "/proxies/p", &json!({"enabled": false}));
        assert_eq!((&off["enabled"], &off["listen"]), (&json!(false), &json!(listen)));
        let on = process.ok(method, "/proxies/p", &json!({"enabled": true}));
        assert_eq!(on, told);
    }
    let moved = process.ok("PATCH", "/proxies/p", &json!({"upstream": "127.0.0.1:2"}));
    assert_eq!((&moved["upstream"], &moved["listen"]), (&json!("127.0.0.1:2"), &json!(listen)));
    assert_eq!(process.call("DELETE", "/proxies/p", &Value::Null), (204, Value::Null));
    assert_eq!(process.ok("GET", "/proxies", &Value::Null), json!({}));
}

#[test]
fn what_is_wrong_with_a_proxy_is_said() {
    let process = Process::start(&[]);
    let proxy = |fields: Value| ("POST", "/proxies", fields);
    process.ok(
        "POST",
        "/proxies",
        &json!({"name": "p", "listen": "127.0.0.1:0", "upstream": "u:1"}),
    );
    let same = json!({"name": "p", "listen": "127.0.0.1:0", "upstream": "u:1"});
    refused(&process, proxy(same), 409, "proxy already exists");
    refused(&process, proxy(json!({"upstream": "u:1"})), 400, "missing required field: name");
    refused(&process, proxy(json!({"name": "q"})), 400, "missing required field: upstream");
    let taken = process.ok("GET", "/proxies/p", &Value::Null)["listen"].clone();
    let taken = taken.as_str().unwrap();
    let error = format!("listen tcp {taken}: bind: address already in use");
    refused(&process, proxy(json!({"name": "q", "listen": taken, "upstream": "u:1"})), 500, &error);
    for method in ["GET", "PATCH", "POST", "DELETE"] {
        refused(&process, (method, "/proxies/none", json!({})), 404, "proxy not found");
    }
    refused(&process, ("GET", "/proxies/none/toxics", Value::Null), 404, "proxy not found");
    refused(&process, ("GET", "/nothing", Value::Null), 404, "page not found");
    refused(&process, ("PUT", "/proxies", Value::Null), 405, "method not allowed");
    let (status, said) = process.send("POST", "/proxies", "{", "test");
    assert_eq!(status, 400);
    assert!(said.contains("bad request body: "), "{said}");
}

#[test]
fn a_toxic_is_made_shown_updated_and_deleted() {
    let rig = Rig::new();
    let process = &rig.process;
    let toxics = "/proxies/p/toxics";
    let made =
        process.ok("POST", toxics, &json!({"type": "latency", "attributes": {"latency": 5}}));
    let mut told = json!({
        "attributes": {"latency": 5, "jitter": 0},
        "name": "latency_downstream", "type": "latency", "stream": "downstream",
        "toxicity": 1.0, "acted": 0,
    });
    assert_eq!(made, told);
    assert_eq!(process.ok("GET", toxics, &Value::Null), json!([told]));
    let one = "/proxies/p/toxics/latency_downstream";
    assert_eq!(process.ok("GET", one, &Value::Null), told);
    // What is not named stays.
    let change = json!({"attributes": {"jitter": 2}, "toxicity": 0.5});
    told["attributes"]["jitter"] = json!(2);
    told["toxicity"] = json!(0.5);
    assert_eq!(process.ok("PATCH", one, &change), told);
    assert_eq!(process.ok("POST", one, &json!({})), told);
    // Those of the upstream come first.
    rig.add("slow_close", "upstream", &json!({"delay": 1}));
    let names = process.ok("GET", toxics, &Value::Null);
    let names: Vec<&str> =
        names.as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["slow_close_upstream", "latency_downstream"]);
    assert_eq!(process.call("DELETE", one, &Value::Null), (204, Value::Null));
    assert_eq!(process.call("POST", "/reset", &Value::Null), (204, Value::Null));
    assert_eq!(process.ok("GET", toxics, &Value::Null), json!([]));
}

#[test]
fn what_is_wrong_with_a_toxic_is_said() {
    let rig = Rig::new();
    let process = &rig.process;
    let toxic = |fields: Value| ("POST", "/proxies/p/toxics", fields);
    rig.add("latency", "upstream", &json!({}));
    let again = json!({"type": "timeout", "name": "latency_upstream"});
    refused(process, toxic(again), 409, "toxic already exists");
    let stream = "stream was invalid, can be either upstream or downstream";
    refused(process, toxic(json!({"type": "latency", "stream": "sideways"})), 400, stream);
    for kind in ["", "noop", "Latency"] {
        refused(process, toxic(json!({"type": kind})), 400, "invalid toxic type");
    }
    for method in ["GET", "PATCH", "POST", "DELETE"] {
        let request = (method, "/proxies/p/toxics/none", json!({}));
        refused(process, request, 404, "toxic not found");
    }
    let nameless = toxic(json!({"type": "strip_header"}));
    refused(process, nameless, 400, "missing required field: name");
    for wrong in [
        json!({"type": "latency", "attributes": {"latency": "long"}}),
        json!({"type": "status", "stream": "upstream", "attributes": {"status": 99}}),
        json!({"type": "status", "attributes": {"status": 204}}),
        json!({"type": "strip_header", "attributes": {"name": "no name"}}),
        json!({"type": "latency", "bursts_ms": 5, "toxicity": 0.5}),
        json!({"type": "delay", "bursts_ms": 5}),
        json!({"type": "delay", "attributes": {"ms": 5}}),
    ] {
        let (status, said) = process.call("POST", "/proxies/p/toxics", &wrong);
        assert_eq!((status, &said["status"]), (400, &json!(400)), "{wrong}: {said}");
        assert!(said["error"].as_str().unwrap().starts_with("bad request body: "), "{said}");
    }
}

#[test]
fn populate_adds_or_replaces_and_looks_at_every_entry_first() {
    let process = Process::start(&[]);
    let entry = |name: &str, upstream: &str| json!({"name": name, "listen": "127.0.0.1:0", "upstream": upstream});
    let (status, made) =
        process.call("POST", "/populate", &json!([entry("a", "u:1"), entry("b", "u:1")]));
    assert_eq!(status, 201);
    let names: Vec<_> = made["proxies"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
    assert_eq!(names, ["a", "b"]);
    process.ok("POST", "/proxies/a/toxics", &json!({"type": "latency"}));
    // One that is the same already stays, with its toxics; one that is not is another.
    let listen = process.ok("GET", "/proxies/a", &Value::Null)["listen"].clone();
    let same = json!({"name": "a", "listen": listen, "upstream": "u:1"});
    let kept = process.ok("POST", "/populate", &json!([same]));
    assert_eq!(kept["proxies"][0]["toxics"].as_array().unwrap().len(), 1);
    let other = json!({"name": "a", "listen": listen, "upstream": "u:2", "enabled": false});
    let replaced = process.ok("POST", "/populate", &json!([other]));
    assert_eq!(replaced["proxies"][0]["toxics"], json!([]));
    assert_eq!(replaced["proxies"][0]["enabled"], json!(false));
    let wrong = json!([entry("c", "u:1"), {"name": "d"}]);
    let error = "missing required field: upstream at proxy 2";
    refused(&process, ("POST", "/populate", wrong), 400, error);
    assert_eq!(process.ok("GET", "/proxies", &Value::Null)["c"], Value::Null);
}

#[test]
fn reset_enables_every_proxy_and_removes_every_toxic() {
    let rig = Rig::toxic("timeout", "downstream", &json!({}));
    rig.process.ok("PATCH", "/proxies/p", &json!({"enabled": false}));
    rig.process.ok("POST", "/reset", &Value::Null);
    let told = rig.process.ok("GET", "/proxies/p", &Value::Null);
    assert_eq!((&told["enabled"], &told["toxics"]), (&json!(true), &json!([])));
    let (mut client, mut server) = rig.connect();
    server.write_all(b"hello").unwrap();
    expect(&mut client, b"hello");
}

#[test]
fn a_page_in_a_browser_gets_nothing() {
    let rig = Rig::new();
    let (status, said) = rig.process.send("GET", "/proxies", "", "Mozilla/5.0 (X11)");
    assert_eq!((status, said.as_str()), (403, "User agent not allowed\n"));
    let (status, _) = rig.process.send("POST", "/reset", "", "Mozilla/5.0 (X11)");
    assert_eq!(status, 403);
}

#[test]
fn the_version_is_that_of_the_api() {
    let process = Process::start(&[]);
    assert_eq!(process.ok("GET", "/version", &Value::Null)["version"], json!("2.12.0"));
}

#[test]
fn metrics_tell_bytes_toxics_and_interventions() {
    let rig = Rig::toxic("latency", "upstream", &json!({"latency": 1}));
    let (mut client, mut server) = rig.connect();
    client.write_all(b"12345").unwrap();
    finish(&client);
    // The end comes after what was counted.
    assert_eq!(read_all(&mut server), b"12345");
    let labels = |direction| {
        let upstream = rig.upstream.local_addr().unwrap();
        let listener = rig.proxy;
        format!(
            "{{direction=\"{direction}\",listener=\"{listener}\",proxy=\"p\",upstream=\"{upstream}\"}}"
        )
    };
    let metric = |name: &str, labels: &str| rig.process.metric(&format!("{name}{labels}"));
    let (up, down) = (labels("upstream"), labels("downstream"));
    assert_eq!(metric("toxiproxy_proxy_received_bytes_total", &up), Some(5));
    assert_eq!(metric("toxiproxy_proxy_received_bytes_total", &down), Some(0));
    assert_eq!(metric("toxiproxy_proxy_sent_bytes_total", &up), Some(5));
    let toxic = r#"{proxy="p",toxic="latency_upstream",type="latency",stream="upstream"}"#;
    assert_eq!(metric("chaos_fault_active", toxic), Some(1));
    assert_eq!(metric("chaos_interventions_total", toxic), Some(1));
    // What has been counted stays counted.
    rig.process.ok("DELETE", "/proxies/p/toxics/latency_upstream", &Value::Null);
    assert_eq!(metric("chaos_fault_active", toxic), None);
    assert_eq!(metric("chaos_interventions_total", toxic), Some(1));
}

#[test]
fn a_configuration_is_what_populate_takes() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxies.json");
    let entry = json!([{
        "name": "p", "listen": "127.0.0.1:0", "upstream": upstream.local_addr().unwrap().to_string(),
        "from": "MEL01", "to": "SYD01", "listener": "tier", "regions": {"from": "OC", "to": "OC"},
    }]);
    std::fs::write(&file, entry.to_string()).unwrap();
    let process = Process::start(&["--config", file.to_str().unwrap()]);
    let told = process.ok("GET", "/proxies/p", &Value::Null);
    assert_eq!((&told["from"], &told["listener"]), (&json!("MEL01"), &json!("tier")));
    let mut client = connect(told["listen"].as_str().unwrap().parse().unwrap());
    client.write_all(b"through").unwrap();
    let (mut server, _) = upstream.accept().unwrap();
    expect(&mut server, b"through");

    std::fs::write(&file, "[{\"name\": \"p\"}]").unwrap();
    let ended = command(&["--config", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("missing required field: upstream at proxy 1"), "{said}");
}

#[test]
fn a_signal_closes_everything_and_is_no_failure() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut rig = Rig::new();
        let (mut client, mut server) = rig.connect();
        kill(Pid::from_raw(i32::try_from(rig.process.child.id()).unwrap()), signal).unwrap();
        assert_eq!(read_all(&mut client), b"");
        assert_eq!(read_all(&mut server), b"");
        assert_eq!(rig.process.child.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        rig.process.said.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}
