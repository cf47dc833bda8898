//! The live lab of `docker-compose.yml`, its core: nodes, stores, control plane, fault proxy, Prometheus, Alertmanager.
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
    let lab = Lab::up();
    containers_are_hardened(&lab);
    what_is_written_in_one_region_is_read_in_all(&lab);
    every_target_is_up_and_every_rule_is_loaded(&lab);
    an_alert_reaches_the_control_plane(&lab);
    a_data_center_goes_into_maintenance_and_comes_back(&lab);
    a_link_that_is_cut_hurts_until_it_is_mended(&lab);
    every_container_is_healthy(&lab);
    let project = lab.down();
    assert_eq!(lab::left_of(&project), "", "containers, networks and volumes that are left");
}

fn path(key: &str) -> String {
    format!("/client/v4/accounts/a/storage/kv/namespaces/tiered/values/{key}")
}

fn containers_are_hardened(lab: &Lab) {
    let containers = lab.inspect();
    assert_eq!(containers.len(), DCS.len() + 6, "data centers, two stores, and four beside them");
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
    let change = |what: &str| {
        lab.exec(
            "control",
            &[
                "/kv-node",
                "change",
                "--control",
                "127.0.0.1:8789",
                "--config",
                "/etc/relapse/control.toml",
                what,
                "SYD",
            ],
        )
    };
    assert!(change("maintenance").starts_with("revision "));
    let prometheus = lab.port("prometheus", 9090);
    let serving = |value: &str| {
        let query = "/api/v1/query?query=node_serving%7Bdc%3D%22SYD%22%7D";
        let told: Value = serde_json::from_str(&get(prometheus, query).body).ok()?;
        (told["data"]["result"][0]["value"][1] == value).then_some(())
    };
    until("Prometheus sees it out of service", || serving("0"));
    assert!(change("return").starts_with("revision "));
    until("the control plane has it back", || {
        lab.control_says(r#"control_member_serving{dc="SYD"} 1"#).then_some(())
    });
    until("Prometheus sees it in service", || serving("1"));
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
