//! `#[derive(Module)]` and `#[derive(Uniform)]`, which `wgrad::nn` and `wgrad::kernel` export beside the traits.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Data, DataStruct, DeriveInput, Field, Fields, LitStr, Result, parse_macro_input, parse_quote};

/// Visits every field of a struct under its name: see `wgrad::nn::Module`.
#[proc_macro_derive(Module, attributes(module))]
pub fn module(input: TokenStream) -> TokenStream {
    expand(parse_macro_input!(input as DeriveInput)).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Tells the members of a kernel's parameters: see `wgrad::kernel::Uniform`.
#[proc_macro_derive(Uniform)]
pub fn uniform(input: TokenStream) -> TokenStream {
    members(&parse_macro_input!(input as DeriveInput)).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn members(input: &DeriveInput) -> Result<proc_macro2::TokenStream> {
    let name = &input.ident;
    let Data::Struct(DataStruct { fields: Fields::Named(fields), .. }) = &input.data else {
        return Err(syn::Error::new_spanned(name, "Uniform is derived for structs whose fields have names"));
    };
    let members = fields.named.iter().map(|Field { ident, ty, .. }| {
        quote!(::wgrad::kernel::Member {
            name: stringify!(#ident),
            offset: ::core::mem::offset_of!(#name, #ident),
            bytes: ::core::mem::size_of::<#ty>(),
            scalar: <#ty as ::wgrad::kernel::Uniform>::SCALAR,
            members: <#ty as ::wgrad::kernel::Uniform>::MEMBERS,
        })
    });
    Ok(quote! {
        impl ::wgrad::kernel::Uniform for #name {
            const MEMBERS: &'static [::wgrad::kernel::Member] = &[#(#members),*];
        }
    })
}

/// What `#[module(..)]` says of a field.
#[derive(Default)]
struct Options {
    skip: bool,
    name: Option<String>,
}

impl Options {
    fn of(field: &Field) -> Result<Options> {
        let mut options = Options::default();
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("module")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("skip") {
                    options.skip = true;
                } else if meta.path.is_ident("name") {
                    options.name = Some(meta.value()?.parse::<LitStr>()?.value());
                } else {
                    return Err(meta.error("expected `skip` or `name = \"..\"`"));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}

fn expand(mut input: DeriveInput) -> Result<proc_macro2::TokenStream> {
    let Data::Struct(data) = &input.data else {
        let text = "Module is derived for structs; for an enum, write `visit` by hand, with a `match`";
        return Err(syn::Error::new_spanned(&input.ident, text));
    };
    let mut visits = Vec::new();
    for (at, field) in data.fields.iter().enumerate() {
        let options = Options::of(field)?;
        if options.skip {
            continue;
        }
        let member = field.ident.clone().map_or_else(|| syn::Member::from(at), syn::Member::from);
        let own = field.ident.as_ref().map_or_else(|| at.to_string(), |ident| ident.to_string());
        // `r#type` is called `type`.
        let name = options.name.unwrap_or_else(|| own.trim_start_matches("r#").to_string());
        visits.push(quote!(visitor.child(#name, &self.#member);));
    }
    for parameter in input.generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::wgrad::nn::Module));
    }
    let (name, (generics, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        impl #generics ::wgrad::nn::Module for #name #arguments #bounds {
            fn visit(&self, visitor: &mut ::wgrad::nn::Visitor) {
                let _ = &visitor;
                #(#visits)*
            }
        }
    })
}
