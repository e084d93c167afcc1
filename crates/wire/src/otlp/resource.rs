//! Resources: which of their attributes become labels.

use crate::naming::label_name;
use crate::options::{DecodeOptions, Translation};
use crate::otlp::any_value::{AnyValue, KeyValue};
use crate::pairs::{ByHash, Pairs, fold, pair_hash};
use crate::proto::{Fields, Malformed};

/// Walks the `KeyValue`s that a message holds in `field` (1 in a `Resource`).
pub(crate) fn each_attribute<'a>(
    message: &'a [u8],
    field: u32,
    mut each: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == field {
            each(value.bytes()?)?;
        }
    }
    Ok(())
}

/// What the resources of metrics come to, by their bytes; they are the same in record after record.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    known: ByHash<ResourceHash>,
}

/// Hashes of one resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResourceHash {
    /// Of its labels: two resources with the same share their series.
    pub labels: u128,
    /// Of all its attributes.
    pub all: u128,
}

impl Resources {
    /// Resources that are remembered; then they are all forgotten at once.
    const MAX_REMEMBERED: usize = 4_096;

    /// The hashes of a resource; where it is new, its labels are left in `labels`.
    pub(crate) fn of(
        &mut self,
        resource: &[u8],
        options: &DecodeOptions,
        labels: &mut Pairs,
    ) -> Result<ResourceHash, Malformed> {
        let bytes = fold(0, resource);
        if let Some(known) = self.known.get(&bytes) {
            return Ok(*known);
        }
        metric_labels(resource, options, labels)?;
        let hashes = ResourceHash {
            labels: labels.hash(),
            all: hash_of_all(resource)?,
        };
        if self.known.len() >= Self::MAX_REMEMBERED {
            self.known.clear();
        }
        self.known.insert(bytes, hashes);
        Ok(hashes)
    }
}

/// A hash of all attributes of a resource.
fn hash_of_all(resource: &[u8]) -> Result<u128, Malformed> {
    let mut sum = 0_u128;
    each_attribute(resource, 1, |pair| {
        sum = sum.wrapping_add(pair_hash(pair));
        Ok(())
    })?;
    Ok(sum)
}

/// Fills `out` with a resource's metric labels: `job`, `instance` and the promoted attributes, in
/// order.
pub(crate) fn metric_labels(
    resource: &[u8],
    options: &DecodeOptions,
    out: &mut Pairs,
) -> Result<(), Malformed> {
    out.clear();
    let (mut service, mut namespace, mut instance) =
        (AnyValue::Empty, AnyValue::Empty, AnyValue::Empty);
    each_attribute(resource, 1, |message| {
        let pair = KeyValue::read(message)?;
        match pair.key {
            "service.name" => service = AnyValue::read(pair.value)?,
            "service.namespace" => namespace = AnyValue::read(pair.value)?,
            "service.instance.id" => instance = AnyValue::read(pair.value)?,
            _ => {}
        }
        Ok(())
    })?;
    if !is_empty(service) {
        let job = |value: &mut String| {
            if !is_empty(namespace) {
                namespace.write_text(value)?;
                value.push('/');
            }
            service.write_text(value)
        };
        out.write(|name| put(name, "job"), job)?;
    }
    if !is_empty(instance) {
        out.write(
            |name| put(name, "instance"),
            |value| instance.write_text(value),
        )?;
    }
    each_attribute(resource, 1, |message| {
        let pair = KeyValue::read(message)?;
        let promote = &options.promote_resource_attributes;
        if promote.iter().any(|key| key == pair.key) {
            write_attribute(pair, options.translation, out)?;
        }
        Ok(())
    })?;
    let hash_label = &options.resource_hash_label;
    if !hash_label.is_empty() {
        let hash = hash_of_all(resource)? as u64;
        out.push(hash_label, &format!("{hash:016x}"));
    }
    out.sort();
    Ok(())
}

/// Fills `stream` with a resource's stream labels and `rest` with its other attributes.
pub(crate) fn log_labels(
    resource: &[u8],
    stream_labels: &[String],
    translation: Translation,
    stream: &mut Pairs,
    rest: &mut Pairs,
) -> Result<(), Malformed> {
    stream.clear();
    rest.clear();
    each_attribute(resource, 1, |message| {
        let pair = KeyValue::read(message)?;
        let out = if stream_labels.iter().any(|key| key == pair.key) {
            &mut *stream
        } else {
            &mut *rest
        };
        write_attribute(pair, translation, out)
    })?;
    stream.sort();
    Ok(())
}

/// Appends one attribute, named and as text; one without a key has no name to go by.
pub(crate) fn write_attribute(
    pair: KeyValue<'_>,
    translation: Translation,
    out: &mut Pairs,
) -> Result<(), Malformed> {
    if pair.key.is_empty() {
        return Ok(());
    }
    out.write(
        |name| {
            label_name(translation, pair.key, name);
            Ok(())
        },
        |value| AnyValue::read(pair.value)?.write_text(value),
    )
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape that `Pairs::write` asks for"
)]
fn put(out: &mut String, text: &str) -> Result<(), Malformed> {
    out.push_str(text);
    Ok(())
}

fn is_empty(value: AnyValue<'_>) -> bool {
    matches!(
        value,
        AnyValue::Empty | AnyValue::Text("") | AnyValue::Bytes([])
    )
}
