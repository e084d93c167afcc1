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

/// The files that a pattern stands for, in name order: in each part of a path `*` stands for any
/// text, `?` for one character and `[a-z]` for one of some (Go's `filepath.Glob`).
pub(crate) fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str();
        let wild = name
            .to_str()
            .filter(|name| name.contains(['*', '?', '[', '\\']));
        let Some(wild) = wild else {
            found.iter_mut().for_each(|path| path.push(name));
            continue;
        };
        let mut next = Vec::new();
        for folder in &found {
            let listed = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            let entries = fs::read_dir(listed).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            let mut names: Vec<_> = names.filter(|name| go_glob(wild, name)).collect();
            names.sort();
            next.extend(names.into_iter().map(|name| folder.join(name)));
        }
        found = next;
    }
    found.retain(|path| path.exists());
    found
}

fn go_glob(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    let Some(first) = rest.next() else {
        return name.is_empty();
    };
    let mut letters = name.chars();
    match first {
        '*' => (0..=name.len())
            .filter(|at| name.is_char_boundary(*at))
            .any(|at| go_glob(rest.as_str(), &name[at..])),
        '?' => letters.next().is_some() && go_glob(rest.as_str(), letters.as_str()),
        '[' => {
            let Some((class, behind)) = rest.as_str().split_once(']') else {
                return false;
            };
            let (negated, class) = class
                .strip_prefix('^')
                .map_or((false, class), |class| (true, class));
            letters.next().is_some_and(|letter| {
                is_in(class, letter) != negated && go_glob(behind, letters.as_str())
            })
        }
        '\\' => rest.next().is_some_and(|escaped| {
            letters.next() == Some(escaped) && go_glob(rest.as_str(), letters.as_str())
        }),
        plain => letters.next() == Some(plain) && go_glob(rest.as_str(), letters.as_str()),
    }
}

/// Whether a letter is in a class such as `abc0-9`.
fn is_in(class: &str, letter: char) -> bool {
    let class: Vec<char> = class.chars().collect();
    let mut at = 0;
    while at < class.len() {
        if let [from, '-', to, ..] = class[at..] {
            if (from..=to).contains(&letter) {
                return true;
            }
            at += 3;
        } else {
            if class[at] == letter {
                return true;
            }
            at += 1;
        }
    }
    false
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
    /// How many rules are fine.
    pub(crate) fn rules(&self) -> usize {
        let groups = self.rules.groups.iter();
        groups.map(|group| group.rules.len()).sum()
    }

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
    fn patterns_of_go() {
        let check = |pattern, name, expect| assert_eq!(go_glob(pattern, name), expect, "{pattern}");
        check("*.y?ml", "a.yaml", true);
        check("*.y?ml", "a.yml", false);
        check("[a-c]x[^0-9]", "bxé", true);
        check("[a-c]x[^0-9]", "bx7", false);
        check("a\\*", "a*", true);
        check("a\\*", "ab", false);
        check("[a", "a", false);
    }

    #[test]
    fn patterns_in_every_part_of_a_path() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/x.yml", "b/x.yml", "b/y.yml", "c.yml"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let check = |pattern: &str, expect: &[&str]| {
            let expect: Vec<_> = expect.iter().map(|name| folder.path().join(name)).collect();
            assert_eq!(matching(&folder.path().join(pattern)), expect, "{pattern}");
        };
        check("*/x.yml", &["a/x.yml", "b/x.yml"]);
        check("b/*", &["b/x.yml", "b/y.yml"]);
        check("c.yml", &["c.yml"]);
        check("d.yml", &[]);
    }

    #[test]
    fn stars_stand_for_any_text() {
        assert!(glob("*.yaml", "a.yaml"));
        assert!(glob("a*c*.yaml", "abcd.yaml"));
        assert!(!glob("*.yaml", "a.yml"));
    }
}
