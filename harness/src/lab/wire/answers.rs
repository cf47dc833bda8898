//! What nodes answered, as the network saw it: the witness of what they say of themselves.

use bytes::Bytes;
use http::Response;
use kv_node::env::Listener;

use super::super::lock;
use super::Wire;
use crate::recording::{AnswerRow, Caller};

/// Answers of a node that are alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::lab) struct Answer {
    by: usize,
    listener: Listener,
    caller: Caller,
    status: u16,
    bare: bool,
}

impl Wire {
    /// What nodes answered.
    pub(in crate::lab) fn take_answers(&self) -> Vec<AnswerRow> {
        let mut answers: Vec<_> = std::mem::take(&mut *lock(&self.answers)).into_iter().collect();
        answers.sort_unstable();
        let row = |(answer, count): (Answer, u64)| AnswerRow {
            by: self.names[answer.by].clone(),
            listener: answer.listener,
            caller: answer.caller,
            status: answer.status,
            bare: answer.bare,
            count,
        };
        answers.into_iter().map(row).collect()
    }

    /// Takes an answer of a node down, whether or not it arrives.
    pub(in crate::lab) fn answered(
        &self,
        from: usize,
        by: usize,
        listener: Listener,
        response: &Response<Bytes>,
    ) {
        let answer = Answer {
            by,
            listener,
            caller: self.caller(from),
            status: response.status().as_u16(),
            bare: response.body().is_empty(),
        };
        *lock(&self.answers).entry(answer).or_insert(0) += 1;
    }
}
