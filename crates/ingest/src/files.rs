//! Recorded files, as partitions of records: what `foghorn replay` reads.
//!
//! | file | a record is |
//! |---|---|
//! | `.ndjson`, `.jsonl`, `.log` | a line |
//! | `.json` | an element of its array, or the whole file |
//! | `.csv` | a row: columns `timestamp`, `value`, `metric` (or `name`), every other one a label |
//! | others (`.pb`, `.bin`) | a frame: a big-endian u32 length and so many bytes, as the OpenTelemetry Collector's file exporter writes them |
//!
//! JSON's format is told by its first record's keys where it is not given; protobuf's never is.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use foghorn_wire::{Compression, Format};
use serde_json::value::RawValue;

use crate::suggest;

/// A file to replay: `PATH` or `FORMAT:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// Format, where it was given.
    pub format: Option<Format>,
    /// Path.
    pub path: PathBuf,
}

impl std::str::FromStr for FileSpec {
    type Err = foghorn_wire::UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((format, path)) = text.split_once(':')
            && !format.contains(['/', '.'])
            && !path.is_empty()
        {
            return Ok(Self {
                format: Some(format.parse()?),
                path: path.into(),
            });
        }
        Ok(Self {
            format: None,
            path: text.into(),
        })
    }
}

/// A file could not be read as records.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system's word.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Its format cannot be told.
    #[error("{path}: {reason}; say what it holds, as FORMAT:PATH (otlp_metrics_proto:{path})")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What was looked at.
        reason: String,
    },
    /// It is not what its name says.
    #[error("{path}: {reason}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
}

/// A file, cut into records; what they hold is another question.
#[derive(Clone, Debug)]
pub struct Records {
    /// Where it was read from.
    pub path: PathBuf,
    /// The format that its kind of file alone tells (a CSV's rows).
    pub told: Option<Format>,
    bytes: Vec<u8>,
    /// Each record's place in the bytes.
    places: Vec<Range<usize>>,
}

impl Records {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`] says which file, what is wrong and what to do.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        Self::from_bytes(path, read(path)?)
    }

    /// Reads a file; one that would have to consist of frames and does not is one record, as a
    /// single body that somebody captured. Whether it was so.
    ///
    /// # Errors
    /// As [`Records::open`].
    pub fn open_loosely(path: &Path) -> Result<(Self, bool), FileError> {
        let bytes = read(path)?;
        let framed = matches!(
            extension(path),
            "csv" | "json" | "ndjson" | "jsonl" | "log" | "txt"
        ) || frames(path, &bytes).is_ok();
        if framed {
            return Ok((Self::from_bytes(path, bytes)?, false));
        }
        let places = std::iter::once(0..bytes.len()).collect();
        let whole = Self {
            path: path.to_owned(),
            told: None,
            bytes,
            places,
        };
        Ok((whole, true))
    }

    /// As [`Records::open`], of bytes that are at hand.
    ///
    /// # Errors
    /// As [`Records::open`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, FileError> {
        let (bytes, places, told) = match extension(path) {
            "csv" => {
                let (bytes, rows) = csv_rows(path, &bytes)?;
                (bytes, rows, Some(Format::JsonMetrics))
            }
            "json" => {
                let places = elements(&bytes);
                (bytes, places, None)
            }
            "ndjson" | "jsonl" | "log" | "txt" => {
                let places = lines(&bytes);
                (bytes, places, None)
            }
            _ => {
                let places = frames(path, &bytes)?;
                (bytes, places, None)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            told,
            bytes,
            places,
        })
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A record's bytes.
    pub fn record(&self, index: usize) -> &[u8] {
        &self.bytes[self.places[index].clone()]
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|error| FileError::Io {
        path: path.to_owned(),
        error,
    })
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or("")
}

/// A file's records, in order, and what they hold.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Where it was read from.
    pub path: PathBuf,
    /// What its records hold.
    pub format: Format,
    /// How they are packed.
    pub compression: Compression,
    records: Records,
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`] says which file, what is wrong and what to do.
    pub fn open(spec: &FileSpec) -> Result<Self, FileError> {
        Self::of(spec, Records::open(&spec.path)?)
    }

    /// As [`Recording::open`], of bytes that are at hand.
    ///
    /// # Errors
    /// As [`Recording::open`].
    pub fn from_bytes(spec: &FileSpec, bytes: Vec<u8>) -> Result<Self, FileError> {
        Self::of(spec, Records::from_bytes(&spec.path, bytes)?)
    }

    fn of(spec: &FileSpec, records: Records) -> Result<Self, FileError> {
        let unknown = |reason: String| FileError::Format {
            path: spec.path.clone(),
            reason,
        };
        let format = match (spec.format.or(records.told), extension(&spec.path)) {
            (Some(format), _) => format,
            (None, "json" | "ndjson" | "jsonl") => {
                let first = if records.is_empty() {
                    &[][..]
                } else {
                    records.record(0)
                };
                suggest::by_keys(first).map_err(unknown)?.format
            }
            (None, _) => {
                let reason = "protobuf and plain text do not tell what they hold".to_owned();
                return Err(unknown(reason));
            }
        };
        Ok(Self {
            path: spec.path.clone(),
            format,
            compression: Compression::None,
            records,
        })
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A record's bytes.
    pub fn record(&self, index: usize) -> &[u8] {
        self.records.record(index)
    }
}

