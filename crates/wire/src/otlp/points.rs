//! Data points to samples: the hot path. A point's attributes are hashed as they stand in the
//! bytes; labels are made only for a series that the sink does not know yet.

use foghorn_model::labels::NAME;
use foghorn_model::{
    LabelsBuilder, Refusal, STALE_NAN, SampleSink, SeriesKey, SeriesKind, SeriesRef, Timestamp,
};

use crate::bounds;
use crate::decoder::{Scratch, Settings};
use crate::naming::{NameKind, metric_name};
use crate::options::DecodeOptions;
use crate::otlp::any_value::KeyValue;
use crate::otlp::resource::{self, each_attribute, write_attribute};
use crate::pairs::{Pairs, fold, fold_hash};
use crate::proto::{Fields, Malformed, Value, each_double, each_fixed64};
use crate::time::from_nanos;

/// `DataPointFlags`: the series ended here.
const NO_RECORDED_VALUE: u64 = 1;

/// What the points of one metric share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric<'a> {
    pub name: &'a str,
    pub unit: &'a str,
    pub name_kind: NameKind,
    pub series: SeriesKind,
    /// Hash of settings, resource, name, unit and type: what every key begins with.
    pub base: u128,
}

/// Which series of a metric.
#[derive(Clone, Copy, Debug)]
enum Part {
    Plain,
    Sum,
    Count,
    /// `_bucket` with its upper bound.
    Bucket(f64),
    Quantile(f64),
}

impl Part {
    /// Distinguishes the key from those of the metric's other series.
    #[inline]
    fn key(self, base: u128) -> u128 {
        match self {
            Self::Plain => base,
            Self::Sum => fold_hash(base, 1),
            Self::Count => fold_hash(base, 2),
            Self::Bucket(bound) => fold(fold_hash(base, 3), &bound.to_bits().to_le_bytes()),
            Self::Quantile(quantile) => fold(fold_hash(base, 4), &quantile.to_bits().to_le_bytes()),
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Plain | Self::Quantile(_) => "",
            Self::Sum => "_sum",
            Self::Count => "_count",
            Self::Bucket(_) => "_bucket",
        }
    }
}

/// Turns points into samples.
pub(crate) struct Points<'w, 'a, S> {
    pub settings: &'w Settings,
    pub scratch: &'w mut Scratch,
    pub sink: &'w mut S,
    /// Stands in for a time that a point does not have.
    pub record_time: Timestamp,
    /// The resource that the points are of.
    pub resource: &'a [u8],
    /// Whether its labels are in `scratch` already.
    pub filled: bool,
    /// Samples written.
    pub samples: u64,
}

/// What all kinds of points have.
#[derive(Clone, Copy, Debug)]
struct Point<'a> {
    message: &'a [u8],
    /// The field that holds its attributes.
    attributes: u32,
    /// Hash of the metric and the attributes.
    key: u128,
    at: Timestamp,
    /// The flag "no recorded value".
    stale: bool,
}

impl<'a> Point<'a> {
    /// Folds the attributes that come next (in fields of this tag) into the key, and gives the field
    /// behind them.
    #[inline]
    fn next(
        &mut self,
        fields: &mut Fields<'a>,
        tag: u8,
    ) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        let run = fields.run(tag)?;
        if !run.is_empty() {
            self.key = fold(self.key, run);
        }
        let next = fields.next()?;
        if let Some((number, value)) = next
            && number == u32::from(tag >> 3)
        {
            // A tag in more bytes than it needs.
            self.key = fold(self.key, value.bytes()?);
        }
        Ok(next)
    }
}

impl<S: SampleSink> Points<'_, '_, S> {
    /// A `NumberDataPoint`.
    #[inline]
    pub(crate) fn number(&mut self, metric: &Metric<'_>, message: &[u8]) -> Result<(), Refusal> {
        let mut point = self.point(metric, message, 7);
        let mut number = None;
        let mut walk = || -> Result<(), Malformed> {
            let mut fields = Fields::new(message);
            if let Some((head, rest)) = message.split_first_chunk::<27>()
                && let Some((nanos, value)) = usual_head(head)
            {
                point.at = from_nanos(nanos, self.record_time);
                number = Some(value);
                fields = Fields::new(rest);
            }
            while let Some((field, value)) = point.next(&mut fields, 7 << 3 | 2)? {
                match field {
                    3 => point.at = from_nanos(value.fixed64()?, self.record_time),
                    4 => number = Some(value.double()?),
                    6 => number = Some(value.fixed64()? as i64 as f64),
                    8 => point.stale = value.varint()? & NO_RECORDED_VALUE != 0,
                    _ => {}
                }
            }
            Ok(())
        };
        walk().map_err(|error| error.at(metric.name))?;
        match number {
            _ if point.stale => self.sample(metric, &point, Part::Plain, STALE_NAN),
            Some(value) => self.sample(metric, &point, Part::Plain, value),
            None => Err(Refusal::new(
                "no_value",
                format!("a point of {} has no value", metric.name),
            )),
        }
    }

