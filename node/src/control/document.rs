//! What is released, as a text that people write: TOML.
//!
//! ```toml
//! environment = "production"
//!
//! [gateway]                       # or [supercache], [resolver]
//! build = "kv-2023-10"
//! steps = [                       # none: everywhere, everything, at once
//!     { percent = 1, soak_s = 600 },
//!     { classes = ["test", "small"], soak_s = 3600 },
//!     { dcs = ["ATL"], soak_s = 3600 },
//!     {},
//! ]
//! ```
//!
//! Instead of a script's build it can have `[new_backend]` with `on` and `allow` (accounts), which with `draft = true` is only
//! kept; `revision` (a configuration: `"draft"`, or an earlier one by its number or as `"live-1"`); or `rollback` (a script), which
//! with `dcs` takes the build back in these data centers only, while the release goes on elsewhere. A release does one thing.
//! `build = "newest"` is the newest build of the environment, whichever that is. With `break_glass`, a reason, it is carried out
//! without a login.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::ids::{Account, BuildId, Dc};
use crate::safeguards::Environment;
use crate::worker::ScriptName;

/// What a document asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Release {
    pub(super) environment: Environment,
    pub(super) what: What,
    /// Where the value stands that matters most.
    pub(super) place: Place,
    /// Why nobody needs to log in for it.
    pub(super) break_glass: Option<String>,
}

/// Where something stands in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) field: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// A build of a script.
    Build { script: ScriptName, build: BuildId, steps: Vec<Step> },
    /// A part of the configuration.
    NewBackend(NewBackend),
    /// Another configuration, as a whole.
    Revision(Revision),
    /// What a script ran before: in these data centers, or where none is named, in all, which ends the release.
    Rollback { script: ScriptName, dcs: BTreeSet<Dc> },
}

/// A configuration that is not the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revision {
    /// The one that was drafted last.
    Draft,
    /// By its number.
    Number(u64),
    /// So many configurations before the live one.
    Before(usize),
}

/// A stage of a release.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// The share of the traffic.
    #[serde(default = "all")]
    pub(super) percent: f64,
    /// In data centers of these classes; where neither these nor data centers are named, in all.
    #[serde(default)]
    pub(super) classes: BTreeSet<String>,
    /// In these data centers.
    #[serde(default)]
    pub(super) dcs: BTreeSet<Dc>,
    /// How long until the next one.
    #[serde(default)]
    pub(super) soak_s: u64,
}

fn all() -> f64 {
    100.0
}

impl Revision {
    /// In words.
    pub(super) fn says(self) -> String {
        match self {
            Self::Draft => "that was drafted".to_owned(),
            Self::Number(number) => format!("of revision {number}"),
            Self::Before(back) => format!("that was live {back} before"),
        }
    }
}

impl Step {
    pub(super) fn of(percent: f64, soak: Duration) -> Self {
        Self { percent, classes: BTreeSet::new(), dcs: BTreeSet::new(), soak_s: soak.as_secs() }
    }

    /// Whether it is about every data center.
    pub(super) fn is_everywhere(&self) -> bool {
        self.classes.is_empty() && self.dcs.is_empty()
    }

    /// Whether it is about a data center of a class.
    pub(super) fn is_about(&self, dc: &Dc, class: &str) -> bool {
        self.is_everywhere() || self.classes.contains(class) || self.dcs.contains(dc)
    }

    pub(super) fn soak(&self) -> Duration {
        Duration::from_secs(self.soak_s)
    }

    /// In words.
    pub(super) fn says(&self) -> String {
        let classes = self.classes.iter().map(String::as_str);
        let places: Vec<&str> = classes.chain(self.dcs.iter().map(Dc::as_str)).collect();
        let place = if places.is_empty() { "everywhere".to_owned() } else { places.join(", ") };
        format!("{} %, {place}", self.percent)
    }
}

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) place: Place,
    pub(super) why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    environment: Environment,
    break_glass: Option<Spanned<String>>,
    gateway: Option<Spanned<Script>>,
    supercache: Option<Spanned<Script>>,
    resolver: Option<Spanned<Script>>,
    new_backend: Option<Spanned<NewBackend>>,
    revision: Option<Spanned<RevisionText>>,
    rollback: Option<Spanned<ScriptName>>,
    /// Of a rollback.
    dcs: Option<Spanned<BTreeSet<Dc>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    build: Spanned<String>,
    percent: Option<Spanned<f64>>,
    #[serde(default)]
    steps: Vec<Spanned<Step>>,
}

