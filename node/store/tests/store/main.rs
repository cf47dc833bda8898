//! What both backends promise, over both protocols and through crashes.

mod plain;
