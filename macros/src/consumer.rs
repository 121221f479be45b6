//! `#[consumer]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{LitStr, Result};

use crate::attribute::each_argument;
use crate::function::{Function, TopicRef, name, topic_name};

const KNOWN: &str = "`topic`, `group` and `name`";

#[derive(Default)]
struct Arguments {
    topic: Option<TopicRef>,
    group: Option<LitStr>,
    name: Option<LitStr>,
}

pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let Arguments { topic, group, name } = read(arguments)?;
    let function = Function::read(function, "consumer")?;
    function.handles("consumer", "Event(user): Event<UserCreated>")?;
    let (vis, ident) = (&function.item.vis, &function.item.sig.ident);
    let handler = name.unwrap_or_else(|| function.name());
    let add = match &topic {
        None => quote_spanned!(ident.span()=> .handle_named(#handler, #ident)),
        Some(TopicRef::Type(topic)) => {
            quote_spanned!(ident.span()=> .handle_on_named(#topic, #handler, #ident))
        }
        Some(TopicRef::Name(topic)) => {
            let topic = topic_name(topic);
            quote_spanned!(ident.span()=> .handle_on_named(#topic, #handler, #ident))
        }
    };
    let builder = match group {
        Some(group) => quote!(::tidings::consumer::Consumer::builder(#group)),
        None => quote!(::tidings::consumer::Consumer::configured()),
    };
    Ok(function.with(&quote! {
        /// A consumer with this handler, to be completed and built.
        #[must_use]
        #vis fn consumer() -> ::tidings::consumer::ConsumerBuilder {
            Self::register(#builder)
        }

        /// Adds this handler to a consumer.
        #[must_use]
        #vis fn register(
            consumer: ::tidings::consumer::ConsumerBuilder,
        ) -> ::tidings::consumer::ConsumerBuilder {
            consumer #add
        }
    }))
}

fn read(arguments: TokenStream) -> Result<Arguments> {
    let mut found = Arguments::default();
    each_argument(arguments, "consumer", KNOWN, |key, meta| {
        match key.to_string().as_str() {
            "topic" => found.topic = Some(TopicRef::of(meta, key)?),
            "group" => found.group = Some(name(meta, key)?),
            "name" => found.name = Some(name(meta, key)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(found)
}
