//! Reads every path in `src/` and fails when a floor uses one above it.
//!
//! Tokens are read, not syntax trees: so the paths inside of macros are seen too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The floor of each module; what is not named lies on its parent's.
const FLOORS: &[(&str, u8)] = &[
    ("event", 0),
    ("error", 0),
    ("clock", 0),
    ("codec", 1),
    ("topic", 1),
    ("retry", 1),
    ("mediator", 2),
    ("mapper", 2),
    ("transport", 3),
    ("store", 3),
    ("publisher", 4),
    ("consumer", 4),
    ("worker", 4),
    ("outbox", 4),
    ("inbox", 4),
    ("saga", 4),
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

/// The one file that may hold `unsafe`.
const UNSAFE: &str = "transport/kafka/ffi.rs";

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

/// Everything that is wrong with a tree of sources; `lib.rs` is its root, and may name any floor.
fn check(files: &BTreeMap<String, String>) -> Vec<String> {
    let tree = Tree::of(files);
    let mut wrong: Vec<_> = files
        .keys()
        .filter(|file| !tree.modules.iter().any(|module| module.file == **file))
        .map(|file| format!("{file}: no `mod` leads to it"))
        .collect();
    for module in &tree.modules {
        let mut paths = Vec::new();
        let mut scan = Scan { module: module.path.clone(), found: &mut paths };
        scan.tokens(&module.tokens);
        for found in &paths {
            let at = |what: String| format!("{}:{}: {what}", module.file, found.line);
            wrong.extend(tree.judge(found, &module.file).map(at));
        }
    }
    wrong
}

/// One module that is a file of its own.
struct Module {
    file: String,
    path: Vec<String>,
    tokens: Vec<TokenTree>,
}

struct Tree {
    modules: Vec<Module>,
    names: BTreeSet<Vec<String>>,
    /// What `lib.rs` re-exports, and exported macros: names at the root, and where they come from.
    root: BTreeMap<String, Vec<String>>,
}

impl Tree {
    fn of(files: &BTreeMap<String, String>) -> Self {
        let mut tree = Self { modules: Vec::new(), names: BTreeSet::new(), root: BTreeMap::new() };
        tree.add("lib.rs", Vec::new(), "", files);
        let mut exported = Vec::new();
        Scan { module: Vec::new(), found: &mut exported }.tokens(&tree.modules[0].tokens);
        for found in exported {
            let ours = tree.names.contains(&found.path[..1]);
            if let (true, [_, .., name]) = (ours, &*found.path) {
                tree.root.insert(name.clone(), found.path);
            }
        }
        let macros = tree.modules.iter().flat_map(|module| {
            exported_macros(&module.tokens).into_iter().map(|name| (name, module.path.clone()))
        });
        let macros: Vec<_> = macros.collect();
        tree.root.extend(macros);
        tree
    }

    /// Follows the `mod` declarations, as the compiler does. `below` is where its children lie.
    fn add(
        &mut self,
        file: &str,
        path: Vec<String>,
        below: &str,
        files: &BTreeMap<String, String>,
    ) {
        let text = files.get(file).unwrap_or_else(|| panic!("{file} is not there"));
        let tokens: Vec<_> = TokenStream::from_str(text)
            .unwrap_or_else(|error| panic!("{file}: {error}"))
            .into_iter()
            .collect();
        let declared = declared(&tokens);
        self.names.insert(path.clone());
        self.modules.push(Module { file: file.to_owned(), path: path.clone(), tokens });
        for (name, at) in declared {
            let mut path = path.clone();
            path.push(name.clone());
            if let Some(at) = at {
                let folder = file.rsplit_once('/').map_or(String::new(), |(f, _)| format!("{f}/"));
                self.add(&format!("{folder}{at}"), path, below, files);
            } else if files.contains_key(&format!("{below}{name}.rs")) {
                self.add(&format!("{below}{name}.rs"), path, &format!("{below}{name}/"), files);
            } else {
                self.add(&format!("{below}{name}/mod.rs"), path, &format!("{below}{name}/"), files);
            }
        }
    }

    /// What is wrong with one path, if anything is.
    fn judge(&self, found: &Found, file: &str) -> Option<String> {
        let shown = found.path.join("::");
        if shown == "unsafe" {
            return (file != UNSAFE).then(|| format!("`unsafe` stands in {UNSAFE} only"));
        }
        let target = match self.resolve(found) {
            Ok(target) => target,
            Err(name) => {
                let (_, home) = ADAPTERS.iter().find(|(adapter, _)| *adapter == name)?;
                let wrong = !file.starts_with(home);
                return wrong.then(|| format!("`{name}` is named below {home} only"));
            }
        };
        if file == "lib.rs" {
            return None;
        }
        let own = floor(&found.module)
            .unwrap_or_else(|| panic!("{file}: no floor is known for this module"));
        let Some(used) = floor(&target) else {
            return Some(format!("`{shown}` lies on no floor that is known"));
        };
        let whole = match target.split_last() {
            Some((last, parent)) if last == "*" => parent,
            _ => &target,
        };
        let above = FLOORS.iter().find(|(name, floor)| {
            *floor > own && name.starts_with(&format!("{}::", whole.join("::")))
        });
        if let Some((name, _)) = above {
            return Some(format!("`{shown}` brings {name} along; name what is used"));
        }
        (used > own).then(|| format!("floor {own} uses floor {used}: `{shown}`"))
    }

    /// Where a path of this crate leads; of another crate's the crate's name.
    fn resolve<'a>(&self, found: &'a Found) -> Result<Vec<String>, &'a str> {
        let Found { path, module, global, .. } = found;
        let first = path[0].as_str();
        let mut target = match first {
            _ if *global => return Err(first),
            "crate" => Vec::new(),
            "self" | "super" => module.clone(),
            _ => {
                let child = [module.as_slice(), &path[..1]].concat();
                return if self.names.contains(&child) {
                    Ok([module.as_slice(), path].concat())
                } else {
                    Err(first)
                };
            }
        };
        for segment in path {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(target.pop()),
                _ => target.push(segment.clone()),
            }
        }
        if let Some(from) = target.first().and_then(|name| self.root.get(name)) {
            return Ok([from, &target[1..]].concat());
        }
        Ok(target)
    }
}

