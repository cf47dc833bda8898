//! What both backends promise, over both protocols and through crashes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod crash;
mod kill;
mod model;
mod plain;
mod race;
mod s3;