    /// A `HistogramDataPoint`: `_bucket` by upper bound, `_sum` where it has one, `_count`.
    pub(crate) fn histogram(&mut self, metric: &Metric<'_>, message: &[u8]) -> Result<(), Refusal> {
        let mut point = self.point(metric, message, 9);
        let (mut count, mut sum) = (0, None);
        let mut counts = std::mem::take(&mut self.scratch.counts);
        let mut bounds = std::mem::take(&mut self.scratch.bounds);
        counts.clear();
        bounds.clear();
        let mut walk = || -> Result<(), Malformed> {
            let mut fields = Fields::new(message);
            while let Some((field, value)) = point.next(&mut fields, 9 << 3 | 2)? {
                match field {
                    3 => point.at = from_nanos(value.fixed64()?, self.record_time),
                    4 => count = value.fixed64()?,
                    5 => sum = Some(value.double()?),
                    6 => each_fixed64(value, |bits| counts.push(bits))?,
                    7 => each_double(value, |bound| bounds.push(bound))?,
                    10 => point.stale = value.varint()? & NO_RECORDED_VALUE != 0,
                    _ => {}
                }
            }
            Ok(())
        };
        let done = walk()
            .map_err(|error| error.at(metric.name))
            .and_then(|()| self.buckets(metric, &point, count, &counts, &bounds))
            .and_then(|()| self.sum_and_count(metric, &point, count, sum));
        self.scratch.counts = counts;
        self.scratch.bounds = bounds;
        done
    }

    /// Counts come for each bucket; `_bucket` counts all that lie at or below its bound.
    fn buckets(
        &mut self,
        metric: &Metric<'_>,
        point: &Point<'_>,
        count: u64,
        counts: &[u64],
        bounds: &[f64],
    ) -> Result<(), Refusal> {
        let rising =
            bounds.is_sorted_by(|a, b| a < b) && !bounds.iter().any(|bound| bound.is_nan());
        let fits = counts.len() == bounds.len() + 1
            || (counts.is_empty() && (bounds.is_empty() || point.stale));
        if !rising || !fits {
            let detail = format!(
                "{}: {} counts for {} bounds",
                metric.name,
                counts.len(),
                bounds.len()
            );
            return Err(Refusal::new("bad_histogram", detail));
        }
        let mut below = 0_u64;
        for (i, bound) in bounds
            .iter()
            .enumerate()
            .filter(|(_, bound)| **bound < f64::INFINITY)
        {
            below = below.saturating_add(counts.get(i).copied().unwrap_or(0));
            self.part(metric, point, Part::Bucket(*bound), below as f64)?;
        }
        self.part(metric, point, Part::Bucket(f64::INFINITY), count as f64)
    }

    /// A `SummaryDataPoint`: a series for each quantile, `_sum`, `_count`.
    pub(crate) fn summary(&mut self, metric: &Metric<'_>, message: &[u8]) -> Result<(), Refusal> {
        let mut point = self.point(metric, message, 7);
        let (mut count, mut sum) = (0, 0.0);
        let mut quantiles = std::mem::take(&mut self.scratch.bounds);
        quantiles.clear();
        let mut walk = || -> Result<(), Malformed> {
            let mut fields = Fields::new(message);
            while let Some((field, value)) = point.next(&mut fields, 7 << 3 | 2)? {
                match field {
                    3 => point.at = from_nanos(value.fixed64()?, self.record_time),
                    4 => count = value.fixed64()?,
                    5 => sum = value.double()?,
                    6 => quantiles.extend(quantile(value.bytes()?)?),
                    8 => point.stale = value.varint()? & NO_RECORDED_VALUE != 0,
                    _ => {}
                }
            }
            Ok(())
        };
        let mut done = walk().map_err(|error| error.at(metric.name));
        for pair in quantiles.chunks_exact(2) {
            done = done.and_then(|()| self.part(metric, &point, Part::Quantile(pair[0]), pair[1]));
        }
        self.scratch.bounds = quantiles;
        done.and_then(|()| self.sum_and_count(metric, &point, count, Some(sum)))
    }

    fn sum_and_count(
        &mut self,
        metric: &Metric<'_>,
        point: &Point<'_>,
        count: u64,
        sum: Option<f64>,
    ) -> Result<(), Refusal> {
        if let Some(sum) = sum.or(point.stale.then_some(0.0)) {
            self.part(metric, point, Part::Sum, sum)?;
        }
        self.part(metric, point, Part::Count, count as f64)
    }

    #[inline]
    fn point<'a>(&self, metric: &Metric<'_>, message: &'a [u8], attributes: u32) -> Point<'a> {
        Point {
            message,
            attributes,
            key: metric.base,
            at: self.record_time,
            stale: false,
        }
    }

