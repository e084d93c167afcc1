//! Rule files from disk: folders and globs to texts, in name order.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use foghorn_engine::RuleFile;
use foghorn_rules::plan::RuleSet;
use foghorn_rules::{Diagnostic, LoadOptions, Source, load};

/// The YAML files that paths stand for: a file is itself, a folder all `.yaml` and `.yml` files
/// below it, a `*` in the last part of a path any text.
pub(crate) fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut files)?;
        } else if let Some(pattern) = path
            .file_name()
            .and_then(|n| n.to_str())
            .filter(|n| n.contains('*'))
        {
            let folder = path
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            let mut found: Vec<_> = fs::read_dir(folder)
                .with_context(|| format!("{} cannot be listed", folder.display()))?
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|p| {
                    p.file_name()
                        .and_then(|n| n.to_str())
                        .is_some_and(|name| glob(pattern, name))
                })
                .collect();
            found.sort();
            files.append(&mut found);
        } else {
            files.push(path.clone());
        }
    }
    files.dedup();
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("{} cannot be listed", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| glob(tail, &rest[at..]))
        }),
    }
}

/// Rule files as they stand on disk, and what became of them.
pub(crate) struct Loaded {
    pub(crate) files: Vec<RuleFile>,
    pub(crate) rules: RuleSet,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Reads and loads rule files.
pub(crate) fn read(paths: &[PathBuf], options: &LoadOptions) -> anyhow::Result<Loaded> {
    let mut files = Vec::new();
    for path in expand(paths)? {
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        files.push(RuleFile {
            path: path.display().to_string(),
            text,
        });
    }
    let sources: Vec<_> = files
        .iter()
        .map(|file| Source::new(&file.path, &file.text))
        .collect();
    let (rules, diagnostics) = load(&sources, options);
    Ok(Loaded {
        files,
        rules,
        diagnostics,
    })
}

impl Loaded {
    /// The text of a diagnostic's file.
    pub(crate) fn text(&self, diagnostic: &Diagnostic) -> &str {
        self.files
            .iter()
            .find(|file| file.path == diagnostic.file)
            .map_or("", |file| &file.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        assert!(glob("*.yaml", "a.yaml"));
        assert!(glob("a*c*.yaml", "abcd.yaml"));
        assert!(!glob("*.yaml", "a.yml"));
    }
}
