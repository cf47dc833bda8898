//! The faults of every lab, on the proxies whose links they act on.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Process, Rig, connect, expect, expect_reset, expect_silence, timed};

const GET: &[u8] = b"GET /key HTTP/1.1\r\nX-Kv: secret\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nvalue";

/// Proxies on links of a small world.
fn world() -> Process {
    let process = Process::start(&[]);
    let links = [
        ("customers", "clients/OC", "MEL01", "rest", "OC", "OC"),
        ("tier", "MEL01", "SYD01", "tier", "OC", "OC"),
        ("far", "MEL01", "LHR01", "tier", "OC", "EU"),
        ("store", "SYD01", "store-a", "store", "OC", "NA"),
        ("admin", "control", "MEL01", "admin", "OC", "OC"),
    ];
    for (name, from, to, listener, from_region, to_region) in links {
        let proxy = json!({
            "name": name, "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1",
            "from": from, "to": to, "listener": listener,
            "regions": {"from": from_region, "to": to_region},
        });
        process.ok("POST", "/proxies", &proxy);
    }
    let nowhere = json!({"name": "nowhere", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"});
    process.ok("POST", "/proxies", &nowhere);
    process
}

/// On which proxies a fault is installed, and on which streams.
fn installed(process: &Process, fault: &Value) -> BTreeMap<String, Vec<String>> {
    let (status, said) = process.call("POST", "/faults", fault);
    assert_eq!(status, 201, "{said}");
    let mut on = BTreeMap::<String, Vec<String>>::new();
    for one in said["installed"].as_array().unwrap() {
        let text = |field: &str| one[field].as_str().unwrap().to_owned();
        on.entry(text("proxy")).or_default().push(text("stream"));
    }
    let name = said["name"].as_str().unwrap();
    process.ok("DELETE", &format!("/faults/{name}"), &Value::Null);
    on
}

#[test]
fn a_fault_is_on_the_links_that_it_names() {
    let process = world();
    let on = |fault: Value| installed(&process, &fault).into_keys().collect::<Vec<String>>();
    let latency = |fields: Value| {
        let mut fault = json!({"kind": {"latency": {"ms": 5}}});
        fault.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        fault
    };
    let all = ["admin", "customers", "far", "nowhere", "store", "tier"];
    assert_eq!(on(latency(json!({}))), all);
    assert_eq!(on(latency(json!({"from": "clients"}))), ["customers"]);
    assert_eq!(on(latency(json!({"to": "stores"}))), ["store"]);
    assert_eq!(on(latency(json!({"from": {"peer": "MEL01"}}))), ["far", "tier"]);
    assert_eq!(on(latency(json!({"to": {"peer": "MEL01"}}))), ["admin", "customers"]);
    assert_eq!(on(latency(json!({"to": {"peer": "MEL01"}, "listener": "admin"}))), ["admin"]);
    // Customers and the control plane are in no region.
    assert_eq!(on(latency(json!({"from": {"region": "OC"}}))), ["far", "store", "tier"]);
    assert_eq!(on(latency(json!({"to": {"region": "EU"}}))), ["far"]);
}

#[test]
fn requests_are_what_a_fault_acts_on_and_a_partition_takes_answers_too() {
    let process = world();
    let on = |fault: Value| installed(&process, &fault);
    let one = |proxy: &str, streams: &[&str]| {
        BTreeMap::from([(proxy.to_owned(), streams.iter().map(|s| (*s).to_owned()).collect())])
    };
    let cut = |from: &str, to: &str| json!({"kind": "partition", "from": {"peer": from}, "to": {"peer": to}});
    let both = one("tier", &["upstream", "downstream"]);
    assert_eq!(on(cut("MEL01", "SYD01")), both);
    assert_eq!(on(cut("SYD01", "MEL01")), both, "either way round");
    let mut some = cut("MEL01", "SYD01");
    some["probability"] = json!(0.5);
    assert_eq!(on(some), one("tier", &["upstream"]), "of a share the requests");
    let latency = json!({"kind": {"latency": {"ms": 5}}, "to": {"peer": "SYD01"}});
    assert_eq!(on(latency), one("tier", &["upstream"]));
}

#[test]
fn what_is_wrong_with_a_fault_is_said() {
    let process = world();
    let says = |fault: Value, status: u16, error: &str| {
        let (code, said) = process.call("POST", "/faults", &fault);
        assert_eq!(code, status, "{fault}: {said}");
        assert!(said["error"].as_str().unwrap().starts_with(error), "{said}");
        assert_eq!(said["status"], json!(status));
    };
    says(json!({}), 400, "missing required field: kind");
    says(json!({"kind": "flood"}), 400, "bad request body: unknown variant `flood`");
    says(
        json!({"kind": "loss", "probabilty": 0.1}),
        400,
        "bad request body: unknown field `probabilty`",
    );
    says(json!({"kind": "loss", "probability": 0}), 400, "bad request body: probability");
    says(json!({"kind": "loss", "bursts_ms": 5}), 400, "bad request body: bursts_ms");
    says(json!({"kind": "loss", "for_s": 0}), 400, "bad request body: for_s");
    says(json!({"kind": {"status": {"status": 99}}}), 400, "bad request body: status 99");
    let nowhere = json!({"kind": "loss", "to": {"peer": "PAR01"}});
    says(nowhere, 404, "no proxy is on a link of this fault: packets lost from anyone to PAR01");
    process.ok("POST", "/faults", &json!({"kind": "loss", "name": "mine"}));
    says(json!({"kind": "reset", "name": "mine"}), 409, "fault already exists");
    let (status, said) = process.call("DELETE", "/faults/none", &Value::Null);
    assert_eq!((status, said), (404, json!({"error": "fault not found", "status": 404})));
    // What was refused has left nothing behind.
    let toxics = process.ok("GET", "/proxies/tier/toxics", &Value::Null);
    let names: Vec<_> = toxics.as_array().unwrap().iter().map(|toxic| &toxic["name"]).collect();
    assert_eq!(names, ["mine_upstream"]);
}

#[test]
fn faults_are_told_with_what_they_did_and_healed() {
    let rig = Rig::with(&json!({"from": "MEL01", "to": "SYD01", "listener": "tier"}));
    let fault = json!({
        "name": "stripped", "kind": {"strip-header": {"name": "x-kv"}}, "from": {"peer": "MEL01"}
    });
    rig.process.ok("POST", "/faults", &fault);
    let (mut client, mut server) = rig.connect();
    client.write_all(GET).unwrap();
    expect(&mut server, b"GET /key HTTP/1.1\r\n\r\n");
    let told = rig.process.ok("GET", "/faults", &Value::Null);
    let told = &told["faults"][0];
    assert_eq!((&told["name"], &told["acted"]), (&json!("stripped"), &json!(1)));
    assert_eq!(told["says"], json!("header x-kv stripped from MEL01 to anyone"));
    let series = r#"chaos_interventions_total{proxy="p",toxic="stripped_upstream",type="strip_header",stream="upstream"}"#;
    assert_eq!(rig.process.metric(series), Some(1));
    rig.process.ok("DELETE", "/faults/stripped", &Value::Null);
    server.write_all(ANSWER).unwrap();
    expect(&mut client, ANSWER);
    client.write_all(GET).unwrap();
    expect(&mut server, GET);

    rig.process.ok("POST", "/faults", &json!({"kind": "loss"}));
    rig.process.ok("POST", "/faults", &json!({"kind": "reset"}));
    let names = |told: &Value| -> Vec<Value> {
        told["faults"].as_array().unwrap().iter().map(|fault| fault["name"].clone()).collect()
    };
    let told = rig.process.ok("GET", "/faults", &Value::Null);
    assert_eq!(names(&told), ["fault-1", "fault-2"]);
    rig.process.ok("DELETE", "/faults", &Value::Null);
    assert_eq!(rig.process.ok("GET", "/faults", &Value::Null), json!({"faults": []}));
    assert_eq!(rig.process.ok("GET", "/proxies/p/toxics", &Value::Null), json!([]));
}

#[test]
fn each_kind_does_to_a_request_what_it_does_on_the_simulated_wire() {
    let rig = Rig::new();
    let with = |kind: Value| {
        rig.process.ok("POST", "/faults", &json!({"name": "f", "kind": kind}));
        rig.connect()
    };
    let heal = || rig.process.ok("DELETE", "/faults/f", &Value::Null);

    let (mut client, mut server) = with(json!({"latency": {"ms": 60}}));
    let ((), took) = timed(|| {
        client.write_all(GET).unwrap();
        expect(&mut server, GET);
    });
    assert!(took >= Duration::from_millis(60), "{took:?}");
    heal();

    let (mut client, mut server) = with(json!({"jitter": {"ms": 10}}));
    client.write_all(GET).unwrap();
    expect(&mut server, GET);
    heal();

    let (mut client, mut server) = with(json!("loss"));
    client.write_all(GET).unwrap();
    expect_silence(&mut server);
    heal();

    let (mut client, mut server) = with(json!("reset"));
    client.write_all(GET).unwrap();
    expect_reset(&mut client);
    expect_reset(&mut server);
    heal();

    let (mut client, mut server) = with(json!("partition"));
    client.write_all(GET).unwrap();
    expect_silence(&mut server);
    expect_silence(&mut client);
    heal();

    let (mut client, _server) = with(json!({"status": {"status": 503}}));
    client.write_all(GET).unwrap();
    expect(&mut client, b"HTTP/1.1 503 Service Unavailable\r\n");
    heal();
}

#[test]
fn a_partition_takes_answers_that_are_on_their_way() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    client.write_all(GET).unwrap();
    expect(&mut server, GET);
    rig.process.ok("POST", "/faults", &json!({"kind": "partition"}));
    server.write_all(ANSWER).unwrap();
    expect_silence(&mut client);
}

#[test]
fn a_fault_with_a_time_heals_itself() {
    let rig = Rig::new();
    let status = json!({"kind": {"status": {"status": 503}}, "for_s": 0.3});
    let (healed, took) = timed(|| {
        rig.process.ok("POST", "/faults", &status);
        // Until nothing is told of it any more.
        (0..100_000).find(|_| rig.process.ok("GET", "/faults", &Value::Null)["faults"] == json!([]))
    });
    assert!(healed.is_some_and(|asked| asked > 0), "{healed:?}");
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert_eq!(rig.process.ok("GET", "/proxies/p/toxics", &Value::Null), json!([]));
}

#[test]
fn bursts_make_up_their_share_of_the_time_and_act_on_everything_in_it() {
    let rig = Rig::new();
    let fault = json!({"kind": {"status": {"status": 503}}, "probability": 0.5, "bursts_ms": 40});
    rig.process.ok("POST", "/faults", &fault);
    // The upstream answers whatever arrives.
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap().to_string();
    rig.process.ok("PATCH", "/proxies/p", &json!({"upstream": address}));
    std::thread::spawn(move || {
        let (mut server, _) = upstream.accept().unwrap();
        let mut seen = vec![0; GET.len()];
        while std::io::Read::read_exact(&mut server, &mut seen).is_ok() {
            server.write_all(ANSWER).unwrap();
        }
    });
    let mut client = connect(rig.proxy);
    let (mut answers, begun) = (Vec::new(), std::time::Instant::now());
    // Ten periods of 80 ms.
    while begun.elapsed() < Duration::from_millis(800) {
        client.write_all(GET).unwrap();
        let mut first = [0; 12];
        std::io::Read::read_exact(&mut client, &mut first).unwrap();
        let good = first == *b"HTTP/1.1 200";
        let rest =
            if good { &ANSWER[12..] } else { b" Service Unavailable\r\ncontent-length: 0\r\n\r\n" };
        expect(&mut client, rest);
        answers.push(good);
    }
    let turns = answers.windows(2).filter(|pair| pair[0] != pair[1]).count();
    // A draw for each request would turn at every second one.
    assert!((2..=40).contains(&turns), "{turns} turns in {} answers", answers.len());
    assert!(answers.contains(&true) && answers.contains(&false));
}