fn lines(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut records = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let trimmed = line.trim_ascii_end().len();
        if trimmed > 0 {
            records.push(start..start + trimmed);
        }
        start += line.len();
    }
    records
}

fn elements(bytes: &[u8]) -> Vec<Range<usize>> {
    let base = bytes.as_ptr() as usize;
    match serde_json::from_slice::<Vec<&RawValue>>(bytes) {
        Ok(values) => values
            .iter()
            .map(|value| {
                let start = value.get().as_ptr() as usize - base;
                start..start + value.get().len()
            })
            .collect(),
        // One object; or what only the decoder can complain about.
        Err(_) => std::iter::once(0..bytes.len()).collect(),
    }
}

fn frames(path: &Path, bytes: &[u8]) -> Result<Vec<Range<usize>>, FileError> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes
            .get(at..at + 4)
            .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
        let end = length
            .map(|length| at + 4 + length)
            .filter(|end| *end <= bytes.len());
        let Some(end) = end else {
            let reason = format!(
                "the frame at byte {at} runs past the end of the file (a frame is a big-endian u32 length and so many bytes)"
            );
            return Err(FileError::Content {
                path: path.to_owned(),
                reason,
            });
        };
        records.push(at + 4..end);
        at = end;
    }
    Ok(records)
}

/// Turns rows into the JSON metrics form: one decoder for both.
fn csv_rows(path: &Path, bytes: &[u8]) -> Result<(Vec<u8>, Vec<Range<usize>>), FileError> {
    let content = |reason: String| FileError::Content {
        path: path.to_owned(),
        reason,
    };
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader
        .headers()
        .map_err(|error| content(error.to_string()))?
        .clone();
    let column = |names: &[&str]| header.iter().position(|name| names.contains(&name));
    let (Some(timestamp), Some(value)) = (column(&["timestamp", "time", "ts"]), column(&["value"]))
    else {
        return Err(content(
            "its first line must name the columns timestamp and value".to_owned(),
        ));
    };
    let metric = column(&["metric", "name", "__name__"]);
    let (mut out, mut records) = (Vec::with_capacity(bytes.len() * 2), Vec::new());
    for row in reader.records() {
        let row = row.map_err(|error| content(error.to_string()))?;
        let labels: serde_json::Map<_, _> = header
            .iter()
            .zip(&row)
            .enumerate()
            .filter(|(i, (_, field))| {
                *i != timestamp && *i != value && Some(*i) != metric && !field.is_empty()
            })
            .map(|(_, (name, field))| (name.to_owned(), field.into()))
            .collect();
        let number: f64 = row[value].trim().parse().map_err(|_| {
            content(format!(
                "row {}: {:?} is no number",
                records.len() + 2,
                &row[value]
            ))
        })?;
        let name = metric.map_or("value", |metric| &row[metric]);
        let time: serde_json::Value = match row[timestamp].parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) => row[timestamp].into(),
        };
        let object =
            serde_json::json!({"ts": time, "name": name, "labels": labels, "value": number});
        let start = out.len();
        out.extend_from_slice(object.to_string().as_bytes());
        records.push(start..out.len());
    }
    Ok((out, records))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expect: &str) {
        let spec: FileSpec = name.parse().unwrap();
        let got = match Recording::from_bytes(&spec, text.as_bytes().to_vec()) {
            Ok(file) => {
                let records: Vec<_> = (0..file.len())
                    .map(|i| String::from_utf8_lossy(file.record(i)).into_owned())
                    .collect();
                format!("{}: {}", file.format, records.join(" | "))
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn lines_and_arrays_are_records() {
        check(
            "x.ndjson",
            "{\"msg\":1}\n\n{\"msg\":2}\n",
            r#"json_logs: {"msg":1} | {"msg":2}"#,
        );
        check(
            "x.json",
            r#"[{"service":"a","version":"1"}, {"service":"b"}]"#,
            r#"changes: {"service":"a","version":"1"} | {"service":"b"}"#,
        );
    }

    #[test]
    fn csv_rows_become_samples() {
        check(
            "x.csv",
            "timestamp,service,metric,value\n2026-06-18T14:00:00Z,cart,rps,3.5\n",
            r#"json_metrics: {"labels":{"service":"cart"},"name":"rps","ts":"2026-06-18T14:00:00Z","value":3.5}"#,
        );
    }

    #[test]
    fn protobuf_is_never_guessed() {
        check(
            "x.pb",
            "\0\0\0\u{1}a",
            "x.pb: protobuf and plain text do not tell what they hold; say what it holds, as FORMAT:PATH (otlp_metrics_proto:x.pb)",
        );
        check(
            "otlp_metrics_proto:x.pb",
            "\0\0\0\u{2}ab",
            "otlp_metrics_proto: ab",
        );
    }
}
