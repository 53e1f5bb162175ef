//! Indices of which one stands for many elements, as `index.unsqueeze(1).expand([n, k])` makes them: they are looked at, and
//! sorted, once for a row of these.

use crate::dtype::DType;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Elements that share an index before a copy in another order pays.
const FEW: usize = 4;

/// Elements before the kernels that number rows pay.
const SMALL: usize = 1024;

/// A way to go by rows: lines along `dim` whose elements share an index become rows of a matrix.
pub(super) struct Shared {
    /// A number for each row of the source, i32 `[lines * length]`, -1 for one outside.
    pub index: Tensor,
    /// The dimensions in another order: those in which indices differ, `dim`, and those in which they do not; none where these
    /// are all others.
    order: Option<Vec<usize>>,
    dim: usize,
    /// Lines that have indices of their own, and the elements that share each.
    lines: usize,
    each: usize,
}

impl Shared {
    /// Of an index for each element along `dim`, of `size` places; none where nothing is gained.
    #[track_caller]
    pub fn of(index: &Tensor, dim: usize, size: usize) -> Option<Shared> {
        let (shape, strides) = (index.shape(), index.layout().strides);
        if index.numel() == 0 {
            return None;
        }
        let is_shared = |d: &usize| shape[*d] == 1 || strides[*d] == 0;
        let (shared, apart): (Vec<usize>, Vec<usize>) = (0..shape.rank()).filter(|d| *d != dim).partition(is_shared);
        let count = |dims: &[usize]| dims.iter().map(|d| shape[*d]).product::<usize>();
        let (lines, each) = (count(&apart), count(&shared));
        let is_large = (lines * size.max(shape[dim])).saturating_mul(each) > i32::MAX as usize;
        let is_small = each < FEW || index.numel() < SMALL;
        if each == 1 || !apart.is_empty() && (is_small || is_large) {
            return None;
        }
        let once = shared.iter().fold(index.detach(), |index, &d| index.narrow(d, 0, 1));
        if apart.is_empty() {
            let index = once.reshape_to(Shape::from([shape[dim]])).integers();
            return Some(Shared { index, order: None, dim, lines, each });
        }
        let order = [&apart[..], &[dim], &shared[..]].concat();
        let places = once.permute(&order).reshape_to(Shape::from([lines, shape[dim]])).integers();
        // The rows of a line lie behind those of the one before; what is outside of its own is outside of all.
        let first = Tensor::arange(0, lines as i32, index.device()).unsqueeze(1) * size as i32;
        let inside = places.ge(0).mul(&places.lt(size as i32)).cast(DType::I32);
        let index = ((places + first + 1) * inside - 1).reshape_to(Shape::from([lines * shape[dim]]));
        Some(Shared { index, order: Some(order), dim, lines, each })
    }

    /// The lines of a tensor as rows, and the dimension along which they lie.
    #[track_caller]
    pub fn rows(&self, x: &Tensor) -> (Tensor, usize) {
        let Some(order) = &self.order else { return (x.clone(), self.dim) };
        (x.permute(order).reshape_to(self.shape(x.shape())), 0)
    }

    /// The shape of the rows of such a tensor.
    pub fn shape(&self, of: Shape) -> Shape {
        self.order.as_ref().map_or(of, |_| Shape::from([self.lines * of[self.dim], self.each]))
    }

    /// Rows as lines of a tensor of this shape again.
    #[track_caller]
    pub fn restored(&self, rows: &Tensor, shape: Shape) -> Tensor {
        let Some(order) = &self.order else { return rows.clone() };
        let sizes: Vec<usize> = order.iter().map(|&d| shape[d]).collect();
        rows.reshape_to(Shape::from(sizes)).permuted_back(order)
    }
}
