//! The topics of an integration event.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, LitStr, Path, Result};

/// `topic = ".."`, or `topic_with = path, topics = ["..", ".."]`.
#[derive(Default)]
pub(crate) struct TopicAttributes {
    pub(crate) one: Option<LitStr>,
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
    pub(crate) fn expand(self, input: &DeriveInput, name: &LitStr) -> Result<Topics> {
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
            (Some(topic), _, _) => {
                refused(topic.span(), "say either `topic`, or `topic_with` and `topics`")
            }
        }
    }
}