/// What is to change of the new backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBackend {
    /// On or off.
    pub(super) on: Option<bool>,
    /// The accounts that may use it.
    pub(super) allow: Option<BTreeSet<Account>>,
    /// Kept only, to be released later.
    #[serde(default)]
    pub(super) draft: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RevisionText {
    Number(u64),
    Text(String),
}

/// Reads a document by its schema.
pub(super) fn by_schema(text: &str) -> Result<Release, Wrong> {
    let document: Document = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let why = error.message().lines().next().unwrap_or_default().replace("f64", "a number");
        // What is missing stands nowhere.
        let missing = why.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let field = missing.map_or_else(|| field_at(text, span.start), str::to_owned);
        wrong_at(text, &span, &field, &why)
    })?;
    let mut whats = Vec::new();
    for (script, part) in [
        (ScriptName::Gateway, &document.gateway),
        (ScriptName::Supercache, &document.supercache),
        (ScriptName::Resolver, &document.resolver),
    ] {
        if let Some(part) = part {
            whats.push(build_by_schema(text, script, part.get_ref())?);
        }
    }
    if let Some(part) = &document.new_backend {
        let changes = part.get_ref().clone();
        if changes.on.is_none() && changes.allow.is_none() {
            return Err(wrong_at(
                text,
                &part.span(),
                "new_backend",
                "it says neither on nor allow",
            ));
        }
        whats.push((What::NewBackend(changes), place_of(text, &part.span(), "new_backend")));
    }
    if let Some(revision) = &document.revision {
        let number = revision_of(revision.get_ref()).ok_or_else(|| {
            let why = "no revision: write \"draft\", a number, or \"live-1\" for the one before the live one";
            wrong_at(text, &revision.span(), "revision", why)
        })?;
        whats.push((What::Revision(number), place_of(text, &revision.span(), "revision")));
    }
    if let Some(script) = &document.rollback {
        let place = place_of(text, &script.span(), "rollback");
        let dcs = document.dcs.as_ref().map(|dcs| dcs.get_ref().clone()).unwrap_or_default();
        whats.push((What::Rollback { script: *script.get_ref(), dcs }, place));
    }
    if let Some(dcs) = &document.dcs {
        if document.rollback.is_none() {
            let why = "it belongs to a rollback: where a build goes stands in its steps";
            return Err(wrong_at(text, &dcs.span(), "dcs", why));
        }
        if dcs.get_ref().is_empty() {
            let why = "it names no data center: leave it out to take all of it back";
            return Err(wrong_at(text, &dcs.span(), "dcs", why));
        }
    }
    let break_glass = document.break_glass.map(|reason| {
        let (span, reason) = (reason.span(), reason.into_inner().trim().to_owned());
        if reason.is_empty() {
            return Err(wrong_at(text, &span, "break_glass", "it gives no reason"));
        }
        Ok(reason)
    });
    let break_glass = break_glass.transpose()?;
    let mut whats = whats.into_iter();
    let told = |why: &str| wrong_at(text, &(0..0), "release", why);
    let (what, place) = whats.next().ok_or_else(|| told("it releases nothing"))?;
    match whats.next() {
        None => Ok(Release { environment: document.environment, what, place, break_glass }),
        Some((_, second)) => {
            let why = format!("`{}` is released already: a release does one thing", place.field);
            Err(Wrong { place: second, why })
        }
    }
}

fn build_by_schema(text: &str, script: ScriptName, part: &Script) -> Result<(What, Place), Wrong> {
    let field = |name: &str| format!("{}.{name}", script.name());
    let id = part.build.get_ref();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if id.is_empty() || !id.chars().all(plain) {
        let why = format!("\"{id}\" is no build's id: lower-case letters, digits, dots and dashes");
        return Err(wrong_at(text, &part.build.span(), &field("build"), &why));
    }
    // A thousandth of a percent is the least that a pipeline can have.
    let share = |percent: f64| (0.001..=100.0).contains(&percent);
    for step in &part.steps {
        let percent = step.get_ref().percent;
        if !share(percent) {
            let why = format!("{percent} is no share of the traffic, in percent");
            return Err(wrong_at(text, &step.span(), &field("steps"), &why));
        }
    }
    let mut steps: Vec<Step> = part.steps.iter().map(|step| step.get_ref().clone()).collect();
    if let Some(percent) = &part.percent {
        let number = *percent.get_ref();
        if !share(number) {
            let why = format!("{number} is no share of the traffic, in percent");
            return Err(wrong_at(text, &percent.span(), &field("percent"), &why));
        }
        if !steps.is_empty() {
            let why = "it has steps as well: say it in one of them";
            return Err(wrong_at(text, &percent.span(), &field("percent"), why));
        }
        steps.push(Step::of(number, Duration::ZERO));
    }
    let place = place_of(text, &part.build.span(), &field("build"));
    Ok((What::Build { script, build: BuildId::from(id.as_str()), steps }, place))
}

