//! From a record's bytes to a sink: format, compression, stamp, and what becomes of bad records.

use foghorn_model::{Offset, Partition, RecordSink, Refusal, Timestamp};
use foghorn_wire::{Compression, Decoder, Format, decompress};

use crate::config::SourceConfig;
use crate::dedup::{Dedup, DedupStats};

/// A record as its source hands it over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw<'a> {
    /// Which partition.
    pub partition: Partition,
    /// Which record.
    pub offset: Offset,
    /// Its own timestamp; `None` where the source has none.
    pub timestamp: Option<Timestamp>,
    /// What it holds, where that is known of this very record (an HTTP path); else its source's
    /// format and headers say.
    pub format: Option<Format>,
    /// `content-type` header, where there is one.
    pub content_type: Option<&'a str>,
    /// `content-encoding` header, where there is one.
    pub content_encoding: Option<&'a str>,
    /// The record's own id, where a header says one: a producer that sends it again says the same.
    pub event_id: Option<&'a str>,
    /// The bytes; an absent value (a tombstone) is empty.
    pub payload: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Heeds one of the record's headers, if it is one that says what the record holds. Names
    /// count in any case.
    pub fn heed(&mut self, name: &str, value: &'a [u8]) {
        let slot = if name.eq_ignore_ascii_case("content-type") {
            &mut self.content_type
        } else if name.eq_ignore_ascii_case("content-encoding") {
            &mut self.content_encoding
        } else if name.eq_ignore_ascii_case("event_id") || name.eq_ignore_ascii_case("ce_id") {
            &mut self.event_id
        } else {
            return;
        };
        *slot = std::str::from_utf8(value).ok();
    }
}

/// Decodes one source's records.
#[derive(Debug)]
pub struct Feeder {
    format: Format,
    compression: Compression,
    max_decompressed_bytes: usize,
    decoder: Decoder,
    dedup: Option<Dedup>,
    unpacked: Vec<u8>,
    lowered: Vec<(Partition, Offset, Timestamp)>,
}

impl Feeder {
    /// A feeder for a source.
    pub fn new(source: &SourceConfig) -> Self {
        Self {
            format: source.format,
            compression: source.compression,
            max_decompressed_bytes: source.decode.max_decompressed_bytes,
            decoder: Decoder::new(source.decode.clone()),
            dedup: source.dedup.clone().map(Dedup::new),
            unpacked: Vec::new(),
            lowered: Vec::new(),
        }
    }

    /// Feeds one record. `now` is wall time at first read: the record's stamp is the lesser of it
    /// and the record's own timestamp.
    ///
    /// # Errors
    /// The whole record could not be decoded; its partition's clock has passed it all the same.
    pub fn feed(
        &mut self,
        raw: &Raw<'_>,
        now: Option<Timestamp>,
        sink: &mut impl RecordSink,
    ) -> Result<(), Refusal> {
        let stamp = match (raw.timestamp, now) {
            (Some(own), Some(now)) => Some(own.min(now)),
            (own, now) => own.or(now),
        };
        if !sink.begin(raw.partition, raw.offset, stamp) {
            return Ok(());
        }
        let result = self.decode(raw, stamp, sink);
        sink.end();
        if let Some(stamp) = stamp.filter(|stamp| raw.timestamp.is_some_and(|own| own > *stamp))
            && sink.stamp_mattered()
        {
            self.lowered.push((raw.partition, raw.offset, stamp));
        }
        result
    }

    /// Records since the last call whose stamps were lowered to wall time, where that mattered: a
    /// replay must feed them with these stamps as `now`.
    pub fn take_lowered(&mut self) -> Vec<(Partition, Offset, Timestamp)> {
        std::mem::take(&mut self.lowered)
    }

    /// What deduplication did so far; nothing where the source has none.
    pub fn dedup_stats(&self) -> DedupStats {
        self.dedup
            .as_ref()
            .map_or_else(DedupStats::default, |dedup| dedup.stats)
    }

    /// Decodes a record's bytes, unpacked, unless they came before.
    fn once(
        &mut self,
        format: Format,
        raw: &Raw<'_>,
        payload: &[u8],
        time: Timestamp,
        sink: &mut impl RecordSink,
    ) -> Result<(), Refusal> {
        if let Some(dedup) = &mut self.dedup
            && dedup.is_duplicate(raw.partition, raw.offset, time, raw.event_id, payload)
        {
            return Ok(());
        }
        self.decoder.enter(raw.partition);
        self.decoder.decode(format, payload, time, sink)
    }

    fn decode(
        &mut self,
        raw: &Raw<'_>,
        stamp: Option<Timestamp>,
        sink: &mut impl RecordSink,
    ) -> Result<(), Refusal> {
        if raw.payload.is_empty() {
            return Ok(());
        }
        let (format, compression) = self.told(raw)?;
        let time = raw.timestamp.or(stamp).unwrap_or_default();
        if compression == Compression::None {
            return self.once(format, raw, raw.payload, time, sink);
        }
        let mut unpacked = std::mem::take(&mut self.unpacked);
        let result = decompress(
            compression,
            raw.payload,
            self.max_decompressed_bytes,
            &mut unpacked,
        )
        .and_then(|()| self.once(format, raw, &unpacked, time, sink));
        self.unpacked = unpacked;
        result
    }

    /// The source's format and compression, made precise by the record's headers.
    fn told(&self, raw: &Raw<'_>) -> Result<(Format, Compression), Refusal> {
        let compression = match raw.content_encoding {
            None => self.compression,
            Some(name) => name
                .parse()
                .map_err(|_| Refusal::new("bad_encoding", format!("content-encoding {name:?}")))?,
        };
        if let Some(format) = raw.format {
            return Ok((format, compression));
        }
        let format = match raw
            .content_type
            .map(|text| text.split(';').next().unwrap_or(text).trim())
        {
            Some("application/json") => match self.format {
                Format::OtlpMetricsProto => Format::OtlpMetricsJson,
                Format::OtlpLogsProto => Format::OtlpLogsJson,
                Format::OtlpTracesProto => Format::OtlpTracesJson,
                format => format,
            },
            Some("application/x-protobuf") => match self.format {
                Format::OtlpMetricsJson => Format::OtlpMetricsProto,
                Format::OtlpLogsJson => Format::OtlpLogsProto,
                Format::OtlpTracesJson => Format::OtlpTracesProto,
                format => format,
            },
            _ => self.format,
        };
        Ok((format, compression))
    }
}
