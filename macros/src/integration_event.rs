//! `#[derive(IntegrationEvent)]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Lit, LitStr, Path, Result, Token, bracketed};

use crate::attribute::{FieldPath, each_key, text, without_lifetimes};
use crate::names::snake_case;
use crate::topics::{TopicAttributes, Topics};

const KNOWN: &str = "`key`, `key_with`, `unkeyed`, `name`, `version`, `topic`, `topic_with`, `topics` and `subject`";

enum Key {
    Field(FieldPath),
    Computed(Path),
    None,
}

#[derive(Default)]
struct Attributes {
    name: Option<LitStr>,
    version: Option<u32>,
    topics: TopicAttributes,
    key: Option<Key>,
    subject: Option<FieldPath>,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    check_shape(input)?;
    let attributes = read(input)?;
    let name = attributes.name.unwrap_or_else(|| {
        LitStr::new(&snake_case(&input.ident.unraw().to_string()), input.ident.span())
    });
    let version = attributes.version.unwrap_or(1);
    let Topics { constants, methods: topics } = attributes.topics.expand(input, &name)?;
    let key = key(input, attributes.key)?;
    let subject = attributes.subject.map(|path| subject(input, &path)).transpose()?;
    let ident = &input.ident;
    Ok(quote! {
        const _: () = {
            #constants

            #[automatically_derived]
            impl ::tidings::event::IntegrationEvent for #ident {
                const NAME: &'static str = #name;
                const VERSION: u32 = #version;

                #topics

                fn partition_key(&self) -> ::core::result::Result<
                    ::core::option::Option<::tidings::event::PartitionKey>,
                    ::tidings::event::InvalidKey,
                > {
                    #key
                }

                #subject
            }
        };
    })
}

fn check_shape(input: &DeriveInput) -> Result<()> {
    let refused = |why: &str| Err(Error::new(input.ident.span(), why));
    match input.data {
        Data::Struct(_) => {}
        Data::Enum(_) => {
            return refused(
                "an integration event is a struct, one name and one version to each; make a struct of every variant",
            );
        }
        Data::Union(_) => return refused("an integration event is a struct, not a union"),
    }
    without_lifetimes(input, "an integration event")?;
    if let Some(param) = input.generics.params.first() {
        return Err(Error::new(
            param.span(),
            "an integration event has no type parameters, all its forms would share one name; \
             make a struct for each contract",
        ));
    }
    Ok(())
}

fn read(input: &DeriveInput) -> Result<Attributes> {
    let mut found = Attributes::default();
    each_key(input, "event", KNOWN, |key, meta| {
        match key.to_string().as_str() {
            "name" => {
                let name = text(meta, key)?;
                if name.value().is_empty() || name.value().chars().any(char::is_control) {
                    return Err(Error::new(
                        name.span(),
                        "a name is not empty and has no control characters",
                    ));
                }
                found.name = Some(name);
            }
            "version" => found.version = Some(version(meta.value()?)?),
            "topic" => found.topics.read_one(meta)?,
            "topic_with" => found.topics.with = Some(meta.value()?.parse()?),
            "topics" => {
                let value = meta.value()?;
                let list;
                bracketed!(list in value);
                let list = list.parse_terminated(|item| item.parse::<LitStr>(), Token![,])?;
                found.topics.listed = Some(list.into_iter().collect());
            }
            "key" => {
                set_key(&mut found.key, meta.path.span(), Key::Field(FieldPath::of(meta, key)?))?
            }
            "key_with" => {
                set_key(&mut found.key, meta.path.span(), Key::Computed(meta.value()?.parse()?))?
            }
            "unkeyed" => set_key(&mut found.key, meta.path.span(), Key::None)?,
            "subject" => found.subject = Some(FieldPath::of(meta, key)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(found)
}

fn version(value: ParseStream<'_>) -> Result<u32> {
    let refused = Error::new(value.span(), "a version is a whole number from 1 up: `version = 1`");
    let version = value.parse::<Lit>().ok();
    let version = version.and_then(|literal| match literal {
        Lit::Int(version) => version.base10_parse().ok(),
        _ => None,
    });
    version.filter(|version| *version > 0).ok_or(refused)
}

fn set_key(slot: &mut Option<Key>, span: Span, key: Key) -> Result<()> {
    match slot.replace(key) {
        None => Ok(()),
        Some(_) => Err(Error::new(span, "say one of `key`, `key_with` and `unkeyed`, not several")),
    }
}

fn key(input: &DeriveInput, key: Option<Key>) -> Result<TokenStream> {
    match key {
        Some(Key::Field(FieldPath(members))) => {
            FieldPath(members.clone()).check(input)?;
            let span = members[0].span();
            let field = quote_spanned!(span=> &self #(.#members)*);
            Ok(quote_spanned!(span=> ::tidings::event::ToPartitionKey::to_partition_key(#field)))
        }
        Some(Key::Computed(path)) => {
            let key = quote_spanned!(path.span()=> &#path(self));
            Ok(
                quote_spanned!(path.span()=> ::tidings::event::ToPartitionKey::to_partition_key(#key)),
            )
        }
        Some(Key::None) => Ok(quote!(::core::result::Result::Ok(::core::option::Option::None))),
        None => Err(Error::new(
            input.ident.span(),
            format!(
                "`{}` does not say what keeps its events in order: the field of its aggregate's id, `#[event(key = ..)]`, \
                 a function, `#[event(key_with = ..)]`, or nothing, `#[event(unkeyed)]`",
                input.ident
            ),
        )),
    }
}

fn subject(input: &DeriveInput, path: &FieldPath) -> Result<TokenStream> {
    path.check(input)?;
    let members = &path.0;
    let field =
        quote_spanned!(members[0].span()=> ::std::string::ToString::to_string(&self #(.#members)*));
    Ok(quote! {
        fn subject(&self) -> ::core::option::Option<::tidings::event::Subject> {
            ::tidings::event::Subject::new(#field).ok()
        }
    })
}
