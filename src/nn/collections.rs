//! Modules of modules: references, boxes, tuples, arrays, vectors, options, maps.

use super::ctx::Ctx;
use super::module::{Layer, Module, Visitor};
use super::parameter::{Buffer, Parameter};
use crate::tensor::Tensor;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

impl Module for Parameter {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.parameter("", self);
    }
}

impl Module for Buffer {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.buffer("", self);
    }
}

macro_rules! pointers {
    ($($pointer:ty, $of:ident);*) => {$(
        impl<$of: Module + ?Sized> Module for $pointer {
            fn visit(&self, visitor: &mut Visitor) {
                (**self).visit(visitor);
            }
        }

        impl<$of: Layer + ?Sized> Layer for $pointer {
            #[track_caller]
            fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
                (**self).call(x, ctx)
            }

            fn batched_rank(&self) -> Option<usize> {
                (**self).batched_rank()
            }

            fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
                (**self).misfit(x, ctx)
            }

            fn title(&self) -> String {
                (**self).title()
            }
        }
    )*};
}

pointers!(&M, M; Box<M>, M; Arc<M>, M);

impl<M: Module> Module for [M] {
    fn visit(&self, visitor: &mut Visitor) {
        for (at, module) in self.iter().enumerate() {
            visitor.child(&at.to_string(), module);
        }
    }
}

impl<M: Module, const N: usize> Module for [M; N] {
    fn visit(&self, visitor: &mut Visitor) {
        self[..].visit(visitor);
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit(&self, visitor: &mut Visitor) {
        self[..].visit(visitor);
    }
}

impl<M: Module> Module for Option<M> {
    fn visit(&self, visitor: &mut Visitor) {
        if let Some(module) = self {
            module.visit(visitor);
        }
    }
}

impl<M: Module> Module for BTreeMap<String, M> {
    fn visit(&self, visitor: &mut Visitor) {
        for (name, module) in self {
            visitor.child(name, module);
        }
    }
}

impl<M: Module, S: BuildHasher + Send + Sync> Module for HashMap<String, M, S> {
    /// In the order of the names, so that equal models are visited alike.
    fn visit(&self, visitor: &mut Visitor) {
        for (name, module) in self.iter().collect::<BTreeMap<_, _>>() {
            visitor.child(name, module);
        }
    }
}

macro_rules! tuples {
    ($(($($name:ident $at:tt),*))*) => {$(
        impl<$($name: Module),*> Module for ($($name,)*) {
            fn visit(&self, visitor: &mut Visitor) {
                $(visitor.child(stringify!($at), &self.$at);)*
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}
