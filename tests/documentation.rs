//! The book and the README: their code runs, their links lead somewhere, and their tables are true.
//!
//! `TIDINGS_BLESS=1` writes the tables that are made from the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[cfg(all(feature = "axum", feature = "kafka", feature = "macros"))]
#[path = "../docs/examples/mod.rs"]
#[allow(
    unreachable_pub,
    dead_code,
    clippy::print_stdout,
    reason = "examples are written as a service's code is"
)]
mod examples;

#[path = "documentation/settings.rs"]
mod settings;

/// Rows of the fault table that this version shows.
const SHOWN: [u32; 27] = [
    1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 16, 17, 18, 19, 21, 23, 25, 30, 31, 33, 34, 35, 36, 37, 38, 39,
    43,
];
/// The last row of the fault table.
const LAST_ROW: u32 = 44;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files of a folder, below it too, by their path from the root.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|is| is == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The pages that people read.
fn pages() -> Vec<PathBuf> {
    let mut pages = files("docs", "md");
    pages.extend(["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(PathBuf::from));
    pages
}

/// The lines of a page that are not code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// What stands between two marks, each time.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    let parts = text.split(open).skip(1);
    parts.filter_map(|part| part.split_once(close).map(|(inside, _)| inside)).collect()
}

/// Names of tests: `tests/kafka/tiers.rs::a_name`.
fn tests_named(line: &str) -> Vec<(&str, &str)> {
    let code = line.split('`').skip(1).step_by(2);
    code.filter_map(|code| code.split_once(".rs::")).collect()
}

/// Whether a source has a test of that name: a function with an attribute that ends in `test`.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let function = line.split_once("fn ").is_some_and(|(_, rest)| {
            rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['(', '<']))
        });
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        let is_test = |line: &&str| {
            let path = line[2..].split(['(', ']', ' ']).next().unwrap_or_default();
            path.rsplit("::").next() == Some("test")
        };
        function && attributes.clone().any(is_test)
    })
}

