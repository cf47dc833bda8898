//! An old incident in the live lab's Prometheus: what its monitor scraped, what the rules made of it, and what was done when.

use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::compose::{Compose, Service, Services, docker};
use super::http::Door;
use super::{LiveError, wait};
use crate::export;
use crate::recording::Recording;
use crate::runs::about::Stopwatch;
use crate::spec::time::{self, IncidentTime};

/// Prometheus looks for new blocks once a minute, and reads them then.
const SEEN_WITHIN_S: f64 = 180.0;
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Pages begin and end so long before and after the recording.
const MARGIN_MS: i64 = 120_000;

/// Where a recording is to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// How many samples there are now.
    pub samples: u64,
    /// Dashboards with the recording's time range; none where Grafana does not run.
    pub dashboards: Vec<String>,
    /// The same range in Prometheus.
    pub prometheus: String,
}

/// Adds a recording to the lab's Prometheus. `tell` is told what takes a while.
pub fn load(
    compose: &Compose,
    recording: &Recording,
    mut tell: impl FnMut(&str),
) -> Result<Loaded, LiveError> {
    let services = compose.up()?;
    let scrapes = &recording.metrics;
    if scrapes.rounds == 0 || scrapes.series.is_empty() {
        return Err(LiveError::Empty);
    }
    let (from_ms, until_ms) = (scrapes.round_ms(0), scrapes.round_ms(scrapes.rounds - 1));
    let prometheus = Door::of(&services, "prometheus", 9090)?;
    let seen = || -> Result<bool, LiveError> {
        let (from, until) = (seconds(from_ms), seconds(until_ms));
        let told =
            prometheus.json(&format!("/api/v1/series?match%5B%5D=up&start={from}&end={until}"))?;
        Ok(told["data"].as_array().is_some_and(|series| !series.is_empty()))
    };
    if seen()? {
        let [from, until] = [scrapes.start, scrapes.round_at(scrapes.rounds - 1)].map(time::format);
        return Err(LiveError::Known { from, until });
    }
    let folder = Folder::new(compose.root())?;
    tell("writing samples");
    let samples = write(recording, &folder.0)?;
    tell("making blocks of them, which Prometheus finds within a minute or two");
    for file in export::FOR_PROMETHEUS {
        backfill(&services, &folder.0, file)?;
    }
    let watch = Stopwatch::start();
    while !seen()? {
        if watch.seconds() > SEEN_WITHIN_S {
            return Err(prometheus.wrong(format!("no new samples after {SEEN_WITHIN_S} s")));
        }
        wait(LOOK_EVERY);
    }
    let range = (from_ms - MARGIN_MS, until_ms + MARGIN_MS);
    Ok(Loaded {
        samples,
        dashboards: dashboards(compose, &services, range),
        prometheus: page(&services, range)?,
    })
}

/// A folder that is gone with its handle.
struct Folder(PathBuf);

impl Folder {
    fn new(root: &Path) -> Result<Self, LiveError> {
        let folder = root.join(format!(".relapse/lab/load-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| LiveError::Unwritable(folder.display().to_string(), error))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is of use to nobody, and harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn write(recording: &Recording, folder: &Path) -> Result<u64, LiveError> {
    let mut samples = 0;
    for file in export::FOR_PROMETHEUS {
        let unwritable = |error: export::ExportError| {
            LiveError::Unwritable(file.to_owned(), std::io::Error::other(error.to_string()))
        };
        samples += export::write_one(recording, file, folder).map_err(unwritable)?;
    }
    Ok(samples)
}

/// Prometheus' own tool makes blocks, in a container beside the lab's own, with its image and its volume.
fn backfill(services: &Services, folder: &Path, file: &str) -> Result<(), LiveError> {
    let Service { container, image, .. } = services.get("prometheus")?;
    let mount = format!("{}:/recording:ro", folder.display());
    let run = ["run", "--rm", "--network", "none", "--tmpfs", "/tmp:mode=1777"];
    let volumes = ["--volumes-from", container, "--volume", &mount];
    let tool =
        ["--entrypoint", "/bin/promtool", image, "tsdb", "create-blocks-from", "openmetrics"];
    let input = format!("/recording/{file}");
    docker(&[&run[..], &volumes, &tool, &["--quiet", &input, "/prometheus"]].concat()).map(|_| ())
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000))
}

/// Links to every dashboard.
fn dashboards(compose: &Compose, services: &Services, (from, until): (i64, i64)) -> Vec<String> {
    let Ok(grafana) = services.address("grafana", 3000) else { return Vec::new() };
    let (boards, _) = crate::dashboards::Dashboards::read(compose.root());
    let link = |uid: &str| format!("http://{grafana}/d/{uid}?from={from}&to={until}&timezone=utc");
    boards.uids().map(link).collect()
}

/// A graph of what fired.
fn page(services: &Services, (from, until): (i64, i64)) -> Result<String, LiveError> {
    let prometheus = services.address("prometheus", 9090)?;
    let query = utf8_percent_encode("ALERTS{alertstate=\"firing\"}", NON_ALPHANUMERIC);
    let until_at = IncidentTime(u64::try_from(until).unwrap_or(0) * 1_000);
    let end = time::format(until_at);
    let end = utf8_percent_encode(&end, NON_ALPHANUMERIC);
    let range_s = (until - from) / 1_000;
    Ok(format!(
        "http://{prometheus}/graph?g0.expr={query}&g0.tab=0&g0.range_input={range_s}s&g0.end_input={end}"
    ))
}
