//! Reads every path in `src/` and fails when a floor uses one above it.
//!
//! Tokens are read, not syntax trees: so the paths inside of macros are seen too.

mod planted;
mod scan;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use tree::check;

/// The floor of each module; what is not named lies on its parent's.
const FLOORS: &[(&str, u8)] = &[
    ("event", 0),
    ("error", 0),
    ("clock", 0),
    ("task", 0),
    ("codec", 1),
    ("topic", 1),
    ("retry", 1),
    ("mediator", 2),
    ("mapper", 2),
    ("transport", 3),
    ("store", 3),
    ("publisher", 4),
    ("producer", 4),
    ("consumer", 4),
    ("worker", 4),
    ("outbox", 4),
    ("inbox", 4),
    ("saga", 4),
    ("state", 4),
    ("telemetry", 4),
    ("transport::kafka", 5),
    ("transport::redis", 5),
    ("transport::memory", 5),
    ("store::postgres", 5),
    ("store::sqlite", 5),
    ("store::mysql", 5),
    ("web", 6),
    ("cli", 6),
    ("testing", 6),
    ("asyncapi", 6),
];

/// Crates that are named in one folder only.
const ADAPTERS: &[(&str, &str)] = &[
    ("rdkafka", "transport/kafka/"),
    ("rdkafka_sys", "transport/kafka/"),
    ("sqlx", "store/"),
    ("redis", "transport/redis/"),
    ("axum", "web/"),
];

/// The one module that may hold `unsafe`: a file, and the folder below it.
const UNSAFE: [&str; 2] = ["transport/kafka/ffi.rs", "transport/kafka/ffi/"];

#[test]
fn no_floor_uses_one_above_it() {
    let violations = check(&files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// The sources below a folder, by their path from there.
fn files(root: &Path) -> BTreeMap<String, String> {
    fn read(folder: &Path, root: &Path, files: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, root, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    read(root, root, &mut found);
    found
}