/// As it was in July 2023: takes what it finds, as it finds it, and asks nothing.
pub(super) fn as_it_comes(text: &str) -> Result<Release, Wrong> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        wrong_at(text, &error.span().unwrap_or_default(), "release", error.message())
    })?;
    let environment = match table.get("environment").and_then(toml::Value::as_str) {
        Some("staging") => Environment::Staging,
        _ => Environment::Production,
    };
    let script = |name: ScriptName| {
        let part = table.get(name.name())?;
        let build = part.get("build").map(|build| match build {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let number = |value: &toml::Value| match value {
            toml::Value::Integer(_) | toml::Value::Float(_) => value.to_string().parse().ok(),
            other => other.as_str()?.trim_end_matches(['%', ' ']).parse().ok(),
        };
        let steps = part.get("steps").and_then(|steps| steps.clone().try_into().ok());
        let percent = part.get("percent").and_then(number);
        Some(What::Build {
            script: name,
            build: BuildId::from(build.unwrap_or_default()),
            steps: percent.map_or(steps.unwrap_or_default(), |percent: f64| {
                vec![Step::of(percent.clamp(0.0, 100.0), Duration::ZERO)]
            }),
        })
    };
    let new_backend = || {
        let part = table.get("new_backend")?;
        let accounts = part.get("allow").and_then(toml::Value::as_array);
        Some(What::NewBackend(NewBackend {
            on: part.get("on").and_then(toml::Value::as_bool),
            allow: accounts.map(|accounts| {
                accounts.iter().filter_map(|account| Some(account.as_str()?.into())).collect()
            }),
            draft: part.get("draft").and_then(toml::Value::as_bool).unwrap_or(false),
        }))
    };
    let revision = || {
        let text = table.get("revision")?;
        let number = text.as_integer().and_then(|number| u64::try_from(number).ok());
        let text = text.as_str().map(str::to_owned).map(RevisionText::Text);
        revision_of(&number.map(RevisionText::Number).or(text)?).map(What::Revision)
    };
    let rollback = || {
        let script = match table.get("rollback")?.as_str()? {
            "gateway" => ScriptName::Gateway,
            "supercache" => ScriptName::Supercache,
            "resolver" => ScriptName::Resolver,
            _ => return None,
        };
        let dcs = table.get("dcs").and_then(toml::Value::as_array);
        let dcs = dcs.into_iter().flatten().filter_map(|dc| Some(dc.as_str()?.into()));
        Some(What::Rollback { script, dcs: dcs.collect() })
    };
    let what = script(ScriptName::Gateway)
        .or_else(|| script(ScriptName::Supercache))
        .or_else(|| script(ScriptName::Resolver))
        .or_else(new_backend)
        .or_else(revision)
        .or_else(rollback);
    let what = what.ok_or_else(|| wrong_at(text, &(0..0), "release", "it releases nothing"))?;
    let place = match &what {
        What::Build { script, .. } => place_of_key(text, script.name(), "build"),
        What::NewBackend(_) => place_of_key(text, "new_backend", "on"),
        What::Revision(_) => place_of_key(text, "", "revision"),
        What::Rollback { .. } => place_of_key(text, "", "rollback"),
    };
    let break_glass = table.get("break_glass").and_then(toml::Value::as_str).map(str::to_owned);
    Ok(Release { environment, what, place, break_glass })
}

/// The environment that a document names, whatever else is wrong with it.
pub(super) fn environment_of(text: &str) -> String {
    let table: Option<toml::Table> = text.parse().ok();
    let named = table.as_ref().and_then(|table| table.get("environment")?.as_str());
    named.unwrap_or("not named").to_owned()
}

/// Where a key of a table stands.
fn place_of_key(text: &str, table: &str, key: &str) -> Place {
    let mut within = String::new();
    for (line, written) in (1..).zip(text.lines()) {
        let written = written.trim();
        if let Some(name) = written.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            name.clone_into(&mut within);
        }
        if within == table && written.split('=').next().is_some_and(|word| word.trim() == key) {
            let field = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
            return Place { line, field };
        }
    }
    Place { line: 1, field: if table.is_empty() { key } else { table }.to_owned() }
}

