//! `foghorn evaluate anomalies`: the band's score for every row of every series in a directory.
//!
//! Files are read row by row, as telemetry would come: the scorer never sees a length, a range or
//! a later row. Writes what outside benchmarks read (`timestamp,value,anomaly_score`, the first
//! two as they stood), and judges nothing itself.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use foghorn_eval::detect::Scorer;
use foghorn_model::Timestamp;
use serde::Serialize;

/// What [`evaluate_dir`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Files that were scored.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows whose value was no finite number: scored 0 and not learnt from.
    pub unreadable_values: u64,
}

/// Why a directory could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A file or directory could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not a series.
    #[error("{}: {source}", path.display())]
    Series {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: SeriesError,
    },
    /// There is no `*.csv` below the directory.
    #[error("{}: no .csv file in it", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
}

/// Why a file is not a series.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// It is not CSV, or could not be read or written.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// A column is missing.
    #[error("no column `{0}` in the header")]
    Column(&'static str),
    /// A timestamp is neither `YYYY-MM-DD HH:MM:SS` nor a number.
    #[error(
        "line {line}: `{text}` is neither a date with a time of day nor seconds since the epoch"
    )]
    Timestamp {
        /// Line in the file, from 1.
        line: u64,
        /// The timestamp.
        text: String,
    },
}

/// Scores every `*.csv` below `data` (`timestamp,value`; times as `YYYY-MM-DD HH:MM:SS` in UTC or
/// as seconds or milliseconds since the epoch) and writes each to the same relative path below
/// `out` with `anomaly_score` added. The same files give the same bytes.
///
/// # Errors
/// Where something cannot be read or written, or a file is not a series; files before it (in path
/// order) have been written then.
pub fn evaluate_dir(data: &Path, out: &Path) -> Result<Summary, EvaluateError> {
    let mut files = Vec::new();
    find_series(data, out, &mut files)
        .map_err(|(path, source)| EvaluateError::Io { path, source })?;
    if files.is_empty() {
        return Err(EvaluateError::Empty {
            path: data.to_owned(),
        });
    }
    files.sort();
    let mut summary = Summary::default();
    for file in &files {
        let relative = file.strip_prefix(data).unwrap_or(file);
        evaluate_file(file, &out.join(relative), &mut summary)?;
    }
    Ok(summary)
}

/// Collects the series below `dir`, without those in `out` (results of an earlier run).
fn find_series(
    dir: &Path,
    out: &Path,
    files: &mut Vec<PathBuf>,
) -> Result<(), (PathBuf, io::Error)> {
    let failed = |source| (dir.to_owned(), source);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            if path != out {
                find_series(&path, out, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
        {
            files.push(path);
        }
    }
    Ok(())
}

fn evaluate_file(data: &Path, out: &Path, summary: &mut Summary) -> Result<(), EvaluateError> {
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |source| EvaluateError::Io { path, source }
    };
    let reader = BufReader::new(File::open(data).map_err(io_error(data))?);
    if let Some(parent) = out.parent() {
        fs::create_dir_all(parent).map_err(io_error(parent))?;
    }
    let writer = BufWriter::new(File::create(out).map_err(io_error(out))?);
    summary.files += 1;
    score_series(reader, writer, summary).map_err(|source| EvaluateError::Series {
        path: data.to_owned(),
        source,
    })
}

/// Scores one series.
fn score_series(
    data: impl Read,
    out: impl Write,
    summary: &mut Summary,
) -> Result<(), SeriesError> {
    let mut reader = csv::Reader::from_reader(data);
    let mut writer = csv::Writer::from_writer(out);
    let header = reader.headers()?.clone();
    let column = |name| {
        header
            .iter()
            .position(|it| it.trim() == name)
            .ok_or(SeriesError::Column(name))
    };
    let (time, value) = (column("timestamp")?, column("value")?);
    writer.write_record(["timestamp", "value", "anomaly_score"])?;

    let mut scorer = Scorer::new();
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row)? {
        let (time, value) = (&row[time], &row[value]);
        let at = timestamp(time.trim()).ok_or_else(|| SeriesError::Timestamp {
            line: row.position().map_or(0, csv::Position::line),
            text: time.to_owned(),
        })?;
        let number = value.trim().parse().unwrap_or(f64::NAN);
        summary.rows += 1;
        summary.unreadable_values += u64::from(!number.is_finite());
        let score = scorer.score(at, number).to_string();
        writer.write_record([time, value, &score])?;
    }
    writer.flush().map_err(csv::Error::from)?;
    Ok(())
}

/// Numbers from here on are milliseconds: as seconds they would lie beyond the year 5000.
const MILLISECONDS_FROM: f64 = 1e11;

