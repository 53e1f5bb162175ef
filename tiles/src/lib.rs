//! The innermost loops of wgrad's products on the host: a tile of the result stays in the processor's registers. A crate of
//! their own, since compilers make vectors of them only where they optimise in full, which is long for all of wgrad in a
//! build for tests.
//!
//! The left side is read where it lies; the right side is laid out in [panels]. An element's terms are added in the order of
//! k, whatever the tile, in chains of [`DEPTH`].
//!
//! A tile is as wide as registers allow and low: each step of k loads one row of the panel and one number for each row of the
//! tile, and wide tiles have the fewest loads for their products. Another program on the other half of a processor's core
//! slows loads and not products.

mod outer;
mod panel;
mod product;
mod rows;

pub use outer::{Lines, outer};
pub use panel::{Panel, cut, lay_out, panels};
pub use product::{Matrix, product};
pub use rows::{Rows, by_panels, pieces};

/// Steps of k after which the sums join the result: so many of a panel stay in a near cache.
const DEPTH: usize = 256;

/// Elements that the second cache of a core holds beside others.
const NEAR: usize = 64 << 10;

#[inline(always)]
fn add<const W: usize, const FUSED: bool>(a: f32, b: &[f32; W], sums: &mut [f32; W]) {
    for j in 0..W {
        sums[j] = if FUSED { a.mul_add(b[j], sums[j]) } else { a * b[j] + sums[j] };
    }
}

/// As many of the sums as `c` takes.
#[inline(always)]
fn put<const W: usize>(c: &mut [f32], sums: &[f32; W], adds: bool) {
    match (c.first_chunk_mut::<W>(), adds) {
        (Some(c), false) => *c = *sums,
        (Some(c), true) => {
            for j in 0..W {
                c[j] += sums[j];
            }
        }
        (None, false) => c.iter_mut().zip(sums).for_each(|(c, sum)| *c = *sum),
        (None, true) => c.iter_mut().zip(sums).for_each(|(c, sum)| *c += sum),
    }
}

/// So many elements, with zeros where there are fewer.
#[cold]
fn padded<const N: usize>(rest: &[f32]) -> [f32; N] {
    let mut whole = [0.0; N];
    whole[..rest.len()].copy_from_slice(rest);
    whole
}
