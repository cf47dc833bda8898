//! wrangler, by the line that `kv-node dev` prints for it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, dev};
use crate::tools::{command, node, succeed};
use crate::{NAMESPACE, TOKEN};

/// A node, and a folder that is wrangler's home and where it runs.
struct Wrangler {
    printed: String,
    folder: TempDir,
    _node: Process,
}

impl Wrangler {
    fn shell(&self, line: &str) -> Command {
        let mut shell = command(&["sh", "-c", line]);
        shell.current_dir(self.folder.path()).env("HOME", self.folder.path()).env("CI", "1");
        shell
    }

    /// `wrangler kv …`, with what the printed line sets before it.
    fn kv(&self, arguments: &str) -> Command {
        let (set, _) = self.printed.split_once("wrangler kv ").unwrap();
        self.shell(&format!("{set} wrangler kv {arguments}"))
    }

    /// The same within the namespace.
    fn run(&self, operation: &str, arguments: &str) -> Vec<u8> {
        succeed(
            &mut self.kv(&format!("{operation} --remote --namespace-id {NAMESPACE} {arguments}")),
        )
    }

    fn list(&self, operation: &str) -> Vec<Value> {
        serde_json::from_slice(&self.run("key list", operation)).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        file
    }
}

fn wrangler() -> Option<Wrangler> {
    if !node() {
        return None;
    }
    let mut node = dev(&["--token", TOKEN]);
    let printed = node.wait_for("wrangler");
    Some(Wrangler { printed, folder: tempfile::tempdir().unwrap(), _node: node })
}

#[test]
fn the_printed_line_and_every_command_on_a_key_work() {
    let Some(wrangler) = wrangler() else { return };
    succeed(&mut wrangler.shell(&wrangler.printed));
    assert_eq!(wrangler.run("key get", "greeting --text"), b"hello\n");

    let key = "'dir/my key:é%+..'";
    wrangler.run("key put", &format!("{key} 'wé' --metadata '{{\"m\":[1]}}' --ttl 600"));
    assert_eq!(wrangler.run("key get", key), "wé".as_bytes());
    let listed = wrangler.list("--prefix dir");
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["name"], "dir/my key:é%+..");
    assert_eq!(listed[0]["metadata"], json!({"m": [1]}));
    assert!(listed[0]["expiration"].is_u64());
    wrangler.run("key delete", key);
    let get = format!("key get --remote --namespace-id {NAMESPACE} {key}");
    let gone = wrangler.kv(&get).output().unwrap();
    assert!(!gone.status.success());
    assert!(String::from_utf8_lossy(&gone.stderr).contains("404"), "{gone:?}");

    let bytes: Vec<u8> = (0..=255).collect();
    wrangler.write("bytes", &bytes);
    wrangler.run("key put", "bytes --path bytes");
    assert_eq!(wrangler.run("key get", "bytes"), bytes);
}

#[test]
fn many_keys_are_written_listed_read_and_deleted() {
    let Some(wrangler) = wrangler() else { return };
    // It sends a thousand at once, and lists a thousand on a page.
    let keys: Vec<String> = (0..1_500).map(|number| format!("k{number:04}")).collect();
    let items: Vec<Value> = keys
        .iter()
        .map(|key| json!({"key": key, "value": "AP8=", "base64": true, "metadata": {"of": key}}))
        .collect();
    wrangler.write("items.json", json!(items).to_string().as_bytes());
    wrangler.write("keys.json", json!(keys).to_string().as_bytes());
    wrangler.run("bulk put", "items.json");
    let listed = wrangler.list("");
    let expected: Vec<Value> =
        keys.iter().map(|key| json!({"name": key, "metadata": {"of": key}})).collect();
    assert_eq!(listed, expected);
    assert_eq!(wrangler.run("key get", "k1499"), [0, 255]);

    wrangler.run("key put", "text hello");
    wrangler.write("some.json", br#"["text","none"]"#);
    let got: Value = serde_json::from_slice(&wrangler.run("bulk get", "some.json")).unwrap();
    assert_eq!(got, json!({"text": "hello", "none": null}));
    wrangler.run("bulk delete", "keys.json --force");
    assert_eq!(wrangler.list(""), [json!({"name": "text"})]);
}

#[test]
fn namespaces_are_created_renamed_listed_and_deleted() {
    let Some(wrangler) = wrangler() else { return };
    let all = || -> Vec<Value> {
        serde_json::from_slice(&succeed(&mut wrangler.kv("namespace list"))).unwrap()
    };
    let titles = |all: &[Value]| -> Vec<String> {
        all.iter().map(|one| one["title"].as_str().unwrap().to_owned()).collect()
    };
    succeed(&mut wrangler.kv("namespace create made"));
    let made = all();
    assert_eq!(titles(&made), ["dev", "made"]);
    let id = made[1]["id"].as_str().unwrap();
    let again = wrangler.kv("namespace create made").output().unwrap();
    assert!(!again.status.success());
    succeed(&mut wrangler.kv(&format!("namespace rename --namespace-id {id} --new-name renamed")));
    assert_eq!(titles(&all()), ["dev", "renamed"]);
    succeed(&mut wrangler.kv(&format!("namespace delete --namespace-id {id} --skip-confirmation")));
    assert_eq!(titles(&all()), ["dev"]);
}
