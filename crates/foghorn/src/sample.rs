//! `foghorn source sample`: a handful of records, and what they decode to.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};
use foghorn_ingest::suggest::{self, Suggestion};
use foghorn_ingest::{FileSpec, Records, SourceConfig, Specimen};
use foghorn_kafka::{Peek, PeekFrom, Properties, RdAdmin};
use foghorn_lab::sample::{Sampler, attempt_line, finding_text, source_block, summary_text};
use foghorn_model::Timestamp;
use foghorn_rules::diagnostic::did_you_mean;
use foghorn_runtime::clock;
use foghorn_wire::{Compression, DecodeOptions, Format};

use crate::args::{From, Output, SampleArgs, Source, SourceArgs};
use crate::config::{Config, explain, load};
use crate::out::{Failure, complain, say};

/// A topic that shows nothing for so long is not waited for.
const SILENCE: Duration = Duration::from_secs(5);

/// Records, and all that is known of their source.
struct Taken {
    specimens: Vec<Specimen>,
    /// A configured source, or one that still has its defaults.
    source: SourceConfig,
    /// Its format, where it is known and not to be suggested.
    format: Option<Format>,
    /// Wall time, where the records are live.
    now: Option<Timestamp>,
}

pub(crate) fn run(args: &SourceArgs) -> Result<(), Failure> {
    let Source::Sample(args) = &args.what;
    let mut taken = match (&args.config, &args.brokers) {
        (Some(config), _) => configured(args, config)?,
        (None, Some(brokers)) => topic(args, brokers)?,
        (None, None) => file(args)?,
    };
    if taken.specimens.is_empty() {
        return Err(Failure::Other(anyhow!(
            "{}: no record was found",
            args.source
        )));
    }
    if let Some(compression) = args.compression {
        taken.source.compression = compression;
    }
    let mut preset = args.preset.clone();
    if let Some(preset) = &preset {
        taken.source.decode = with_preset(preset)?;
        taken.format = taken.format.or(Some(Format::JsonLogs));
    }
    match args.format.or(taken.format) {
        Some(format) => taken.source.format = format,
        None => match suggested(&taken.specimens) {
            Ok(suggestion) => {
                take_up(&suggestion, &mut taken, &mut preset, args.output);
            }
            Err(why) => {
                tell_attempts(&taken, &why, args.output);
                return Ok(());
            }
        },
    }
    show(&taken, preset.as_deref(), args);
    Ok(())
}

/// Goes on with a suggestion, and says so.
fn take_up(found: &Suggestion, taken: &mut Taken, preset: &mut Option<String>, output: Output) {
    taken.source.format = found.format;
    let packing = suggest::packing(&taken.specimens[0]);
    if taken.source.compression == Compression::None {
        taken.source.compression = packing;
    }
    // A preset that this build does not know is no reason to show nothing.
    if let Some(name) = found.preset
        && let Ok(options) = with_preset(name)
    {
        taken.source.decode = options;
        *preset = Some(name.to_owned());
    }
    if output == Output::Text {
        let preset = preset.as_ref().map(|name| format!(" with preset {name}"));
        say(&format!(
            "No format was given; {}{} is suggested: {}.\n",
            found.format,
            preset.unwrap_or_default(),
            found.reason
        ));
    }
}

/// What the first record that tells anything suggests; why nothing is suggested, else.
fn suggested(specimens: &[Specimen]) -> Result<Suggestion, String> {
    let mut first = None;
    for specimen in specimens {
        match suggest::of(specimen) {
            Ok(suggestion) => return Ok(suggestion),
            Err(why) => first = first.or(Some(why)),
        }
    }
    Err(first.unwrap_or_default())
}

fn tell_attempts(taken: &Taken, why: &str, output: Output) {
    let attempts = suggest::attempts(&taken.specimens, &taken.source.decode);
    if output == Output::Json {
        for attempt in &attempts {
            say(&serde_json::json!({
                "format": attempt.format.name(),
                "compression": attempt.compression.to_string(),
                "samples": attempt.found.samples,
                "logs": attempt.found.logs,
                "others": attempt.found.others,
                "refused": attempt.refused.as_ref().map(|refusal| refusal.code),
                "clean": attempt.is_clean(),
            })
            .to_string());
        }
        return;
    }
    say(&format!(
        "No format was given, and none is suggested: {why}.\n{} records decode as",
        taken.specimens.len()
    ));
    let clean = attempts.iter().filter(|attempt| attempt.is_clean());
    let other = attempts.iter().filter(|attempt| !attempt.is_clean());
    for (mark, attempt) in clean.map(|a| ('+', a)).chain(other.map(|a| ('-', a))) {
        say(&format!("  {mark} {}", attempt_line(attempt)));
    }
    say("Bytes of one signal may decode as another's: say which it is, with --format.");
}

fn show(taken: &Taken, preset: Option<&str>, args: &SampleArgs) {
    let mut sampler = Sampler::new(&taken.source);
    for specimen in &taken.specimens {
        let finding = sampler.take(specimen, taken.now);
        match args.output {
            Output::Text => say(&finding_text(&finding, args.lines)),
            Output::Json => say(&serde_json::to_string(&finding).unwrap_or_default()),
        }
    }
    let summary = sampler.finish();
    if args.output == Output::Json {
        complain(&serde_json::to_string(&summary).unwrap_or_default());
        return;
    }
    say(&summary_text(&summary));
    // A configured source stands in its file already, unless something was tried over it.
    if args.config.is_none() || args.format.is_some() || args.preset.is_some() {
        say(source_block(&taken.source, preset, &summary).trim_end());
    } else if let Some(span) = summary.lateness_to_allow() {
        let span = foghorn_model::time::span_text(span);
        say(&format!(
            "consider `allowed_lateness: {span}` for this source"
        ));
    }
}

