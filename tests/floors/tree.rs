//! The modules of a source tree, and what is wrong with the paths that they use.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::scan::{Found, Scan, is};
use super::{ADAPTERS, FLOORS, UNSAFE};

/// Everything that is wrong with a tree of sources; `lib.rs` is its root, and may name any floor.
pub(super) fn check(files: &BTreeMap<String, String>) -> Vec<String> {
    let tree = Tree::of(files);
    let mut wrong: Vec<_> = files
        .keys()
        // A binary is a crate of its own.
        .filter(|file| !file.starts_with("bin/"))
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
            let allowed = UNSAFE.iter().any(|place| file.starts_with(place));
            return (!allowed).then(|| format!("`unsafe` stands in {} only", UNSAFE[0]));
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
