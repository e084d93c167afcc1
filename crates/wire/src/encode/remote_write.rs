//! Remote write 1.0.

use foghorn_model::{Labels, Timestamp};

use crate::proto::Writer;

/// A `WriteRequest`.
#[derive(Clone, Debug, Default)]
pub struct RemoteWrite {
    writer: Writer,
}

impl RemoteWrite {
    /// An empty request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a series (`__name__` among its labels) with its samples.
    #[must_use]
    pub fn series(mut self, labels: &Labels, samples: &[(Timestamp, f64)]) -> Self {
        self.writer.message(1, |w| {
            for (name, value) in labels.iter() {
                w.message(1, |w| {
                    w.text(1, name);
                    w.text(2, value);
                });
            }
            for (at, value) in samples {
                w.message(2, |w| {
                    w.double(1, *value);
                    w.varint(2, at.ms() as u64);
                });
            }
        });
        self
    }

    /// The request's bytes, bare.
    pub fn into_bytes(self) -> Vec<u8> {
        self.writer.into_bytes()
    }

    /// The request's bytes as remote write sends them: one snappy block.
    pub fn into_snappy(self) -> Vec<u8> {
        snappy(self.writer.bytes())
    }
}

/// Packs bytes into one snappy block; bytes beyond its format's 4 GiB give an empty result.
pub fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(bytes)
        .unwrap_or_default()
}
