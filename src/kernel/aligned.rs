//! Memory of the host that begins with a line of the cache.

use bytemuck::{Pod, Zeroable};
use std::collections::TryReserveError;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// A line of the cache.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Elements that begin with a line of the cache: a load of the widest register that begins elsewhere takes two lines.
pub struct Aligned<T> {
    lines: Vec<Line>,
    of: PhantomData<T>,
}

impl<T: Pod> Aligned<T> {
    const PER_LINE: usize = size_of::<Line>() / size_of::<T>();

    /// Room for so many elements, of which there are none yet.
    pub fn with_room(len: usize) -> Result<Aligned<T>, TryReserveError> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(len.div_ceil(Self::PER_LINE))?;
        Ok(Aligned { lines, of: PhantomData })
    }

    /// Makes it at least so long, by zeros.
    pub fn lengthen(&mut self, len: usize) {
        let lines = len.div_ceil(Self::PER_LINE);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line::zeroed());
        }
    }
}

impl<T: Pod> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(&self.lines)
    }
}

impl<T: Pod> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }
}
