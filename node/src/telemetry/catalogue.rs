//! The metric catalogue: every metric that a node, the control plane, or an intake of telemetry tells, each with the
//! question that it answers.
//!
//! Whoever scrapes a node adds `job`, `instance`, `dc` and `region`; what a node says of itself does not repeat them. The
//! control plane, the intakes and the monitor stand in no data center: where they say `dc` they speak of another.

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; asked for by its rate.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Latencies by buckets.
    Histogram,
}

impl Kind {
    /// Its name in the text format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with its unit at the end.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// Its labels, in the order in which they are written.
    pub labels: &'static [&'static str],
    /// What one of its units is.
    pub unit: &'static str,
    /// The question that it answers.
    pub question: &'static str,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    unit: &'static str,
    question: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, unit, question }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    unit: &'static str,
    question: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, unit, question }
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident = $metric:expr;)*) => {
        $($(#[$doc])* pub static $name: Metric = $metric;)*
        /// The whole catalogue, in the order in which a scrape shows it.
        pub static METRICS: &[&Metric] = &[$(&$name),*];
    };
}

catalogue! {
    /// Requests that entered a script.
    REQUESTS_RECEIVED = counter(
        "node_requests_received_total", &["script", "build"], "requests",
        "How many requests entered each script and fell to which build, answered or not?");
    /// Answers by everything that tells them apart.
    RESPONSES = counter(
        "node_responses_total",
        &["script", "role", "operation", "status", "cache", "class", "build"], "responses",
        "What does each script answer, in which role, from which cache, for which class of namespace, by which build?");
    /// Answers by namespace.
    NAMESPACE_RESPONSES = counter(
        "node_namespace_responses_total", &["namespace", "result"], "responses",
        "Which customer is failing?");
    /// Latencies.
    RESPONSE_SECONDS = Metric {
        name: "node_response_seconds", kind: Kind::Histogram, labels: &["script", "operation"],
        unit: "seconds", question: "How long do answers take?" };
    /// Requests of this node to owners.
    TIER_REQUESTS = counter(
        "node_tier_requests_total", &["owner", "role", "result"], "requests",
        "Which owner fails the requests that this data center sends it?");
    /// Requests to owners that were answered by another.
    TIER_FALLBACKS = counter(
        "node_tier_fallbacks_total", &[], "requests",
        "How often is an owner passed over because it failed?");
    /// Disagreement about owners.
    OWNERSHIP_DISAGREEMENTS = counter(
        "node_tier_ownership_disagreements_total", &[], "requests",
        "Do nodes agree on who owns a key?");
    /// Tier requests without what the tier needs.
    MISSING_CONTEXT = counter(
        "node_tier_missing_context_total", &["context"], "requests",
        "Do control headers reach the tiers?");
    /// Requests to upper tiers whose control host reached what serves them.
    CONTROL_HOSTS = counter(
        "node_tier_control_hosts_total", &["role", "build"], "requests",
        "How many requests reach what serves them with the control host that they were sent with?");
    /// Requests to upper tiers without a control host, where that is looked for.
    MISSING_CONTROL_CONTEXT = counter(
        "node_missing_control_context_total", &["role", "script", "build"], "requests",
        "Which build in which role serves requests without the control host that it needs?");
    /// Names looked up.
    RESOLVER_QUERIES = counter(
        "node_resolver_queries_total", &["build", "result"], "queries",
        "Which names does the resolver not find, and is it the resolver's build?");
    /// Background refreshes that failed.
    REFRESH_FAILURES = counter(
        "node_edge_refresh_failures_total", &[], "refreshes",
        "Do background refreshes fail while stale values hide it?");
    /// Purges that arrived.
    PURGES_SENT = counter(
        "node_purge_sent_total", &[], "purges", "Do purges reach the tiers?");
    /// Purges that did not.
    PURGE_RETRIES = counter(
        "node_purge_retries_total", &[], "batches", "How often must purges be sent again?");
    /// Purges that another data center passed on.
    PURGES_PASSED_ON = counter(
        "node_purge_passed_on_total", &[], "purges", "How many purges reach a tier only by way of others?");
    /// Requests to stores.
    STORE_REQUESTS = counter(
        "node_store_requests_total", &["store", "operation", "result"], "requests",
        "Which store fails, and how?");
    /// Stores that may be asked.
    STORE_UP = gauge(
        "node_store_up", &["store"], "1 or 0",
        "Which store does this node know to be down?");
    /// Stores that a value is kept in.
    STORES_CONFIGURED = gauge(
        "node_stores_configured", &[], "stores",
        "In how many stores should every value be?");
    /// Differences between stores.
    REPAIRS = counter(
        "node_storage_repairs_total", &[], "objects", "Do the stores hold the same?");
    /// Keys that a store is behind with.
    WRITES_WAITING = gauge(
        "node_store_writes_waiting", &["store"], "keys",
        "How many keys are in one store only, as far as this node knows?");
    /// Keys that it could not keep in mind.
    WRITES_GIVEN_UP = counter(
        "node_store_writes_given_up_total", &[], "keys",
        "Is the queue of writes that a store missed full?");
    /// Keys that the crawler looked at.
    CRAWLED = counter(
        "node_crawler_keys_total", &["found"], "keys",
        "What does the crawler find: keys looked at, differing, over, wrongly indexed?");
    /// Exceptions that were reported.
    EXCEPTIONS = counter(
        "node_exceptions_total", &["script", "build", "type", "fingerprint"], "exceptions",
        "Which unhandled exception is thrown, in which script of which build?");
    /// Isolates.
    ISOLATES = gauge(
        "node_isolates", &["script", "build"], "isolates",
        "How many isolates run which build?");
    /// Isolates whose env is not what they were configured with.
    ISOLATES_ENV_CHANGED = gauge(
        "node_isolates_env_changed", &["script"], "isolates",
        "In how many isolates is the env not what the control plane configured?");
    /// The configuration's revision.
    CONFIG_REVISION = gauge(
        "node_config_revision", &[], "revision", "Which configuration does the node have?");
    /// Whether the node is in service.
    SERVING = gauge(
        "node_serving", &[], "1 or 0", "Does the node take customers and own keys?");
    /// Whether the new backend is on.
    NEW_BACKEND = gauge(
        "node_new_backend", &[], "1 or 0",
        "Is the new backend on here, as the node's configuration has it?");
    /// What each script runs.
    BUILD_INFO = gauge(
        "node_build_info", &["script", "build", "environment"], "1 or 0",
        "Which build of which environment runs here?");
    /// Telemetry on its way.
    TELEMETRY_SENT = counter(
        "node_telemetry_sent_total", &["signal"], "records",
        "How much telemetry was accepted upstream?");
    /// Telemetry that was lost.
    TELEMETRY_DROPPED = counter(
        "node_telemetry_dropped_total", &["signal", "reason"], "records",
        "How much telemetry was lost, and where?");
    /// Telemetry that waits for its intake.
    TELEMETRY_WAITING = gauge(
        "node_telemetry_waiting", &["signal"], "records",
        "How much telemetry has no intake taken yet?");

    /// The intended configuration's revision.
    CONTROL_CONFIG_REVISION = gauge(
        "control_config_revision", &[], "revision", "Which configuration should every node have?");
    /// Who should serve.
    CONTROL_SERVING = gauge(
        "control_member_serving", &["dc"], "1 or 0",
        "Which data center does the control plane hold in service?");
    /// Who is out of placement.
    CONTROL_QUARANTINED = gauge(
        "control_member_quarantined", &["dc"], "1 or 0",
        "Which owner was taken out of placement because it failed?");
    /// What operators last ordered.
    CONTROL_NEW_BACKEND_ORDERED = gauge(
        "control_new_backend_ordered", &[], "1 or 0",
        "Did operators last order the new backend on or off, whatever was configured since?");
    /// What became of releases.
    CONTROL_RELEASES = counter(
        "control_releases_total", &["result"], "releases",
        "What became of releases: taken, refused, rolled back?");
    /// Releases under way.
    CONTROL_RELEASE_UNDER_WAY = gauge(
        "control_release_under_way", &["script", "build"], "1 or 0",
        "Which build is being released?");
    /// The newest build of the list that releases are made from.
    CONTROL_NEWEST_BUILD = gauge(
        "control_newest_build", &["environment", "build", "of"], "1 or 0",
        "Which build would a release of the newest one ship, and for which environment was that made?");
    /// Alerts that arrived at the control plane.
    CONTROL_ALERTS = counter(
        "control_alerts_received_total", &["alert", "status"], "alerts",
        "Which alerts reached the control plane?");

    /// Records that an intake took.
    INTAKE_RECORDS = counter(
        "intake_records_total", &["signal", "dc"], "records",
        "How much telemetry does each data center deliver?");
    /// Records that an intake refused.
    INTAKE_DROPPED = counter(
        "intake_dropped_total", &["signal", "dc"], "records",
        "How much telemetry does the rate limit upstream drop?");

    /// Answers of products.
    PRODUCT_RESPONSES = counter(
        "product_responses_total", &["product", "operation", "status"], "responses",
        "Which product that needs the node fails, and in what?");
    /// What products asked of the node.
    PRODUCT_KV_REQUESTS = counter(
        "product_kv_requests_total", &["product", "result"], "requests",
        "Which product does not get from the node what it asks for?");
    /// What an origin behind a product is asked.
    PRODUCT_ORIGIN_REQUESTS = counter(
        "product_origin_requests_total", &["product", "result"], "requests",
        "How much of a product's traffic falls to its origin?");

    /// How old a value is read.
    PROBE_STALENESS = gauge(
        "probe_staleness_seconds", &["dc"], "seconds",
        "How long after a write does a data center still answer with what was before?");
    /// Probes that got no answer.
    PROBE_FAILURES = counter(
        "probe_failures_total", &["dc", "operation"], "probes",
        "In which data center do synthetic requests fail?");
    /// Probes.
    PROBES = counter(
        "probe_requests_total", &["dc", "operation"], "probes",
        "Are synthetic requests being made?");
    /// Probes through a tier that got no answer.
    PROBE_FAILURES_THROUGH = counter(
        "probe_tier_failures_total", &["dc", "owner"], "probes",
        "From which data center do synthetic reads through which owner fail?");
    /// Probes through a tier.
    PROBES_THROUGH = counter(
        "probe_tier_requests_total", &["owner"], "probes",
        "Is each owner asked by synthetic reads?");
}

/// What a scraper adds of its own, as Prometheus does.
pub const SCRAPED: [(&str, &str); 3] = [
    ("up", "Could the target be scraped?"),
    ("scrape_samples_scraped", "How many series did the target tell?"),
    ("scrape_duration_seconds", "How long did the scrape take?"),
];

/// The labels that a scraper adds to every series.
pub const TARGET_LABELS: [&str; 4] = ["job", "instance", "dc", "region"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_kind_and_are_given_once() {
        for (at, metric) in METRICS.iter().enumerate() {
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{metric:?}");
            assert!(metric.question.ends_with('?'), "{metric:?}");
            assert!(METRICS[..at].iter().all(|other| other.name != metric.name), "{metric:?}");
            // Control plane, intakes and monitor stand in no data center: they name others.
            let of_a_node = metric.name.starts_with("node_");
            for label in metric.labels.iter().filter(|_| of_a_node) {
                assert!(!TARGET_LABELS.contains(label), "{metric:?} repeats what the scraper adds");
            }
        }
    }
}
