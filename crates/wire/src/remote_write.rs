//! Prometheus remote write 1.0: `WriteRequest`, walked without being built.
//!
//! A series' key is a hash of its labels' bytes as they stand. A sender's staleness marker is kept
//! bit for bit. Native histograms are refused once a series; exemplars and metadata are stepped
//! over.

use foghorn_model::labels::NAME;
use foghorn_model::{
    LabelsBuilder, Refusal, SampleSink, SeriesKey, SeriesKind, SeriesRef, Timestamp,
};

use crate::bounds;
use crate::decoder::{Scratch, Settings};
use crate::pairs::fold;
use crate::proto::{Fields, Malformed, Value};

/// The tag of `TimeSeries.labels`.
const LABELS: u8 = 1 << 3 | 2;

/// Decodes a `WriteRequest` (already unpacked from snappy).
pub(crate) fn decode<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    request: &[u8],
    sink: &mut S,
) -> Result<(), Refusal> {
    Fields::check(request).map_err(|error| error.at("write request"))?;
    let mut verdict = Verdict::default();
    let mut fields = Fields::new(request);
    while let Some((number, value)) = fields.next().map_err(|error| error.at("write request"))? {
        if number == 1 {
            let done = value
                .bytes()
                .map_err(|error| error.at("time series"))
                .and_then(|one| series(settings, scratch, one, sink));
            verdict.heed(done, sink);
        }
    }
    verdict.finish(sink)
}

/// What became of a request's series: the last fault is held back, since a record of which nothing
/// at all could be used is refused as a whole.
#[derive(Default)]
pub(crate) struct Verdict {
    used: bool,
    failed: Option<Refusal>,
}

impl Verdict {
    /// Heeds what became of one series.
    #[inline]
    pub(crate) fn heed(&mut self, done: Result<(), Refusal>, sink: &mut impl SampleSink) {
        match done {
            Ok(()) => self.used = true,
            Err(refusal) => {
                if let Some(earlier) = self.failed.replace(refusal) {
                    sink.refuse(earlier);
                }
            }
        }
    }

    /// What became of all.
    pub(crate) fn finish(self, sink: &mut impl SampleSink) -> Result<(), Refusal> {
        match self.failed {
            Some(refusal) if !self.used => Err(refusal),
            Some(refusal) => {
                sink.refuse(refusal);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The samples of a series, found and not read yet.
#[derive(Default)]
pub(crate) struct Samples<'a> {
    /// The first.
    first: Option<Value<'a>>,
    /// Whether there are more.
    more: bool,
}

impl<'a> Samples<'a> {
    /// Another `Sample`.
    #[inline]
    pub(crate) fn push(&mut self, value: Value<'a>) {
        if self.first.is_some() {
            self.more = true;
        } else {
            self.first = Some(value);
        }
    }

    /// Whether the series is worth a look: it has samples. Native histograms are refused here.
    #[inline]
    pub(crate) fn there(
        &self,
        histograms: bool,
        sink: &mut impl SampleSink,
    ) -> Result<bool, Refusal> {
        if histograms {
            let refusal = Refusal::new("unsupported_type", "a series has native histograms");
            if self.first.is_none() {
                return Err(refusal);
            }
            sink.refuse(refusal);
        }
        Ok(self.first.is_some())
    }

    /// Writes all of them: the first as it was found, all if there are more from `message`.
    #[inline]
    pub(crate) fn write(
        &self,
        message: &[u8],
        series: SeriesRef,
        sink: &mut impl SampleSink,
    ) -> Result<(), Refusal> {
        if !self.more {
            if let Some(value) = self.first {
                write_sample(value, series, sink);
            }
            return Ok(());
        }
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next().map_err(|error| error.at("time series"))? {
            if number == 2 {
                write_sample(value, series, sink);
            }
        }
        Ok(())
    }
}

/// One `TimeSeries`. Its labels are hashed first: they may stand behind the samples.
#[inline]
fn series<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    message: &[u8],
    sink: &mut S,
) -> Result<(), Refusal> {
    let mut key = settings.metrics_salt;
    let (mut histograms, mut samples) = (false, Samples::default());
    let mut walk = || -> Result<(), Malformed> {
        let mut fields = Fields::new(message);
        key = fold(key, fields.run(LABELS)?);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => key = fold(key, value.bytes()?),
                2 => samples.push(value),
                4 => histograms = true,
                _ => {}
            }
        }
        Ok(())
    };
    walk().map_err(|error| error.at("time series"))?;
    if !samples.there(histograms, sink)? {
        return Ok(());
    }
    let key = SeriesKey(key);
    let series = match sink.series(key) {
        Some(series) => series,
        None => define(settings, scratch, key, message, sink)?,
    };
    samples.write(message, series, sink)
}

