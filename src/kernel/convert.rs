//! Element types at the edges of kernels: `shaders/convert.wgsl`.
//!
//! A kernel names the type that it computes in, which is f32 for floats. A binding of half size is widened before it sees
//! it, and what it wrote is rounded when it is done: on the host by [`Call`](super::Call), on a GPU by passes around the kernel's
//! own ([`Variant::lowered`]). Each invocation of such a pass makes four neighbours, which are whole words in every type, and
//! a binding starts at a word: so no word has two writers, and a word at the end keeps what lies behind the binding.

use super::scratch::Scratch;
use super::{
    Access, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, Uniform, Variant, groups, parallel, shader,
};
use crate::dtype::{DType, Number, by_dtype};
use bytemuck::{Pod, Zeroable};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Elements as those of another type.
pub static SHADER: Shader = shader!("convert", ["halves"], &[Access::Read, Access::ReadWrite]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct ConvertParams {
    n: u32,
}

/// A pass that makes `n` elements of one type of as many of another. `held` makes of i64 that are no i32 the nearest.
pub fn pass(from: DType, to: DType, n: u32, held: bool) -> Pass {
    Pass::new(&SHADER, "convert", groups(n as usize, 4 * 256))
        .constant("FROM", Constant::U32(from as u32))
        .constant("TO", Constant::U32(to as u32))
        .constant("HELD", Constant::Bool(held))
        .params(&ConvertParams { n })
}

impl Variant {
    /// The passes of a dispatch whatever its types: a binding of half size is f32 in scratch memory to passes that do not say
    /// that they know its type, and where one of them writes it, to all that name it.
    pub fn lowered(&self, info: &Info, dispatch: &Dispatch) -> Lowering {
        let mut own = (self.lower)(info, dispatch);
        let mut before = Vec::new();
        for (at, binding) in dispatch.bindings.iter().enumerate().filter(|(_, b)| b.dtype.is_half()) {
            if !own.passes.iter().any(|pass| pass.widens(at)) {
                continue;
            }
            let n = binding.numel() as u32;
            let place = own.scratch((u64::from(n) * 4).next_multiple_of(16));
            let access = dispatch.kernel.access[at];
            for pass in own.passes.iter_mut().filter(|pass| !pass.typed) {
                let names = pass.elements;
                for (slot, place_of) in pass.slots.iter_mut().enumerate().filter(|(_, slot)| **slot == Slot::Arg(at)) {
                    if access != Access::Read || names.get(slot).is_none_or(|name| name.is_empty()) {
                        *place_of = place;
                    }
                }
            }
            if access != Access::Write {
                before.push(pass(binding.dtype, DType::F32, n, false).slots(&[Slot::Arg(at), place]));
            }
            if access != Access::Read {
                own.passes.push(pass(DType::F32, binding.dtype, n, false).slots(&[place, Slot::Arg(at)]));
            }
        }
        for pass in &mut own.passes {
            let named = pass.elements.iter().zip(&pass.slots).filter(|(name, _)| !name.is_empty());
            let types = named.map(|(name, slot)| match slot {
                Slot::Arg(at) => (*name, Constant::Element(dispatch.bindings[*at].dtype)),
                _ => (*name, Constant::Element(DType::F32)),
            });
            pass.constants.extend(types);
        }
        own.passes.splice(0..0, before);
        own
    }
}

impl Pass {
    /// Whether a binding of the dispatch has to be f32 for it.
    fn widens(&self, at: usize) -> bool {
        let is_named = |slot: usize| self.elements.get(slot).is_some_and(|name| !name.is_empty());
        let mut slots = self.slots.iter().enumerate();
        !self.typed && slots.any(|(slot, place)| *place == Slot::Arg(at) && !is_named(slot))
    }
}

/// The elements of a binding of half size as f32, in memory that is longer than they are.
pub(super) fn widened(dtype: DType, words: &[u32], len: usize, scratch: &Scratch) -> Vec<f32> {
    let mut values = scratch.take(len);
    parallel::chunks(&mut values[..len], parallel::GRAIN, |piece, out| {
        let first = piece * parallel::GRAIN;
        match dtype {
            DType::F16 => bytemuck::cast_slice::<u32, f16>(words)[first..][..out.len()].convert_to_f32_slice(out),
            _ => bytemuck::cast_slice::<u32, bf16>(words)[first..][..out.len()].convert_to_f32_slice(out),
        }
    });
    values
}

/// Writes f32 into a binding of half size, rounded to the nearest.
pub(super) fn narrowed(dtype: DType, values: &[f32], words: &mut [u32]) {
    let rounded = |piece: usize| &values[piece * parallel::GRAIN..];
    match dtype {
        DType::F16 => {
            let out = &mut bytemuck::cast_slice_mut::<u32, f16>(words)[..values.len()];
            let each = |piece, out: &mut [f16]| out.convert_from_f32_slice(&rounded(piece)[..out.len()]);
            parallel::chunks(out, parallel::GRAIN, each);
        }
        _ => {
            let out = &mut bytemuck::cast_slice_mut::<u32, bf16>(words)[..values.len()];
            let each = |piece, out: &mut [bf16]| out.convert_from_f32_slice(&rounded(piece)[..out.len()]);
            parallel::chunks(out, parallel::GRAIN, each);
        }
    }
}

/// The number that a float of that type holds where this is written to it.
pub fn rounded(dtype: DType, value: f32) -> f32 {
    match dtype {
        DType::F16 => f16::from_f32(value).to_f32(),
        DType::BF16 => bf16::from_f32(value).to_f32(),
        _ => value,
    }
}

/// Elements that are converted at once: enough for both types to be looked up but seldom.
const BLOCK: usize = 256;

/// Sets `n` elements of `y` to those of `x` in another type, on the host.
pub fn convert(x: &[u8], from: DType, y: &mut [u8], to: DType, n: usize, held: bool) {
    parallel::chunks(&mut y[..n * to.bytes()], parallel::GRAIN * to.bytes(), |piece, y| {
        for (block, y) in y.chunks_mut(BLOCK * to.bytes()).enumerate() {
            let (first, len) = (piece * parallel::GRAIN + block * BLOCK, y.len() / to.bytes());
            let mut numbers = [Number::Whole(0); BLOCK];
            let x = &x[first * from.bytes()..][..len * from.bytes()];
            let elements = numbers.iter_mut().zip(x.chunks_exact(from.bytes()));
            match from {
                DType::Bool => elements.for_each(|(number, x)| *number = Number::Whole((x[0] != 0).into())),
                _ => by_dtype!(from, T => elements.for_each(|(number, x)| {
                    let value = bytemuck::checked::pod_read_unaligned::<T>(x);
                    *number = crate::dtype::Convert::number(value);
                })),
            }
            if held {
                let ends = i64::from(i32::MIN)..=i64::from(i32::MAX);
                for number in &mut numbers {
                    if let Number::Whole(value) = number {
                        *value = (*value).clamp(*ends.start(), *ends.end());
                    }
                }
            }
            by_dtype!(to, T => {
                for (y, number) in y.chunks_exact_mut(size_of::<T>()).zip(numbers) {
                    y.copy_from_slice(bytemuck::bytes_of(&<T as crate::dtype::Convert>::of(number)));
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_at_an_end_keep_what_lies_behind() {
        let mut words = [0x4040_4040u32, 0x4141_4141];
        narrowed(DType::BF16, &[1.0, -2.0, 0.5], &mut words);
        assert_eq!(words, [0xc000_3f80, 0x4141_3f00]);
        assert_eq!(widened(DType::BF16, &words, 3, &Scratch::default())[..3], [1.0, -2.0, 0.5]);
    }
}
