//! Elements again and again, and dimensions in other places: made of views and copies.

use super::stacks::refs;
use crate::device::Device;
use crate::shape::{Int, Shape, Sizes};
use crate::tensor::Tensor;
use std::borrow::Borrow;

/// A dimension with what is before and after it as one each.
fn around(shape: Shape, dim: usize) -> [usize; 3] {
    [shape[..dim].iter().product(), shape[dim], shape[dim + 1..].iter().product()]
}

/// # Repeats and places of dimensions
impl Tensor {
    /// The whole tensor so many times along each dimension; where there are more numbers than dimensions, new ones lead.
    ///
    /// ```
    /// let x = wgrad::Tensor::from_slice(&[1.0f32, 2.0], [2], &wgrad::Device::cpu());
    /// assert_eq!(x.repeat([2, 2]).to_vec::<f32>()?, [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there are fewer numbers than dimensions, or one is negative.
    #[track_caller]
    pub fn repeat(&self, times: impl Sizes) -> Tensor {
        let times = times.sizes();
        let shape = self.shape();
        let fits = times.len() >= self.rank() && times.iter().all(|&n| n >= 0);
        assert!(fits, "repeat: {shape} x {times:?}: expected a number of 0 or more for each dimension");
        let mut sizes = vec![1; times.len() - self.rank()];
        sizes.extend(shape.iter());
        let mut y = self.reshape_to(Shape::from(sizes));
        for (dim, &n) in times.iter().enumerate().rev() {
            y = y.again(dim, n as usize, false);
        }
        y
    }

    /// [`Tensor::repeat`], where missing numbers are 1 and stand before the others.
    ///
    /// # Panics
    /// If a number is negative.
    #[track_caller]
    pub fn tile(&self, times: impl Sizes) -> Tensor {
        let times = times.sizes();
        let mut all = vec![1; self.rank().saturating_sub(times.len())];
        all.extend(times);
        self.repeat(&all[..])
    }

