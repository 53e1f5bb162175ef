//! Tensors put together, and numbers of places, under PyTorch's names: made of copies and views.

use super::copy::new_place;
use super::reduce::KeepDims;
use crate::autograd::Op;
use crate::device::Device;
use crate::dtype::DType;
use crate::shape::{Int, Shape};
use crate::tensor::Tensor;
use std::borrow::Borrow;

/// At least so many dimensions, as PyTorch's `atleast_1d`, `atleast_2d` and `atleast_3d` place them.
#[track_caller]
fn at_least(x: &Tensor, rank: usize) -> Tensor {
    match (x.rank(), rank) {
        (0, _) => x.reshape(&vec![1isize; rank][..]),
        (1, 2) => x.unsqueeze(0),
        (1, 3) => x.unsqueeze(0).unsqueeze(2),
        (2, 3) => x.unsqueeze(2),
        _ => x.clone(),
    }
}

#[track_caller]
fn joined(op: &str, tensors: &[&Tensor], rank: usize, dim: usize) -> Tensor {
    assert!(!tensors.is_empty(), "{op}: expected at least one tensor");
    let all: Vec<Tensor> = tensors.iter().map(|x| at_least(x, rank)).collect();
    Tensor::cat(&all, dim.min(all[0].rank() - 1))
}

/// Numbers of rows and columns, `[2, n]`, of which `is_in` tells whether they belong.
#[track_caller]
fn places(rows: usize, columns: usize, device: &Device, is_in: impl Fn(isize) -> bool) -> Tensor {
    let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let found: Vec<(usize, usize)> = all.filter(|&(row, column)| is_in(column as isize - row as isize)).collect();
    let numbers: Vec<i32> = found.iter().map(|at| at.0 as i32).chain(found.iter().map(|at| at.1 as i32)).collect();
    Tensor::constant(&numbers, [2, found.len()], device)
}

/// Tensors that are owned or borrowed.
pub(super) fn refs(tensors: &[impl Borrow<Tensor>]) -> Vec<&Tensor> {
    tensors.iter().map(Borrow::borrow).collect()
}

/// # Tensors put together
impl Tensor {
    /// Tensors one after another along a dimension; all other sizes are equal. A vector of no elements may stand among
    /// tensors of any rank. They are given as `&[&a, &b]`, or as a `Vec` of tensors. Of several types the result has
    /// the one that holds all, as in PyTorch: of floats f32, beside floats theirs, and of whole numbers the widest.
    ///
    /// ```
    /// # use wgrad::{Device, DType, Tensor};
    /// let device = Device::cpu();
    /// let (tokens, scores) = (Tensor::full([2, 1], 7i64, &device), Tensor::ones([2, 9], &device));
    /// let tokens = Tensor::cat(&[&tokens, &scores.argmax(1).unsqueeze(1)], 1);
    /// assert_eq!((tokens.dtype(), tokens.to_vec::<i64>()?), (DType::I64, vec![7, 0, 7, 0]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there are none, or sizes differ.
    #[doc(alias("concat", "concatenate"))]
    #[track_caller]
    pub fn cat(tensors: &[impl Borrow<Tensor>], dim: impl Int) -> Tensor {
        let (tensors, dim) = (&refs(tensors)[..], dim.int());
        let [first, ..] = tensors else { panic!("cat: expected at least one tensor") };
        if let Some(all) = Tensor::of_one_type("cat", tensors) {
            return Tensor::cat(&all, dim);
        }
        let first = tensors.iter().find(|t| *t.shape() != [0]).unwrap_or(first);
        let said = || tensors.iter().filter(|t| *t.shape() != [0]).map(|t| t.dtype());
        let dtype = said().fold(first.dtype(), DType::with);
        if said().any(|own| own != dtype) {
            return Tensor::cat(&tensors.iter().map(|t| t.cast(dtype)).collect::<Vec<_>>(), dim);
        }
        let dim = first.shape().dim("cat", dim);
        let mut sizes = first.shape().to_vec();
        sizes[dim] = 0;
        for t in tensors.iter().filter(|t| *t.shape() != [0]) {
            let alike = t.rank() == first.rank() && (0..sizes.len()).all(|d| d == dim || t.shape()[d] == sizes[d]);
            let [a, b] = [first, *t].map(|t| (t.dtype(), t.shape()));
            assert!(alike, "cat: {} {} x {} {}: only dimension {dim} may differ", a.0, a.1, b.0, b.1);
            sizes[dim] += t.shape()[dim];
        }
        // One of a single row there would not tell where the rows of the others lie.
        let leads = tensors.iter().find(|t| t.rank() == sizes.len() && t.shape()[dim] > 1).unwrap_or(first);
        let out = leads.in_own_order(&sizes, |stored| Tensor::empty(stored, first.dtype(), first.device()));
        let mut start = 0;
        let mut parts = Vec::with_capacity(tensors.len());
        for t in tensors {
            let len = if *t.shape() == [0] { 0 } else { t.shape()[dim] };
            out.write_part(dim, start, t);
            parts.push((start, len, t.shape()));
            start += len;
        }
        out.tracked(
            || Op::new("cat").with("dim", dim),
            tensors,
            move |dy, needs| {
                let part = |&(start, len, shape): &(usize, usize, Shape)| match len {
                    0 => dy.new_zeros(shape),
                    _ => dy.narrow(dim as isize, start, len),
                };
                parts.iter().zip(needs).map(|(at, needed)| needed.then(|| part(at))).collect()
            },
        )
    }

