//! The page of settings: what the sources say of every setter of every builder.

use std::collections::BTreeMap;
use std::path::Path;

use super::{between, check_table, files, read};

/// Types whose methods take and answer themselves and set nothing.
const NO_SETTINGS: [&str; 3] = ["Events", "Expect", "FaultPlan"];
/// The simulator and the suite for transports: a service sets nothing of them.
const LEFT_OUT: [&str; 2] = ["src/testing/sim/", "src/testing/conformance/"];

/// What a public method is told, and what is said of it.
struct Setter {
    name: String,
    takes: String,
    doc: String,
}

/// The setters of all types, in the order of their sources.
fn setters() -> BTreeMap<String, Vec<Setter>> {
    let mut found = BTreeMap::<String, Vec<Setter>>::new();
    for file in files("src", "rs") {
        if LEFT_OUT.iter().any(|folder| file.starts_with(folder)) || is_test(&file) {
            continue;
        }
        let (mut owner, mut doc) = (None, Vec::new());
        let source = read(&file);
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            if line.starts_with("impl") {
                owner = owner_of(line);
            }
            let text = line.trim_start();
            if let Some(said) = text.strip_prefix("///") {
                doc.push(said.trim());
            } else if line.starts_with("    pub fn ") || line.starts_with("    pub const fn ") {
                let mut signature = text.to_owned();
                while !signature.contains('{') {
                    signature += " ";
                    signature += lines.next().expect("a method has a body").trim_start();
                }
                let signature = signature.replace("( ", "(");
                let setter = owner.as_ref().zip(setter(&signature, &doc));
                if let Some((owner, setter)) = setter {
                    found.entry(owner.clone()).or_default().push(setter);
                }
                doc.clear();
            } else if !text.starts_with("#[") {
                doc.clear();
            }
        }
    }
    found.retain(|owner, _| !NO_SETTINGS.contains(&owner.as_str()));
    found
}

fn is_test(file: &Path) -> bool {
    let path = file.to_str().unwrap();
    path.ends_with("tests.rs") || path.contains("/tests/")
}

/// The type of an `impl` that is no trait's.
fn owner_of(line: &str) -> Option<String> {
    let mut depth = 0;
    let rest = line.strip_prefix("impl")?;
    let end = rest.find(|char| {
        depth += i32::from(char == '<') - i32::from(char == '>');
        depth == 0 && char == ' '
    })?;
    let rest = &rest[end + 1..];
    let name = rest.split(|char: char| !char.is_alphanumeric()).next()?;
    (!rest.contains(" for ")).then(|| name.to_owned())
}

fn setter(signature: &str, doc: &[&str]) -> Option<Setter> {
    // An arrow closes nothing.
    let signature = signature.replace("->", "→");
    let (_, rest) = signature.split_once("fn ")?;
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let (_, rest) = rest.split_once("(self").or_else(|| rest.split_once("(mut self"))?;
    let arguments = inside(rest);
    let answer = rest[arguments.len()..].strip_prefix(')')?.trim_start().strip_prefix('→')?.trim();
    let answer = answer.trim_start_matches("Result<");
    let itself = answer.starts_with("Self")
        || answer.split('<').next().is_some_and(|it| it.ends_with("Builder"));
    // A name that a macro fills in is none.
    (itself && !name.is_empty()).then(|| Setter {
        name,
        takes: takes(arguments),
        doc: doc.join(" "),
    })
}

/// What stands before the parenthesis that closes it.
fn inside(text: &str) -> &str {
    let mut depth = 0;
    let end = text.find(|char| {
        depth += i32::from(char == '(') - i32::from(char == ')');
        depth < 0
    });
    &text[..end.unwrap_or(text.len())]
}