/// The floor that a module lies on, by the longest name that leads to it.
fn floor(path: &[String]) -> Option<u8> {
    (1..=path.len()).rev().find_map(|len| {
        let name = path[..len].join("::");
        FLOORS.iter().find(|(module, _)| *module == name).map(|(_, floor)| *floor)
    })
}

/// `mod name;`, and the path where an attribute says one.
fn declared(tokens: &[TokenTree]) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let name = match (tokens.get(at + 1), tokens.get(at + 2)) {
            (Some(TokenTree::Ident(name)), Some(end)) if is(token, "mod") && is(end, ";") => name,
            _ => continue,
        };
        let mut path = None;
        let mut before = at;
        // Attributes and a visibility may stand before it.
        while before > 0 {
            before -= 1;
            match &tokens[before] {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                    let inside: Vec<_> = group.stream().into_iter().collect();
                    if inside.first().is_some_and(|first| is(first, "path")) {
                        path = inside.get(2).map(|text| text.to_string().replace('"', ""));
                    }
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {}
                token if is(token, "#") || is(token, "pub") => {}
                _ => break,
            }
        }
        found.push((name.to_string(), path));
    }
    found
}

/// Names of macros with `#[macro_export]`.
fn exported_macros(tokens: &[TokenTree]) -> Vec<String> {
    let named = |window: &[TokenTree]| match window {
        [mac, bang, TokenTree::Ident(name)] if is(mac, "macro_rules") && is(bang, "!") => {
            Some(name.to_string())
        }
        _ => None,
    };
    tokens.windows(3).filter_map(named).collect()
}

fn is(token: &TokenTree, text: &str) -> bool {
    match token {
        TokenTree::Ident(ident) => ident == text,
        TokenTree::Punct(punct) => text.len() == 1 && text.starts_with(punct.as_char()),
        _ => false,
    }
}

/// One path as it was written.
#[derive(Debug)]
struct Found {
    path: Vec<String>,
    /// The module that it was written in, inline ones included.
    module: Vec<String>,
    /// It begins with `::`.
    global: bool,
    line: usize,
}

struct Scan<'a> {
    module: Vec<String>,
    found: &'a mut Vec<Found>,
}

