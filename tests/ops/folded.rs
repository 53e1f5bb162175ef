//! What compilers may fold as if there were no NaN, looked for in every module of the crate.

use crate::shaders::ALL;
use naga::valid::{Capabilities, FunctionInfo, ValidationFlags, Validator};
use std::collections::BTreeSet;

/// Each test with its name.
pub const TESTS: &[(&str, fn())] = &[
    ("nothing_is_left_to_compilers_that_know_no_nan", nothing_is_left_to_compilers_that_know_no_nan),
    ("what_compilers_may_fold_is_found", what_compilers_may_fold_is_found),
];

/// Functions that use what compilers may fold, and mend it for NaN.
const MENDED: &[&str] = &["larger4", "smaller4", "held4", "held", "sign4"];

/// Files where a largest may lose NaN, and why none is lost.
const FOUND_AGAIN: &[(&str, &str)] = &[
    ("softmax", "e^(x - top) is NaN where x is, and so is the sum of all"),
    ("cross_entropy", "as in softmax"),
    ("cross_entropy_backward", "as in softmax"),
    ("attention", "as in softmax"),
    ("attention_subgroup", "as in softmax"),
    ("upsample", "the place of a pixel is a number"),
    ("upsample_backward", "the place of a pixel is a number"),
];

/// What an expression reads, without the places of loads and whether it is repeated.
fn told(function: &naga::Function, at: naga::Handle<naga::Expression>) -> String {
    use naga::Expression::{AccessIndex, Compose, Literal, Load, Splat, ZeroValue};
    match &function.expressions[at] {
        Load { pointer: inner } | Splat { value: inner, .. } => told(function, *inner),
        AccessIndex { base, index } => format!("{}.{index}", told(function, *base)),
        Compose { components, .. } => {
            let all: BTreeSet<String> = components.iter().map(|part| told(function, *part)).collect();
            format!("{all:?}")
        }
        ZeroValue(_) => "0".into(),
        Literal(naga::Literal::F32(value)) => format!("{value}"),
        naga::Expression::GlobalVariable(_)
        | naga::Expression::LocalVariable(_)
        | naga::Expression::FunctionArgument(_) => {
            format!("{:?}", function.expressions[at])
        }
        _ => format!("{at:?}"),
    }
}

/// What in a function a compiler may fold as if there were no NaN, or what is coarser than the crate's tolerances.
fn folded(module: &naga::Module, function: &naga::Function, info: &FunctionInfo) -> Vec<String> {
    use naga::{BinaryOperator as Op, Expression as E, MathFunction as Math, ScalarKind};
    let is_float = |at: naga::Handle<naga::Expression>| {
        let kind = info[at].ty.inner_with(&module.types).scalar().map(|scalar| scalar.kind);
        kind == Some(ScalarKind::Float)
    };
    let compared = |at: naga::Handle<naga::Expression>| match &function.expressions[at] {
        E::Binary { op: Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual, left, right } if is_float(*left) => {
            Some(BTreeSet::from([told(function, *left), told(function, *right)]))
        }
        _ => None,
    };
    let mut found = Vec::new();
    for (_, expression) in function.expressions.iter() {
        match expression {
            E::Binary { op: Op::NotEqual, left, .. } if is_float(*left) => {
                found.push("`!=` of floats, which is false of NaN on Vulkan: ask for `==`".to_string());
            }
            E::Binary {
                op: op @ (Op::Equal | Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual),
                left,
                right,
            } if is_float(*left) && told(function, *left) == told(function, *right) => {
                found.push(format!("{op:?} of a float and itself: ask `is_nan4`"));
            }
            E::Select { condition, accept, reject } => {
                let chosen = BTreeSet::from([told(function, *accept), told(function, *reject)]);
                if compared(*condition).is_some_and(|compared| compared == chosen) {
                    found.push("a `select` that is a max or min: call `larger4`, `smaller4` or `relu4`".to_string());
                }
            }
            E::Math { fun: fun @ (Math::Max | Math::Min | Math::Clamp | Math::Saturate | Math::Sign), arg, .. }
                if is_float(*arg) =>
            {
                found.push(format!(
                    "{fun:?} of floats, which may lose NaN: call `larger4`, `smaller4`, `held4` or `sign4`"
                ));
            }
            E::Math {
                fun:
                    fun @ (Math::Sin
                    | Math::Cos
                    | Math::Tan
                    | Math::Tanh
                    | Math::Pow
                    | Math::Sinh
                    | Math::Cosh
                    | Math::Asin
                    | Math::Acos
                    | Math::Atan
                    | Math::Atan2
                    | Math::Asinh
                    | Math::Acosh
                    | Math::Atanh),
                ..
            } => found.push(format!("{fun:?} is too coarse in WGSL: write it out, as `sin4` and `power4` are")),
            _ => {}
        }
    }
    found
}

fn nothing_is_left_to_compilers_that_know_no_nan() {
    let mut found = BTreeSet::new();
    let mut excused = BTreeSet::new();
    for module in &ALL.modules {
        let functions = module.naga.functions.iter().map(|(at, function)| (function, &module.info[at]));
        let entries = module.naga.entry_points.iter().enumerate();
        let entries = entries.map(|(at, entry)| (&entry.function, module.info.get_entry_point(at)));
        for (function, info) in functions.chain(entries) {
            let name = function.name.clone().unwrap_or_default();
            for what in folded(&module.naga, function, info).into_iter().filter(|_| !MENDED.contains(&name.as_str())) {
                let is_max = ["Max", "Min", "Clamp"].iter().any(|name| what.starts_with(name));
                if is_max && FOUND_AGAIN.iter().any(|(file, _)| *file == module.shader.name) {
                    excused.insert(module.shader.name);
                } else {
                    found.insert(format!("{}.wgsl, {name}: {what}", module.shader.name));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    let idle = FOUND_AGAIN.iter().filter(|(file, _)| !excused.contains(file));
    assert_eq!(idle.count(), 0, "some files of the list need no excuse: only {excused:?} do");
}

fn what_compilers_may_fold_is_found() {
    let bad = [
        ("x != 0.0", "`!=` of floats"),
        ("x == x", "Equal of a float and itself"),
        ("a[0] == a[0]", "Equal of a float and itself"),
        ("select(x, 0.0, x < 0.0) > 1.0", "a `select` that is a max"),
        ("all(select(vec4(x), vec4<f32>(), vec4(x) < vec4<f32>()) > vec4(1.0))", "a `select` that is a max"),
        ("select(x, a[0], a[0] > x) > 1.0", "a `select` that is a max"),
        ("max(x, 0.0) > 1.0", "Max of floats"),
        ("sign(x) > 0.0", "Sign of floats"),
        ("sin(x) > 0.0", "Sin is too coarse"),
    ];
    for (text, want) in bad {
        let source = format!(
            "@group(0) @binding(0) var<storage, read> a: array<f32>; @group(0) @binding(1) var<storage, read_write> y: \
             array<u32>; @compute @workgroup_size(1) fn main() {{ let x = a[1]; y[0] = u32({text}); }}"
        );
        let naga = naga::front::wgsl::parse_str(&source).unwrap_or_else(|error| panic!("{text}: {error}"));
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&naga);
        let info = info.unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let found = folded(&naga, &naga.entry_points[0].function, info.get_entry_point(0));
        assert!(found.iter().any(|found| found.starts_with(want)), "{text}: {found:?}");
    }
}
