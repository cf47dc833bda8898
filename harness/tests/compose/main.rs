//! The live lab of `docker-compose.yml` and what `relapse lab` does to it. Its core: nodes, stores, control plane, fault proxy,
//! customers, Prometheus, Alertmanager.
//!
//! It runs with the images of `.ci/images`, and fetches none. Where there is no engine, no compose or no such image, it says
//! so in one line; with `RELAPSE_REQUIRE_DOCKER=1` it fails.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "this test waits for containers, in real time"
)]

mod http;
mod lab;

use std::io::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};

use self::http::{ask, get, until};
use self::lab::Lab;

const DCS: [&str; 6] = ["iad", "sjc", "fra", "vie", "syd", "mel"];

#[test]
fn the_live_lab_serves_is_watched_can_be_broken_and_leaves_nothing_behind() {
    if let Err(lacking) = lab::lacking() {
        assert!(std::env::var("RELAPSE_REQUIRE_DOCKER").as_deref() != Ok("1"), "{lacking}");
        writeln!(std::io::stderr().lock(), "LIVE LAB NOT TESTED: {lacking}").unwrap();
        return;
    }
    a_port_that_is_taken_is_named_and_nothing_is_left();
    let lab = Lab::up();
    containers_are_hardened(&lab);
    where_what_is_stands_in_its_status(&lab);
    what_is_written_in_one_region_is_read_in_all(&lab);
    every_target_is_up_and_every_rule_is_loaded(&lab);
    an_alert_reaches_the_control_plane(&lab);
    a_data_center_goes_into_maintenance_and_comes_back(&lab);
    a_fault_acts_until_it_is_healed(&lab);
    a_data_center_that_crashed_runs_again_once_it_is_healed(&lab);
    what_does_not_exist_is_not_injected(&lab);
    an_old_incident_is_seen_in_prometheus(&lab);
    a_link_that_is_cut_hurts_until_it_is_mended(&lab);
    every_container_is_healthy(&lab);
    let project = lab.down();
    assert_eq!(lab::left_of(&project), "", "containers, networks and volumes that are left");
}

fn a_port_that_is_taken_is_named_and_nothing_is_left() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (did, left) = lab::up_with_a_port("RELAPSE_SJC_PORT", port);
    assert_eq!(did.code, Some(3), "{}", did.err);
    assert!(did.err.contains(&format!("127.0.0.1:{port}")), "{}", did.err);
    assert_eq!(left, "", "containers, networks and volumes that are left");
}

fn path(key: &str) -> String {
    format!("/client/v4/accounts/a/storage/kv/namespaces/tiered/values/{key}")
}

fn where_what_is_stands_in_its_status(lab: &Lab) {
    for dc in DCS {
        assert_eq!(lab.status(dc), format!("healthy    http://{}", lab.port(dc, 8787)));
    }
    assert_eq!(lab.status("build"), "current");
    assert_eq!(lab.status("out of service"), "none");
    until("customers come", || lab.status("traffic").contains(" requests, ").then_some(()));
}

fn containers_are_hardened(lab: &Lab) {
    let containers = lab.inspect();
    assert_eq!(containers.len(), DCS.len() + 7, "data centers, two stores, and five beside them");
    for container in &containers {
        let (name, host) = (&container["Name"], &container["HostConfig"]);
        assert_eq!(host["ReadonlyRootfs"], true, "{name}");
        assert_eq!(host["CapDrop"], json!(["ALL"]), "{name}");
        assert!(host["Memory"].as_u64() > Some(0), "{name}");
        let user = container["Config"]["User"].as_str().unwrap();
        assert!(["65532:65532", "65534:65534"].contains(&user), "{name} is {user}");
        let published = host["PortBindings"].as_object().unwrap().values();
        for binding in published.flat_map(|bindings| bindings.as_array().unwrap()) {
            assert_eq!(binding["HostIp"], "127.0.0.1", "{name}");
        }
    }
}

fn what_is_written_in_one_region_is_read_in_all(lab: &Lab) {
    let path = path("written");
    let written = || ask(lab.port("iad", 8787), "PUT", &path, "in Virginia");
    until("a write succeeds", || (written().status == 200).then_some(()));
    for dc in DCS {
        let read = || get(lab.port(dc, 8787), &path);
        until(&format!("{dc} reads it"), || (read().body == "in Virginia").then_some(()));
    }
}

