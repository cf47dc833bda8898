//! What happened in a run, in the order of time: actions, their witnesses, nodes' lives, and how it ended.

use std::collections::BTreeMap;

use kv_node::telemetry::Lifecycle;
use serde::{Deserialize, Serialize};

use super::table::{Parsed, Table};
use super::tables::{Row, numbers, texts};
use crate::spec::time::IncidentTime;

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Journal {
    /// An action was begun.
    Action {
        /// Its number.
        id: u64,
        /// In words.
        text: String,
    },
    /// What an action turned out to have done, told at the end.
    Witness {
        /// The action's number.
        id: u64,
        /// In words.
        text: String,
        /// How often it acted. 0: it never did, and what follows from it cannot be judged.
        acted: u64,
    },
    /// A moment in a node's life.
    Life(Lifecycle),
    /// A rule could not be evaluated.
    RuleFailed {
        /// Which one and why.
        text: String,
    },
    /// The machine under a lab stood still, or had no time for it, for so long of the incident: longer than is told from a fault.
    Stood {
        /// At the most, in milliseconds of the incident.
        ms: u64,
    },
    /// A real Prometheus watched beside the monitor. Missing where there was none.
    Prometheus,
    /// A group of rules was evaluated there, as it is once every interval.
    EvaluatedInPrometheus {
        /// The file that the group stands in.
        file: String,
        /// Its name.
        group: String,
    },
    /// An alert that began to fire there.
    FiredInPrometheus {
        /// Its name.
        alert: String,
        /// Its labels, without its name.
        labels: BTreeMap<String, String>,
    },
    /// The run came to its end. Missing where it was cut short.
    End,
}

impl Row for (IncidentTime, Journal) {
    const TABLE: &'static str = "journal";

    fn to_table(rows: &[Self]) -> Table {
        let entries: Vec<String> = rows
            .iter()
            .map(|(_, entry)| serde_json::to_string(entry).unwrap_or_default())
            .collect();
        Table {
            columns: vec![
                ("at_us", numbers(rows, |(at, _)| at.0)),
                ("entry", texts(&entries, |entry| entry)),
            ],
        }
    }

    fn from_table(table: &Parsed) -> Option<Vec<Self>> {
        let (at_us, entry) = (table.numbers("at_us")?, table.texts("entry")?);
        (0..table.rows())
            .map(|at| Some((IncidentTime(at_us[at]), serde_json::from_str(entry.get(at)).ok()?)))
            .collect()
    }
}