    /// Each index of a dimension so many times, one after another.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn repeat_interleave(&self, times: usize, dim: impl Int) -> Tensor {
        let dim = self.shape().dim("repeat_interleave", dim.int());
        self.again(dim, times, true)
    }

    /// [`Tensor::repeat_interleave`] by a number for each index.
    ///
    /// # Panics
    /// If there is no such dimension, or not a number for each of its indices.
    #[track_caller]
    pub fn repeat_interleave_each(&self, times: &[usize], dim: impl Int) -> Tensor {
        let dim = self.shape().dim("repeat_interleave", dim.int());
        let n = self.shape()[dim];
        assert!(
            times.len() == n,
            "repeat_interleave: {}: expected {n} numbers for dimension {dim}, got {}",
            self.shape(),
            times.len()
        );
        let index: Vec<i32> = (0..).zip(times).flat_map(|(at, &times)| std::iter::repeat_n(at, times)).collect();
        self.index_select(dim, &Tensor::constant(&index, [index.len()], self.device()))
    }

    /// A dimension so many times over, as a whole or each of its indices.
    #[track_caller]
    fn again(&self, dim: usize, times: usize, each: bool) -> Tensor {
        let shape = self.shape();
        let [outer, size, inner] = around(shape, dim);
        if times == 1 {
            return self.clone();
        }
        let mut sizes = shape.to_vec();
        sizes[dim] = size * times;
        let (rows, row) = if each { (outer * size, inner) } else { (outer, size * inner) };
        let lines = self.reshape_to(Shape::from([rows, 1, row]));
        lines.expand([rows, times, row]).reshape_to(Shape::from(sizes))
    }

    /// The indices of a dimension as tensors without it, as views.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn unbind(&self, dim: impl Int) -> Vec<Tensor> {
        let dim = self.shape().dim("unbind", dim.int());
        (0..self.shape()[dim]).map(|at| self.narrow(dim, at, 1).squeeze(dim)).collect()
    }

    /// Dimensions at other places, as a view; the others stay in order: `x.movedim(0, -1)`, `x.movedim([0, 1], [-1, 0])`.
    ///
    /// # Panics
    /// If there is no such dimension, one is named twice, or there are not as many places as dimensions.
    #[track_caller]
    pub fn movedim(&self, from: impl Sizes, to: impl Sizes) -> Tensor {
        let [mut from, mut to] = [from.sizes(), to.sizes()];
        let shape = self.shape();
        let same = from.len() == to.len();
        assert!(same, "movedim: {shape}: expected as many places as dimensions, got {from:?} and {to:?}");
        for dim in from.iter_mut().chain(&mut to) {
            *dim = shape.dim("movedim", *dim) as isize;
        }
        let once = |dims: &[isize]| (1..dims.len()).all(|at| !dims[..at].contains(&dims[at]));
        assert!(once(&from) && once(&to), "movedim: {shape}: {from:?} to {to:?}: a dimension is named twice");
        let mut rest = (0..self.rank() as isize).filter(|dim| !from.contains(dim));
        let order = (0..self.rank() as isize).map(|place| match to.iter().position(|&to| to == place) {
            Some(at) => from[at],
            None => rest.next().unwrap_or(place),
        });
        self.permute(&order.collect::<Vec<_>>())
    }

    /// The elements moved by so many indices along a dimension, or along several by a number each; those that leave at one end
    /// come in at the other. With no dimension, `()`, they are moved through all elements in order.
    ///
    /// ```
    /// let x = wgrad::Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [2, 2], &wgrad::Device::cpu());
    /// assert_eq!(x.roll(1, 0).to_vec::<f32>()?, [3.0, 4.0, 1.0, 2.0]);
    /// assert_eq!(x.roll([1, 1], [0, 1]).to_vec::<f32>()?, [4.0, 3.0, 2.0, 1.0]);
    /// assert_eq!(x.roll(1, ()).to_vec::<f32>()?, [4.0, 1.0, 2.0, 3.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such dimension, or not a number for each of them.
    #[track_caller]
    pub fn roll(&self, shifts: impl Sizes, dims: impl Sizes) -> Tensor {
        let (shifts, dims, shape) = (shifts.sizes(), dims.sizes(), self.shape());
        if let ([shift], []) = (&shifts[..], &dims[..]) {
            return self.reshape([self.numel()]).rolled(*shift, 0).reshape_to(shape);
        }
        let fits = shifts.len() == dims.len();
        assert!(fits, "roll: {shape}: expected a shift for each dimension, got {shifts:?} along {dims:?}");
        shifts.iter().zip(&dims).fold(self.clone(), |x, (shift, dim)| x.rolled(*shift, *dim))
    }

    #[track_caller]
    fn rolled(&self, shift: isize, dim: isize) -> Tensor {
        let dim = self.shape().dim_or_scalar("roll", dim);
        let n = self.shape().get(dim).copied().unwrap_or(1);
        let shift = if n == 0 { 0 } else { shift.rem_euclid(n as isize) as usize };
        if shift == 0 {
            return self.clone();
        }
        Tensor::cat(&[&self.narrow(dim, n - shift, shift), &self.narrow(dim, 0, n - shift)], dim)
    }

    /// `steps` numbers from `start` to `end`, both included, equally far apart.
    #[track_caller]
    pub fn linspace(start: f32, end: f32, steps: usize, device: &Device) -> Tensor {
        let step = (f64::from(end) - f64::from(start)) / (steps.max(2) - 1) as f64;
        let at = |i: usize| match 2 * i < steps {
            true => (f64::from(start) + step * i as f64) as f32,
            false => (f64::from(end) - step * (steps - 1 - i) as f64) as f32,
        };
        let all: Vec<f32> = (0..steps).map(at).collect();
        Tensor::constant(&all, [steps], device)
    }

    /// A matrix of 1 on the diagonal and 0 elsewhere.
    #[track_caller]
    pub fn eye(rows: usize, columns: usize, device: &Device) -> Tensor {
        let [rows, columns] = [rows, columns].map(|n| Tensor::arange(0, n as i32, device));
        rows.unsqueeze(1).eq(&columns)
    }

    /// Every way to take one element of each vector, `[ways, vectors]`, the last one's changing first; one vector is itself.
    ///
    /// # Panics
    /// As [`Tensor::meshgrid`].
    #[track_caller]
    pub fn cartesian_prod(vectors: &[impl Borrow<Tensor>]) -> Tensor {
        let vectors = &refs(vectors)[..];
        if let [only] = vectors {
            return (*only).clone();
        }
        let grid: Vec<Tensor> = Tensor::meshgrid(vectors).iter().map(|all| all.reshape([-1])).collect();
        Tensor::stack(&grid, 1)
    }

    /// The coordinates of a grid: of each vector the tensor of all grid points' values, the first vector along the first
    /// dimension (PyTorch's `indexing="ij"`).
    ///
    /// # Panics
    /// If there are none, or one is no vector or scalar.
    #[track_caller]
    pub fn meshgrid(vectors: &[impl Borrow<Tensor>]) -> Vec<Tensor> {
        let vectors = &refs(vectors)[..];
        assert!(!vectors.is_empty(), "meshgrid: expected at least one vector");
        let sizes: Vec<usize> = vectors.iter().map(|v| v.numel()).collect();
        let mut all = Vec::with_capacity(vectors.len());
        for (dim, vector) in vectors.iter().enumerate() {
            assert!(vector.rank() <= 1, "meshgrid: {}: expected vectors", vector.shape());
            let mut own = vec![1; sizes.len()];
            own[dim] = sizes[dim];
            all.push(vector.reshape_to(Shape::from(own)).expand(Shape::from(&sizes)));
        }
        all
    }
}
