//! Tensors cut into parts along a dimension and diagonals, as views, and channels laid out as pixels.

use crate::autograd::Op;
use crate::shape::{Int, Layout, Shape};
use crate::tensor::Tensor;

/// # Parts
impl Tensor {
    /// Parts of `size` elements along a dimension; the last may be smaller. Of nothing there is one part, which is empty.
    ///
    /// # Panics
    /// If there is no such dimension or the size is 0.
    #[track_caller]
    pub fn split(&self, size: usize, dim: impl Int) -> Vec<Tensor> {
        let dim = dim.int();
        let n = self.size(dim);
        assert!(size > 0, "split: {}: parts of 0 elements never end", self.shape());
        (0..n.max(1)).step_by(size).map(|start| self.narrow(dim, start, size.min(n - start))).collect()
    }

    /// Parts of these sizes along a dimension, which together are all of it.
    ///
    /// # Panics
    /// If there is no such dimension, or the sizes do not fill it.
    #[doc(alias = "split_with_sizes")]
    #[track_caller]
    pub fn split_sizes(&self, sizes: &[usize], dim: impl Int) -> Vec<Tensor> {
        let dim = dim.int();
        let (n, sum) = (self.size(dim), sizes.iter().fold(0, |sum: usize, size| sum.saturating_add(*size)));
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
    pub fn chunk(&self, chunks: usize, dim: impl Int) -> Vec<Tensor> {
        let dim = dim.int();
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
        if let Some(batch) = self.batch_of_one(4) {
            return batch.pixel_shuffle(factor).squeeze(0);
        }
        let (shape, each) = (self.shape(), factor.saturating_mul(factor));
        let fits = shape.rank() == 4 && each > 0 && shape[1].is_multiple_of(each);
        assert!(fits, "pixel_shuffle: {shape}: expected images [n, c, h, w] of a multiple of {each} channels");
        let [n, c, h, w] = [shape[0], shape[1] / each, shape[2], shape[3]];
        let parts = self.reshape_to(Shape::from([n, c, factor, factor, h, w])).permute(&[0, 1, 4, 2, 5, 3]);
        parts.reshape_to(Shape::from([n, c, h * factor, w * factor]))
    }

    /// The elements whose indices along two dimensions are equal, as a view; their dimension comes last. PyTorch's
    /// `diagonal`, whose `dim1` and `dim2` are 0 and 1 where they are not given.
    ///
    /// # Panics
    /// If there are no such two dimensions.
    #[doc(alias = "diag")]
    #[track_caller]
    pub fn diagonal(&self, a: impl Int, b: impl Int) -> Tensor {
        self.diagonal_at(0, a, b)
    }

    /// [`Tensor::diagonal`] of those whose second index is larger by `offset`.
    ///
    /// # Panics
    /// If there are no such two dimensions.
    #[track_caller]
    pub fn diagonal_at(&self, offset: isize, a: impl Int, b: impl Int) -> Tensor {
        let a = a.int();
        let b = b.int();
        let shape = self.shape();
        // Where it begins, and what is left from there.
        let starts = [(-offset).max(0) as usize, offset.max(0) as usize];
        let (first, second) = (shape.dim("diagonal", a), shape.dim("diagonal", b));
        assert!(first != second && shape.rank() > 1, "diagonal: {shape}: {a} and {b} are no two dimensions");
        let along = move |layout: &Layout| {
            let kept: Vec<usize> = (0..shape.rank()).filter(|d| ![first, second].contains(d)).collect();
            let mut sizes: Vec<usize> = kept.iter().map(|d| shape[*d]).collect();
            let left = [first, second].map(|d| shape[d]);
            let count = left[0].saturating_sub(starts[0]).min(left[1].saturating_sub(starts[1]));
            sizes.push(count);
            let mut out = Layout { shape: Shape::from(sizes), ..*layout };
            if count > 0 {
                out.offset += starts[0] * layout.strides[first] + starts[1] * layout.strides[second];
            }
            let steps = kept.iter().map(|d| layout.strides[*d]).chain([layout.strides[first] + layout.strides[second]]);
            out.strides.iter_mut().zip(steps).for_each(|(to, step)| *to = step);
            out
        };
        self.with_layout(along(self.layout())).tracked(
            || Op::new("diagonal").with("offset", offset).with("dim1", a).with("dim2", b),
            &[self],
            move |dy, _| {
                let dx = dy.new_zeros(shape);
                dx.with_layout(along(dx.layout())).overwrite(dy);
                let again = move |ddx: &Tensor, _: &[bool]| vec![Some(ddx.diagonal_at(offset, a, b))];
                vec![Some(dx.tracked("diagonal_backward", &[dy], again))]
            },
        )
    }
}
