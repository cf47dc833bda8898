//! Two histories side by side, as text.

use std::fmt::Write as _;

use super::text::columns;
use crate::fork::{Alike, Comparison, Side};
use crate::impact::UNIT;
use crate::spec::time::{self, IncidentTime};

/// So many differences of journals are shown; the rest is counted.
const SHOWN: usize = 30;

/// Two histories that part at a moment.
pub fn fork(comparison: &Comparison, at: IncidentTime) -> String {
    let mut out = String::new();
    let parted = time::format(at);
    // Writing to a string cannot fail.
    let _ = match comparison.alike {
        Alike::Requests(number) => writeln!(
            out,
            "   One history until {parted}: {number} requests before it ended alike, minute by minute.\n"
        ),
        Alike::Differ(minute) => writeln!(
            out,
            "   THE HISTORIES DIFFER at {}, before they part at {parted}: the figures below cannot be compared.\n",
            time::format(minute)
        ),
    };
    out.push_str(&figures(comparison));
    out.push('\n');
    let _ = writeln!(
        out,
        "   What only one of the journals says (- as it was, + with the other action):"
    );
    for difference in comparison.differences.iter().take(SHOWN) {
        let sign = if difference.other { '+' } else { '-' };
        let _ = writeln!(out, "   {sign} {}  {}", time::format(difference.at), difference.text);
    }
    let more = comparison.differences.len().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(out, "     and {more} more");
    }
    for text in &comparison.never_acted {
        let _ = writeln!(out, "   \"{text}\" never acted: it found nothing to act on");
    }
    let _ = writeln!(out, "\n   {UNIT}");
    out
}

fn figures(comparison: &Comparison) -> String {
    let heads = ["from there on", "as it was", "with the other action", "saved"];
    let mut lines = vec![heads.map(str::to_owned)];
    let [minutes, failed] = comparison.saved();
    let mut line = |name: &str, of: &dyn Fn(&Side) -> String, saved: String| {
        let [one, other] = comparison.sides.each_ref().map(of);
        lines.push([name.to_owned(), one, other, saved]);
    };
    line("requests", &|side| side.impact.requests.to_string(), String::new());
    line("failed requests", &|side| side.impact.failed.to_string(), failed.to_string());
    line("minutes above the usual", &|side| side.impact.minutes.to_string(), minutes.to_string());
    line("the last of them", &|side| moment(side.last_minute), String::new());
    line("last failed request", &|side| moment(side.last_failure), String::new());
    line("pages", &|side| side.pages.to_string(), String::new());
    line(
        "first page of all",
        &|side| match &side.first_page {
            Some((at, name)) => format!("{} {name}", time::format(*at)),
            None => "none".to_owned(),
        },
        String::new(),
    );
    columns(&lines)
}

fn moment(at: Option<IncidentTime>) -> String {
    at.map_or("none".to_owned(), time::format)
}
