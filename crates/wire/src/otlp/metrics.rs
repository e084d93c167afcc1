//! OTLP metrics: requests, resources, scopes and metrics; the points are in `points`.
//!
//! A series is a metric of a resource with its attributes. The resource speaks through its labels
//! only (`job`, `instance` and the promoted attributes): two resources that differ in nothing
//! else share their series, as in Prometheus. That is never silent: a record that holds two such
//! resources counts a `merged_resources` refusal (its samples are used all the same), and
//! `resource_hash_label` keeps them apart. Scopes are no labels. Exponential histograms are refused.

use foghorn_model::{Refusal, SampleSink, SeriesKind, Timestamp};

use crate::decoder::{Scratch, Settings};
use crate::naming::NameKind;
use crate::otlp::points::{Metric, Points};
use crate::otlp::resource::ResourceHash;
use crate::pairs::{fold, fold_hash};
use crate::proto::{Fields, Malformed};

/// `AggregationTemporality`.
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

/// The fields of `Metric` that hold its data.
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const HISTOGRAM: u32 = 9;
const EXPONENTIAL: u32 = 10;
const SUMMARY: u32 = 11;

/// Decodes an `ExportMetricsServiceRequest`.
pub(crate) fn decode<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    request: &[u8],
    record_time: Timestamp,
    sink: &mut S,
) -> Result<(), Refusal> {
    Fields::check(request).map_err(|error| error.at("request"))?;
    scratch.seen.clear();
    let points = Points {
        settings,
        scratch,
        sink,
        record_time,
        resource: &[],
        filled: false,
        samples: 0,
    };
    let mut walk = Walk {
        settings,
        points,
        failed: None,
        first: None,
    };
    let mut fields = Fields::new(request);
    while let Some((number, value)) = fields.next().map_err(|error| error.at("request"))? {
        if number == 1 {
            let done = value
                .bytes()
                .and_then(|message| walk.resource_metrics(message));
            if let Err(error) = done {
                walk.fault(error.at("resource metrics"));
            }
        }
    }
    walk.finish()
}

struct Walk<'w, 'a, S> {
    settings: &'w Settings,
    points: Points<'w, 'a, S>,
    /// The first fault, held back: a record of which nothing at all could be used is refused as
    /// a whole.
    failed: Option<Refusal>,
    /// The first resource, held back: a record rarely has two.
    first: Option<ResourceHash>,
}

impl<'a, S: SampleSink> Walk<'_, 'a, S> {
    fn fault(&mut self, refusal: Refusal) {
        match &self.failed {
            None => self.failed = Some(refusal),
            Some(_) => self.points.sink.refuse(refusal),
        }
    }

    fn finish(self) -> Result<(), Refusal> {
        match self.failed {
            Some(refusal) if self.points.samples == 0 => Err(refusal),
            Some(refusal) => {
                self.points.sink.refuse(refusal);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn resource_metrics(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut resource: &'a [u8] = &[];
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            if number == 1 {
                resource = value.bytes()?;
            }
        }
        let base = self.enter_resource(resource)?;
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            if number == 2 {
                let scope = value.bytes()?;
                Fields::check(scope)?;
                self.scope_metrics(scope, base)?;
            }
        }
        Ok(())
    }

    /// Gives what the keys of a resource's series begin with.
    fn enter_resource(&mut self, message: &'a [u8]) -> Result<u128, Malformed> {
        let scratch = &mut *self.points.scratch;
        let options = &self.settings.options;
        let hashes = scratch
            .resources
            .of(message, options, &mut scratch.resource)?;
        (self.points.resource, self.points.filled) = (message, false);
        let seen = &mut scratch.seen;
        if let Some(first) = self.first {
            seen.insert(first.labels, first.all);
        }
        let merged =
            self.first.is_some() && *seen.entry(hashes.labels).or_insert(hashes.all) != hashes.all;
        if self.first.is_none() {
            self.first = Some(hashes);
        }
        if merged {
            self.points.sink.refuse(Refusal::new(
                "merged_resources",
                "two resources of this record differ only in attributes that are no labels; \
                 promote one of those or set resource_hash_label",
            ));
        }
        Ok(fold_hash(self.settings.metrics_salt, hashes.labels))
    }

    fn scope_metrics(&mut self, message: &[u8], base: u128) -> Result<(), Malformed> {
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            if number == 2 {
                let metric = value.bytes()?;
                if let Err(refusal) = self.metric(metric, base) {
                    self.fault(refusal);
                }
            }
        }
        Ok(())
    }

    fn metric(&mut self, message: &[u8], base: u128) -> Result<(), Refusal> {
        let raw = RawMetric::read(message)?;
        let metric = raw.understand(base)?;
        let mut fields = Fields::new(raw.data);
        while let Some((number, value)) = fields.next().map_err(|error| error.at(raw.name))? {
            if number == 1 {
                let point = value.bytes().map_err(|error| error.at(raw.name))?;
                let done = match raw.field {
                    HISTOGRAM => self.points.histogram(&metric, point),
                    SUMMARY => self.points.summary(&metric, point),
                    _ => self.points.number(&metric, point),
                };
                if let Err(refusal) = done {
                    self.fault(refusal);
                }
            }
        }
        Ok(())
    }
}

