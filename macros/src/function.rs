//! What the attributes on functions share: the function, its companion, and topics.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, GenericParam, ItemFn, LitStr, Path, Result, ReturnType, Type};

use crate::attribute::text;

/// Names of what is generated around a function's own arguments.
const OURS: [&str; 5] = ["publisher", "producer", "event", "value", "message"];

/// The attributes on functions: each makes a type of the function's name, so there is one of them.
const ATTRIBUTES: [&str; 3] = ["producer", "consumer", "worker"];

fn is_ours(attribute: &Attribute) -> bool {
    let path = attribute.path();
    let ours = |name: &Ident| ATTRIBUTES.iter().any(|of| name == of);
    match path.segments.len() {
        1 => path.get_ident().is_some_and(ours),
        _ => {
            path.segments[0].ident == "tidings"
                && path.segments.last().is_some_and(|last| ours(&last.ident))
        }
    }
}

/// A function that was refused, without another attribute that would say more about it.
pub(crate) fn alone(tokens: TokenStream) -> TokenStream {
    match syn::parse2::<ItemFn>(tokens.clone()) {
        Ok(mut item) => {
            item.attrs.retain(|attribute| !is_ours(attribute));
            item.into_token_stream()
        }
        Err(_) => tokens,
    }
}

/// An async function that an attribute stands on; it stays as it is.
pub(crate) struct Function {
    pub(crate) item: ItemFn,
    tokens: TokenStream,
}

impl Function {
    pub(crate) fn read(tokens: TokenStream, attribute: &str) -> Result<Self> {
        let item: ItemFn = syn::parse2(tokens.clone()).map_err(|error| {
            Error::new(error.span(), format!("`#[{attribute}(..)]` stands on an async function"))
        })?;
        if let Some(other) = item.attrs.iter().find(|other| is_ours(other)) {
            return Err(Error::new(
                other.path().span(),
                format!(
                    "one of `#[producer]`, `#[consumer]` and `#[worker]` stands on a function, and `#[{attribute}]` does \
                     already; what reads a topic and publishes what follows is a `#[worker(topic = .., output = ..)]`"
                ),
            ));
        }
        let signature = &item.sig;
        if let Some(receiver) = signature.receiver() {
            return Err(Error::new(
                receiver.span(),
                format!(
                    "`#[{attribute}(..)]` stands on a function, not on a method; move it out of the `impl`"
                ),
            ));
        }
        if signature.asyncness.is_none() {
            return Err(Error::new(
                signature.fn_token.span(),
                format!(
                    "`#[{attribute}(..)]` stands on an async function: write `async fn {}`",
                    signature.ident
                ),
            ));
        }
        Ok(Self { item, tokens })
    }

    /// Its name, and what names it to groups.
    pub(crate) fn name(&self) -> LitStr {
        let ident = &self.item.sig.ident;
        LitStr::new(&ident.unraw().to_string(), ident.span())
    }

    /// What it answers; an error where that is nothing.
    pub(crate) fn answer(&self, otherwise: &str) -> Result<&Type> {
        match &self.item.sig.output {
            ReturnType::Type(_, answer) => Ok(answer),
            ReturnType::Default => Err(Error::new(self.item.sig.ident.span(), otherwise)),
        }
    }

    /// Refuses what a handler cannot have: it is named, and not called, so nothing tells type parameters.
    pub(crate) fn handles(&self, attribute: &str, example: &str) -> Result<()> {
        let signature = &self.item.sig;
        if let Some(param) = signature.generics.params.first() {
            let named = match param {
                GenericParam::Lifetime(lifetime) => lifetime.lifetime.to_string(),
                GenericParam::Type(kind) => kind.ident.to_string(),
                GenericParam::Const(constant) => constant.ident.to_string(),
            };
            return Err(Error::new(
                param.span(),
                format!(
                    "nobody says what `{named}` stands for here; give the function to the builder instead, \
                     `{}::<..>`, or make one function for each",
                    signature.ident
                ),
            ));
        }
        if signature.inputs.is_empty() {
            return Err(Error::new(
                signature.ident.span(),
                format!(
                    "the first argument of a `#[{attribute}(..)]` is what it reads: `{example}`"
                ),
            ));
        }
        self.answer(
            "it answers a `Result`, whose error says what becomes of the event: `-> Result<(), HandlerError>`",
        )?;
        Ok(())
    }

    /// The function, and beside it a type of its name, which holds what the attribute makes. A function and a
    /// type may share a name, as a tuple struct and its constructor do.
    pub(crate) fn with(&self, methods: &TokenStream) -> TokenStream {
        let Self { item, tokens } = self;
        let (vis, name) = (&item.vis, &item.sig.ident);
        // Where the function is not, nothing is made of it.
        let cfg: Vec<_> = item.attrs.iter().filter(|other| other.path().is_ident("cfg")).collect();
        let doc = format!("What is made of the function [`{0}`]({0}()).", name.unraw());
        quote! {
            #tokens

            #(#cfg)*
            #[doc = #doc]
            #[derive(Debug)]
            #[allow(non_camel_case_types, dead_code)]
            #vis struct #name {}

            #(#cfg)*
            #[allow(dead_code)]
            impl #name {
                #methods
            }
        }
    }

    /// Its arguments for a function that calls it: under their names, which there stand for nothing else.
    pub(crate) fn arguments(&self) -> (Vec<TokenStream>, Vec<Ident>) {
        let named = self.item.sig.inputs.iter().enumerate().filter_map(|(at, argument)| {
            let FnArg::Typed(argument) = argument else { return None };
            let mut name = match &*argument.pat {
                syn::Pat::Ident(pattern) if !OURS.iter().any(|ours| pattern.ident == ours) => {
                    pattern.ident.clone()
                }
                _ => format_ident!("argument_{at}"),
            };
            name.set_span(Span::mixed_site());
            let kind = &argument.ty;
            Some((quote!(#name: #kind), name))
        });
        named.unzip()
    }
}

/// A topic: a type that is one, or its name in quotes.
pub(crate) enum TopicRef {
    Type(Path),
    Name(LitStr),
}

impl TopicRef {
    pub(crate) fn of(meta: &ParseNestedMeta<'_>, key: &Ident) -> Result<Self> {
        let value = meta.value()?;
        if value.peek(LitStr) {
            return Ok(Self::Name(value.parse()?));
        }
        value.parse().map(Self::Type).map_err(|error: Error| {
            let why = format!(
                "`{key}` is a type that derives `Topic`, or a name in quotes: `{key} = \"..\"`"
            );
            Error::new(error.span(), why)
        })
    }
}

/// A constant with a topic's name, which the compiler checks.
pub(crate) fn topic_name(name: &LitStr) -> TokenStream {
    quote_spanned! {name.span()=>
        {
            const NAME: ::tidings::event::TopicName = ::tidings::event::TopicName::from_static(#name);
            NAME
        }
    }
}

/// A text that is not empty.
pub(crate) fn name(meta: &ParseNestedMeta<'_>, key: &Ident) -> Result<LitStr> {
    let name = text(meta, key)?;
    match name.value().trim() {
        "" => Err(Error::new(name.span(), format!("`{key}` is not empty"))),
        _ => Ok(name),
    }
}
