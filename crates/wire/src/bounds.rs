//! What a series may be at most, checked where it becomes known.
//!
//! Known series cost nothing. A series over a bound never becomes known, so its verdict is
//! remembered by key: its samples are refused without its labels being built again.

use foghorn_model::labels::NAME;
use foghorn_model::{Labels, LabelsBuilder, Refusal, SampleSink, SeriesKey, SeriesKind, SeriesRef};

use crate::options::DecodeOptions;
use crate::pairs::ByHash;

/// Verdicts that are remembered; then they are all forgotten at once.
const MAX_REMEMBERED: usize = 1_024;

/// Characters of an overlong text that its refusal shows.
const SHOWN: usize = 40;

const TOO_MANY: &str = "too_many_labels";
const NAME_TOO_LONG: &str = "name_too_long";
const VALUE_TOO_LONG: &str = "value_too_long";

/// Series that were refused for their size.
#[derive(Debug, Default)]
pub(crate) struct Oversized {
    verdicts: ByHash<Refusal>,
}

impl Oversized {
    /// Makes a series known: what `build` says, and the source's further labels, within bounds.
    ///
    /// # Errors
    /// `build`'s; `no_name`, `too_many_labels`, `name_too_long`, `value_too_long`.
    pub(crate) fn define(
        &mut self,
        options: &DecodeOptions,
        key: SeriesKey,
        kind: SeriesKind,
        sink: &mut impl SampleSink,
        build: impl FnOnce() -> Result<LabelsBuilder, Refusal>,
    ) -> Result<SeriesRef, Refusal> {
        if let Some(verdict) = self.verdicts.get(&key.0) {
            return Err(verdict.clone());
        }
        let built = build().and_then(|mut builder| {
            for (name, value) in &options.extra_labels {
                builder.set_default(name, value);
            }
            let labels = builder.build();
            check(options, &labels).map(|()| labels)
        });
        match built {
            Ok(labels) => Ok(sink.define(key, labels, kind)),
            Err(verdict) => {
                self.remember(key, &verdict);
                Err(verdict)
            }
        }
    }

    /// Remembers a verdict that depends on nothing but the key (others may tell places in a
    /// record).
    fn remember(&mut self, key: SeriesKey, verdict: &Refusal) {
        if ![TOO_MANY, NAME_TOO_LONG, VALUE_TOO_LONG].contains(&verdict.code) {
            return;
        }
        if self.verdicts.len() >= MAX_REMEMBERED {
            self.verdicts.clear();
        }
        self.verdicts.insert(key.0, verdict.clone());
    }
}

/// Refuses a number of labels over the bound, before they are put together.
pub(crate) fn count(options: &DecodeOptions, labels: usize) -> Result<(), Refusal> {
    if labels <= options.max_labels {
        return Ok(());
    }
    Err(Refusal::new(
        TOO_MANY,
        format!(
            "a series with {labels} labels or more; the bound is {}",
            options.max_labels
        ),
    ))
}

fn check(options: &DecodeOptions, labels: &Labels) -> Result<(), Refusal> {
    count(options, labels.len())?;
    for (name, value) in labels.iter() {
        length(
            NAME_TOO_LONG,
            "a label's name",
            name,
            options.max_name_bytes,
        )?;
        if name == NAME {
            length(
                NAME_TOO_LONG,
                "a metric's name",
                value,
                options.max_name_bytes,
            )?;
        } else {
            length(
                VALUE_TOO_LONG,
                "a label's value",
                value,
                options.max_value_bytes,
            )?;
        }
    }
    Ok(())
}

fn length(code: &'static str, what: &str, text: &str, bound: usize) -> Result<(), Refusal> {
    if text.len() <= bound {
        return Ok(());
    }
    let start: String = text.chars().take(SHOWN).collect();
    let detail = format!(
        "{what}, {start:?}…, is {} bytes long; the bound is {bound}",
        text.len()
    );
    Err(Refusal::new(code, detail))
}