/// A `Metric` message, taken apart but not judged.
struct RawMetric<'a> {
    name: &'a str,
    unit: &'a str,
    /// Name, description and unit as they stand, where they all stand before the data.
    head: Option<&'a [u8]>,
    /// Which kind of data it holds, 0 for none.
    field: u32,
    data: &'a [u8],
}

impl<'a> RawMetric<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Refusal> {
        let mut raw = Self {
            name: "",
            unit: "",
            head: None,
            field: 0,
            data: &[],
        };
        let mut walk = || -> Result<(), Malformed> {
            let mut fields = Fields::new(message);
            let mut before = 0;
            while let Some((number, value)) = fields.next()? {
                match number {
                    1 | 3 => {
                        let text = value.text()?;
                        *(if number == 1 {
                            &mut raw.name
                        } else {
                            &mut raw.unit
                        }) = text;
                        raw.head = None;
                    }
                    GAUGE | SUM | HISTOGRAM | EXPONENTIAL | SUMMARY => {
                        (raw.field, raw.data) = (number, value.bytes()?);
                        raw.head = Some(&message[..before]);
                    }
                    _ => {}
                }
                before = message.len() - fields.left();
            }
            Ok(())
        };
        walk().map_err(|error| error.at("metric"))?;
        Ok(raw)
    }

    /// Says what its points mean, or why nobody can.
    fn understand(&self, base: u128) -> Result<Metric<'a>, Refusal> {
        let name = self.name;
        if name.is_empty() {
            return Err(Refusal::new("no_name", "a metric without a name"));
        }
        if self.field == EXPONENTIAL {
            let detail = format!("metric {name} is an exponential histogram");
            return Err(Refusal::new("unsupported_type", detail));
        }
        let (temporality, monotonic) = nature(self.data).map_err(|error| error.at(name))?;
        let series = match (self.field, temporality) {
            (SUM | HISTOGRAM, DELTA) => SeriesKind::Delta,
            (SUM | HISTOGRAM, CUMULATIVE) | (GAUGE | SUMMARY, _) => SeriesKind::Absolute,
            (0, _) => {
                return Err(Refusal::new(
                    "no_value",
                    format!("metric {name} has no data"),
                ));
            }
            _ => {
                let detail = format!("metric {name} is neither cumulative nor delta");
                return Err(Refusal::new("bad_temporality", detail));
            }
        };
        let name_kind = match self.field {
            GAUGE => NameKind::Gauge,
            SUM if monotonic => NameKind::Counter,
            _ => NameKind::Other,
        };
        let nature = [self.field as u8, series as u8, name_kind as u8, 0];
        let base = fold_hash(base, u128::from(u32::from_le_bytes(nature)));
        // Descriptions are no part of a series, but cheaper to hash than to leave out.
        let base = match self.head {
            Some(head) => fold(base, head),
            None => fold(fold(!base, name.as_bytes()), self.unit.as_bytes()),
        };
        Ok(Metric {
            name,
            unit: self.unit,
            name_kind,
            series,
            base,
        })
    }
}

/// Temporality (field 2) and monotonicity (field 3), which come after the points. The data's
/// frame is checked on the way.
#[inline]
fn nature(data: &[u8]) -> Result<(u64, bool), Malformed> {
    let (mut temporality, mut monotonic) = (0, false);
    let mut fields = Fields::new(data);
    while let Some((number, value)) = fields.next()? {
        match number {
            2 => temporality = value.varint()?,
            3 => monotonic = value.varint()? != 0,
            _ => {}
        }
    }
    Ok((temporality, monotonic))
}
