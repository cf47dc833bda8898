//! What an engine remembers of a query between evaluations. Nothing here changes a result.
//!
//! Successive evaluations mostly see the same label sets in the same order, so what was derived from the n-th label set is found
//! by comparing one pointer.

use std::collections::BTreeMap;

use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;

use super::{EvalError, Sample};
use crate::TimestampMs;
use crate::database::SeriesId;
use crate::labels::Labels;

/// How many label sets one memo holds before it starts again. Chosen: more than any query here sees at once, and some megabytes.
const MEMO_LIMIT: usize = 65_536;

/// What the nodes of one query remember, by number.
#[derive(Debug, Default)]
pub(super) struct QueryCache {
    nodes: Vec<NodeCache>,
}

impl QueryCache {
    pub(super) fn new(nodes: usize) -> Self {
        let mut cache = Self::default();
        cache.nodes.resize_with(nodes, NodeCache::default);
        cache
    }

    pub(super) fn node(&mut self, node: usize) -> &mut NodeCache {
        &mut self.nodes[node]
    }
}

/// What one node remembers; each kind of node uses some of it.
#[derive(Debug, Default)]
pub(super) struct NodeCache {
    pub(super) selected: Selected,
    pub(super) groups: Groups,
    pub(super) matches: Box<Matches>,
    pub(super) renamed: Memo<Labels>,
    pub(super) unique: Unique,
    pub(super) steps: Steps,
}

/// The series that a selector matches, among those that the database had when it last looked.
#[derive(Debug, Default)]
pub(super) struct Selected {
    pub(super) database: Option<u64>,
    pub(super) seen: usize,
    pub(super) ids: Vec<SeriesId>,
}

/// The groups of an aggregation.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) members: Memo<usize>,
    pub(super) keys: IndexSet<Labels, FxBuildHasher>,
}

/// The match groups of a binary operation, and the labels of its results.
#[derive(Debug, Default)]
pub(super) struct Matches {
    pub(super) left: Memo<usize>,
    pub(super) right: Memo<usize>,
    pub(super) keys: IndexSet<Labels, FxBuildHasher>,
    pub(super) results: Vec<(Labels, Labels, Labels)>,
}

/// The results of a subquery's steps.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) past: Option<(u64, u64)>,
    pub(super) results: BTreeMap<TimestampMs, Vec<Sample>>,
}

/// Something derived from label sets.
#[derive(Debug)]
pub(super) struct Memo<T> {
    last: Vec<(Labels, T)>,
    known: IndexMap<Labels, T, FxBuildHasher>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { last: Vec::new(), known: IndexMap::default() }
    }
}

impl<T: Clone> Memo<T> {
    /// What was derived from these labels, which are the n-th of this evaluation.
    #[inline]
    pub(super) fn get(
        &mut self,
        nth: usize,
        labels: &Labels,
        derive: impl FnOnce(&Labels) -> T,
    ) -> T {
        match self.last.get(nth) {
            Some((last, derived)) if last.is_same(labels) => derived.clone(),
            _ => self.look_up(nth, labels, derive),
        }
    }

    fn look_up(&mut self, nth: usize, labels: &Labels, derive: impl FnOnce(&Labels) -> T) -> T {
        let derived = match self.known.get(labels) {
            Some(derived) => derived.clone(),
            None => {
                let derived = derive(labels);
                if self.known.len() >= MEMO_LIMIT {
                    self.known.clear();
                }
                self.known.insert(labels.clone(), derived.clone());
                derived
            }
        };
        let entry = (labels.clone(), derived.clone());
        match self.last.get_mut(nth) {
            Some(last) => *last = entry,
            None => self.last.push(entry),
        }
        derived
    }
}

/// The label sets that were last found to differ from each other.
#[derive(Debug, Default)]
pub(super) struct Unique {
    last: Vec<Labels>,
}

impl Unique {
    /// Refuses a vector in which two elements have the same labels.
    pub(super) fn check(&mut self, vector: &[Sample]) -> Result<(), EvalError> {
        let known = vector.len() <= self.last.len()
            && vector.iter().zip(&self.last).all(|(sample, last)| sample.labels.is_same(last));
        if known {
            return Ok(());
        }
        let mut seen: IndexSet<&Labels, FxBuildHasher> = IndexSet::default();
        if !vector.iter().all(|sample| seen.insert(&sample.labels)) {
            return Err(EvalError::new("vector cannot contain metrics with the same labelset"));
        }
        self.last = vector.iter().map(|sample| sample.labels.clone()).collect();
        Ok(())
    }
}
