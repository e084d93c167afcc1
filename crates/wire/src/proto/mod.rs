//! Protocol buffers without generated code: a borrowed walk over fields, and a writer.
//!
//! Owns the wire encoding (varints, tags, lengths). Knows no message.

mod read;
mod write;

pub(crate) use read::{Fields, Malformed, Value, each_double, each_fixed64, each_uint32};
pub(crate) use write::Writer;
