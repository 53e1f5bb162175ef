//! Tensors cut into parts along a dimension, as views, and channels laid out as pixels.

use crate::shape::Shape;
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

    /// Images `[n, c r^2, h, w]` whose channels become pixels, `[n, c, h r, w r]` (Shi et al., 2016): channel
    /// `c r^2 + i r + j` gives the pixels i rows and j columns from each corner.
    ///
    /// # Panics
    /// If this is no batch of images with a multiple of `factor^2` channels.
    #[track_caller]
    pub fn pixel_shuffle(&self, factor: usize) -> Tensor {
        let (shape, each) = (self.shape(), factor * factor);
        let fits = shape.rank() == 4 && each > 0 && shape[1].is_multiple_of(each);
        assert!(fits, "pixel_shuffle: {shape}: images [n, c, h, w] of a multiple of {each} channels are due");
        let [n, c, h, w] = [shape[0], shape[1] / each, shape[2], shape[3]];
        let parts = self.reshape_to(Shape::from([n, c, factor, factor, h, w])).permute(&[0, 1, 4, 2, 5, 3]);
        parts.reshape_to(Shape::from([n, c, h * factor, w * factor]))
    }
}
