//! The k largest or smallest elements, with ties broken as Go's heap breaks them.

use std::cmp::Ordering;

use super::{Dialect, Sample};

/// A heap with the element at the top that goes first when a better one comes.
#[derive(Debug)]
pub(super) struct Ranking {
    k: usize,
    largest: bool,
    dialect: Dialect,
    heap: Vec<Sample>,
}

impl Ranking {
    pub(super) fn new(k: usize, largest: bool, dialect: Dialect) -> Self {
        Self { k, largest, dialect, heap: Vec::new() }
    }

    pub(super) fn add(&mut self, sample: Sample) {
        if self.heap.len() < self.k {
            self.push(sample);
            return;
        }
        let (worst, value) = (self.heap[0].value, sample.value);
        let better = if self.largest { worst < value } else { worst > value };
        let replaces_nan = worst.is_nan() && (self.dialect == Dialect::V2 || !value.is_nan());
        if !better && !replaces_nan {
            return;
        }
        if self.dialect == Dialect::V2 && self.k > 1 {
            self.pop();
            self.push(sample);
        } else {
            self.heap[0] = sample;
            self.sink(self.heap.len());
        }
    }

    /// The elements from best to worst.
    pub(super) fn into_sorted(mut self) -> Vec<Sample> {
        let largest = self.largest;
        self.heap.sort_by(|a, b| order(b.value, a.value, largest));
        self.heap
    }

    fn less(&self, i: usize, j: usize) -> bool {
        let (a, b) = (self.heap[i].value, self.heap[j].value);
        a.is_nan() || if self.largest { a < b } else { a > b }
    }

    fn push(&mut self, sample: Sample) {
        self.heap.push(sample);
        let mut child = self.heap.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.less(child, parent) {
                break;
            }
            self.heap.swap(parent, child);
            child = parent;
        }
    }

    fn pop(&mut self) {
        let last = self.heap.len() - 1;
        self.heap.swap(0, last);
        self.sink(last);
        self.heap.pop();
    }

    /// Moves the top down to its place among the first `len` elements.
    fn sink(&mut self, len: usize) {
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            if left >= len {
                return;
            }
            let right = left + 1;
            let child = if right < len && self.less(right, left) { right } else { left };
            if !self.less(child, parent) {
                return;
            }
            self.heap.swap(parent, child);
            parent = child;
        }
    }
}

/// Ascending for `largest`, descending otherwise; not a number comes first.
fn order(a: f64, b: f64, largest: bool) -> Ordering {
    let values = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
    b.is_nan().cmp(&a.is_nan()).then(if largest { values } else { values.reverse() })
}
