//! `#[derive(Topic)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse as _, ParseStream};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Ident, LitInt, LitStr, Path, Result, Token, Type, parenthesized};

use crate::attribute::{each_key, text};

const KNOWN: &str = "`kind`, `name`, `carries`, `profile`, `partitions`, `replication`, `retention`, `min_in_sync`, `compression` and `properties`";
const PROFILES: [&str; 3] = ["standard", "error", "dlq"];
const COMPRESSIONS: [(&str, &str); 6] = [
    ("producer", "Producer"),
    ("uncompressed", "Uncompressed"),
    ("gzip", "Gzip"),
    ("snappy", "Snappy"),
    ("lz4", "Lz4"),
    ("zstd", "Zstd"),
];

#[derive(Default)]
struct Attributes {
    kind: Option<Ident>,
    name: Option<LitStr>,
    carries: Vec<Type>,
    /// Calls on the specification, in the order in which they are said.
    calls: Vec<TokenStream>,
    /// Where a retention is said.
    retention: Option<LitStr>,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if let Some(param) = input.generics.params.first() {
        return Err(Error::new(
            param.span(),
            "a topic has no parameters, all its forms would share one name; make a type for each topic",
        ));
    }
    let attributes = read(input)?;
    let ident = &input.ident;
    let missing = |what: &str| {
        Error::new(
            ident.span(),
            format!(
                "the topic `{ident}` does not say its {what}: `#[topic(kind = event, name = \"..\")]`"
            ),
        )
    };
    let kind = attributes.kind.ok_or_else(|| missing("kind"))?;
    let name = attributes.name.ok_or_else(|| missing("name"))?;
    let (marker, variant) = match kind.to_string().as_str() {
        "event" => ("EventTopic", "Event"),
        "command" => ("CommandTopic", "Command"),
        "state" => ("StateTopic", "State"),
        _ => {
            let why = "a topic's `kind` is `event`, `command` or `state`";
            return Err(Error::new(kind.span(), why));
        }
    };
    if let (Some(retention), "State") = (&attributes.retention, variant) {
        return Err(Error::new(
            retention.span(),
            "a state topic keeps the last record of each key; leave `retention` out",
        ));
    }
    let (marker, variant) = (Ident::new(marker, kind.span()), Ident::new(variant, kind.span()));
    // Beside the trait's: that one is looked at only where it is used.
    let constant = quote_spanned! {name.span()=>
        const NAME: ::tidings::event::TopicName = ::tidings::event::TopicName::from_static(#name);
    };
    let retention = attributes.retention.map(|kept| {
        quote_spanned! {kept.span()=>
            const RETENTION: ::tidings::topic::Retention = ::tidings::topic::Retention::from_static(#kept);
        }
    });
    let (calls, carries) = (&attributes.calls, &attributes.carries);
    Ok(quote! {
        const _: () = {
            #constant
            #retention

            #[automatically_derived]
            impl ::tidings::topic::Topic for #ident {
                const NAME: ::tidings::event::TopicName = NAME;

                fn spec() -> ::tidings::topic::TopicSpec {
                    ::tidings::topic::TopicSpec::new(
                        NAME,
                        ::tidings::topic::TopicKind::#variant,
                    )
                    #(#calls)*
                }
            }

            #[automatically_derived]
            impl ::tidings::topic::#marker for #ident {}

            #(
                #[automatically_derived]
                impl ::tidings::topic::Carries<#carries> for #ident {}
            )*
        };
    })
}

fn read(input: &DeriveInput) -> Result<Attributes> {
    let mut found = Attributes::default();
    each_key(input, "topic", KNOWN, |key, meta| {
        let call = match key.to_string().as_str() {
            "kind" => {
                found.kind = Some(meta.value()?.parse()?);
                return Ok(true);
            }
            "name" => {
                found.name = Some(text(meta, key)?);
                return Ok(true);
            }
            "carries" => {
                let list;
                parenthesized!(list in meta.input);
                found.carries.extend(list.parse_terminated(Type::parse, Token![,])?);
                return Ok(true);
            }
            "properties" => {
                let properties = properties(meta)?;
                found.calls.extend(properties);
                return Ok(true);
            }
            "retention" => {
                found.retention = Some(text(meta, key)?);
                quote!(.retention(RETENTION))
            }
            "profile" => profile(&meta.value()?.parse()?),
            "partitions" | "min_in_sync" => {
                let number = count(meta.value()?, key)?;
                quote_spanned!(number.span()=> .#key(#number))
            }
            "replication" => replication(meta.value()?, key)?,
            "compression" => compression(&meta.value()?.parse()?)?,
            _ => return Ok(false),
        };
        found.calls.push(call);
        Ok(true)
    })?;
    Ok(found)
}

fn count(value: ParseStream<'_>, key: &Ident) -> Result<LitInt> {
    let refused =
        Error::new(value.span(), format!("`{key}` is a whole number from 1 up: `{key} = 3`"));
    let number = value.parse::<LitInt>().ok();
    number.filter(|number| number.base10_parse::<i32>().is_ok_and(|n| n > 0)).ok_or(refused)
}

fn replication(value: ParseStream<'_>, key: &Ident) -> Result<TokenStream> {
    if value.peek(syn::Ident) {
        let word: Ident = value.parse()?;
        if word != "auto" {
            return Err(Error::new(word.span(), "`replication` is a number, or `auto`"));
        }
        return Ok(quote!(.replication(::tidings::topic::Replication::Auto)));
    }
    let copies = count(value, key)?;
    Ok(quote!(.replication(::tidings::topic::Replication::Factor(#copies))))
}

/// One of ours by its name, or a function of the user's.
fn profile(path: &Path) -> TokenStream {
    match path.get_ident() {
        Some(name) if PROFILES.iter().any(|known| name == known) => {
            quote!(.profile(::tidings::topic::Profile::#name()))
        }
        _ => quote_spanned!(path.span()=> .profile(#path())),
    }
}

fn compression(name: &Ident) -> Result<TokenStream> {
    let known = COMPRESSIONS.iter().find(|(known, _)| name == known);
    let Some((_, variant)) = known else {
        let names: Vec<_> = COMPRESSIONS.iter().map(|(known, _)| format!("`{known}`")).collect();
        let why = format!("`compression` is one of {}", names.join(", "));
        return Err(Error::new(name.span(), why));
    };
    let variant = Ident::new(variant, name.span());
    Ok(quote!(.compression(::tidings::topic::TopicCompression::#variant)))
}

/// `"segment.bytes" = "1000000", ..`.
fn properties(meta: &ParseNestedMeta<'_>) -> Result<Vec<TokenStream>> {
    let list;
    parenthesized!(list in meta.input);
    let property = |input: ParseStream<'_>| {
        let name: LitStr = input.parse()?;
        input.parse::<Token![=]>()?;
        let value: LitStr = input.parse()?;
        Ok(quote!(.property(#name, #value)))
    };
    Ok(list.parse_terminated(property, Token![,])?.into_iter().collect())
}
