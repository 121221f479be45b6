//! `#[derive(DomainEvent)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Result};

use crate::attribute::without_lifetimes;

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if matches!(input.data, Data::Union(_)) {
        return Err(Error::new(
            input.ident.span(),
            "a domain event is a struct or an enum, not a union",
        ));
    }
    without_lifetimes(input, "a domain event")?;
    let name = &input.ident;
    let mut generics = input.generics.clone();
    for param in generics.type_params_mut() {
        param.bounds.push(syn::parse_quote!(::core::fmt::Debug));
        param.bounds.push(syn::parse_quote!(::core::marker::Send));
        param.bounds.push(syn::parse_quote!(::core::marker::Sync));
        param.bounds.push(syn::parse_quote!('static));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::tidings::event::DomainEvent for #name #type_generics #where_clause {}
    })
}