fn every_target_is_up_and_every_rule_is_loaded(lab: &Lab) {
    let prometheus = lab.port("prometheus", 9090);
    let asked = |path: &str| -> Option<Value> {
        serde_json::from_str(&get(prometheus, &format!("/api/v1/{path}")).body).ok()
    };
    until("every target is up", || {
        let told = asked("targets")?;
        let targets = told["data"]["activeTargets"].as_array()?;
        let up = targets.iter().all(|target| target["health"] == "up");
        (targets.len() == DCS.len() + 2 && up).then_some(())
    });
    // Groups begin spread over their interval, and some have a long one.
    let told = until("rules are being evaluated", || {
        let told = asked("rules")?;
        let evaluated = told.to_string().contains("\"health\":\"ok\"");
        evaluated.then_some(told)
    });
    assert!(!told.to_string().contains("\"health\":\"err\""), "{told}");
    for group in told["data"]["groups"].as_array().unwrap() {
        assert!(!group["rules"].as_array().unwrap().is_empty(), "{group}");
    }
    assert!(told.to_string().contains("DataCenterHttp500"), "the rules are ours");
}

fn an_alert_reaches_the_control_plane(lab: &Lab) {
    let alertmanager = lab.port("alertmanager", 9093);
    let alert = r#"[{"labels":{"alertname":"Tried","severity":"page"}}]"#;
    let told = || ask(alertmanager, "POST", "/api/v2/alerts", alert).status;
    until("Alertmanager takes an alert", || (told() == 200).then_some(()));
    let counted = r#"control_alerts_received_total{alert="Tried",status="firing"} 1"#;
    until("the control plane counts it", || lab.control_says(counted).then_some(()));
}