    /// Tensors of one shape under a new dimension, the last one by -1.
    ///
    /// ```
    /// # use wgrad::Tensor;
    /// let [a, b] = [[1.0f32, 2.0], [3.0, 4.0]].map(|row| Tensor::from_slice(&row, [2], &wgrad::Device::cpu()));
    /// assert_eq!(Tensor::stack(&[&a, &b], -1).to_vec::<f32>()?, [1.0, 3.0, 2.0, 4.0]);
    /// assert_eq!((a.unsqueeze(-1).shape(), a.unsqueeze(0).shape()), ([2, 1].into(), [1, 2].into()));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there are none or their shapes differ.
    #[track_caller]
    pub fn stack(tensors: &[impl Borrow<Tensor>], dim: impl Int) -> Tensor {
        let tensors = &refs(tensors)[..];
        let [first, ..] = tensors else { panic!("stack: expected at least one tensor") };
        let first = first.shape();
        for t in tensors {
            assert!(t.shape() == first, "stack: {first} x {}: expected tensors of one shape", t.shape());
        }
        let dim = new_place("stack", first, dim);
        let rows: Vec<Tensor> = tensors.iter().map(|t| t.unsqueeze(dim)).collect();
        Tensor::cat(&rows, dim)
    }

    /// Tensors side by side: along the second dimension, vectors along their only one.
    ///
    /// # Panics
    /// If there are none, or the other dimensions differ.
    #[track_caller]
    pub fn hstack(tensors: &[impl Borrow<Tensor>]) -> Tensor {
        joined("hstack", &refs(tensors), 1, 1)
    }

    /// Tensors below one another: along the first dimension, of which a vector is a row.
    ///
    /// # Panics
    /// If there are none, or the other dimensions differ.
    #[doc(alias = "row_stack")]
    #[track_caller]
    pub fn vstack(tensors: &[impl Borrow<Tensor>]) -> Tensor {
        joined("vstack", &refs(tensors), 2, 0)
    }

    /// Tensors behind one another: along the third dimension, a vector `[n]` as `[1, n, 1]` and a matrix as `[n, m, 1]`.
    ///
    /// # Panics
    /// If there are none, or the other dimensions differ.
    #[track_caller]
    pub fn dstack(tensors: &[impl Borrow<Tensor>]) -> Tensor {
        joined("dstack", &refs(tensors), 3, 2)
    }

    /// Tensors side by side, of which vectors are columns.
    ///
    /// # Panics
    /// If there are none, or the other dimensions differ.
    #[track_caller]
    pub fn column_stack(tensors: &[impl Borrow<Tensor>]) -> Tensor {
        let tensors = &refs(tensors)[..];
        assert!(!tensors.is_empty(), "column_stack: expected at least one tensor");
        let column = |x: &&Tensor| if x.rank() < 2 { x.reshape([x.numel(), 1]) } else { (*x).clone() };
        let all: Vec<Tensor> = tensors.iter().map(column).collect();
        Tensor::cat(&all, 1)
    }

    /// A matrix with these along its diagonal and 0 elsewhere; a vector is a row.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let [a, b] = [Tensor::from_slice(&[1.0f32, 2.0], [2], &device), Tensor::from_slice(&[3.0f32], [1, 1], &device)];
    /// assert_eq!(Tensor::block_diag(&[&a, &b]).to_vec::<f32>()?, [1.0, 2.0, 0.0, 0.0, 0.0, 3.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there are none, or one has more than two dimensions.
    #[track_caller]
    pub fn block_diag(tensors: &[impl Borrow<Tensor>]) -> Tensor {
        let tensors = &refs(tensors)[..];
        assert!(!tensors.is_empty(), "block_diag: expected at least one tensor");
        for x in tensors {
            assert!(x.rank() <= 2, "block_diag: {}: expected matrices, vectors or scalars", x.shape());
        }
        let blocks: Vec<Tensor> = tensors.iter().map(|x| at_least(x, 2)).collect();
        let width: usize = blocks.iter().map(|x| x.shape()[1]).sum();
        let mut left = 0;
        let mut rows = Vec::with_capacity(blocks.len());
        for block in &blocks {
            let columns = block.shape()[1];
            rows.push(block.pad(&[(left, width - left - columns)], 0.0));
            left += columns;
        }
        Tensor::cat(&rows, 0)
    }

