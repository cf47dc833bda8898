//! HTTP/1.1 as a proxy sees it go by.
//!
//! * [`framing`]: where messages begin and end in a stream of bytes.
//! * [`head`]: what a head says, and heads with something changed.
//! * [`messages`]: toxics that act on messages, one direction of one connection.
//! * [`fate`]: what becomes of one message.
//! * [`exchange`]: which answer belongs to which request, shared by both directions.
//!
//! Every connection is read, whether a toxic looks at it or not: so a toxic that is added to a live connection knows where it
//! is. Bytes that are not HTTP/1 are passed on as they are from there on.

mod exchange;
mod fate;
mod framing;
mod head;
mod messages;
#[cfg(test)]
mod tests;

pub(super) use exchange::Exchange;
pub(super) use messages::Messages;
