//! The mechanisms that a draft can begin with. Each is a few lines of a feature and one claim about them that holds.

/// What a draft is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Like {
    /// A link becomes slow.
    Latency,
    /// Nothing gets through a link.
    Partition,
    /// The only store goes away.
    Store,
    /// A data center returns from maintenance with isolates that are not fit.
    Maintenance,
    /// A release names a build that is not there.
    Release,
}

impl Like {
    /// What goes wrong, in words.
    pub(super) fn mechanism(self) -> &'static str {
        match self {
            Self::Latency => "customers of SYD reach it 300 ms later than usual",
            Self::Partition => "nothing gets from customers to SYD or back",
            Self::Store => "the only store answers 503",
            Self::Maintenance => "SYD returns from maintenance with the isolates that it had",
            Self::Release => "5 % of the traffic is released to a build that is not there",
        }
    }

    /// What the row says, its measure, and its bound.
    pub(super) fn claim(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Latency => (
                "customers of one data center wait",
                "measure = \"latency-ms\", quantile = 0.5, scope = { dcs = [\"SYD\"] }",
                "min = 200.0",
            ),
            Self::Partition => (
                "customers of one data center get no answer",
                "measure = \"error-share\", scope = { dcs = [\"SYD\"] }",
                "min = 0.9",
            ),
            Self::Store => (
                "an alert names the store",
                "measure = \"seconds-to-alert\", alert = \"StoreFailing\", labels = { store = \"store-b\" }",
                "max = 120.0",
            ),
            Self::Maintenance => (
                "a part of the region fails",
                "measure = \"error-share\", scope = { regions = [\"OC\"] }",
                "min = 0.01",
            ),
            Self::Release => (
                "a twentieth of the traffic is never answered",
                "measure = \"unanswered-share\"",
                "min = 0.03, max = 0.07",
            ),
        }
    }

    /// Minutes before 12:00 at which the replay starts.
    pub(super) fn warm_up_min(self) -> u64 {
        match self {
            // The maintenance lies in them.
            Self::Maintenance => 10,
            _ => 5,
        }
    }

    /// The steps, up to the first Then.
    pub(super) fn steps(self) -> &'static str {
        match self {
            Self::Latency => {
                r#"Given the topology "small" with its traffic
When it is 12:00
And these faults act for 5 minutes:
  | fault   | from    | to       | amount | share |
  | latency | clients | SYD:rest | 300 ms | 100 % |
And it is 12:05"#
            }
            Self::Partition => {
                r#"Given the topology "small" with its traffic
When it is 12:00
And these faults act for 5 minutes:
  | fault     | from    | to  | amount | share |
  | partition | clients | SYD |        | 100 % |
And it is 12:05"#
            }
            Self::Store => {
                r#"Given the topology "small" with its traffic
And store "store-b" is the only one that is configured
When it is 12:00
And these faults act for 5 minutes:
  | fault  | from   | to      | amount | share |
  | status | anyone | store-b | 503    | 100 % |
And it is 12:05"#
            }
            Self::Maintenance => {
                r#"Given the topology "small" with its traffic
And every data center runs build "kv-2023-07"
And data center "SYD" goes down for maintenance at 11:55 and returns at 12:00
When it is 12:05"#
            }
            Self::Release => {
                r#"Given the topology "small" with its traffic
And every data center runs build "kv-2023-07"
When it is 12:00
And "an engineer" releases:
  """
  environment = "production"

  [gateway]
  build = "not-there"
  percent = 5
  """
And it is 12:05"#
            }
        }
    }
}
