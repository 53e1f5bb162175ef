//! Element types at the edges of kernels: `shaders/convert.wgsl`.
//!
//! A kernel names the type that it computes in, which is f32 for floats. A binding of half size is widened before it sees
//! it, and what it wrote is rounded when it is done: on the host by [`Call`](super::Call), on a GPU by passes around the kernel's
//! own ([`Variant::lowered`]). Each invocation of such a pass makes four neighbours, which are whole words in every type, and
//! a binding starts at a word: so no word has two writers, and a word at the end keeps what lies behind the binding.

use super::aligned::Aligned;
use super::scratch::Scratch;
use super::{
    Access, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, Uniform, Variant, groups, parallel, shader,
};
use crate::dtype::{Convert, DType, Number, by_dtype};
use bytemuck::{CheckedBitPattern, NoUninit, Pod, Zeroable};
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
pub(super) fn widened(dtype: DType, words: &[u32], len: usize, scratch: &Scratch) -> Aligned<f32> {
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

/// Sets `n` elements of `y` to those of `x` in another type, on the host.
pub fn convert(x: &[u8], from: DType, y: &mut [u8], to: DType, n: usize, held: bool) {
    parallel::chunks(&mut y[..n * to.bytes()], parallel::GRAIN * to.bytes(), |piece, y| {
        let x = &x[piece * parallel::GRAIN * from.bytes()..][..y.len() / to.bytes() * from.bytes()];
        match from {
            _ if halved(x, from, y, to) => (),
            // A byte that is not 0 is true.
            DType::Bool => by_dtype!(to, T => each::<u8, T>(x, y, |x| Number::Whole((x != 0).into()))),
            DType::I64 if held => by_dtype!(to, T => {
                each::<i64, T>(x, y, |x| Number::Whole(x.clamp(i32::MIN.into(), i32::MAX.into())));
            }),
            _ => by_dtype!(from, F => by_dtype!(to, T => each::<F, T>(x, y, Convert::number))),
        }
    });
}

/// Elements one by one.
fn each<F: CheckedBitPattern, T: Convert + NoUninit>(x: &[u8], y: &mut [u8], number: impl Fn(F) -> Number) {
    for (x, y) in x.chunks_exact(size_of::<F>()).zip(y.chunks_exact_mut(size_of::<T>())) {
        y.copy_from_slice(bytemuck::bytes_of(&T::of(number(bytemuck::checked::pod_read_unaligned(x)))));
    }
}

/// Between f32 and halves, where processors have instructions for several at once; whether it was that.
fn halved(x: &[u8], from: DType, y: &mut [u8], to: DType) -> bool {
    macro_rules! slices {
        ($from:ty, $to:ty, |$x:ident, $y:ident| $convert:expr) => {{
            let ($x, $y) = (bytemuck::try_cast_slice::<u8, $from>(x), bytemuck::try_cast_slice_mut::<u8, $to>(y));
            let (Ok($x), Ok($y)) = ($x, $y) else { return false };
            $convert
        }};
    }
    match (from, to) {
        (DType::F32, DType::F16) => slices!(f32, f16, |x, y| y.convert_from_f32_slice(x)),
        (DType::F32, DType::BF16) => slices!(f32, bf16, |x, y| y.convert_from_f32_slice(x)),
        (DType::F16, DType::F32) => slices!(f16, f32, |x, y| x.convert_to_f32_slice(y)),
        (DType::BF16, DType::F32) => slices!(bf16, f32, |x, y| x.convert_to_f32_slice(y)),
        _ => return false,
    }
    true
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
