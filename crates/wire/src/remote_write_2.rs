//! Prometheus remote write 2.0: `io.prometheus.write.v2.Request`, walked without being built.
//!
//! Labels are references into a table of symbols that each request brings along. So each symbol is
//! hashed once a request, and a series' key is folded from its symbols' hashes, in order: the same
//! labels make the same key, wherever they stand in the table. Native histograms are refused once a
//! series; exemplars, metadata and start timestamps are stepped over.

use foghorn_model::{Refusal, SampleSink, SeriesKey, SeriesKind, SeriesRef};
use xxhash_rust::xxh3::xxh3_128;

use crate::decoder::{Scratch, Settings};
use crate::pairs::fold_hash;
use crate::proto::{Fields, Malformed, each_uint32};
use crate::remote_write::{Samples, SeriesLabels, Verdict};

/// A request's symbols.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    hashes: Vec<u128>,
    /// Where each begins and ends in the request.
    spans: Vec<(usize, usize)>,
}

/// Decodes a `Request` (already unpacked).
pub(crate) fn decode<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    request: &[u8],
    sink: &mut S,
) -> Result<(), Refusal> {
    scratch
        .symbols
        .read(request)
        .map_err(|error| error.at("write request 2.0"))?;
    if scratch
        .symbols
        .spans
        .first()
        .is_some_and(|(from, to)| from != to)
    {
        return Err(Refusal::new("bad_symbols", "the first symbol is not empty"));
    }
    let mut verdict = Verdict::default();
    let mut fields = Fields::new(request);
    while let Some((number, value)) = fields
        .next()
        .map_err(|error| error.at("write request 2.0"))?
    {
        if number == 5 {
            let done = value
                .bytes()
                .map_err(|error| error.at("time series"))
                .and_then(|one| series(settings, scratch, request, one, sink));
            verdict.heed(done, sink);
        }
    }
    verdict.finish(sink)
}

impl Symbols {
    /// Finds and hashes a request's symbols; its frame is checked on the way.
    fn read(&mut self, request: &[u8]) -> Result<(), Malformed> {
        self.hashes.clear();
        self.spans.clear();
        let mut fields = Fields::new(request);
        while let Some((number, value)) = fields.next()? {
            if number == 4 {
                let symbol = value.bytes()?;
                let end = request.len() - fields.left();
                self.hashes.push(xxh3_128(symbol));
                self.spans.push((end - symbol.len(), end));
            }
        }
        Ok(())
    }

    fn text<'a>(&self, request: &'a [u8], reference: u32) -> Result<&'a str, Refusal> {
        let span = self.spans.get(reference as usize);
        let bytes = span
            .and_then(|(from, to)| request.get(*from..*to))
            .ok_or_else(bad_reference)?;
        str::from_utf8(bytes).map_err(|_| Malformed::BadUtf8.at("symbol"))
    }
}

fn bad_reference() -> Refusal {
    Refusal::new(
        "bad_symbol_ref",
        "a series refers to symbols that its request does not have, or to half a pair",
    )
}

/// One `TimeSeries`.
#[inline]
fn series<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    request: &[u8],
    message: &[u8],
    sink: &mut S,
) -> Result<(), Refusal> {
    // No key of another remote write format.
    let mut key = !settings.metrics_salt;
    let (mut references, mut known) = (0_usize, true);
    let (mut histograms, mut samples) = (false, Samples::default());
    let hashes = &*scratch.symbols.hashes;
    let mut walk = || -> Result<(), Malformed> {
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => each_uint32(value, |reference| {
                    references += 1;
                    match hashes.get(reference as usize) {
                        Some(hash) => key = fold_hash(key, *hash),
                        None => known = false,
                    }
                })?,
                2 => samples.push(value),
                3 => histograms = true,
                _ => {}
            }
        }
        Ok(())
    };
    walk().map_err(|error| error.at("time series"))?;
    if !known || !references.is_multiple_of(2) {
        return Err(bad_reference());
    }
    if !samples.there(histograms, sink)? {
        return Ok(());
    }
    let key = SeriesKey(key);
    let series = match sink.series(key) {
        Some(series) => series,
        None => define(settings, scratch, key, request, message, sink)?,
    };
    samples.write(message, series, sink)
}

#[cold]
fn define<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    key: SeriesKey,
    request: &[u8],
    message: &[u8],
    sink: &mut S,
) -> Result<SeriesRef, Refusal> {
    let options = &settings.options;
    let Scratch {
        oversized, symbols, ..
    } = scratch;
    oversized.define(options, key, SeriesKind::Absolute, sink, || {
        let mut references = Vec::new();
        let mut walk = || -> Result<(), Malformed> {
            let mut fields = Fields::new(message);
            while let Some((number, value)) = fields.next()? {
                if number == 1 {
                    each_uint32(value, |reference| references.push(reference))?;
                }
            }
            Ok(())
        };
        walk().map_err(|error| error.at("time series"))?;
        let mut labels = SeriesLabels::default();
        for pair in references.chunks_exact(2) {
            let name = symbols.text(request, pair[0])?;
            labels.add(options.max_labels, name, symbols.text(request, pair[1])?);
        }
        labels.finish(options)
    })
}
