//! Records of other programs: what they mean, and what becomes of them when they are broken.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

#[expect(unreachable_pub, reason = "the fuzz targets are other crates")]
#[path = "../../../../tests/fuzz/src/decoder.rs"]
mod body;
mod broken;
mod fixture;
mod meaning;
