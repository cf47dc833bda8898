//! What it says when it does not begin.

use std::net::TcpListener;

use crate::process::run;

#[test]
fn a_port_that_is_taken_is_named_with_its_listener() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    let ended =
        run(&["dev", "--listen", free, "--binding-listen", &address, "--admin-listen", free]);
    assert_eq!(ended.code, Some(2));
    insta::assert_snapshot!(ended.stderr.replace(&address, "ADDRESS"));
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    std::fs::write(&file, "data_center = \"SYD\"\n\n[listen]\n  rset = \"127.0.0.1:0\"\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [&["check", "--config", file][..], &["--config", file]] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(2));
        insta::assert_snapshot!("unknown_key", ended.stderr.replace(file, "node.toml"));
    }
}

#[test]
fn arguments_that_say_nothing_end_with_2() {
    for arguments in [&[][..], &["dev", "--listn", "x"], &["--log", "responses"]] {
        assert_eq!(run(arguments).code, Some(2), "{arguments:?}");
    }
}