/// The default options, and a preset.
fn with_preset(preset: &str) -> anyhow::Result<DecodeOptions> {
    let options = serde_json::json!({"json_logs": {"preset": preset}});
    serde_json::from_value(options).map_err(|error| {
        let (message, hint) = explain(&error.to_string());
        anyhow!("preset: {message}: {}", hint.unwrap_or_default())
    })
}

fn file(args: &SampleArgs) -> Result<Taken, Failure> {
    if args.partition.is_some() {
        return Err(Failure::Usage(
            "a file has no partitions: name its cluster with --brokers".to_owned(),
        ));
    }
    let spec: FileSpec = args
        .source
        .parse()
        .map_err(|error| Failure::Usage(format!("{error}")))?;
    if !spec.path.exists() && !args.source.contains(['/', '.']) {
        let hint = format!(
            "{}: no such file; a topic needs --brokers HOST:PORT, a configured source -c FILE",
            args.source
        );
        return Err(Failure::Other(anyhow!(hint)));
    }
    let (records, whole) = Records::open_loosely(&spec.path)?;
    if whole && args.output == Output::Text {
        say(
            "The file does not consist of frames (a big-endian u32 length and so many bytes): all of it is taken for one record.\n",
        );
    }
    let (len, count) = (records.len(), args.count as usize);
    let first = match args.from.unwrap_or(From::Earliest) {
        From::Earliest => 0,
        From::Latest => len,
        From::Last(number) => len.saturating_sub(number as usize),
        From::At(offset) => usize::try_from(offset).unwrap_or(0),
    };
    let specimens = (first..len)
        .take(count)
        .map(|index| Specimen::of_file(&records, index))
        .collect();
    let name = spec
        .path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    Ok(Taken {
        specimens,
        source: SourceConfig::of(&name.unwrap_or_default(), Format::JsonMetrics),
        format: spec.format.or(records.told),
        now: None,
    })
}

fn topic(args: &SampleArgs, brokers: &str) -> Result<Taken, Failure> {
    let mut properties = BTreeMap::from([("bootstrap.servers".to_owned(), brokers.to_owned())]);
    for property in &args.properties {
        let Some((name, value)) = property.split_once('=') else {
            return Err(Failure::Usage(format!("-X {property}: write NAME=VALUE")));
        };
        properties.insert(name.to_owned(), value.to_owned());
    }
    let admin = RdAdmin::open(&Properties::new(properties)?)?;
    let mut source = SourceConfig::of(&args.source, Format::JsonMetrics);
    source.topics = vec![args.source.clone()];
    Ok(Taken {
        specimens: look(&admin, &source.topics, args)?,
        source,
        format: None,
        now: Some(clock::wall()),
    })
}

fn configured(args: &SampleArgs, path: &Path) -> Result<Taken, Failure> {
    let config = load(path, &[])?;
    let admin = RdAdmin::open(&crate::running::properties(&config, path)?)?;
    let source = named(config, &args.source)?;
    let mut topics = source.topics.clone();
    if let Some(pattern) = &source.topic_regex {
        topics.extend(admin.topics(pattern)?);
    }
    Ok(Taken {
        specimens: look(&admin, &topics, args)?,
        format: Some(source.format),
        source,
        now: Some(clock::wall()),
    })
}

/// A configured source by its name.
fn named(config: Config, name: &str) -> anyhow::Result<SourceConfig> {
    let names: Vec<_> = config
        .sources
        .iter()
        .map(|source| source.name.clone())
        .collect();
    let found = config
        .sources
        .into_iter()
        .find(|source| source.name == name);
    found.ok_or_else(|| {
        let names = names.iter().map(String::as_str);
        let hint = did_you_mean(name, names.clone())
            .unwrap_or_else(|| format!("known here: {}", names.collect::<Vec<_>>().join(", ")));
        anyhow!("no source is called {name:?}: {hint}")
    })
}

/// A share of records from each topic.
fn look(admin: &RdAdmin, topics: &[String], args: &SampleArgs) -> anyhow::Result<Vec<Specimen>> {
    if topics.is_empty() {
        bail!("{}: no topic matches", args.source);
    }
    let count = (args.count as usize).div_ceil(topics.len());
    let mut specimens = Vec::new();
    for topic in topics {
        let peek = Peek {
            topic: topic.clone(),
            partition: args.partition,
            from: match args.from {
                None => PeekFrom::Last(count as u64),
                Some(From::Earliest) => PeekFrom::Earliest,
                Some(From::Latest) => PeekFrom::Latest,
                Some(From::Last(number)) => PeekFrom::Last(number),
                Some(From::At(offset)) => PeekFrom::At(offset),
            },
            count,
            silence: SILENCE,
        };
        specimens.extend(admin.peek(&peek)?.into_iter().map(Specimen::of_topic));
    }
    specimens.truncate(args.count as usize);
    Ok(specimens)
}
