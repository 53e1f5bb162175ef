//! Tensors cut into parts along a dimension, as views.

use crate::tensor::Tensor;

impl Tensor {
    /// Parts of `size` elements along a dimension; the last may be smaller.
    ///
    /// # Panics
    /// If there is no such dimension or the size is 0.
    #[track_caller]
    pub fn split(&self, size: usize, dim: isize) -> Vec<Tensor> {
        let n = self.size(dim);
        assert!(size > 0, "split: {}: parts of 0 elements never end", self.shape());
        (0..n).step_by(size).map(|start| self.narrow(dim, start, size.min(n - start))).collect()
    }

    /// Parts of these sizes along a dimension, which together are all of it.
    ///
    /// # Panics
    /// If there is no such dimension, or the sizes do not fill it.
    #[track_caller]
    pub fn split_sizes(&self, sizes: &[usize], dim: isize) -> Vec<Tensor> {
        let (n, sum) = (self.size(dim), sizes.iter().sum::<usize>());
        assert!(sum == n, "split_sizes: {}: parts of {sum} elements do not fill the {n} along {dim}", self.shape());
        let ends = sizes.iter().scan(0, |end, size| {
            *end += size;
            Some((*end - size, *size))
        });
        ends.map(|(start, size)| self.narrow(dim, start, size)).collect()
    }

    /// As nearly `chunks` parts of equal size along a dimension as there can be: the last may be smaller, and there may be
    /// fewer.
    ///
    /// # Panics
    /// If there is no such dimension or no part is asked for.
    #[track_caller]
    pub fn chunk(&self, chunks: usize, dim: isize) -> Vec<Tensor> {
        assert!(chunks > 0, "chunk: {}: 0 parts hold nothing", self.shape());
        self.split(self.size(dim).div_ceil(chunks).max(1), dim)
    }
}