/// The parts between commas that stand in no brackets.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, char) in text.char_indices() {
        match char {
            '(' | '<' | '[' => depth += 1,
            ')' | '>' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// In what it is counted, or of which type it is.
fn takes(arguments: &str) -> String {
    let kinds = parts(arguments).into_iter().filter_map(|part| part.split_once(": "));
    kinds.map(|(_, it)| kind(it.trim())).collect::<Vec<_>>().join(", ")
}

fn kind(kind: &str) -> String {
    let inside = |begin: &str| kind.strip_prefix(begin).and_then(|kind| kind.strip_suffix('>'));
    match kind {
        "Duration" => "duration".into(),
        "usize" | "u32" | "u64" | "i32" => "count".into(),
        "bool" => "switch".into(),
        "&str" | "impl Into<String>" => "text".into(),
        _ if kind.starts_with("impl Fn") => "function".into(),
        _ if kind.len() == 1 => "a type that fits".into(),
        _ => match (inside("impl Into<"), inside("impl IntoIterator<Item = ")) {
            (Some(one), _) => format!("`{one}`"),
            (_, Some(many)) => format!("several `{many}`"),
            _ => format!("`{}`", kind.rsplit("::").next().unwrap_or(kind)),
        },
    }
}

/// The sentences up to the default, the default, and what is said behind it.
fn row(Setter { name, takes, doc }: &Setter) -> String {
    let doc = doc.split("  ").next().unwrap_or_default();
    let doc = doc.split(" # ").next().unwrap_or_default();
    let (mut said, mut default) = (Vec::new(), String::new());
    for sentence in doc.split_inclusive(". ") {
        let sentence = sentence.trim();
        match sentence.strip_prefix("Default") {
            Some(is) => {
                default = is.trim_start_matches(':').trim().trim_end_matches('.').to_owned()
            }
            None => said.push(without_links(sentence)),
        }
    }
    format!("| `{name}` | {takes} | {} | {} |\n", without_links(&default), said.join(" "))
}

/// Links of rustdoc are none in the book.
fn without_links(text: &str) -> String {
    let mut text = text.to_owned();
    for link in between(&text.clone(), "[`", "]") {
        let name = link.trim_end_matches('`');
        text = text.replace(&format!("[`{link}]"), &format!("`{name}`"));
    }
    for target in between(&text.clone(), "`(", ")") {
        if target.contains("::") {
            text = text.replace(&format!("`({target})"), "`");
        }
    }
    text
}

#[test]
fn every_setter_of_every_builder_is_on_the_page_of_settings() {
    let page = "docs/src/settings.md";
    let text = read(page);
    let mut missing = Vec::new();
    for (owner, setters) in setters() {
        if !text.contains(&format!("<!-- {owner}: begin -->\n")) {
            missing.push(owner);
            continue;
        }
        let mut table = "| setter | takes | default | |\n| --- | --- | --- | --- |\n".to_owned();
        table.extend(setters.iter().map(row));
        check_table(page, &owner, &table);
    }
    assert!(missing.is_empty(), "{page} has no `<!-- {missing:?}: begin -->`, and no end of it");
}

#[test]
fn every_behaviour_is_on_the_page_of_settings() {
    let page = read("docs/src/settings.md");
    for file in files("src/mediator", "rs") {
        let source = read(&file);
        for line in source.lines().filter(|line| line.starts_with("impl")) {
            let Some((_, behaviour)) = line.split_once(" Behaviour for ") else { continue };
            let name = behaviour.split(['<', '(', ' ']).next().unwrap();
            let inner = ["", "Both"].contains(&name);
            assert!(inner || page.contains(&format!("`{name}")), "{name} of {}", file.display());
        }
    }
}

#[test]
fn every_option_of_the_command_line_is_on_the_page_of_settings() {
    let (page, source) = (read("docs/src/settings.md"), read("src/cli/args.rs"));
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if !line.contains("#[arg(") || !line.contains("long") {
            continue;
        }
        let field = lines.next().expect("an option is a field");
        let (field, _) = field.trim().rsplit_once(": ").unwrap();
        let field = field.rsplit(' ').next().unwrap().replace('_', "-");
        let said = between(line, "long = \"", "\"").first().map_or(field, |&name| name.to_owned());
        assert!(page.contains(&format!("`--{said}")), "--{said}");
    }
}
