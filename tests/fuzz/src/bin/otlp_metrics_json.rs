//! Any bytes as `otlp_metrics_json`.

#![no_main]

use foghorn_fuzz::decoder;
use foghorn_wire::{Compression, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| decoder::run(Format::OtlpMetricsJson, Compression::None, bytes));