#[test]
fn every_test_that_the_fault_table_names_exists_and_every_row_is_there() {
    let table = read("docs/reliability.md");
    let mut wrong = Vec::new();
    let mut shown = BTreeSet::new();
    let mut rows = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let tests = tests_named(line);
        for (file, name) in &tests {
            let path = root().join(format!("{file}.rs"));
            match std::fs::read_to_string(path) {
                Ok(source) if has_test(&source, name) => {}
                Ok(_) => wrong.push(format!("{file}.rs has no test {name}")),
                Err(_) => wrong.push(format!("{file}.rs is not there")),
            }
        }
        for row in numbers(line.split('|').nth(1).unwrap_or_default()) {
            if !rows.insert(row) {
                wrong.push(format!("row {row} is there twice"));
            }
            if !tests.is_empty() {
                shown.insert(row);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert_eq!(rows, (1..=LAST_ROW).collect());
    assert_eq!(shown, SHOWN.into());
}

/// `7`, `26, 27, 29`, `33–36`.
fn numbers(cell: &str) -> Vec<u32> {
    let range = |part: &str| {
        let mut ends = part.split('–').map(|number| number.trim().parse().ok());
        let first: u32 = ends.next()??;
        Some(first..=ends.next().flatten().unwrap_or(first))
    };
    cell.split(',').filter_map(range).flatten().collect()
}

#[test]
fn a_function_without_a_test_attribute_is_no_test() {
    let source = "#[tokio::test(flavor = \"x\")]\nasync fn one() {}\n\nfn two() {}\n\n    #[test]\n    \
                  #[ignore]\n    fn three(a in 0..1) {}\n#[cfg(test)]\nfn four() {}";
    let found = ["one", "two", "three", "four", "on"].map(|name| has_test(source, name));
    assert_eq!(found, [true, false, true, false, false]);
}

#[test]
fn the_readme_shows_the_whole_use_in_at_most_sixty_lines() {
    let readme = read("README.md");
    let examples = between(&readme, "```rust,no_run\n", "```");
    let [example] = &examples[..] else { panic!("{} examples", examples.len()) };
    let lines: Vec<_> = example.lines().filter(|line| !line.trim().is_empty()).collect();
    assert!(lines.len() <= 60, "{} lines", lines.len());
    for part in [
        "#[event(",
        "DomainEvent)]",
        "EventMapper::builder()",
        "Command)]",
        "impl RequestHandler<",
        ".publishing(",
        ".handle(",
        ".start()",
    ] {
        assert!(lines.iter().any(|line| line.contains(part)), "it shows no {part}");
    }
    assert!(lines.iter().all(|line| line.len() <= 100), "lines are as rustfmt leaves them");
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = read(&page);
        for target in prose(&text).flat_map(|line| between(line, "](", ")")) {
            if target.starts_with("http") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let book = root().join("docs/src");
            let there = root().join(&path).canonicalize();
            let outside = page.starts_with("docs/src")
                && there.as_ref().is_ok_and(|there| !there.starts_with(&book));
            if outside || there.is_err() || !(anchor.is_empty() || anchors(&path).contains(anchor))
            {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// What headings can be linked to by.
fn anchors(path: &Path) -> BTreeSet<String> {
    let heading = |line: &str| {
        let text = line.strip_prefix('#')?.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        Some(kept.collect::<String>().replace(' ', "-"))
    };
    prose(&read(path)).filter_map(heading).collect()
}

#[test]
fn what_the_book_includes_is_there() {
    let mut wrong = Vec::new();
    let mut used = BTreeMap::<PathBuf, BTreeSet<String>>::new();
    for page in pages() {
        for include in between(&read(&page), "{{#include ", "}}") {
            let (file, anchor) = include.split_once(".rs:").unwrap_or((include, ""));
            let file = if anchor.is_empty() { file.to_owned() } else { format!("{file}.rs") };
            let path = page.parent().unwrap().join(&file);
            let text = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
            let begins = text.contains(&format!("// ANCHOR: {anchor}\n"));
            let ends = text.contains(&format!("// ANCHOR_END: {anchor}\n"));
            if text.is_empty() || !(anchor.is_empty() || begins && ends) {
                wrong.push(format!("{}: {include}", page.display()));
            }
            let path = root().join(path).canonicalize().unwrap_or_default();
            used.entry(path).or_default().insert(anchor.to_owned());
        }
    }
    let modules = read("docs/examples/mod.rs");
    for example in files("docs/examples", "rs") {
        let name = example.file_stem().unwrap().to_str().unwrap();
        if name != "mod" && !modules.contains(&format!("mod {name};")) {
            wrong.push(format!("{} is compiled by nobody", example.display()));
        }
        let anchors = used.get(&root().join(&example)).cloned().unwrap_or_default();
        for anchor in between(&read(&example), "// ANCHOR: ", "\n") {
            if !anchors.contains(anchor) {
                wrong.push(format!("{}: nobody includes {anchor}", example.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_summary_lists_every_page_once() {
    let summary = read("docs/src/SUMMARY.md");
    let mut listed = between(&summary, "](", ")");
    listed.sort_unstable();
    let mut pages: Vec<_> = files("docs/src", "md")
        .iter()
        .map(|page| page.strip_prefix("docs/src").unwrap().to_str().unwrap().to_owned())
        .filter(|page| page != "SUMMARY.md")
        .collect();
    pages.sort_unstable();
    assert_eq!(listed, pages);
}

#[test]
fn the_tables_of_features_and_modules_are_complete() {
    let manifest = read("Cargo.toml");
    let features = between(&manifest, "\n[features]\n", "\n\n")[0];
    let features: BTreeSet<_> = features
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
        .filter(|name| *name != "default")
        .collect();
    let defaults = between(&manifest, "\ndefault = [", "]")[0];
    let defaults: BTreeSet<_> = defaults.split('"').skip(1).step_by(2).collect();
    for page in ["src/lib.rs", "docs/src/getting-started.md"] {
        let text = read(page);
        let rows = between(&text, "| feature | default |", "\n\n")[0];
        let rows: BTreeMap<_, _> = rows
            .lines()
            .filter_map(|line| {
                let cells: Vec<_> = line.split('|').map(str::trim).collect();
                Some((cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?, *cells.get(2)?))
            })
            .collect();
        assert_eq!(rows.keys().copied().collect::<BTreeSet<_>>(), features, "{page}");
        for (name, default) in rows {
            assert_eq!(default == "yes", defaults.contains(name), "{page}: {name}");
        }
    }
    let library = read("src/lib.rs");
    let map = between(&library, "# The map", "# Features")[0];
    for module in between(&library, "\npub mod ", ";") {
        assert!(
            map.contains(&format!("`{module}`")) || map.contains(&format!("`{module}::")),
            "{module}"
        );
    }
}

#[test]
fn every_setter_of_the_consumer_is_in_the_book() {
    let page = read("docs/src/consuming.md");
    let setters = read("src/consumer/builder.rs") + &read("src/consumer/hooks.rs");
    for setter in between(&setters, "    pub fn ", "(mut self") {
        let setter = setter.split('<').next().unwrap();
        if setter != "build" {
            assert!(page.contains(&format!("`{setter}`")), "{setter}");
        }
    }
}

#[test]
fn every_header_is_in_the_book() {
    let pages = read("docs/src/wire.md") + &read("docs/src/retries.md");
    let names = read("src/event/header.rs");
    for name in between(&names, ": &str = \"", "\"") {
        assert!(pages.contains(&format!("`{name}`")), "{name}");
    }
}

/// Compares what stands between two marks of a page with what it should be.
fn check_table(page: &str, name: &str, table: &str) {
    let text = read(page);
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let is = between(&text, &begin, &end)[0];
    let wanted = format!("\n{table}\n");
    if std::env::var_os("TIDINGS_BLESS").is_some() {
        let new = text.replace(&format!("{begin}{is}{end}"), &format!("{begin}{wanted}{end}"));
        return std::fs::write(root().join(page), new).unwrap();
    }
    let lines = |text: &'_ str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (is, should_be) = (lines(is), lines(&wanted));
    let wrong: Vec<_> = is.symmetric_difference(&should_be).collect();
    assert!(wrong.is_empty(), "TIDINGS_BLESS=1 writes the table anew; these differ: {wrong:#?}");
}

#[cfg(feature = "kafka")]
#[test]
fn the_table_of_settings_is_what_the_code_says() {
    use tidings::transport::kafka::config::KafkaConfig;

    let mut table =
        "| setting | variable | default | unit or choice | |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for line in KafkaConfig::default().effective() {
        let none = line.doc.contains("Default: none");
        let default = if none { "none".into() } else { format!("`{}`", line.value) };
        // The default has a column of its own, save where more is said about it.
        let doc = match line.doc.rsplit_once(" Default: ") {
            Some((doc, rest)) if !rest.contains(", ") || !none => doc.to_owned(),
            _ => line.doc.clone(),
        };
        let (setting, variable) = (line.setting, line.variable);
        let unit = unit(&setting, &line.value, none);
        table += &format!("| `{setting}` | `{variable}` | {default} | {unit} | {doc} |\n");
    }
    check_table("docs/src/configuration.md", "settings", &table);
}

/// In what a setting is counted, or what it is chosen from.
#[cfg(feature = "kafka")]
fn unit(setting: &str, value: &str, none: bool) -> String {
    use tidings::transport::kafka::config as choices;

    macro_rules! one_of {
        ($choice:ident) => {{
            let all = choices::$choice::ALL.iter();
            all.map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ")
        }};
    }
    let (_, name) = setting.rsplit_once('.').unwrap_or(("", setting));
    let unit = match name {
        "preset" => return one_of!(Preset),
        "security_protocol" => return one_of!(SecurityProtocol),
        "mechanism" => return one_of!(SaslMechanism),
        "acks" => return one_of!(Acks),
        "compression" => return one_of!(Compression),
        "auto_offset_reset" => return one_of!(AutoOffsetReset),
        "isolation_level" => return one_of!(IsolationLevel),
        "group_protocol" => return one_of!(GroupProtocol),
        "assignment_strategy" => return one_of!(AssignmentStrategy),
        "unknown_type" => return "`ignore`, `dead_letter`, `fail`".into(),
        _ if none => "text",
        _ if value == "true" || value == "false" => "switch",
        _ if name.ends_with("memory") || name.ends_with("bytes") || name == "batch_size" => "bytes",
        _ if value.parse::<u64>().is_ok() => "count",
        _ if tidings::retry::parse_duration(value).is_ok() => "duration",
        _ if tidings::retry::parse_tiers(value).is_ok() => "durations",
        _ => "text",
    };
    unit.into()
}

#[cfg(feature = "kafka")]
#[test]
fn the_table_of_presets_is_what_the_code_says() {
    use tidings::transport::kafka::config::{KafkaConfig, Preset};

    let defaults = KafkaConfig::default().effective();
    let mut table =
        "| preset | setting | instead of | value |\n| --- | --- | --- | --- |\n".to_owned();
    for preset in Preset::ALL {
        for (setting, value) in preset.changes() {
            let default = defaults.iter().find(|line| line.setting == *setting).unwrap();
            table += &format!("| `{preset}` | `{setting}` | `{}` | `{value}` |\n", default.value);
        }
    }
    check_table("docs/src/configuration.md", "presets", &table);
}

#[test]
fn the_table_of_metrics_is_what_the_code_says() {
    let mut table = "| metric | unit | |\n| --- | --- | --- |\n".to_owned();
    for metric in tidings::telemetry::names::metric::ALL {
        table += &format!("| `{}` | `{}` | {} |\n", metric.name, metric.unit, metric.description);
    }
    check_table("docs/src/telemetry.md", "metrics", &table);
}

#[cfg(feature = "kafka")]
#[test]
fn the_table_of_error_codes_is_what_the_code_says() {
    let mut table = "| class | code | number | why |\n| --- | --- | --- | --- |\n".to_owned();
    for code in tidings::transport::kafka::ERROR_CODES {
        let tidings::transport::kafka::ErrorCode { name, number, class, reason, .. } = code;
        table += &format!("| {class} | `{name}` | {number} | {reason} |\n");
    }
    check_table("docs/src/producer.md", "errors", &table);
}
