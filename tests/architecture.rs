//! The table of arrows between rooms (crates/README.md) as a test: a wrong arrow is named.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Room → rooms that it may import.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &["model"]),
    ("rules", &["model"]),
    ("eval", &["model", "rules"]),
    ("correlate", &["model", "rules"]),
    ("engine", &["model", "rules", "eval", "correlate"]),
    ("kafka", &["model"]),
    ("ingest", &["model", "wire", "kafka"]),
    ("store", &["model", "engine", "kafka"]),
    ("emit", &["model", "wire", "kafka"]),
    ("http", &["model", "wire", "rules", "engine"]),
    (
        "runtime",
        &[
            "model",
            "wire",
            "rules",
            "eval",
            "correlate",
            "engine",
            "kafka",
            "ingest",
            "store",
            "emit",
            "http",
        ],
    ),
    (
        "lab",
        &[
            "model",
            "wire",
            "rules",
            "eval",
            "correlate",
            "engine",
            "ingest",
            "store",
            "emit",
            "http",
            "runtime",
        ],
    ),
];

/// Libraries that only some rooms may hold.
const WALLS: &[(&str, &[&str])] = &[
    ("rdkafka", &["foghorn-kafka"]),
    ("axum", &["foghorn-http"]),
    ("clap", &["foghorn", "foghorn-benches", "foghorn-testkit"]),
    ("anyhow", &["foghorn"]),
    ("config", &["foghorn"]),
    ("reqwest", &["foghorn-emit"]),
    ("promql-parser", &["foghorn-rules"]),
];

/// The thought ring: no runtime, no client, no clock.
const THOUGHT: &[&str] = &["model", "wire", "rules", "eval", "correlate", "engine"];
const HANDS_ONLY: &[&str] = &["tokio", "rdkafka", "reqwest", "axum", "tracing", "rand"];

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .no_deps()
        .exec()
        .expect("cargo metadata runs in the workspace");
    let packages = metadata.packages.into_iter().map(|package| {
        let normal = package
            .dependencies
            .iter()
            .filter(|dep| dep.kind == DependencyKind::Normal);
        (
            package.name.to_string(),
            normal.map(|dep| dep.name.clone()).collect(),
        )
    });
    packages.collect()
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let dependencies = dependencies();
    let mut wrong = Vec::new();
    for (room, allowed) in ARROWS {
        let package = format!("foghorn-{room}");
        let Some(imports) = dependencies.get(&package) else {
            wrong.push(format!("{package} is no package of the workspace"));
            continue;
        };
        for import in imports
            .iter()
            .filter_map(|name| name.strip_prefix("foghorn-"))
        {
            if !allowed.contains(&import) {
                wrong.push(format!("{room} → {import}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that crates/README.md does not have: {wrong:?}"
    );
}

#[test]
fn the_test_kit_is_no_part_of_the_product() {
    for (package, imports) in dependencies() {
        if package != "foghorn-benches" {
            assert!(
                !imports.contains("foghorn-testkit"),
                "{package} imports testkit outside of its tests"
            );
        }
    }
}

#[test]
fn walls_stand() {
    let dependencies = dependencies();
    let mut wrong = Vec::new();
    for (library, holders) in WALLS {
        for (package, imports) in &dependencies {
            if imports.contains(*library) && !holders.contains(&package.as_str()) {
                wrong.push(format!("{package} → {library} (only {holders:?} may)"));
            }
        }
    }
    for room in THOUGHT {
        let imports = &dependencies[&format!("foghorn-{room}")];
        wrong.extend(
            HANDS_ONLY
                .iter()
                .filter(|hand| imports.contains(**hand))
                .map(|hand| format!("{room} → {hand}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