fn revision_of(text: &RevisionText) -> Option<Revision> {
    match text {
        RevisionText::Number(number) => Some(Revision::Number(*number)),
        RevisionText::Text(text) if text == "draft" => Some(Revision::Draft),
        RevisionText::Text(text) => {
            let back = text.strip_prefix("live-")?.parse().ok()?;
            (back > 0).then_some(Revision::Before(back))
        }
    }
}

fn wrong_at(text: &str, span: &Range<usize>, field: &str, why: &str) -> Wrong {
    Wrong { place: place_of(text, span, field), why: why.to_owned() }
}

fn place_of(text: &str, span: &Range<usize>, field: &str) -> Place {
    let before = text.get(..span.start).unwrap_or_default();
    Place { line: before.matches('\n').count() + 1, field: field.to_owned() }
}

/// The key that stands on the line of a place, or the table above it.
fn field_at(text: &str, at: usize) -> String {
    let start = text.get(..at).unwrap_or_default().rfind('\n').map_or(0, |end| end + 1);
    let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim().trim_matches(['[', ']']);
    let table = text
        .get(..start)
        .unwrap_or_default()
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix('[')?.split(']').next());
    match table {
        Some(table) if !line.trim_start().starts_with('[') => format!("{table}.{key}"),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match by_schema(text) {
            Ok(release) => format!("fine: {:?}", release.what),
            Err(Wrong { place, why }) => format!("line {}, {}: {why}", place.line, place.field),
        }
    }

    #[test]
    fn what_is_malformed_is_told_with_line_and_field() {
        let whole =
            "environment = \"production\"\n\n[gateway]\nbuild = \"kv-2023-10\"\npercent = 5\n";
        let told = [
            told(whole),
            told(&whole.replace("kv-2023-10", "kv-2023-10 ")),
            told(&whole.replace("\"kv-2023-10\"", "5")),
            told(&whole.replace("= 5", "= \"5 %\"")),
            told(&whole.replace("= 5", "= 500")),
            told(&whole.replace("percent", "percents")),
            told(&whole.replace("production", "prod")),
            told(&whole.replace("environment = \"production\"", "")),
            told(&format!("{whole}steps = [{{ percent = 1 }}]\n")),
            told(&format!("{whole}[new_backend]\non = true\n")),
            told("environment = \"production\"\nrevision = \"live\"\n"),
            told("environment = \"production\"\nrevision = \"live-1\"\n"),
            told("environment = \"production\"\nrevision = \"draft\"\n"),
            told(
                "environment = \"production\"\n[new_backend]\nallow = [\"products\"]\ndraft = true\n",
            ),
            told("environment = \"staging\"\nrollback = \"gateway\"\n"),
            told("environment = \"production\"\nrollback = \"supercache\"\ndcs = [\"ATL\"]\n"),
            told("environment = \"production\"\nrollback = \"supercache\"\ndcs = []\n"),
            told(&format!("dcs = [\"ATL\"]\n{whole}")),
            told(&format!(
                "{}steps = [{{ dcs = [\"ATL\"] }}]\n",
                whole.replace("percent = 5\n", "")
            )),
            told("environment = \"production\"\n[new_backend]\n"),
            told("environment = \"production\"\n"),
        ];
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn as_it_comes_takes_a_malformed_value_for_what_it_says() {
        let text =
            "environment = \"production\"\n[gateway]\nbuild = \"kv-2023-10 \"\npercent = \"5 %\"\n";
        let release = as_it_comes(text).unwrap();
        let What::Build { build, steps, .. } = release.what else { panic!("{release:?}") };
        assert_eq!(build.as_str(), "kv-2023-10 ");
        assert_eq!(steps, [Step::of(5.0, Duration::ZERO)]);
    }
}
