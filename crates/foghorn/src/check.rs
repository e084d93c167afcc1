//! `foghorn check`: every problem at once, each with its place.

use std::path::PathBuf;

use foghorn_rules::{Diagnostic, LoadOptions};

use crate::args::{CheckArgs, Output};
use crate::config::{self, beside};
use crate::out::{Failure, colours, complain, say};
use crate::rule_files;

/// What files are.
enum Kind {
    Config,
    Rules,
}

pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let (kind, paths) = match args.what.as_str() {
        "config" => (Some(Kind::Config), args.paths.clone()),
        "rules" => (Some(Kind::Rules), args.paths.clone()),
        path => (
            None,
            std::iter::once(PathBuf::from(path))
                .chain(args.paths.iter().cloned())
                .collect(),
        ),
    };
    if paths.is_empty() {
        return Err(Failure::Usage(format!(
            "foghorn check {}: name at least one file or folder",
            args.what
        )));
    }
    let mut problems = 0;
    let mut report = |diagnostic: &Diagnostic, text: &str| {
        problems += usize::from(diagnostic.is_error());
        match args.output {
            Output::Text => complain(&format!(
                "{}\n",
                diagnostic.render(text, colours(&std::io::stderr()))
            )),
            Output::Json => say(&serde_json::to_string(diagnostic).unwrap_or_default()),
        }
    };
    let (mut configs, mut rules) = (Vec::new(), Vec::new());
    for path in rule_files::expand(&paths)? {
        match kind {
            Some(Kind::Rules) => rules.push(path),
            None if is_rules(&path) => rules.push(path),
            Some(Kind::Config) | None => configs.push(path),
        }
    }
    for path in &configs {
        let text = std::fs::read_to_string(path)
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        let (config, diagnostics) = config::parse(&path.display().to_string(), &text);
        diagnostics
            .iter()
            .for_each(|diagnostic| report(diagnostic, &text));
        if let Some(config) = config {
            rules.extend(config.rules.files.iter().map(|file| beside(path, file)));
        }
    }
    let loaded = rule_files::read(&rules, &LoadOptions::default())?;
    for diagnostic in &loaded.diagnostics {
        report(diagnostic, loaded.text(diagnostic));
    }
    let count = loaded.rules();
    if problems > 0 {
        complain(&format!("{problems} problem(s); {count} rules are fine"));
        return Err(Failure::Told);
    }
    if args.output == Output::Text {
        say(&format!(
            "SUCCESS: {} config(s), {} rule file(s), {count} rules found",
            configs.len(),
            loaded.files.len()
        ));
    }
    Ok(())
}

/// Rule files have `groups:` at their top.
fn is_rules(path: &std::path::Path) -> bool {
    std::fs::read_to_string(path)
        .is_ok_and(|text| text.lines().any(|line| line.starts_with("groups:")))
}
