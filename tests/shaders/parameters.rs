//! The parameters of each kernel, held against the uniform of every module that it runs.

use super::{ALL, Module};
use naga::{AddressSpace, ScalarKind, TypeInner};
use std::collections::BTreeSet;
use wgrad::kernel::{Member, Params};

/// A number, or several of one kind, at some bytes of a struct.
#[derive(Debug, PartialEq)]
struct Piece {
    name: String,
    offset: usize,
    bytes: usize,
    scalar: &'static str,
}

/// The pieces of a struct of Rust; members of members with what is inside.
fn pieces(members: &[Member], start: usize) -> Vec<Piece> {
    let of = |member: &Member| {
        let offset = start + member.offset;
        if !member.members.is_empty() {
            return pieces(member.members, offset);
        }
        vec![Piece { name: member.name.to_string(), offset, bytes: member.bytes, scalar: member.scalar }]
    };
    members.iter().flat_map(of).collect()
}

/// The pieces of a module's uniform.
fn uniform(module: &Module) -> Vec<Piece> {
    let types = &module.naga.types;
    let mut variables = module.naga.global_variables.iter().map(|(_, variable)| variable);
    let variable = variables.find(|variable| variable.space == AddressSpace::Uniform).expect("a uniform");
    let TypeInner::Struct { members, .. } = &types[variable.ty].inner else {
        panic!("{}: the parameters are no struct", module.shader.name)
    };
    let kind = |inner: &TypeInner| {
        let TypeInner::Array { base, .. } = inner else { return inner.scalar_kind() };
        types[*base].inner.scalar_kind()
    };
    let piece = |member: &naga::StructMember| {
        let inner = &types[member.ty].inner;
        let scalar = match kind(inner) {
            Some(ScalarKind::Uint) => "u32",
            Some(ScalarKind::Sint) => "i32",
            Some(ScalarKind::Float) => "f32",
            other => panic!("{}: {:?} is of {other:?}", module.shader.name, member.name),
        };
        let name = member.name.clone().unwrap_or_default();
        Piece { name, offset: member.offset as usize, bytes: inner.size(module.naga.to_ctx()) as usize, scalar }
    };
    members.iter().map(piece).collect()
}

/// What differs between both.
fn difference(ours: &[Piece], theirs: &[Piece]) -> Option<String> {
    let end = |pieces: &[Piece]| pieces.last().map_or(0, |last| last.offset + last.bytes);
    if end(ours) != end(theirs) {
        return Some(format!("{} bytes are sent, {} are read", end(ours), end(theirs)));
    }
    theirs.iter().find_map(|read| {
        let own = ours.iter().find(|own| own.offset <= read.offset && read.offset < own.offset + own.bytes)?;
        // A word of an array may have a name that goes on.
        let is_named = own.name == read.name || own.bytes > 4 && read.name.starts_with(&format!("{}_", own.name));
        let fits = is_named && own.scalar == read.scalar && read.offset + read.bytes <= own.offset + own.bytes;
        (!fits).then(|| format!("{own:?} is read as {read:?}"))
    })
}

pub fn parameters_are_as_the_uniform_says() {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for lowered in &ALL.lowered {
        for pass in &lowered.passes {
            let params: &Params = pass.params.as_ref().unwrap_or(&lowered.dispatch.params);
            let ours = pieces(params.members(), 0);
            if !seen.insert((pass.shader.name, format!("{ours:?}"))) {
                continue;
            }
            let module = ALL.modules.iter().find(|module| module.shader.name == pass.shader.name).expect("collected");
            let told = difference(&ours, &uniform(module));
            found.extend(told.map(|told| format!("{}, {}.wgsl: {told}", lowered.title, pass.shader.name)));
        }
    }
    assert!(seen.len() > 60, "hardly any parameters are seen: {}", seen.len());
    assert!(found.is_empty(), "{found:#?}");
}

pub fn a_swapped_member_is_noticed() {
    let piece = |name: &str, offset, bytes, scalar| Piece { name: name.to_string(), offset, bytes, scalar };
    let ours = || vec![piece("n", 0, 4, "u32"), piece("size", 4, 8, "u32"), piece("eps", 12, 4, "f32")];
    let words = |[first, second]: [&str; 2]| {
        vec![piece("n", 0, 4, "u32"), piece(first, 4, 4, "u32"), piece(second, 8, 4, "u32"), piece("eps", 12, 4, "f32")]
    };
    assert_eq!(difference(&ours(), &words(["size_h", "size_w"])), None);
    assert!(difference(&ours(), &words(["size_h", "width"])).is_some(), "a name");
    let mut swapped = ours();
    swapped.swap(0, 2);
    (swapped[0].offset, swapped[2].offset) = (0, 12);
    assert!(difference(&swapped, &words(["size_h", "size_w"])).is_some(), "two members in each other's place");
    let mut typed = ours();
    typed[2].scalar = "u32";
    assert!(difference(&typed, &words(["size_h", "size_w"])).is_some(), "a type");
    assert!(difference(&ours()[..2], &words(["size_h", "size_w"])).is_some(), "a member less");
}
