//! From a record's bytes to a sink: format, compression, stamp, and what becomes of bad records.

use foghorn_model::{Offset, Partition, RecordSink, Refusal, Timestamp};
use foghorn_wire::{Compression, Decoder, Format, decompress, mimir_version};

use crate::config::SourceConfig;
use crate::dedup::{Dedup, DedupState, DedupStats};

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
    /// `Version` header of a record of Mimir's, where there is one.
    pub version: Option<&'a [u8]>,
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
            if name.eq_ignore_ascii_case("version") {
                self.version = Some(value);
            }
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

    /// What deduplication remembers, per partition; nothing where the source has none.
    pub fn dedup_state(&self) -> impl Iterator<Item = DedupState> + '_ {
        self.dedup.iter().flat_map(Dedup::state)
    }

    /// Deduplication goes on from a state, where the source has one.
    pub fn resume_dedup(&mut self, state: &DedupState) {
        if let Some(dedup) = &mut self.dedup {
            dedup.resume(state);
        }
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
        if self.format == Format::Mimir {
            mimir_version(raw.version)?;
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
                Format::RemoteWrite1 | Format::RemoteWrite2 => {
                    remote_write(self.format, raw.content_type.unwrap_or_default())
                }
                format => format,
            },
            _ => self.format,
        };
        Ok((format, compression))
    }
}

/// The version of remote write that a content type names; the source's where it names none.
fn remote_write(format: Format, content_type: &str) -> Format {
    let message = content_type.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("proto")
            .then(|| value.trim_matches('"'))
    });
    match message {
        Some("prometheus.WriteRequest") => Format::RemoteWrite1,
        Some("io.prometheus.write.v2.Request") => Format::RemoteWrite2,
        _ => format,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, headers: &[(&str, &[u8])], expect: Result<Format, &str>) {
        let feeder = Feeder::new(&SourceConfig::of("m", format));
        let mut raw = Raw::default();
        for (name, value) in headers {
            raw.heed(name, value);
        }
        let told = feeder.told(&raw).map(|(format, _)| format);
        assert_eq!(told.map_err(|refusal| refusal.code), expect, "{headers:?}");
    }

    #[test]
    fn the_version_of_remote_write_that_a_header_names() {
        let (one, two) = (Format::RemoteWrite1, Format::RemoteWrite2);
        let second = b"application/x-protobuf;proto=io.prometheus.write.v2.Request";
        let first = b"application/x-protobuf; proto=\"prometheus.WriteRequest\"";
        check(one, &[("content-type", second)], Ok(two));
        check(two, &[("Content-Type", first)], Ok(one));
        check(two, &[("content-type", b"application/x-protobuf")], Ok(two));
        check(one, &[], Ok(one));
    }

    #[test]
    fn the_version_of_a_record_of_mimirs() {
        let mimir = Format::Mimir;
        check(mimir, &[], Ok(mimir));
        check(mimir, &[("Version", &[0, 0, 0, 1])], Ok(mimir));
        check(
            mimir,
            &[("Version", &[0, 0, 0, 2])],
            Err("unsupported_version"),
        );
        check(
            Format::RemoteWrite1,
            &[("Version", &[0, 0, 0, 2])],
            Ok(Format::RemoteWrite1),
        );
    }
}