impl Scan<'_> {
    fn tokens(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            at = self.token(tokens, at);
        }
    }

    /// Reads what begins at `at`; answers where the next thing begins.
    fn token(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        match &tokens[at] {
            TokenTree::Group(group) => {
                self.tokens(&inside(group));
                at + 1
            }
            token if is(token, "mod") => self.inner(tokens, at),
            // Who may see an item says nothing about what it uses.
            token if is(token, "pub") => match tokens.get(at + 1) {
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                    at + 2
                }
                _ => at + 1,
            },
            token if is(token, "'") => at + 2,
            token
                if is(token, ".") && !matches!(tokens.get(at + 1), Some(next) if is(next, ".")) =>
            {
                let method = at > 0 && !is(&tokens[at - 1], ".");
                at + 1
                    + usize::from(method && matches!(tokens.get(at + 1), Some(TokenTree::Ident(_))))
            }
            token if is(token, "extern") => match tokens.get(at + 1) {
                Some(next) if is(next, "crate") => self.path(tokens, at + 2, true),
                _ => at + 1,
            },
            TokenTree::Ident(_) => self.path(tokens, at, false),
            _ if colons(tokens, at) => match tokens.get(at + 2) {
                Some(TokenTree::Ident(_)) => {
                    // After `Vec::<u8>` a path goes on; elsewhere, as after `->`, one begins.
                    let before = |back| at.checked_sub(back).map(|at| &tokens[at]);
                    let goes_on = before(1).is_some_and(|token| is(token, ">"))
                        && !before(2).is_some_and(|token| is(token, "-") || is(token, "="));
                    if goes_on { at + 3 } else { self.path(tokens, at + 2, true) }
                }
                _ => at + 2,
            },
            _ => at + 1,
        }
    }

    /// `mod name { … }` or `mod name;`.
    fn inner(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let Some(TokenTree::Ident(name)) = tokens.get(at + 1) else { return at + 1 };
        if let Some(TokenTree::Group(group)) = tokens.get(at + 2) {
            self.module.push(name.to_string());
            self.tokens(&inside(group));
            self.module.pop();
        }
        at + 3
    }

    fn path(&mut self, tokens: &[TokenTree], at: usize, global: bool) -> usize {
        let mut path = Vec::new();
        let end = self.tree(tokens, at, &mut path, global);
        let branches = matches!(tokens.get(end - 1), Some(TokenTree::Group(_)));
        let receiver = path == ["self"];
        if branches || receiver {
            return end;
        }
        self.found.push(Found {
            line: tokens[at].span().start().line,
            path,
            module: self.module.clone(),
            global,
        });
        end
    }

    /// Reads the segments of a path onto `path`; of `a::{b, c}` each branch is found by itself.
    fn tree(
        &mut self,
        tokens: &[TokenTree],
        mut at: usize,
        path: &mut Vec<String>,
        global: bool,
    ) -> usize {
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(segment)) => path.push(segment.to_string()),
                Some(star) if is(star, "*") => path.push("*".to_owned()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let inside = inside(group);
                    for branch in inside.split(|token| is(token, ",")) {
                        let Some(first) = branch.first() else { continue };
                        let mut whole = path.clone();
                        let end = self.tree(branch, 0, &mut whole, global);
                        if !matches!(branch.get(end.wrapping_sub(1)), Some(TokenTree::Group(_))) {
                            self.found.push(Found {
                                line: first.span().start().line,
                                path: whole,
                                module: self.module.clone(),
                                global,
                            });
                        }
                    }
                    return at + 1;
                }
                _ => return at,
            }
            if !colons(tokens, at + 1) || !goes_on(tokens.get(at + 3)) {
                return at + 1;
            }
            at += 3;
        }
    }
}

fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

fn colons(tokens: &[TokenTree], at: usize) -> bool {
    matches!((tokens.get(at), tokens.get(at + 1)), (Some(a), Some(b)) if is(a, ":") && is(b, ":"))
}

fn goes_on(token: Option<&TokenTree>) -> bool {
    match token {
        Some(TokenTree::Ident(_)) => true,
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Brace,
        Some(token) => is(token, "*"),
        None => false,
    }
}