    /// The numbers of rows and columns of a matrix on and below the diagonal whose column is larger by `offset`: i32 `[2, n]`,
    /// row by row.
    #[track_caller]
    pub fn tril_indices(rows: usize, columns: usize, offset: isize, device: &Device) -> Tensor {
        places(rows, columns, device, |above| above <= offset)
    }

    /// The same on and above that diagonal.
    #[track_caller]
    pub fn triu_indices(rows: usize, columns: usize, offset: isize, device: &Device) -> Tensor {
        places(rows, columns, device, |above| above >= offset)
    }

    /// Tensors as the shape to which all of them broadcast, as views.
    ///
    /// # Panics
    /// If there are none, or they do not broadcast.
    #[track_caller]
    pub fn broadcast_tensors(tensors: &[impl Borrow<Tensor>]) -> Vec<Tensor> {
        let tensors = &refs(tensors)[..];
        assert!(!tensors.is_empty(), "broadcast_tensors: expected at least one tensor");
        let mut shape = tensors[0].shape();
        for x in tensors {
            let Some(wider) = shape.broadcast(&x.shape()) else {
                panic!("broadcast_tensors: {shape} x {}: the shapes do not broadcast", x.shape())
            };
            shape = wider;
        }
        tensors.iter().map(|x| x.expand(shape)).collect()
    }

    /// Every way to take `r` elements of a vector in their order, each once, or again `with_replacement`: `[ways, r]`.
    ///
    /// # Panics
    /// If it is no vector.
    #[track_caller]
    pub fn combinations(&self, r: usize, with_replacement: bool) -> Tensor {
        assert!(self.rank() == 1, "combinations: {}: expected a vector", self.shape());
        let n = self.numel();
        let mut ways: Vec<Vec<i32>> = vec![Vec::new()];
        for _ in 0..r {
            let next = |way: Vec<i32>| {
                let start = way.last().map_or(0, |last| last + i32::from(!with_replacement));
                (start..n as i32).map(move |at| [&way[..], &[at]].concat())
            };
            ways = ways.into_iter().flat_map(next).collect();
        }
        let count = if r == 0 { 0 } else { ways.len() };
        let index = Tensor::constant(&ways.concat(), [count * r], self.device());
        self.index_select(0, &index).reshape([count, r])
    }

    /// Powers of each element of a vector as columns, the highest, `n - 1`, first, or last where `increasing`; `n` is the
    /// vector's size unless it is told.
    ///
    /// # Panics
    /// If it is no vector of floats.
    #[track_caller]
    pub fn vander(&self, n: Option<usize>, increasing: bool) -> Tensor {
        let fits = self.rank() == 1 && self.dtype().is_float();
        assert!(fits, "vander: {} of {}: expected a vector of floats", self.shape(), self.dtype());
        let n = n.unwrap_or(self.numel());
        let power = |at: usize| if increasing { at as f32 } else { (n - 1 - at) as f32 };
        let powers: Vec<f32> = (0..n).map(power).collect();
        self.unsqueeze(1).pow(&Tensor::constant(&powers, [n], self.device()).cast(self.dtype()))
    }

    /// Each row from right to left.
    ///
    /// # Panics
    /// If it has fewer than two dimensions.
    #[track_caller]
    pub fn fliplr(&self) -> Tensor {
        assert!(self.rank() >= 2, "fliplr: {}: expected two dimensions or more", self.shape());
        self.flip(&[1])
    }

    /// Rows in the opposite order.
    ///
    /// # Panics
    /// If it is a scalar.
    #[track_caller]
    pub fn flipud(&self) -> Tensor {
        assert!(self.rank() >= 1, "flipud: a scalar has no rows");
        self.flip(&[0])
    }

    /// [`Tensor::var_dims`] and [`Tensor::mean_dims`] over the same dimensions.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[track_caller]
    pub fn var_mean(&self, dims: &[impl Int], correction: usize, keep: KeepDims) -> (Tensor, Tensor) {
        (self.var_dims(dims, correction, keep), self.mean_dims(dims, keep))
    }

    /// [`Tensor::std_dims`] and [`Tensor::mean_dims`] over the same dimensions.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[track_caller]
    pub fn std_mean(&self, dims: &[impl Int], correction: usize, keep: KeepDims) -> (Tensor, Tensor) {
        (self.std_dims(dims, correction, keep), self.mean_dims(dims, keep))
    }

    /// `steps` numbers from `base^start` to `base^end`, whose exponents are equally far apart (PyTorch's default base is 10).
    #[track_caller]
    pub fn logspace(start: f32, end: f32, steps: usize, base: f32, device: &Device) -> Tensor {
        let step = (f64::from(end) - f64::from(start)) / (steps.max(2) - 1) as f64;
        let all: Vec<f32> =
            (0..steps).map(|i| f64::from(base).powf(f64::from(start) + step * i as f64) as f32).collect();
        Tensor::constant(&all, Shape::from([steps]), device)
    }
}