/// `YYYY-MM-DD HH:MM[:SS[.fraction]]` (a `T` for the space and a `Z` behind are allowed), or
/// seconds or milliseconds since the epoch.
fn timestamp(text: &str) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<f64>() {
        let ms = if number.abs() < MILLISECONDS_FROM {
            number * 1e3
        } else {
            number
        };
        return ms.is_finite().then_some(Timestamp(ms.round() as i64));
    }
    let (date, clock) = text.trim_end_matches('Z').split_once([' ', 'T'])?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut clock = clock.splitn(3, ':');
    let hour: i64 = clock.next()?.parse().ok()?;
    let minute: i64 = clock.next()?.parse().ok()?;
    let second: f64 = clock
        .next()
        .map_or(Some(0.0), |second| second.parse().ok())?;
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..61.0).contains(&second);
    let minutes = (days_from_civil(year, month, day) * 24 + hour) * 60 + minute;
    in_range.then(|| Timestamp(minutes * 60_000 + (second * 1e3).round() as i64))
}

/// Days since 1970-01-01: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(data: &str) -> Result<(String, Summary), SeriesError> {
        let (mut out, mut summary) = (Vec::new(), Summary::default());
        score_series(data.as_bytes(), &mut out, &mut summary)?;
        Ok((String::from_utf8(out).unwrap(), summary))
    }

    /// 600 rows, five minutes apart, with a spike.
    fn series() -> String {
        let row = |i: i64| {
            let value = if i == 400 { 50.0 } else { (i * i % 17) as f64 };
            format!("{},{value}\n", i * 300)
        };
        std::iter::once("timestamp,value\n".to_owned())
            .chain((0..600).map(row))
            .collect()
    }

    #[test]
    fn reads_both_kinds_of_time() {
        for (text, ms) in [
            ("1970-01-01 00:00:00", Some(0)),
            ("2014-07-01 00:30:00", Some(1_404_174_600_000)),
            ("2000-02-29T23:59:59.5Z", Some(951_868_799_500)),
            ("1969-12-31 23:59", Some(-60_000)),
            ("1404174600", Some(1_404_174_600_000)),
            ("1404174600.25", Some(1_404_174_600_250)),
            ("1404174600000", Some(1_404_174_600_000)),
            ("2014-13-01 00:00:00", None),
            ("2014-07-01", None),
            ("yesterday", None),
            ("NaN", None),
        ] {
            assert_eq!(timestamp(text), ms.map(Timestamp), "{text}");
        }
    }

    #[test]
    fn rows_keep_their_text_and_get_a_score() {
        let (out, summary) = score(&series()).unwrap();
        let rows: Vec<&str> = out.lines().collect();
        assert_eq!(rows.len(), 601);
        assert_eq!(rows[0], "timestamp,value,anomaly_score");
        assert_eq!(rows[1], "0,0,0");
        let spike: f64 = rows[401]
            .strip_prefix("120000,50,")
            .unwrap()
            .parse()
            .unwrap();
        assert!((0.3..=1.0).contains(&spike), "{spike}");
        assert_eq!(
            summary,
            Summary {
                files: 0,
                rows: 600,
                unreadable_values: 0
            }
        );
    }

    #[test]
    fn a_file_cut_short_scores_the_same() {
        let (whole, _) = score(&series()).unwrap();
        let head: String = series()
            .lines()
            .take(450)
            .flat_map(|line| [line, "\n"])
            .collect();
        let (cut, _) = score(&head).unwrap();
        assert!(whole.starts_with(&cut));
    }

    #[test]
    fn what_is_no_series_is_pointed_at() {
        let message = |data| score(data).unwrap_err().to_string();
        assert_eq!(
            message("time,value\n"),
            "no column `timestamp` in the header"
        );
        assert!(message("timestamp,value\n0,1\nsoon,2\n").starts_with("line 3: `soon` is neither"));
        let (_, summary) = score("timestamp,value\n0,1\n300,\n600,x\n").unwrap();
        assert_eq!(summary.unreadable_values, 2);
    }

    #[test]
    fn a_directory_is_mirrored() {
        let root = std::env::temp_dir().join("foghorn-lab-anomalies-test");
        let (data, out) = (root.join("data"), root.join("data/results"));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(data.join("deep")).unwrap();
        fs::write(data.join("deep/a.csv"), series()).unwrap();
        fs::write(data.join("b.csv"), series()).unwrap();
        fs::write(data.join("notes.txt"), "not a series").unwrap();
        for _ in 0..2 {
            let summary = evaluate_dir(&data, &out).unwrap();
            assert_eq!(
                summary,
                Summary {
                    files: 2,
                    rows: 1_200,
                    unreadable_values: 0
                }
            );
        }
        assert_eq!(
            fs::read(out.join("deep/a.csv")).unwrap(),
            fs::read(out.join("b.csv")).unwrap()
        );
        assert!(matches!(
            evaluate_dir(&data.join("deep/none"), &out),
            Err(EvaluateError::Io { .. })
        ));
        fs::create_dir(data.join("empty")).unwrap();
        assert!(matches!(
            evaluate_dir(&data.join("empty"), &out),
            Err(EvaluateError::Empty { .. })
        ));
        fs::remove_dir_all(&root).unwrap();
    }
}
