//! The passes of normalised rows.

use super::{Form, LayerNormParams};
use crate::kernel::{Access, Class, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, groups, shader};

use Access::{Read, Write};

static FORWARD: Shader = shader!("layer_norm", ["halves", "norm", "whole"], &[Read, Read, Read, Write, Write]);
static FORWARD_SUBGROUP: Shader = shader!("layer_norm_subgroup", ["halves", "norm"], FORWARD.access);
static FORWARD_ROWS: Shader = shader!("layer_norm_rows", ["halves", "norm"], FORWARD.access);
static BACKWARD: Shader =
    shader!("layer_norm_backward", ["halves", "norm", "whole"], &[Read, Read, Read, Read, Read, Write]);
static BACKWARD_SUBGROUP: Shader = shader!("layer_norm_backward_subgroup", ["halves", "norm"], BACKWARD.access);
static BACKWARD_ROWS: Shader =
    shader!("layer_norm_backward_rows", ["halves", "norm"], &[Read, Read, Read, Read, Read, Write, Write, Write]);
static COLUMNS: Shader = shader!("layer_norm_columns", ["halves", "norm"], &[Read, Read, Read, Write, Write]);

/// Columns that even 8 lanes walk three times within 65,535 iterations, one at a time.
pub const MAX_COLS: u32 = 170_000;
/// Rows of one invocation's loop, and parts of another's.
const MAX_CHUNK: u32 = 8192;

pub fn fits_subgroup(info: &Info, d: &Dispatch) -> bool {
    matches!(info.subgroup, Some(8..=16)) && fits_group(info, d)
}

/// Items of a row that one lane keeps in registers.
fn items_of_lane(info: &Info, p: &LayerNormParams) -> u32 {
    (p.cols / width(p)).div_ceil(info.subgroup.unwrap_or(8))
}

pub fn fits_rows(info: &Info, d: &Dispatch) -> bool {
    fits_subgroup(info, d)
        && items_of_lane(info, &d.params()) <= 16
        && d.params::<LayerNormParams>().rows <= 512 * MAX_CHUNK
}

/// Rows that a subgroup takes one by one, and their parts: enough to keep all threads of a processor busy.
fn in_rows(p: LayerNormParams) -> LayerNormParams {
    let chunk = p.rows.div_ceil(64).clamp(4, 512);
    LayerNormParams { chunk, parts: p.rows.div_ceil(chunk), ..p }
}

fn rows_constants(pass: Pass, form: Form, info: &Info, p: &LayerNormParams) -> Pass {
    let (lanes, items) = (info.subgroup.unwrap_or(8), items_of_lane(info, p));
    constants(pass, form, p)
        .constant("LANES", Constant::U32(lanes))
        .constant("ITEMS", Constant::U32(items))
        .constant("EVEN", Constant::Bool(items * lanes * width(p) == p.cols))
        .params(p)
}

pub fn suits_subgroup(info: &Info, _: &Dispatch) -> bool {
    info.class != Class::Gpu
}

pub fn fits_group(info: &Info, d: &Dispatch) -> bool {
    let p: LayerNormParams = d.params();
    info.max_threads >= 256 && p.cols <= MAX_COLS && p.rows <= MAX_CHUNK * MAX_CHUNK
}

/// Invocations that share a row.
fn threads(p: &LayerNormParams) -> u32 {
    if p.cols <= 256 * width(p) { 64 } else { 256 }
}

/// Columns that the shaders take at a time.
fn width(p: &LayerNormParams) -> u32 {
    if p.cols.is_multiple_of(4) { 4 } else { 1 }
}

fn constants(pass: Pass, form: Form, p: &LayerNormParams) -> Pass {
    // The types of what is as large as the rows.
    let names: &[&str] = match pass.shader.access.len() {
        5 if pass.shader.name == "layer_norm_columns" => &["X", "DY"],
        5 => &["X", "", "", "Y"],
        _ => &["X", "DY", "", "", "OTHER", "DX"],
    };
    pass.items(width(p) as usize, names).constant("RMS", Constant::Bool(form == Form::Rms))
}

/// The bindings of a forward dispatch as the shaders have them.
fn forward_slots(form: Form) -> [Slot; 5] {
    match form {
        Form::Layer => std::array::from_fn(Slot::Arg),
        Form::Rms => [Slot::Arg(0), Slot::Arg(1), Slot::Arg(1), Slot::Arg(2), Slot::Arg(3)],
    }
}

fn forward_pass(form: Form, d: &Dispatch, shader: &'static Shader, entry: &'static str) -> Pass {
    let p: LayerNormParams = d.params();
    constants(Pass::new(shader, entry, u64::from(p.rows)), form, &p).slots(&forward_slots(form))
}

