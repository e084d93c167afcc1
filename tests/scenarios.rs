//! Runs every `tests/scenarios/*.scn` on one shard and on three, and says what does not hold.

use std::path::Path;

use foghorn_runtime::Layout;
use foghorn_testkit::scenario::Scenario;

#[test]
fn scenarios_hold_on_any_number_of_shards() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("tests/scenarios is there")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "scn"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no scenario in {}", folder.display());
    let mut failures = Vec::new();
    for file in &files {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(file).expect("a scenario can be read");
        let scenario = match Scenario::parse(&text) {
            Ok(scenario) => scenario,
            Err(complaints) => {
                failures.push(format!("{name}:{}", complaints.join(&format!("\n{name}:"))));
                continue;
            }
        };
        let one = Layout::default();
        let three = Layout {
            shards: 3,
            intakes: 2,
            ..Layout::default()
        };
        for layout in [&one, &three] {
            if let Err(complaints) = scenario.run(layout) {
                failures.push(format!(
                    "on {} shard(s):\n{name}:{}",
                    layout.shards,
                    complaints.join(&format!("\n{name}:"))
                ));
            }
        }
        assert_eq!(
            scenario.signals(&one).ok(),
            scenario.signals(&three).ok(),
            "{name}: shards change what is said"
        );
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}