    fn part(
        &mut self,
        metric: &Metric<'_>,
        point: &Point<'_>,
        part: Part,
        value: f64,
    ) -> Result<(), Refusal> {
        self.sample(
            metric,
            point,
            part,
            if point.stale { STALE_NAN } else { value },
        )
    }

    #[inline]
    fn sample(
        &mut self,
        metric: &Metric<'_>,
        point: &Point<'_>,
        part: Part,
        value: f64,
    ) -> Result<(), Refusal> {
        let key = SeriesKey(part.key(point.key));
        let series = match self.sink.series(key) {
            Some(series) => series,
            None => self.define(key, metric, point, part)?,
        };
        self.sink.sample(series, point.at, value);
        self.samples += 1;
        Ok(())
    }

    #[cold]
    fn define(
        &mut self,
        key: SeriesKey,
        metric: &Metric<'_>,
        point: &Point<'_>,
        part: Part,
    ) -> Result<SeriesRef, Refusal> {
        if !self.filled {
            resource::metric_labels(
                self.resource,
                &self.settings.options,
                &mut self.scratch.resource,
            )
            .map_err(|error| error.at("resource"))?;
            self.filled = true;
        }
        let Scratch {
            oversized,
            resource,
            record,
            ..
        } = &mut *self.scratch;
        let options = &self.settings.options;
        oversized.define(options, key, metric.series, self.sink, || {
            labels(options, metric, point, part, resource, record)
        })
    }
}

/// The labels of one series of a point.
fn labels(
    options: &DecodeOptions,
    metric: &Metric<'_>,
    point: &Point<'_>,
    part: Part,
    resource: &Pairs,
    named: &mut Pairs,
) -> Result<LabelsBuilder, Refusal> {
    let name = metric_name(
        options.translation,
        metric.name,
        metric.unit,
        metric.name_kind,
    );
    if name.is_empty() {
        return Err(Refusal::new(
            "no_name",
            format!("nothing is left of the name {:?}", metric.name),
        ));
    }
    attribute_labels(options, point, named).map_err(|error| error.at(metric.name))?;
    bounds::count(options, named.len())?;
    let mut builder = LabelsBuilder::default();
    for (name, value) in named.iter() {
        match builder
            .get(name)
            .map(|earlier| format!("{earlier};{value}"))
        {
            Some(joined) => builder.set(name, &joined),
            None => builder.set(name, value),
        };
    }
    for (name, value) in resource.iter() {
        if matches!(name, "job" | "instance") {
            builder.set(name, value);
        } else {
            builder.set_default(name, value);
        }
    }
    for (name, value) in &options.extra_labels {
        builder.set_default(name, value);
    }
    match part {
        Part::Bucket(bound) => _ = builder.set("le", &bound_text(bound)),
        Part::Quantile(quantile) => _ = builder.set("quantile", &bound_text(quantile)),
        Part::Plain | Part::Sum | Part::Count => {}
    }
    builder.set(NAME, &(name + part.suffix()));
    Ok(builder)
}

/// The point's attributes as labels, in the order of their keys. (Those that come to bear one name
/// are joined with `;`.)
fn attribute_labels(
    options: &DecodeOptions,
    point: &Point<'_>,
    named: &mut Pairs,
) -> Result<(), Malformed> {
    let mut attributes = Vec::new();
    each_attribute(point.message, point.attributes, |message| {
        attributes.push(KeyValue::read(message)?);
        Ok(())
    })?;
    attributes.sort_by_key(|pair| (pair.key, pair.value));
    named.clear();
    for pair in attributes {
        write_attribute(pair, options.translation, named)?;
    }
    Ok(())
}

/// How nearly all number points begin: start, time, value, in this order. Gives the time's
/// nanoseconds and the value.
#[inline]
fn usual_head(head: &[u8; 27]) -> Option<(u64, f64)> {
    const FIXED64: u8 = 1;
    if head[0] != 2 << 3 | FIXED64 || head[9] != 3 << 3 | FIXED64 {
        return None;
    }
    let bits = |at: usize| {
        head[at..]
            .first_chunk()
            .map(|bytes| u64::from_le_bytes(*bytes))
    };
    let value = match head[18] {
        0x21 => f64::from_bits(bits(19)?),
        0x31 => bits(19)? as i64 as f64,
        _ => return None,
    };
    Some((bits(10)?, value))
}

/// `ValueAtQuantile`: the quantile and its value.
fn quantile(message: &[u8]) -> Result<[f64; 2], Malformed> {
    let mut found = [0.0; 2];
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if let 1 | 2 = number {
            found[number as usize - 1] = value.double()?;
        }
    }
    Ok(found)
}

/// A bound as `le` and `quantile` have it: the shortest decimal, never an exponent.
fn bound_text(bound: f64) -> String {
    if bound == f64::INFINITY {
        "+Inf".to_owned()
    } else {
        format!("{bound}")
    }
}
