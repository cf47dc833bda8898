//! `relapse clean`.

use std::path::Path;

use super::{complain, out};
use crate::exit::Exit;
use crate::lab::{LabError, containers};
use crate::runs::Store;

pub(super) fn clean(root: &Path, all: bool) -> Exit {
    let folders = match Store::of(root).sweep(all) {
        Ok(folders) => folders,
        Err(error) => {
            return complain(
                &format!("unfinished runs cannot be removed: {error}"),
                Exit::Environment,
            );
        }
    };
    match containers::sweep(all) {
        Ok(swept) => {
            let (containers, networks) = (swept.containers, swept.networks);
            out(&format!(
                "removed: {containers} containers, {networks} networks, {folders} unfinished runs"
            ));
            Exit::Pass
        }
        Err(LabError::NoEngine(_)) => {
            out(&format!(
                "removed: {folders} unfinished runs; no Docker engine answers, so there are no containers"
            ));
            Exit::Pass
        }
        Err(error) => complain(&error.to_string(), Exit::Environment),
    }
}
