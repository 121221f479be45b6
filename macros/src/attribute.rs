//! What derives and attributes ask of a type, a function and their keys.

use proc_macro2::{Ident, Span, TokenStream};
use syn::meta::ParseNestedMeta;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, GenericParam, Index, Lit, LitStr, Member, Result, Token};

/// Reads every `#[name(key = value, ..)]` of a type; `read` answers false for a key that it does not know.
pub(crate) fn each_key(
    input: &DeriveInput,
    name: &str,
    known: &str,
    mut read: impl FnMut(&Ident, &ParseNestedMeta<'_>) -> Result<bool>,
) -> Result<()> {
    let mut seen = Vec::new();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident(name)) {
        attribute.parse_nested_meta(|meta| one_key(&meta, name, known, &mut seen, &mut read))?;
    }
    Ok(())
}

/// Reads `key = value, ..` of an attribute on a function; `read` answers false for a key that it does not know.
pub(crate) fn each_argument(
    arguments: TokenStream,
    name: &str,
    known: &str,
    mut read: impl FnMut(&Ident, &ParseNestedMeta<'_>) -> Result<bool>,
) -> Result<()> {
    let first_text =
        |input: ParseStream<'_>| Ok((input.parse::<LitStr>()?, input.parse::<TokenStream>()?));
    if let Ok((text, _)) = first_text.parse2(arguments.clone()) {
        let why = format!(
            "say what it is: `topic = {0}`; known to `#[{name}(..)]` are {known}",
            text.token()
        );
        return Err(Error::new(text.span(), why));
    }
    let mut seen = Vec::new();
    syn::meta::parser(|meta| one_key(&meta, name, known, &mut seen, &mut read)).parse2(arguments)
}

fn one_key(
    meta: &ParseNestedMeta<'_>,
    name: &str,
    known: &str,
    seen: &mut Vec<Ident>,
    read: &mut impl FnMut(&Ident, &ParseNestedMeta<'_>) -> Result<bool>,
) -> Result<()> {
    let unknown = || {
        let segments = meta.path.segments.iter().map(|segment| segment.ident.to_string());
        let key = segments.collect::<Vec<_>>().join("::");
        meta.error(format!("`{key}` is not known to `#[{name}(..)]`; known are {known}"))
    };
    let key = meta.path.get_ident().cloned().ok_or_else(unknown)?;
    if seen.contains(&key) {
        return Err(meta.error(format!("`{key}` is said twice; remove one")));
    }
    if !read(&key, meta)? {
        return Err(unknown());
    }
    seen.push(key);
    Ok(())
}

/// A text in quotes, and no other literal.
pub(crate) fn text(meta: &ParseNestedMeta<'_>, key: &Ident) -> Result<LitStr> {
    let value = meta.value()?;
    value.parse().map_err(|error| {
        Error::new(error.span(), format!("`{key}` is a text in quotes: `{key} = \"..\"`"))
    })
}

/// A field, or a field of a field: `user_id`, `user.id`, `0`, `0.1`.
pub(crate) struct FieldPath(pub(crate) Vec<Member>);

impl FieldPath {
    pub(crate) fn of(meta: &ParseNestedMeta<'_>, key: &Ident) -> Result<Self> {
        let value = meta.value()?;
        let mut members = Vec::new();
        loop {
            member(value, key, &mut members)?;
            if value.parse::<Option<Token![.]>>()?.is_none() {
                return Ok(Self(members));
            }
        }
    }

    /// Checks that the first member is a field of this struct; the compiler checks the others.
    pub(crate) fn check(&self, input: &DeriveInput) -> Result<()> {
        let syn::Data::Struct(data) = &input.data else {
            return Ok(());
        };
        let first = &self.0[0];
        if data.fields.members().any(|member| member == *first) {
            return Ok(());
        }
        let fields: Vec<_> =
            data.fields.members().map(|member| format!("`{}`", shown(&member))).collect();
        let fields = match fields.as_slice() {
            [] => "it has none".to_owned(),
            [one] => format!("its only field is {one}"),
            many => format!("its fields are {}", many.join(", ")),
        };
        Err(Error::new(
            first.span(),
            format!("`{}` has no field `{}`; {fields}", input.ident, shown(first)),
        ))
    }
}

fn member(value: ParseStream<'_>, key: &Ident, members: &mut Vec<Member>) -> Result<()> {
    if value.peek(syn::Ident) {
        members.push(Member::Named(value.parse()?));
        return Ok(());
    }
    let span = value.span();
    let refused = |text: &str| {
        let fix = if text.is_empty() { "user_id" } else { text };
        Error::new(span, format!("`{key}` is a field, written without quotes: `{key} = {fix}`"))
    };
    match value.parse::<Lit>().map_err(|_| refused(""))? {
        Lit::Int(index) => {
            members.push(unnamed(index.base10_digits(), index.span()).ok_or_else(|| refused(""))?)
        }
        // `0.1` reads as a number to Rust.
        Lit::Float(indexes) => {
            for index in indexes.base10_digits().split('.') {
                members.push(unnamed(index, indexes.span()).ok_or_else(|| refused(""))?);
            }
        }
        Lit::Str(text) => return Err(refused(&text.value())),
        _ => return Err(refused("")),
    }
    Ok(())
}

fn unnamed(index: &str, span: Span) -> Option<Member> {
    Some(Member::Unnamed(Index { index: index.parse().ok()?, span }))
}

fn shown(member: &Member) -> String {
    match member {
        Member::Named(name) => name.to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

/// Refuses lifetimes: events and requests outlive the call that made them.
pub(crate) fn without_lifetimes(input: &DeriveInput, what: &str) -> Result<()> {
    let lifetime =
        input.generics.params.iter().find(|param| matches!(param, GenericParam::Lifetime(_)));
    match lifetime {
        None => Ok(()),
        Some(lifetime) => Err(Error::new(
            lifetime.span(),
            format!(
                "{what} owns what it holds: use owned types (`String` for `&str`) instead of a lifetime"
            ),
        )),
    }
}