/// A small tree with one more file in it.
fn planted(file: &str, text: &str) -> Vec<String> {
    let mut files: BTreeMap<String, String> = [
        ("lib.rs", "pub mod event; pub mod mapper; pub mod telemetry; pub mod transport; pub mod web;\npub use event::Envelope;"),
        ("event.rs", "pub struct Envelope;"),
        ("mapper/mod.rs", "mod rules; mod planted;"),
        ("mapper/rules.rs", "use crate::event::Envelope; use super::planted::Rule;"),
        ("mapper/planted.rs", "pub struct Rule;"),
        ("telemetry.rs", "#[macro_export]\nmacro_rules! span { () => { ::tracing::info_span!(\"x\") }; }"),
        ("transport/mod.rs", "pub mod kafka; mod record; pub use record::Record;"),
        ("transport/record.rs", "pub struct Record;"),
        ("transport/kafka/mod.rs", "mod ffi; use rdkafka::Client; use crate::transport::Record;"),
        ("transport/kafka/ffi.rs", "use super::super::Record; unsafe fn raw() {}"),
        ("web/mod.rs", "use axum::Router; use crate::transport::kafka::Kafka; pub(crate) struct Web;"),
    ]
    .map(|(file, text)| (file.to_owned(), text.to_owned()))
    .into();
    files.insert(file.to_owned(), text.to_owned());
    check(&files)
}

#[test]
fn what_uses_its_own_floor_and_those_below_is_left_alone() {
    assert_eq!(planted("event.rs", "pub struct Envelope;"), [""; 0]);
    for text in [
        "use crate::Envelope; use std::fmt; pub(crate) struct Rule;",
        "/// As in [`web`](crate::web::Web).\npub struct Rule;",
        "pub struct Rule; mod tests { use super::Rule; use super::super::rules; }",
        "use tidings::transport::kafka::Kafka;",
        "fn f(x: Rule) { x.transport::<u8>(); Vec::<u8>::web() }",
    ] {
        assert_eq!(planted("mapper/planted.rs", text), [""; 0], "{text}");
    }
}

#[test]
fn an_import_that_climbs_is_caught_however_it_is_written() {
    for text in [
        "use crate::web::Web;",
        "use crate::{event::Envelope, web::{self, Web}};",
        "use super::super::transport::Record;",
        "use crate::transport;",
        "use crate::transport::*;",
        "fn f() -> crate::web::Web { todo!() }",
        "fn f() { let _ = <crate::web::Web as Default>::default(); }",
        "mod inner { use super::super::super::web::Web; }",
        "macro_rules! climb { () => { $crate::web::Web }; }",
        "fn f() { crate::span!(); }",
    ] {
        let wrong = planted("mapper/planted.rs", text);
        assert!(
            !wrong.is_empty() && wrong.iter().all(|w| w.starts_with("mapper/planted.rs:1: ")),
            "{text}: {wrong:?}"
        );
    }
    let ports = "pub mod kafka;\nmod record;\npub use kafka::Kafka;\npub use record::Record;";
    assert_eq!(
        planted("transport/mod.rs", ports),
        ["transport/mod.rs:3: floor 3 uses floor 5: `kafka::Kafka`"]
    );
    let port = "pub struct Record;\nuse super::kafka::Kafka;";
    assert_eq!(
        planted("transport/record.rs", port),
        ["transport/record.rs:2: floor 3 uses floor 5: `super::kafka::Kafka`"]
    );
}

#[test]
fn a_client_library_or_unsafe_code_in_the_wrong_place_is_caught() {
    for text in [
        "use rdkafka::ClientConfig;",
        "fn f() -> ::rdkafka::ClientConfig { todo!() }",
        "use {std::fmt, sqlx::Pool};",
        "extern crate redis;",
        "fn f(_: axum::Router) {}",
        "fn f() { unsafe { std::hint::unreachable_unchecked() } }",
    ] {
        assert_eq!(planted("mapper/planted.rs", text).len(), 1, "{text}");
    }
    assert_eq!(
        planted("web/mod.rs", "use rdkafka::Client;"),
        ["web/mod.rs:1: `rdkafka` is named below transport/kafka/ only"]
    );
}

#[test]
fn a_file_or_a_module_that_nobody_placed_is_caught() {
    assert_eq!(planted("mapper/lost.rs", ""), ["mapper/lost.rs: no `mod` leads to it"]);
    let wrong = planted("mapper/planted.rs", "use crate::cellar::Wine;");
    assert_eq!(
        wrong,
        ["mapper/planted.rs:1: `crate::cellar::Wine` lies on no floor that is known"]
    );
}