fn a_data_center_goes_into_maintenance_and_comes_back(lab: &Lab) {
    let prometheus = lab.port("prometheus", 9090);
    let serving = |value: &str| {
        let query = "/api/v1/query?query=node_serving%7Bdc%3D%22SYD%22%7D";
        let told: Value = serde_json::from_str(&get(prometheus, query).body).ok()?;
        (told["data"]["result"][0]["value"][1] == value).then_some(())
    };
    let done = lab.does(&["inject", "maintenance", "SYD"]);
    assert!(done.starts_with("SYD goes down for maintenance: revision "), "{done}");
    assert_eq!(lab.status("out of service"), "SYD");
    until("Prometheus sees it out of service", || serving("0"));
    until("customers no longer go there", || {
        lab.status("traffic").ends_with("no customers in SYD").then_some(())
    });
    let healed = lab.does(&["heal"]);
    assert!(healed.contains("SYD returns from maintenance: revision "), "{healed}");
    until("the control plane has it back", || {
        lab.control_says(r#"control_member_serving{dc="SYD"} 1"#).then_some(())
    });
    until("Prometheus sees it in service", || serving("1"));
}

fn a_fault_acts_until_it_is_healed(lab: &Lab) {
    let links = "14 links";
    let fault = ["inject", "partition", "--from", "MEL"];
    let done = lab.does(&fault);
    let says = "no connection from MEL to anyone";
    assert_eq!(done, format!("{says} until it is healed: fault-1 on {links}"));
    until("it has acted", || {
        let told = lab.status("faults");
        let acted: u64 = told.strip_prefix(&format!("fault-1: {says}, acted "))?.parse().ok()?;
        (acted > 0).then_some(())
    });
    let direct = "/client/v4/accounts/a/storage/kv/namespaces/direct/values/unread";
    assert_eq!(get(lab.port("mel", 8787), direct).status, 503, "stores are beyond the partition");
    let healed = lab.does(&["heal"]);
    assert!(healed.contains(&format!("healed: {says}, acted ")), "{healed}");
    assert_eq!(lab.status("faults"), "none");
    until("Melbourne reaches the stores", || {
        (get(lab.port("mel", 8787), direct).status == 404).then_some(())
    });
}

fn a_data_center_that_crashed_runs_again_once_it_is_healed(lab: &Lab) {
    assert_eq!(lab.does(&["inject", "crash", "VIE"]), "VIE crashes: container vie is exited");
    let status = lab.relapse(&["status"]);
    assert_eq!(status.code, Some(3), "something does not run: {}", status.out);
    assert!(lab.does(&["heal"]).starts_with("vie was exited, and runs"));
    let path = path("written");
    until("it answers", || (get(lab.port("vie", 8787), &path).status == 200).then_some(()));
}

fn what_does_not_exist_is_not_injected(lab: &Lab) {
    for (arguments, wrong) in [
        (&["partitoin"][..], "did you mean \"partition\"?"),
        (&["partition", "--from", "MELB"], "there is no peer \"MELB\""),
        (&["partition", "MEL"], "said by --from and --to"),
        (&["latency", "--amount", "long"], "\"long\" is no duration"),
        (&["crash"], "relapse lab inject crash MEL"),
        (&["crash", "MELB"], "there is no data center \"MELB\""),
        (&["crash", "MEL", "--for", "2 min"], "--for is for faults of the network"),
        (&["latency", "--amount", "1 s", "--for", "1500 ms"], "whole seconds"),
    ] {
        let did = lab.relapse(&[&["inject"], arguments].concat());
        assert_eq!(did.code, Some(2), "{arguments:?}: {}", did.err);
        assert!(did.err.contains(wrong), "{arguments:?}: {}", did.err);
    }
    assert_eq!(lab.status("faults"), "none");
}

/// What a Prometheus knows of a moment: the value of a query's only series.
fn known(prometheus: SocketAddr, query: &str, at: &str) -> Option<String> {
    let encoded: String = [('{', "%7B"), ('}', "%7D"), ('"', "%22"), (' ', "%20")]
        .iter()
        .fold(query.to_owned(), |text, (plain, code)| text.replace(*plain, code));
    let path = format!("/api/v1/query?query={encoded}&time={at}");
    let told: Value = serde_json::from_str(&get(prometheus, &path).body).ok()?;
    told["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
}

/// Of a summer long ago.
const OLD: &str = r#"
Feature: an old incident
  Scenario: a data center crashes
    Given the topology "small" with its traffic and without noise
    And the replay starts at 2023-07-11 12:00
    When 2 minutes pass
    And data center "SYD" crashes
    And 3 minutes pass
    Then the share of failed requests stays below 0.5 %
"#;

fn an_old_incident_is_seen_in_prometheus(lab: &Lab) {
    let folder = tempfile::tempdir().unwrap();
    let run = lab::replay(OLD, folder.path());
    let prometheus = lab.port("prometheus", 9090);
    let told = lab.does(&["load", run.to_str().unwrap()]);
    assert!(told.contains(&format!("http://{prometheus}/graph?")), "{told}");
    let crashed = "2023-07-11T12:03:30Z";
    assert_eq!(known(prometheus, "up{dc=\"SYD\"}", crashed).as_deref(), Some("0"));
    assert_eq!(known(prometheus, "up{dc=\"MEL\"}", crashed).as_deref(), Some("1"));
    let done = "relapse_journal{text=\"SYD crashes\"}";
    assert_eq!(known(prometheus, done, "2023-07-11T12:02:30Z").as_deref(), Some("1"));
    let pending = "ALERTS{alertname=\"DataCenterUnreachable\",dc=\"SYD\",alertstate=\"pending\"}";
    assert_eq!(known(prometheus, pending, crashed).as_deref(), Some("1"));
    let again = lab.relapse(&["load", run.to_str().unwrap()]);
    assert_eq!(again.code, Some(3), "{}", again.err);
    assert!(again.err.contains("two histories as one"), "{}", again.err);
}

fn a_link_that_is_cut_hurts_until_it_is_mended(lab: &Lab) {
    let (proxy, mel) = (lab.port("proxy", 8474), lab.port("mel", 8787));
    let links: Value = serde_json::from_str(&get(proxy, "/proxies").body).unwrap();
    // Everything but the other data center of its region.
    let of_mel: Vec<&String> =
        links.as_object().unwrap().keys().filter(|name| name.starts_with("mel-")).collect();
    let switch = |on: bool| {
        for link in &of_mel {
            let body = json!({ "enabled": on }).to_string();
            assert_eq!(ask(proxy, "POST", &format!("/proxies/{link}"), &body).status, 200);
        }
    };
    let direct = "/client/v4/accounts/a/storage/kv/namespaces/direct/values/cut";
    assert_eq!(of_mel.len(), 7, "four data centers, two stores, the control plane: {of_mel:?}");
    switch(false);
    assert_eq!(get(mel, direct).status, 503, "no store can be reached, and nothing is kept of it");
    switch(true);
    until("Melbourne reaches the stores again", || (get(mel, direct).status == 404).then_some(()));
}

fn every_container_is_healthy(lab: &Lab) {
    until("every container is healthy", || {
        let containers = lab.inspect();
        let well = |container: &Value| match &container["State"]["Health"]["Status"] {
            Value::Null => container["State"]["Running"] == true,
            status => status == "healthy",
        };
        containers.iter().all(well).then_some(())
    });
}
