//! Elements around others, taken from these: PyTorch's modes of `pad`.

use crate::shape::Int;
use crate::tensor::Tensor;

/// What lies around: PyTorch's `mode` of `pad`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Padding {
    /// One value.
    Constant(f32),
    /// The elements next to the end, as in a mirror that stands on the last one.
    Reflect,
    /// The last element again and again.
    Replicate,
    /// The elements from the other end.
    Circular,
}

/// # Borders
impl Tensor {
    /// Elements around others: for the last dimension, then the one before, .. a pair of widths before and after. A negative
    /// width cuts elements off.
    ///
    /// ```
    /// use wgrad::{Padding, Tensor};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], [3], &wgrad::Device::cpu());
    /// assert_eq!(x.pad_with(&[(2, 1)], Padding::Reflect).to_vec::<f32>()?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    /// assert_eq!(x.pad_with(&[(-1, 2)], Padding::Constant(0.0)).to_vec::<f32>()?, [2.0, 3.0, 0.0, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there are more pairs than dimensions, a mirror or the other end has too few elements, or more are cut off than
    /// there are.
    #[track_caller]
    pub fn pad_with(&self, widths: &[(impl Int, impl Int)], mode: Padding) -> Tensor {
        let shape = self.shape();
        let widths: Vec<[isize; 2]> = widths.iter().map(|(before, after)| [before.int(), after.int()]).collect();
        assert!(widths.len() <= self.rank(), "pad: {} pairs for {shape}", widths.len());
        let mut y = self.clone();
        for (dim, [before, after]) in (0..self.rank()).rev().zip(&widths) {
            let cut = [before, after].map(|width| (-width).max(0) as usize);
            if cut == [0, 0] {
                continue;
            }
            let n = y.shape()[dim];
            assert!(
                cut[0] + cut[1] <= n,
                "pad: {shape} by {before} and {after}: dimension {dim} has no {} elements to cut off",
                cut[0] + cut[1]
            );
            y = y.narrow(dim, cut[0], n - cut[0] - cut[1]);
        }
        let more: Vec<[usize; 2]> = widths.iter().map(|pair| pair.map(|width| width.max(0) as usize)).collect();
        if let Padding::Constant(value) = mode {
            let pairs: Vec<(usize, usize)> = more.iter().map(|[before, after]| (*before, *after)).collect();
            return if more.iter().all(|pair| *pair == [0, 0]) { y } else { y.pad(&pairs, value) };
        }
        for (dim, [before, after]) in (0..self.rank()).rev().zip(more) {
            if [before, after] == [0, 0] {
                continue;
            }
            let n = y.shape()[dim];
            let most = match mode {
                Padding::Reflect => n.saturating_sub(1),
                Padding::Circular => n,
                Padding::Replicate | Padding::Constant(_) if n > 0 => usize::MAX,
                Padding::Replicate | Padding::Constant(_) => 0,
            };
            assert!(
                before.max(after) <= most,
                "pad: {shape} by {before} and {after}: {mode:?} has at most {most} elements to take along dimension {dim}"
            );
            let part = |start: usize, len: usize| y.narrow(dim, start, len);
            let again = |at: usize, times: usize| {
                let mut sizes = y.shape().to_vec();
                sizes[dim] = times;
                part(at, 1).expand(sizes)
            };
            let (left, right) = match mode {
                Padding::Reflect => (part(1, before).flip(&[dim]), part(n - 1 - after, after).flip(&[dim])),
                Padding::Circular => (part(n - before, before), part(0, after)),
                Padding::Replicate | Padding::Constant(_) => (again(0, before), again(n - 1, after)),
            };
            y = Tensor::cat(&[&left, &y, &right], dim);
        }
        y
    }
}
