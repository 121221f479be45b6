//! The topics of an integration event.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, LitStr, Path, Result, Type, TypePath};

const BOTH: &str = "say either `topic`, or `topic_with` and `topics`";

/// `topic = ".."`, `topic = Type`, or `topic_with = path, topics = ["..", ".."]`.
#[derive(Default)]
pub(crate) struct TopicAttributes {
    pub(crate) one: Option<LitStr>,
    pub(crate) typed: Option<Type>,
    pub(crate) with: Option<Path>,
    pub(crate) listed: Option<Vec<LitStr>>,
}

/// What they become.
pub(crate) struct Topics {
    /// Each name is made in a `const`, so that a bad one does not compile.
    pub(crate) constants: TokenStream,
    /// `topics()` and `topic()`.
    pub(crate) methods: TokenStream,
}

impl TopicAttributes {
    /// Reads what `topic = ` says: a name in quotes, or a type that is a topic.
    pub(crate) fn read_one(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let value = meta.value()?;
        let refused = Error::new(
            value.span(),
            "`topic` is a text in quotes, `topic = \"..\"`, or a type that derives `Topic`",
        );
        if value.peek(LitStr) {
            self.one = Some(value.parse()?);
            return Ok(());
        }
        let Ok(path) = value.parse::<TypePath>() else { return Err(refused) };
        let last = path.path.segments.last().map(|segment| segment.ident.to_string());
        // A name whose quotes were forgotten.
        if last.is_none_or(|last| !last.starts_with(char::is_uppercase)) {
            return Err(refused);
        }
        self.typed = Some(Type::Path(path));
        Ok(())
    }

    pub(crate) fn expand(self, input: &DeriveInput, name: &LitStr) -> Result<Topics> {
        if let Some(topic) = &self.typed {
            if let Some(path) = &self.with {
                return Err(Error::new(path.span(), BOTH));
            }
            if self.listed.is_some() {
                return Err(Error::new(topic.span(), BOTH));
            }
            return Ok(typed(input, topic));
        }
        let (topics, with) = self.checked(input, name)?;
        let names: Vec<_> = (0..topics.len()).map(|at| format_ident!("TOPIC_{at}")).collect();
        let constants = topics.iter().zip(&names).map(|(topic, name)| {
            quote_spanned! {topic.span()=>
                const #name: ::tidings::event::TopicName = ::tidings::event::TopicName::from_static(#topic);
            }
        });
        let answer = match with {
            Some(path) => quote_spanned!(path.span()=> #path(self)),
            None => quote!(#(#names)*),
        };
        Ok(Topics {
            constants: quote!(#(#constants)*),
            methods: quote! {
                fn topics() -> ::std::vec::Vec<::tidings::event::TopicName> {
                    ::std::vec![#(#names),*]
                }

                fn topic(&self) -> ::tidings::event::TopicName {
                    #answer
                }
            },
        })
    }

    /// All topics, and the function that picks one where there is one; else there is one topic.
    fn checked(self, input: &DeriveInput, name: &LitStr) -> Result<(Vec<LitStr>, Option<Path>)> {
        let refused = |span, why: &str| Err(Error::new(span, why));
        match (self.one, self.with, self.listed) {
            (Some(topic), None, None) => Ok((vec![topic], None)),
            (None, None, None) => {
                let topic = format!("integration-events.{}", name.value());
                Ok((vec![LitStr::new(&topic, name.span())], None))
            }
            (None, Some(path), Some(topics)) if !topics.is_empty() => Ok((topics, Some(path))),
            (None, Some(path), _) => refused(
                path.span(),
                "list all that `topic_with` can answer, consumers subscribe to them: `topics = [\"..\", \"..\"]`",
            ),
            (None, None, Some(_)) => refused(
                input.ident.span(),
                "`topics` needs `topic_with = ..`, which picks one; one alone is `topic = \"..\"`",
            ),
            (Some(topic), _, _) => refused(topic.span(), BOTH),
        }
    }
}

/// The one topic that is a type: it must carry the event, and brings its declaration along.
fn typed(input: &DeriveInput, topic: &Type) -> Topics {
    let event = &input.ident;
    let span = topic.span();
    Topics {
        constants: quote_spanned! {span=>
            const _: () = {
                const fn carries<T: ::tidings::topic::Carries<E>, E>() {}
                carries::<#topic, #event>()
            };
        },
        methods: quote_spanned! {span=>
            fn topics() -> ::std::vec::Vec<::tidings::event::TopicName> {
                ::std::vec![<#topic as ::tidings::topic::Topic>::NAME]
            }

            fn declared_topics() -> ::std::vec::Vec<::tidings::event::TopicSpec> {
                ::std::vec![<#topic as ::tidings::topic::Topic>::spec()]
            }

            fn topic(&self) -> ::tidings::event::TopicName {
                <#topic as ::tidings::topic::Topic>::NAME
            }
        },
    }
}