#[inline]
fn write_sample(value: Value<'_>, series: SeriesRef, sink: &mut impl SampleSink) {
    match sample(value) {
        Ok((number, at)) if (Timestamp::MIN..=Timestamp::MAX).contains(&at) => {
            sink.sample(series, at, number);
        }
        Ok((_, at)) => sink.refuse(Refusal::new(
            "bad_timestamp",
            format!("a sample at {} ms", at.ms()),
        )),
        Err(error) => sink.refuse(error.at("sample")),
    }
}

/// `Sample`: value and milliseconds.
#[inline]
fn sample(value: Value<'_>) -> Result<(f64, Timestamp), Malformed> {
    let (mut number, mut ms) = (0.0, 0);
    let mut fields = Fields::new(value.bytes()?);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => number = value.double()?,
            2 => ms = value.varint()? as i64,
            _ => {}
        }
    }
    Ok((number, Timestamp(ms)))
}

#[cold]
fn define<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    key: SeriesKey,
    message: &[u8],
    sink: &mut S,
) -> Result<SeriesRef, Refusal> {
    let options = &settings.options;
    scratch
        .oversized
        .define(options, key, SeriesKind::Absolute, sink, || {
            let mut builder = SeriesLabels::default();
            let mut fields = Fields::new(message);
            while let Some((number, value)) =
                fields.next().map_err(|error| error.at("time series"))?
            {
                if number == 1 {
                    let (name, text) = label(value).map_err(|error| error.at("label"))?;
                    builder.add(options.max_labels, name, text);
                }
            }
            builder.finish(options)
        })
}

/// Labels as remote write has them: each once, `__name__` among them.
#[derive(Default)]
pub(crate) struct SeriesLabels {
    builder: LabelsBuilder,
    count: usize,
    twice: Option<String>,
}

impl SeriesLabels {
    /// Adds a label; beyond `max_labels` it is only counted.
    pub(crate) fn add(&mut self, max_labels: usize, name: &str, value: &str) {
        self.count += 1;
        if self.count > max_labels {
            return;
        }
        if self.builder.get(name).is_some() {
            self.twice
                .get_or_insert_with(|| name.chars().take(40).collect());
        }
        self.builder.set(name, value);
    }

    /// All of them.
    pub(crate) fn finish(
        self,
        options: &crate::options::DecodeOptions,
    ) -> Result<LabelsBuilder, Refusal> {
        bounds::count(options, self.count)?;
        if let Some(name) = self.twice {
            return Err(Refusal::new(
                "duplicate_label",
                format!("label {name} is there twice"),
            ));
        }
        if self.builder.get(NAME).is_none() {
            return Err(Refusal::new("no_name", "a series without __name__"));
        }
        Ok(self.builder)
    }
}

/// `Label`: name and value.
fn label(value: Value<'_>) -> Result<(&str, &str), Malformed> {
    let mut found = ("", "");
    let mut fields = Fields::new(value.bytes()?);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => found.0 = value.text()?,
            2 => found.1 = value.text()?,
            _ => {}
        }
    }
    Ok(found)
}
