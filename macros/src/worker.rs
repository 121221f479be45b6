//! `#[worker]`.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Error, Expr, LitBool, LitStr, Result};

use crate::attribute::each_argument;
use crate::backoff;
use crate::function::{Function, TopicRef, name, topic_name};

const KNOWN: &str = "`topic`, `output`, `group`, `name`, `concurrency`, `max_retries`, `backoff`, `dlq`, `batch` and `wait`";

#[derive(Default)]
struct Arguments {
    topic: Option<TopicRef>,
    output: Option<TopicRef>,
    name: Option<LitStr>,
    batch: Option<Expr>,
    wait: Option<TokenStream>,
    /// Calls on the builder, in the order in which they are said.
    calls: Vec<TokenStream>,
}

pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let Arguments { topic, output, name, batch, wait, calls } = read(arguments)?;
    let function = Function::read(function, "worker")?;
    function.handles("worker", "Value(user): Value<User>")?;
    let (vis, ident) = (&function.item.vis, &function.item.sig.ident);
    let name = name.unwrap_or_else(|| function.name());
    let (input, read) = match &topic {
        None => (quote!(::tidings::consumer::Own), None),
        Some(topic) => place(topic, &quote!(input), &quote!(input_named)),
    };
    let (to, written) = match &output {
        None => (quote!(::tidings::worker::NoTopic), None),
        Some(topic) => place(topic, &quote!(output), &quote!(output_named)),
    };
    let work = match (batch, wait) {
        (None, None) => quote_spanned!(ident.span()=> .process(#ident)),
        (Some(size), Some(wait)) => {
            quote_spanned!(ident.span()=> .process_batch(#size, #wait, #ident))
        }
        _ => {
            let why = "a batch has a size and a time for which it waits until it is full: `batch = 100, wait = \"1s\"`";
            return Err(Error::new(ident.span(), why));
        }
    };
    Ok(function.with(&quote! {
        /// A worker that runs it, to be completed and built.
        #[must_use]
        #vis fn worker() -> ::tidings::worker::WorkerBuilder<#input, #to, ::tidings::worker::Work> {
            ::tidings::worker::Worker::builder(#name) #read #written #work #(#calls)*
        }
    }))
}

/// The type of a builder's place, and the call that says it.
fn place(
    topic: &TopicRef,
    typed: &TokenStream,
    named: &TokenStream,
) -> (TokenStream, Option<TokenStream>) {
    match topic {
        TopicRef::Type(topic) => (
            quote!(::tidings::worker::On<#topic>),
            Some(quote_spanned!(topic.span()=> .#typed::<#topic>())),
        ),
        TopicRef::Name(topic) => {
            let name = topic_name(topic);
            (quote!(::tidings::transport::TopicNeed), Some(quote!(.#named(#name))))
        }
    }
}

fn read(arguments: TokenStream) -> Result<Arguments> {
    let mut found = Arguments::default();
    each_argument(arguments, "worker", KNOWN, |key, meta| {
        let call = match key.to_string().as_str() {
            "topic" => {
                found.topic = Some(TopicRef::of(meta, key)?);
                return Ok(true);
            }
            "output" => {
                found.output = Some(TopicRef::of(meta, key)?);
                return Ok(true);
            }
            "name" => {
                found.name = Some(name(meta, key)?);
                return Ok(true);
            }
            "batch" => {
                found.batch = Some(count(meta, key)?);
                return Ok(true);
            }
            "wait" => {
                found.wait = Some(backoff::wait(meta, key)?);
                return Ok(true);
            }
            "group" => {
                let group = name(meta, key)?;
                quote!(.group(#group))
            }
            "concurrency" | "max_retries" => {
                let count = count(meta, key)?;
                quote_spanned!(count.span()=> .#key(#count))
            }
            "backoff" => {
                let backoff = backoff::of(meta, key)?;
                quote!(.backoff(#backoff))
            }
            "dlq" => dead_letters(meta, key)?,
            _ => return Ok(false),
        };
        found.calls.push(call);
        Ok(true)
    })?;
    Ok(found)
}

/// A number, or what is one.
fn count(meta: &ParseNestedMeta<'_>, key: &Ident) -> Result<Expr> {
    let value = meta.value()?;
    let span = value.span();
    let refused = || Error::new(span, format!("`{key}` is a whole number: `{key} = 8`"));
    match value.parse::<Expr>().map_err(|_| refused())? {
        Expr::Lit(literal) if !matches!(literal.lit, syn::Lit::Int(_)) => Err(refused()),
        count => Ok(count),
    }
}

fn dead_letters(meta: &ParseNestedMeta<'_>, key: &Ident) -> Result<TokenStream> {
    let value = meta.value()?;
    if value.peek(LitBool) {
        let on: LitBool = value.parse()?;
        return Ok(quote!(.dead_letters(#on)));
    }
    if value.peek(LitStr) {
        let name = topic_name(&value.parse()?);
        return Ok(quote!(.dead_letters(#name)));
    }
    let span = value.span();
    let topic: syn::Path = value.parse().map_err(|_| {
        let why = format!("`{key}` is a topic, `{key} = \"..\"` or a type that derives `Topic`, or `true` or `false`");
        Error::new(span, why)
    })?;
    Ok(quote_spanned! {topic.span()=>
        .dead_letters(<#topic as ::tidings::topic::Topic>::NAME)
        .declare([<#topic as ::tidings::topic::Topic>::spec()])
    })
}
