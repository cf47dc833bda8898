//! Queries in features: which metrics there are to ask for.

use std::collections::BTreeSet;

use kv_node::telemetry::catalogue::{Kind, METRICS, SCRAPED};
use promql::Query;

use super::measure::Source;
use super::problem::nearest;

/// What the customers saw: requests that ended, counted by interval. Labels: `dc`, `region`, `namespace`, `operation`,
/// `outcome` (a status, `timeout`, `broken`, `aborted`) and `failed` (`true` or `false`).
pub const TRUTH: &str = "truth_requests_total";

/// What the users of products saw, in the same way. Labels: `dc`, `product`, `operation`, `outcome`, and `failed`, which is `true`
/// of everything but 2xx.
pub const TRUTH_OF_PRODUCTS: &str = "truth_product_requests_total";

/// The metrics that a scrape has, with the parts of histograms.
pub fn scraped() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = SCRAPED.iter().map(|(name, _)| (*name).to_owned()).collect();
    for metric in METRICS {
        match metric.kind {
            Kind::Histogram => {
                names.extend(
                    ["bucket", "sum", "count"].map(|part| format!("{}_{part}", metric.name)),
                );
            }
            Kind::Counter | Kind::Gauge => {
                names.insert(metric.name.to_owned());
            }
        }
    }
    names
}

/// What is wrong with a query over a source, and what to write instead where that is known.
pub fn check(over: Source, text: &str) -> Result<(), (String, Option<String>)> {
    let query = Query::parse(text).map_err(|error| (format!("no query: {error}"), None))?;
    let known = match over {
        Source::Truth => BTreeSet::from([TRUTH, TRUTH_OF_PRODUCTS].map(str::to_owned)),
        Source::Telemetry => scraped(),
    };
    let metrics = query.metrics();
    if metrics.any {
        return Err(("a selector of this query names no metric".to_owned(), None));
    }
    match metrics.names.iter().find(|name| !known.contains(*name)) {
        None => Ok(()),
        Some(unknown) => {
            let all: Vec<&str> = known.iter().map(String::as_str).collect();
            let near = nearest(unknown, &all).map(|near| format!("did you mean \"{near}\"?"));
            Err((format!("there is no metric \"{unknown}\""), near))
        }
    }
}
