use super::*;
use crate::host::sink::Told;

/// A whole file with everything in it that can be said.
const WHOLE: &str = r#"
data_center = "SYD"
control = "control"
isolates = 4
namespaces = [{ id = "ns-1", title = "one", account = "a", class = "product" }, { id = "ns-2" }]

[listen]
rest = "0.0.0.0:8787"
binding = "127.0.0.1:8788"
tier = "0.0.0.0:8790"
admin = "127.0.0.1:8789"

[members]
SYD = { region = "OC", regional_weight = 1, upper_weight = 1 }
MEL01 = { region = "OC", regional_weight = 2 }

[origins]
OC = "OC"

[store_hosts]
default = "stores.internal"
namespaces = { ns-1 = "stores.one.internal" }

[peers]
MEL01 = { tier = "10.0.0.2:8790" }
store-a = { store = "store-a.example:9000" }
store-b = { store = "[::1]:9000" }
control = { control = "10.0.0.9:80" }
intake-logs = { intake = "10.0.0.8:80" }

[[stores]]
peer = "store-a"

[[stores]]
peer = "store-b"
protocol = "plain"

[intakes]
logs = "intake-logs"
exceptions = "intake-logs"
traces = "intake-logs"

[keys]
secret = "000102030405060708090a0b0c0d0e0f"
sealing = [{ id = 7, key = "000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f" }]

[[builds]]
id = "kv-2023-07"
lacks = ["return-gate"]

[pipelines]
gateway = [{ build = "current", weight = 9 }, { build = "kv-2023-07", weight = 1 }]

[[tokens]]
token = "t"
accounts = ["a"]

[limits]
cache_ttl_min_s = 30

[server]
idle_ms = 1000

[initial]
new_backend = true
enrolled = ["ns-1"]
"#;

fn wrong(from: &str, to: &str) -> String {
    assert!(WHOLE.contains(from), "{from}");
    let text = WHOLE.replacen(from, to, 1);
    let source: Result<Source, Failure> = parse(Path::new("node.toml"), text, of_toml);
    let setup = source.and_then(|source| source.setup(Told::default()));
    setup.err().map_or_else(|| "fine".to_owned(), |failure| failure.message)
}

#[test]
fn a_whole_file_says_a_whole_node() {
    let source: Source = parse(Path::new("node.toml"), WHOLE.to_owned(), of_toml).ok().unwrap();
    let setup = source.setup(Told::default()).ok().unwrap();
    assert_eq!(setup.config.stores, [StoreAbout::plain("store-a"), StoreAbout::plain("store-b")]);
    assert_eq!(setup.config.gateway_pipeline[1].build.lacks.len(), 1);
    assert_eq!(setup.config.supercache_pipeline.len(), 1);
    assert_eq!(setup.config.limits.cache_ttl_min_s, 30);
    assert_eq!(setup.config.limits.key_bytes_max, 512);
    assert_eq!(setup.config.sealing_keys[0].0, 7);
    assert_eq!((setup.limits.idle_ms, setup.limits.head_ms), (1_000, 10_000));
    assert_eq!(setup.listen.len(), 4);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_may_be_meant() {
    let told = [
        wrong("isolates = 4", "isolate = 4"),
        wrong("idle_ms", "idle_s"),
        wrong("cache_ttl_min_s", "cache_ttl"),
        wrong("\"0.0.0.0:8787\"", "\"0.0.0.0\""),
        wrong("protocol = \"plain\"", "protocol = \"s4\""),
        wrong("protocol = \"plain\"", "protocol = \"s3\""),
        wrong("protocol = \"plain\"", "bucket = \"b\""),
        wrong("peer = \"store-a\"", "peer = \"stor-a\""),
        wrong("peer = \"store-a\"", "peer = \"MEL01\""),
        wrong("data_center = \"SYD\"", "data_center = \"SDY\""),
        wrong("build = \"kv-2023-07\"", "build = \"kv-2023\""),
        wrong("\"return-gate\"", "\"return-gates\""),
        wrong("secret = \"0001", "secret = \"00x1"),
        wrong("token = \"t\"", ""),
        wrong("isolates = 4", "isolates = 0"),
        wrong("\"stores.internal\"", "\"\""),
        wrong("ns-1 = \"stores", "ns-3 = \"stores"),
        wrong(
            "control = \"control\"",
            "control = \"ctl\"\npeers.ctl = { control = \"10.0.0.9:80\" }",
        ),
        wrong("[origins]", "[origins"),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn no_error_shows_a_secret() {
    for (from, to) in [
        ("secret = \"000102030405060708090a0b0c0d0e0f\"", "secret = \"5ec2e7\""),
        ("secret = \"000102030405060708090a0b0c0d0e0f\"", "secret = \"5ec2e7zz\""),
        ("key = \"000102030405060708090a0b0c0d0e0f", "key = \"5ec2e7"),
        ("token = \"t\"", "token = \"5ec2e7\"\ntoken_sha256 = \"5ec2e7\""),
    ] {
        let told = wrong(from, to);
        assert!(told.starts_with("node.toml:") && !told.contains("5ec2e7"), "{told}");
    }
}
