//! Any bytes as `prometheus_kafka_adapter`.

#![no_main]

use foghorn_fuzz::decoder;
use foghorn_wire::{Compression, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| decoder::run(Format::PrometheusKafkaAdapter, Compression::None, bytes));
