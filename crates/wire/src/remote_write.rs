//! Prometheus remote write 1.0: `WriteRequest`, walked without being built.
//!
//! A sender's staleness marker is kept bit for bit. Native histograms are refused once a series;
//! exemplars and metadata are stepped over.

use foghorn_model::labels::NAME;
use foghorn_model::{
    LabelsBuilder, Refusal, SampleSink, SeriesKey, SeriesKind, SeriesRef, Timestamp,
};

use crate::decoder::Settings;
use crate::pairs::pair_hash;
use crate::proto::{Fields, Malformed, Value};

/// Decodes a `WriteRequest` (already unpacked from snappy).
pub(crate) fn decode<S: SampleSink>(
    settings: &Settings,
    request: &[u8],
    sink: &mut S,
) -> Result<(), Refusal> {
    Fields::check(request).map_err(|error| error.at("write request"))?;
    let (mut used, mut failed) = (false, None);
    let mut fields = Fields::new(request);
    while let Some((number, value)) = fields.next().map_err(|error| error.at("write request"))? {
        if number != 1 {
            continue;
        }
        match value
            .bytes()
            .map_err(|error| error.at("time series"))
            .and_then(|one| series(settings, one, sink))
        {
            Ok(()) => used = true,
            Err(refusal) => {
                if let Some(earlier) = failed.replace(refusal) {
                    sink.refuse(earlier);
                }
            }
        }
    }
    match failed {
        Some(refusal) if !used => Err(refusal),
        Some(refusal) => {
            sink.refuse(refusal);
            Ok(())
        }
        None => Ok(()),
    }
}

/// One `TimeSeries`. Its labels are hashed first: they may stand behind the samples.
fn series<S: SampleSink>(settings: &Settings, message: &[u8], sink: &mut S) -> Result<(), Refusal> {
    let mut key = settings.metrics_salt;
    let (mut histograms, mut samples) = (false, false);
    let mut walk = || -> Result<(), Malformed> {
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => key = key.wrapping_add(pair_hash(value.bytes()?)),
                2 => samples = true,
                4 => histograms = true,
                _ => {}
            }
        }
        Ok(())
    };
    walk().map_err(|error| error.at("time series"))?;
    if histograms {
        let refusal = Refusal::new("unsupported_type", "a series has native histograms");
        if !samples {
            return Err(refusal);
        }
        sink.refuse(refusal);
    }
    if !samples {
        return Ok(());
    }
    let key = SeriesKey(key);
    let series = match sink.series(key) {
        Some(series) => series,
        None => define(settings, key, message, sink)?,
    };
    write_samples(message, series, sink)
}

fn write_samples<S: SampleSink>(
    message: &[u8],
    series: SeriesRef,
    sink: &mut S,
) -> Result<(), Refusal> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next().map_err(|error| error.at("time series"))? {
        if number != 2 {
            continue;
        }
        let (number, at) = match sample(value) {
            Ok(sample) => sample,
            Err(error) => {
                sink.refuse(error.at("sample"));
                continue;
            }
        };
        if (Timestamp::MIN..=Timestamp::MAX).contains(&at) {
            sink.sample(series, at, number);
        } else {
            sink.refuse(Refusal::new(
                "bad_timestamp",
                format!("a sample at {} ms", at.ms()),
            ));
        }
    }
    Ok(())
}

/// `Sample`: value and milliseconds.
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
    key: SeriesKey,
    message: &[u8],
    sink: &mut S,
) -> Result<SeriesRef, Refusal> {
    let mut builder = LabelsBuilder::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next().map_err(|error| error.at("time series"))? {
        if number == 1 {
            let (name, text) = label(value).map_err(|error| error.at("label"))?;
            if builder.get(name).is_some() {
                return Err(Refusal::new(
                    "duplicate_label",
                    format!("label {name} is there twice"),
                ));
            }
            builder.set(name, text);
        }
    }
    if builder.get(NAME).is_none() {
        return Err(Refusal::new("no_name", "a series without __name__"));
    }
    for (name, text) in &settings.options.extra_labels {
        builder.set_default(name, text);
    }
    Ok(sink.define(key, builder.build(), SeriesKind::Absolute))
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