pub fn forward_rows(form: Form, info: &Info, d: &Dispatch) -> Lowering {
    let p = in_rows(d.params());
    let pass = Pass::new(&FORWARD_ROWS, "layer_norm_rows", u64::from(p.parts)).slots(&forward_slots(form));
    rows_constants(pass, form, info, &p).alone()
}

pub fn backward_rows(form: Form, info: &Info, d: &Dispatch) -> Lowering {
    let p = in_rows(d.params());
    let mut out = Lowering::default();
    let bytes = u64::from(p.parts) * u64::from(p.cols) * 4;
    let (dw, db) = (out.scratch(bytes), out.scratch(if form == Form::Layer { bytes } else { 16 }));
    let first = Pass::new(&BACKWARD_ROWS, "layer_norm_backward_rows", u64::from(p.parts));
    let args = [0, 1, 2, 3, 4, 5].map(Slot::Arg);
    let first = first.slots(&[&args[..], &[dw, db]].concat()).constant("ADD", Constant::Bool(p.add == 1));
    let results = [Slot::Arg(6), if form == Form::Layer { Slot::Arg(7) } else { db }];
    let last = join(form, &p, info.subgroup.unwrap_or(8), [dw, if form == Form::Layer { db } else { dw }], results);
    out.passes = vec![rows_constants(first, form, info, &p), last];
    out
}

/// The pass that adds up the parts' sums.
fn join(form: Form, p: &LayerNormParams, threads: u32, [dw, db]: [Slot; 2], results: [Slot; 2]) -> Pass {
    let pass = Pass::new(&COLUMNS, "layer_norm_join", groups((p.cols / width(p)) as usize, threads as usize));
    constants(pass, form, p)
        .constant("THREADS", Constant::U32(threads))
        .slots(&[dw, db, Slot::Arg(3), results[0], results[1]])
        .params(p)
}

pub fn forward_group(form: Form, d: &Dispatch) -> Lowering {
    let threads = threads(&d.params());
    forward_pass(form, d, &FORWARD, "layer_norm_group").constant("THREADS", Constant::U32(threads)).alone()
}

pub fn forward_subgroup(form: Form, info: &Info, d: &Dispatch) -> Lowering {
    let lanes = Constant::U32(info.subgroup.unwrap_or(8));
    forward_pass(form, d, &FORWARD_SUBGROUP, "layer_norm_subgroup").constant("LANES", lanes).alone()
}

/// The pass for dx, and those for dw and db: one where one part of the rows is enough.
fn backward(form: Form, info: &Info, d: &Dispatch, dx: Pass) -> Lowering {
    let mut p: LayerNormParams = d.params();
    let dx = constants(dx, form, &p).constant("ADD", Constant::Bool(p.add == 1));
    // A software adapter has few threads to fill; more parts would only be one more pass.
    let (chunk, threads) = if info.class == Class::Gpu { (64, 64) } else { (2048, info.subgroup.unwrap_or(8)) };
    p.chunk = chunk.max(p.rows.div_ceil(MAX_CHUNK));
    p.parts = p.rows.div_ceil(p.chunk);
    let mut out = dx.alone();
    let results = [Slot::Arg(6), if form == Form::Layer { Slot::Arg(7) } else { out.scratch(16) }];
    let sums = match p.parts {
        1 => results,
        parts => {
            let bytes = u64::from(parts) * u64::from(p.cols) * 4;
            [out.scratch(bytes), if form == Form::Rms { results[1] } else { out.scratch(bytes) }]
        }
    };
    let invocations = (p.cols / width(&p)) as usize * p.parts as usize;
    let columns = Pass::new(&COLUMNS, "layer_norm_columns", groups(invocations, threads as usize));
    let [dw, db] = sums;
    let columns = constants(columns, form, &p).constant("THREADS", Constant::U32(threads));
    out.passes.push(columns.slots(&[Slot::Arg(0), Slot::Arg(1), Slot::Arg(3), dw, db]).params(&p));
    if p.parts > 1 {
        // Without db, dw stands for what is not read.
        out.passes.push(join(form, &p, threads, [dw, if form == Form::Rms { dw } else { db }], results));
    }
    out
}

pub fn backward_group(form: Form, info: &Info, d: &Dispatch) -> Lowering {
    let p: LayerNormParams = d.params();
    let pass = Pass::new(&BACKWARD, "layer_norm_backward_group", u64::from(p.rows));
    backward(form, info, d, pass.constant("THREADS", Constant::U32(threads(&p))))
}

pub fn backward_subgroup(form: Form, info: &Info, d: &Dispatch) -> Lowering {
    let p: LayerNormParams = d.params();
    let pass = Pass::new(&BACKWARD_SUBGROUP, "layer_norm_backward_subgroup", u64::from(p.rows));
    backward(form, info, d, pass.constant("LANES", Constant::U32(info.subgroup.unwrap_or(8))))
}
