//! `#[derive(Command)]` and `#[derive(Query)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Path, Result, Type};

use crate::attribute::{each_key, without_lifetimes};

const KNOWN: &str = "`response`, `error`, `validate`, `domain_events` and `integration_events`";

pub(crate) fn command(input: &DeriveInput) -> Result<TokenStream> {
    derive(input, "Command")
}

pub(crate) fn query(input: &DeriveInput) -> Result<TokenStream> {
    derive(input, "Query")
}

#[derive(Default)]
struct Attributes {
    response: Option<Type>,
    error: Option<Type>,
    validate: Option<Path>,
    domain_events: Option<Path>,
    integration_events: Option<Path>,
}

fn derive(input: &DeriveInput, kind: &str) -> Result<TokenStream> {
    let lower = kind.to_lowercase();
    if matches!(input.data, Data::Union(_)) {
        return Err(Error::new(
            input.ident.span(),
            format!("a {lower} is a struct or an enum, not a union"),
        ));
    }
    without_lifetimes(input, &format!("a {lower}"))?;
    let attributes = read(input)?;
    let missing = |what: &str| {
        Error::new(
            input.ident.span(),
            format!(
                "the {lower} `{}` does not say its {what}: `#[request(response = .., error = ..)]`",
                input.ident
            ),
        )
    };
    let error = attributes.error.ok_or_else(|| missing("error"))?;
    let response = match attributes.response {
        Some(response) => response,
        None if kind == "Query" => return Err(missing("response")),
        None => syn::parse_quote!(()),
    };
    let validate = attributes.validate.map(|path| {
        let call = quote_spanned!(path.span()=> #path(self));
        quote! {
            fn validate(&self) -> ::core::result::Result<(), ::tidings::mediator::ValidationErrors> { #call }
        }
    });
    let domain_events = attributes.domain_events.map(|path| {
        let call = quote_spanned!(path.span()=> #path(response));
        quote! {
            fn domain_events(
                response: &mut Self::Response,
            ) -> ::std::vec::Vec<::std::boxed::Box<dyn ::tidings::event::DomainEvent>> { #call }
        }
    });
    let integration_events = attributes.integration_events.map(|path| {
        let call = quote_spanned!(path.span()=> #path(response));
        quote! {
            fn integration_events(response: &mut Self::Response) -> ::tidings::mapper::Events { #call }
        }
    });
    let name = &input.ident;
    let marker = format_ident!("{kind}");
    let mut generics = input.generics.clone();
    for param in generics.type_params_mut() {
        param.bounds.push(syn::parse_quote!(::core::marker::Send));
        param.bounds.push(syn::parse_quote!('static));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::tidings::mediator::Request for #name #type_generics #where_clause {
            type Response = #response;
            type Error = #error;
            #validate
            #domain_events
            #integration_events
        }
        #[automatically_derived]
        impl #impl_generics ::tidings::mediator::#marker for #name #type_generics #where_clause {}
    })
}

fn read(input: &DeriveInput) -> Result<Attributes> {
    let mut found = Attributes::default();
    each_key(input, "request", KNOWN, |key, meta| {
        match key.to_string().as_str() {
            "response" => found.response = Some(meta.value()?.parse()?),
            "error" => found.error = Some(meta.value()?.parse()?),
            "validate" => found.validate = Some(meta.value()?.parse()?),
            "domain_events" => found.domain_events = Some(meta.value()?.parse()?),
            "integration_events" => found.integration_events = Some(meta.value()?.parse()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(found)
}
