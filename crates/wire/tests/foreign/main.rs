//! Records of other programs: what they mean, and what becomes of them when they are broken.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

#[path = "../../fuzz/src/body.rs"]
mod body;
mod broken;
mod fixture;
mod meaning;
