//! Finds the paths in tokens.

use proc_macro2::{Delimiter, Group, TokenTree};

/// One path as it was written.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: Vec<String>,
    /// The module that it was written in, inline ones included.
    pub(super) module: Vec<String>,
    /// It begins with `::`.
    pub(super) global: bool,
    pub(super) line: usize,
}

pub(super) struct Scan<'a> {
    pub(super) module: Vec<String>,
    pub(super) found: &'a mut Vec<Found>,
}

impl Scan<'_> {
    pub(super) fn tokens(&mut self, tokens: &[TokenTree]) {
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

pub(super) fn is(token: &TokenTree, text: &str) -> bool {
    match token {
        TokenTree::Ident(ident) => ident == text,
        TokenTree::Punct(punct) => text.len() == 1 && text.starts_with(punct.as_char()),
        _ => false,
    }
}
