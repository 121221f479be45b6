//! `#[producer]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, GenericArgument, Ident, Path, PathArguments, Result, Type};

use crate::attribute::{FieldPath, each_argument};
use crate::function::{Function, TopicRef, topic_name};

const KNOWN: &str = "`topic`, `key`, `key_with` and `unkeyed`";

/// What keeps plain messages in order.
enum Key {
    Field(FieldPath),
    Computed(Path),
    None,
}

#[derive(Default)]
struct Arguments {
    topic: Option<TopicRef>,
    key: Option<Key>,
}

pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let Arguments { topic, key } = read(arguments)?;
    let function = Function::read(function, "producer")?;
    let answer = function.answer(
        "it answers nothing, and what it answers is published: `-> UserCreated`, or `-> Result<UserCreated, _>`",
    )?;
    if let Some(several @ ("Vec" | "Option")) = last(answer).as_deref() {
        return Err(Error::new(
            answer.span(),
            format!(
                "it answers one event or message, no `{several}`; publish these by hand: `publisher.publish_all(..)`"
            ),
        ));
    }
    let (vis, ident, generics) =
        (&function.item.vis, &function.item.sig.ident, &function.item.sig.generics);
    let (parameters, _, limits) = generics.split_for_impl();
    let (arguments, names) = function.arguments();
    let names_of_ours = Names::at(answer.span());
    let Names { publisher, producer, event, value, message } = &names_of_ours;
    let call = quote_spanned!(answer.span()=> #ident(#(#names),*).await);
    let spelled = Spelled::of(answer);
    let Some(key) = key else {
        let publish = publish(topic.as_ref(), &names_of_ours, answer.span());
        let (answered, error) = match spelled {
            Spelled::Result => (quote!(#call?), quote!(::tidings::error::BoxError)),
            Spelled::Opaque => (call, quote!(::tidings::publisher::PublishError)),
            Spelled::Named => {
                let event = quote_spanned!(answer.span()=> ::tidings::publisher::EventAnswer);
                (
                    quote!(#event::event(#call)?),
                    quote_spanned!(answer.span()=> <#answer as #event>::Error),
                )
            }
        };
        let published = quote_spanned!(answer.span()=>
            ::core::result::Result<::tidings::publisher::Published, #error>
        );
        return Ok(function.with(&quote! {
            /// Publishes what the function answers; `Ok` once the broker has acknowledged it.
            ///
            /// # Errors
            /// When the function fails, or what it answered is not acknowledged.
            #vis async fn publish #parameters (
                #publisher: &::tidings::publisher::Publisher,
                #(#arguments),*
            ) -> #published #limits {
                let #event = #answered;
                ::core::result::Result::Ok(#publish?)
            }
        }));
    };
    let Some(topic) = topic else {
        return Err(Error::new(
            ident.span(),
            "a plain message does not know its topic; say it: `topic = Clicks`, or `topic = \"..\"`",
        ));
    };
    let answered = match spelled {
        Spelled::Result => quote!(#call?),
        Spelled::Opaque => call,
        Spelled::Named => quote! {{
            #[allow(unused_imports)]
            use ::tidings::producer::ValueAnswer as _;
            ::tidings::producer::PlainAnswer(#call).answered()?
        }},
    };
    let made = made(&topic, value);
    let key = keyed(key, value);
    Ok(function.with(&quote! {
        /// Sends what the function answers; `Ok` once the broker has acknowledged it.
        ///
        /// # Errors
        /// When the function fails, or what it answered cannot be encoded or is not acknowledged.
        #vis async fn send #parameters (
            #producer: &::tidings::producer::Producer,
            #(#arguments),*
        ) -> ::core::result::Result<::tidings::producer::Sent, ::tidings::error::BoxError> #limits {
            let #value = #answered;
            let #message = #made?;
            ::core::result::Result::Ok(#producer.send(#message #key).await?)
        }
    }))
}

/// How a function's answer is written. Only the compiler knows what a name stands for.
enum Spelled {
    /// `Result<_, _>`, of whichever module.
    Result,
    /// `impl Trait`, which is no `Result` and can be named nowhere else.
    Opaque,
    /// A type, or an alias of whatever.
    Named,
}

impl Spelled {
    fn of(answer: &Type) -> Self {
        match answer {
            Type::ImplTrait(_) => Self::Opaque,
            _ if last(answer).is_some_and(|name| name == "Result") => Self::Result,
            _ => Self::Named,
        }
    }
}

/// What the generated code calls its own. Beside a key function nobody else's name can be taken for one of these.
struct Names {
    publisher: Ident,
    producer: Ident,
    event: Ident,
    value: Ident,
    message: Ident,
}

impl Names {
    /// They stand where the answer does, so that what is wrong with its type is said once, and there.
    fn at(place: Span) -> Self {
        let ours = |name| Ident::new(name, place.resolved_at(Span::mixed_site()));
        Self {
            publisher: ours("publisher"),
            producer: ours("producer"),
            event: ours("event"),
            value: ours("value"),
            message: ours("message"),
        }
    }
}

/// Publishes the event. What is wrong with a topic is said once and where it stands: by a function that is no async
/// one, since the compiler says what is wrong with the call of such a one again for its future.
fn publish(topic: Option<&TopicRef>, names: &Names, at: Span) -> TokenStream {
    let Names { publisher, event, .. } = names;
    match topic {
        None => quote_spanned!(at=> #publisher.publish(#event).await),
        Some(TopicRef::Type(topic)) => {
            let event_there =
                Ident::new(&event.to_string(), topic.span().resolved_at(event.span()));
            let carried = quote_spanned!(topic.span()=> ::tidings::publisher::carried::<#topic, _>(&#event_there));
            quote_spanned! {at=> {
                #carried;
                #publisher.publish_to_named(<#topic as ::tidings::topic::Topic>::NAME, #event).await
            }}
        }
        Some(TopicRef::Name(name)) => {
            let name = topic_name(name);
            quote_spanned!(at=> #publisher.publish_to_named(#name, #event).await)
        }
    }
}

/// A message that holds the value.
fn made(topic: &TopicRef, value: &Ident) -> TokenStream {
    match topic {
        TopicRef::Type(topic) => {
            quote_spanned!(topic.span()=> ::tidings::producer::Message::on::<#topic>(&#value))
        }
        TopicRef::Name(name) => {
            let name = topic_name(name);
            quote!(::tidings::producer::Message::new(#name, &#value))
        }
    }
}

fn keyed(key: Key, value: &Ident) -> Option<TokenStream> {
    match key {
        Key::Field(FieldPath(members)) => {
            let span = members[0].span();
            Some(quote_spanned!(span=> .key(::core::clone::Clone::clone(&#value #(.#members)*))))
        }
        Key::Computed(path) => Some(quote_spanned!(path.span()=> .key(#path(&#value)))),
        Key::None => None,
    }
}

/// The last name of a type's path: `Result` of `std::result::Result<T, E>`.
fn last(kind: &Type) -> Option<String> {
    let Type::Path(path) = kind else { return None };
    let segment = path.path.segments.last()?;
    let generic = matches!(&segment.arguments, PathArguments::AngleBracketed(arguments)
        if arguments.args.iter().any(|argument| matches!(argument, GenericArgument::Type(_))));
    generic.then(|| segment.ident.to_string())
}

fn read(arguments: TokenStream) -> Result<Arguments> {
    let mut found = Arguments::default();
    each_argument(arguments, "producer", KNOWN, |key, meta| {
        let span = meta.path.span();
        match key.to_string().as_str() {
            "topic" => found.topic = Some(TopicRef::of(meta, key)?),
            "key" => set_key(&mut found.key, span, Key::Field(FieldPath::of(meta, key)?))?,
            "key_with" => set_key(&mut found.key, span, Key::Computed(meta.value()?.parse()?))?,
            "unkeyed" => set_key(&mut found.key, span, Key::None)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(found)
}

fn set_key(slot: &mut Option<Key>, span: Span, key: Key) -> Result<()> {
    match slot.replace(key) {
        None => Ok(()),
        Some(_) => Err(Error::new(span, "say one of `key`, `key_with` and `unkeyed`, not several")),
    }
}
