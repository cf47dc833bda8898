//! The containers lab from outside: what it says when something is missing, and that nothing is left of it, whatever ends it.
//!
//! Where there is no engine or no image, one line says what could not be tested; with `RELAPSE_REQUIRE_DOCKER=1` the tests fail.
//! That a slice comes out as in the simulated lab `.ci/run` asks of `relapse parity`.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "these tests start, kill and look at processes, in real time"
)]

mod rig;

use std::time::Duration;

use self::rig::Rig;

#[test]
fn without_an_engine_it_exits_3_and_says_what_to_do() {
    let rig = Rig::new();
    let mut run = rig.relapse(&["run", "--on", "containers", "slice"]);
    let ended = rig::end(run.env("DOCKER_HOST", "unix:///nowhere/docker.sock"));
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    assert!(ended.said.contains("no Docker engine answers"), "{}", ended.said);
    assert!(ended.said.contains(".ci/engine --install"), "{}", ended.said);
}

#[test]
fn a_scenario_that_says_no_speed_is_none_for_containers() {
    let rig = Rig::new();
    let ended = rig::end(&mut rig.relapse(&["run", "--on", "containers", "plain"]));
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains("says how fast containers run it"), "{}", ended.said);
}

#[test]
fn an_image_that_cannot_be_had_is_named_and_nothing_is_left() {
    let Some(rig) = Rig::with_engine() else { return };
    let mut run = rig.relapse(&["run", "--on", "containers", "slice"]);
    let ended = rig::end(run.env("RELAPSE_NODE_IMAGE", "relapse/nobody-built-this:ever"));
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    assert!(ended.said.contains("relapse/nobody-built-this:ever"), "{}", ended.said);
    assert!(ended.said.contains(".ci/images"), "{}", ended.said);
    assert_eq!(rig.left(), "");
}

#[test]
fn a_container_that_the_kernel_kills_is_named_with_the_reason_and_nothing_is_left() {
    let Some(rig) = Rig::with_engine() else { return };
    let mut run = rig.relapse(&["run", "--on", "containers", "slice"]);
    let ended = rig::end(run.env("RELAPSE_NODE_MEMORY_MB", "6"));
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    assert!(ended.said.contains("needed more memory than its limit"), "{}", ended.said);
    assert_eq!(rig.left(), "");
}

#[test]
fn a_store_that_does_not_keep_conditions_on_writes_is_found_out_and_nothing_is_left() {
    let Some(rig) = Rig::with_engine() else { return };
    let mut run = rig.relapse(&["run", "--on", "containers", "slice"]);
    run.env("RELAPSE_STORE_IMAGE", rig::image("RELAPSE_LIAR_IMAGE"));
    run.env("RELAPSE_STORE_COMMAND", "0.0.0.0:9000 relapse relapse relapse-secret");
    let ended = rig::end(&mut run);
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    assert!(ended.said.contains("store \"store-a\" would lose writes"), "{}", ended.said);
    assert!(ended.said.contains("If-None-Match"), "{}", ended.said);
    assert_eq!(rig.left(), "");
}

#[test]
fn a_store_of_somebody_else_that_speaks_s3_will_do() {
    let Some(rig) = Rig::with_engine() else { return };
    let mut run = rig.relapse(&["run", "--on", "containers", "slice"]);
    run.env("RELAPSE_STORE_IMAGE", rig::image("RELAPSE_NODE_IMAGE"));
    let command =
        "store --listen 0.0.0.0:9100 --bucket theirs --access-key them --secret-key-from SECRET";
    run.env("RELAPSE_STORE_COMMAND", command).env("RELAPSE_STORE_ENV", "SECRET=between-us");
    run.env("RELAPSE_STORE_PORT", "9100").env("RELAPSE_STORE_BUCKET", "theirs");
    run.env("RELAPSE_STORE_ACCESS_KEY", "them").env("RELAPSE_STORE_SECRET_KEY", "between-us");
    let ended = rig::end(&mut run);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(rig.left(), "");
}

#[test]
fn an_interrupted_lab_leaves_nothing() {
    let Some(rig) = Rig::with_engine() else { return };
    let mut run = rig.relapse(&["run", "--on", "containers", "slice"]).spawn().unwrap();
    rig::until_a_container_runs();
    rig::interrupt(&run);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(rig.left(), "");
}

#[test]
fn a_lab_that_is_killed_leaves_nothing_once_it_is_cleaned_up() {
    let Some(rig) = Rig::with_engine() else { return };
    let kills = std::env::var("RELAPSE_KILLS").map_or(5, |kills| kills.parse().unwrap());
    let mut draws = rig::Draws::new();
    for kill in 0..kills {
        // From before the first container to well within the replay.
        let after = Duration::from_millis(draws.below(15_000));
        let mut run = rig.relapse(&["run", "--on", "containers", "slice"]).spawn().unwrap();
        std::thread::sleep(after);
        run.kill().unwrap();
        run.wait().unwrap();
        let ended = rig::end(&mut rig.relapse(&["clean"]));
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert_eq!(rig.left(), "", "kill {kill}, after {after:?}, seed {}", draws.seed);
    }
}

#[test]
fn a_recording_for_which_there_is_no_room_is_an_error_of_the_environment() {
    let rig = Rig::new();
    let Some(_small) = rig::SmallDisk::over(&rig.root().join(".relapse")) else { return };
    let ended = rig::end(&mut rig.relapse(&["run", "plain"]));
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    assert!(ended.said.contains("No space left on device"), "{}", ended.said);
}
