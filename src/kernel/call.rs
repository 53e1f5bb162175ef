//! The memory that definitions and host paths see.

use super::aligned::Aligned;
use super::scratch::Scratch;
use super::{Dispatch, Params, convert};
use crate::dtype::{DType, Element};
use bytemuck::Pod;
use std::sync::OnceLock;

/// The memory that a definition or a host path sees: the slices behind the bindings, the parameters, and memory to work in.
///
/// Floats of half size are f32 to it: [`Call::read`] and [`Call::write`] lend a widened copy, and what was written is rounded
/// when the work is done. One that names the type, as in `call.read::<bf16>(0)`, gets the elements as they are.
pub struct Call<'a> {
    bound: Vec<Bound<'a>>,
    params: &'a Params,
    scratch: &'a Scratch,
}

/// One binding's memory, in words.
pub enum Slice<'a> {
    /// Of a binding that is only read.
    Read(&'a [u32]),
    /// Of a binding that is written.
    Write(&'a mut [u32]),
}

/// A binding in a call: its words, and its elements as f32 once they are asked for.
struct Bound<'a> {
    dtype: DType,
    len: usize,
    memory: Memory<'a>,
}

enum Memory<'a> {
    Read(&'a [u32], &'a OnceLock<Aligned<f32>>),
    Write(&'a mut [u32], Option<&'a mut Option<Aligned<f32>>>),
}

impl Dispatch {
    /// Calls `work`, a definition, a host path or other work of the host, on the memory of each binding in order.
    pub fn call<R>(&self, mut memory: Vec<Slice>, scratch: &Scratch, work: impl FnOnce(&mut Call) -> R) -> R {
        // Of each binding of half size what was widened to be read, and what is to be rounded.
        type Wide = (OnceLock<Aligned<f32>>, Option<Aligned<f32>>);
        let mut wide: Vec<Wide> = self.bindings.iter().map(|_| Wide::default()).collect();
        let mut bound = Vec::with_capacity(memory.len());
        for ((slice, (read, written)), b) in memory.iter_mut().zip(&mut wide).zip(&self.bindings) {
            let memory = match slice {
                Slice::Read(words) => Memory::Read(words, read),
                Slice::Write(words) => Memory::Write(words, Some(written)),
            };
            bound.push(Bound { dtype: b.dtype, len: b.numel(), memory });
        }
        let result = work(&mut Call { bound, params: &self.params, scratch });
        for ((slice, (read, written)), b) in memory.iter_mut().zip(wide).zip(&self.bindings) {
            if let (Slice::Write(words), Some(values)) = (slice, &written) {
                convert::narrowed(b.dtype, &values[..b.numel()], words);
            }
            read.into_inner().into_iter().chain(written).for_each(|values| scratch.give(values));
        }
        result
    }
}

impl<'a> Call<'a> {
    /// Memory that outlives no call.
    pub fn scratch(&self) -> &'a Scratch {
        self.scratch
    }

    /// The number of bindings.
    pub fn bindings(&self) -> usize {
        self.bound.len()
    }

    /// The parameters.
    pub fn params<P: Pod>(&self) -> P {
        self.params.read()
    }

    /// The type of a binding's elements.
    pub fn dtype(&self, binding: usize) -> DType {
        self.bound[binding].dtype
    }

    /// The elements of a binding that the kernel reads.
    ///
    /// # Panics
    /// If the kernel writes it.
    #[track_caller]
    pub fn read<T: Element>(&self, binding: usize) -> &'a [T] {
        let Bound { dtype, len, memory } = &self.bound[binding];
        match memory {
            Memory::Read(words, wide) if T::DTYPE == DType::F32 && dtype.is_half() => {
                let wide = wide.get_or_init(|| convert::widened(*dtype, words, *len, self.scratch));
                bytemuck::checked::cast_slice(&wide[..*len])
            }
            Memory::Read(words, _) => &bytemuck::checked::cast_slice(words)[..count::<T>(*dtype, *len)],
            Memory::Write(..) => panic!("binding {binding} is written, not read"),
        }
    }

    /// The elements of a binding that the kernel writes; each can be taken once.
    ///
    /// # Panics
    /// If the kernel only reads it.
    #[track_caller]
    pub fn write<T: Element>(&mut self, binding: usize) -> &'a mut [T] {
        let scratch = self.scratch;
        let Bound { dtype, len, memory } = &mut self.bound[binding];
        let Memory::Write(words, wide) = memory else { panic!("binding {binding} is read, not written") };
        if T::DTYPE == DType::F32 && dtype.is_half() {
            let wide = wide.take().unwrap_or_else(|| panic!("binding {binding} is taken a second time"));
            let values = wide.insert(convert::widened(*dtype, words, *len, scratch));
            return bytemuck::checked::cast_slice_mut(&mut values[..*len]);
        }
        &mut bytemuck::checked::cast_slice_mut(std::mem::take(words))[..count::<T>(*dtype, *len)]
    }

    /// The bits of a binding's elements as words of their size, and what lies behind them in the last: for moving elements of
    /// any type.
    ///
    /// # Panics
    /// If the kernel writes it.
    #[track_caller]
    pub fn read_bits<W: Pod>(&self, binding: usize) -> &'a [W] {
        match &self.bound[binding].memory {
            Memory::Read(words, _) => bytemuck::cast_slice(words),
            Memory::Write(..) => panic!("binding {binding} is written, not read"),
        }
    }

    /// [`Call::read_bits`] of a binding that the kernel writes; each can be taken once.
    ///
    /// # Panics
    /// If the kernel only reads it.
    #[track_caller]
    pub fn write_bits<W: Pod>(&mut self, binding: usize) -> &'a mut [W] {
        match &mut self.bound[binding].memory {
            Memory::Write(words, _) => bytemuck::cast_slice_mut(std::mem::take(words)),
            Memory::Read(..) => panic!("binding {binding} is read, not written"),
        }
    }
}

/// The elements of type `T` in the memory of so many of a type.
fn count<T>(dtype: DType, len: usize) -> usize {
    dtype.bytes() * len / size_of::<T>()
}
