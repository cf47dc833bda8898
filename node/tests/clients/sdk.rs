//! The official Python SDK. What is asserted stands in `sdk.py`.

use crate::process::dev;
use crate::tools::{command, python, succeed};
use crate::{NAMESPACE, OPENAPI, TOKEN};

#[test]
fn the_python_sdk_drives_every_operation() {
    if !python() {
        return;
    }
    let mut node = dev(&["--token", TOKEN]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/sdk.py");
    let words = ["python", script, &node.wait_for("rest"), TOKEN, NAMESPACE, OPENAPI];
    let said = succeed(&mut command(&words));
    print!("{}", String::from_utf8_lossy(&said));
}
