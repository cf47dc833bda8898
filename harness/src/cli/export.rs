//! `relapse export`.

use std::path::Path;

use super::{complain, out};
use crate::exit::Exit;
use crate::export;
use crate::recording::Recording;

/// Writes a run's recording into a folder in the formats of other tools.
pub(super) fn export(run: &Path, folder: &Path) -> Exit {
    let within = run.join("recording");
    let recording = match Recording::read(if within.is_dir() { &within } else { run }) {
        Ok(recording) => recording,
        Err(error) => return complain(&error.to_string(), Exit::Environment),
    };
    match export::write(&recording, folder) {
        Ok(files) => {
            for (name, count) in files {
                out(&format!("{count:>10}  {}", folder.join(name).display()));
            }
            Exit::Pass
        }
        Err(error) => complain(&error.to_string(), Exit::Environment),
    }
}
