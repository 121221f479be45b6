//! Durations and backoffs in quotes, as configurations write them: `"500ms"`, `"exponential:1s:cap=30s:jitter"`.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Error, Expr, LitStr, Result};

/// Units from the longest to the shortest, in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A backoff in quotes, or an expression that is one.
pub(crate) fn of(meta: &ParseNestedMeta<'_>, key: &Ident) -> Result<TokenStream> {
    let value = meta.value()?;
    if !value.peek(LitStr) {
        let backoff: Expr = value.parse().map_err(|error: Error| {
            let why = format!("`{key}` is a text in quotes, `{key} = \"exponential:1s:cap=30s:jitter\"`, or a `Backoff`");
            Error::new(error.span(), why)
        })?;
        return Ok(quote_spanned!(backoff.span()=> #backoff));
    }
    let text: LitStr = value.parse()?;
    read(&text.value()).map_err(|why| Error::new(text.span(), why))
}

/// A duration in quotes, or an expression that is one.
pub(crate) fn wait(meta: &ParseNestedMeta<'_>, key: &Ident) -> Result<TokenStream> {
    let value = meta.value()?;
    if !value.peek(LitStr) {
        let wait: Expr = value.parse()?;
        return Ok(quote_spanned!(wait.span()=> #wait));
    }
    let text: LitStr = value.parse()?;
    duration(&text.value()).map_err(|why| Error::new(text.span(), format!("`{key}`: {why}")))
}

/// What the library reads of a configuration; a test compares the two.
fn read(text: &str) -> std::result::Result<TokenStream, String> {
    let mut parts = text.split(':');
    let growth = match parts.next() {
        Some("fixed") => quote!(fixed),
        Some("linear") => quote!(linear),
        Some("exponential") => quote!(exponential),
        _ => {
            return Err(format!(
                "{text:?} is no backoff; write `fixed:1s`, `linear:1s:cap=30s` or `exponential:1s:cap=30s:jitter`"
            ));
        }
    };
    let base = parts.next().ok_or("a backoff needs a delay after its first colon: `fixed:1s`")?;
    let base = duration(base)?;
    let (mut cap, mut jitter) = (None, None);
    for part in parts {
        match part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value))) {
            ("cap", Some(longest)) if cap.is_none() => {
                let longest = duration(longest)?;
                cap = Some(quote!(.cap(#longest)));
            }
            ("jitter", None) if jitter.is_none() => jitter = Some(quote!(.jitter(true))),
            ("jitter", Some(part)) if jitter.is_none() => {
                let spread = part.parse().ok().filter(|spread| (0.0..=1.0).contains(spread));
                let spread: f64 = spread.ok_or_else(|| {
                    format!("a backoff's jitter is a number from 0 to 1, not {part:?}")
                })?;
                jitter = Some(quote!(.jitter(#spread)));
            }
            _ => {
                return Err(format!(
                    "{part:?} is no part of a backoff; after the delay there may be one `cap=30s` and one `jitter` \
                     or `jitter=0.2`"
                ));
            }
        }
    }
    Ok(quote!(::tidings::retry::Backoff::#growth(#base)#cap #jitter))
}

fn duration(text: &str) -> std::result::Result<TokenStream, String> {
    let nanos = nanos(text).ok_or_else(|| {
        format!("{text:?} is not a duration; write `250ms`, `5s`, `1m`, `2h`, `1d` or `1m30s`")
    })?;
    Ok(quote!(::core::time::Duration::from_nanos(#nanos)))
}

/// Whole numbers with a unit, longest unit first, each unit once.
fn nanos(text: &str) -> Option<u64> {
    let (mut rest, mut total, mut units) = (text, 0_u64, &UNITS[..]);
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let place = units.iter().position(|(name, _)| *name == unit)?;
        let part = number.parse::<u64>().ok()?.checked_mul(units[place].1)?;
        (rest, total, units) = (tail, total.checked_add(part)?, &units[place + 1..]);
    }
    (!text.is_empty()).then_some(total)
}
