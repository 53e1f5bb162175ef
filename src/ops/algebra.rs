//! Products, sums and distances that others make up.

use super::reduce::KeepDims;
use super::sort::Order;
use crate::dtype::DType;
use crate::error::Result;
use crate::shape::{Int, Shape, ints};
use crate::tensor::Tensor;

/// # Products, distances and selections
impl Tensor {
    /// The products of the elements of two vectors, each with each: `[n, m]`.
    ///
    /// # Panics
    /// If one is no vector.
    #[track_caller]
    pub fn outer(&self, other: &Tensor) -> Tensor {
        let fits = self.rank() == 1 && other.rank() == 1;
        assert!(fits, "outer: {} x {}: expected two vectors", self.shape(), other.shape());
        self.unsqueeze(1).mul(other)
    }

    /// `self' W_o other` for each output o, of rows `[.., in1]` and `[.., in2]`, a weight `[out, in1, in2]` and a bias `[out]`:
    /// `[.., out]`, `torch.nn.functional.bilinear`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn bilinear(&self, other: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let (a, b, w) = (self.shape(), other.shape(), weight.shape());
        let fits = w.rank() == 3 && a.last() == Some(&w[1]) && b.last() == Some(&w[2]);
        let fits = fits && a[..a.rank() - 1] == b[..b.rank() - 1];
        assert!(fits, "bilinear: {a} x {b} x {w}: expected [.., in1], [.., in2] and weights [out, in1, in2]");
        let count = a[..a.rank() - 1].iter().product::<usize>();
        let rows = self.reshape_to(Shape::from([count, w[1]]));
        let by_first = rows.matmul(&weight.permute(&[1, 0, 2]).reshape_to(Shape::from([w[1], w[0] * w[2]])));
        let second = other.reshape_to(Shape::from([count, w[2], 1]));
        let y = by_first.reshape_to(Shape::from([count, w[0], w[2]])).matmul(&second);
        let y = y.reshape_to(Shape::from([&a[..a.rank() - 1], &[w[0]]].concat()));
        match bias {
            Some(bias) => y.add(bias),
            None => y,
        }
    }

    /// `beta * self + alpha * a.matmul(b)`; `self` broadcasts, and with a beta of 0 it is not read. Of matrices PyTorch's
    /// `addmm`, of batches its `baddbmm`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn addmm(&self, a: &Tensor, b: &Tensor, beta: f32, alpha: f32) -> Tensor {
        let half = Tensor::promoted("matmul", &[a, b]);
        if half.is_half() && self.dtype().is_float() {
            // Rounded once, behind the sum.
            let [a, b] = [a, b].map(|x| x.cast(half));
            let dtype =
                if beta == 0.0 { half } else { Tensor::promoted("add", &[if a.adapts() { &b } else { &a }, self]) };
            let product = a.matmul_to(&b, DType::F32);
            return self.cast(DType::F32).added_to(product, beta, alpha).cast(dtype);
        }
        self.added_to(a.matmul(b), beta, alpha)
    }

    /// `beta * self + alpha * product`.
    #[track_caller]
    fn added_to(&self, product: Tensor, beta: f32, alpha: f32) -> Tensor {
        let product = if alpha == 1.0 { product } else { product.affine(alpha, 0.0) };
        let fits = self.shape().broadcast(&product.shape()) == Some(product.shape());
        assert!(fits, "addmm: {} does not broadcast to the product's {}", self.shape(), product.shape());
        match beta {
            0.0 => product.flat_in("addmm", &[self]),
            1.0 => product.add(self),
            _ => product.add(&self.affine(beta, 0.0)),
        }
    }

    /// [`Tensor::addmm`] of batches of matrices.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn baddbmm(&self, a: &Tensor, b: &Tensor, beta: f32, alpha: f32) -> Tensor {
        let fits = a.rank() == 3 && b.rank() == 3;
        assert!(fits, "baddbmm: {} x {}: expected two batches of matrices", a.shape(), b.shape());
        self.addmm(a, b, beta, alpha)
    }

    /// These values, which do not change with `others`: their gradient is 0.
    #[track_caller]
    pub(crate) fn flat_in(&self, op: &'static str, others: &[&Tensor]) -> Tensor {
        let mut all = vec![self];
        all.extend(others);
        let shapes: Vec<Shape> = others.iter().map(|x| x.shape()).collect();
        self.detach().tracked(op, &all, move |dy, needs| {
            let zeros = shapes.iter().zip(&needs[1..]).map(|(shape, needs)| needs.then(|| dy.new_zeros(*shape)));
            [needs[0].then(|| dy.clone())].into_iter().chain(zeros).collect()
        })
    }

    /// The way from `self` (0) to `end` (1), broadcast.
    #[track_caller]
    pub fn lerp(&self, end: &Tensor, weight: f32) -> Tensor {
        if let Some(([start, end], dtype)) = Tensor::widened("lerp", [self, end]) {
            return start.lerp(&end, weight).cast(dtype);
        }
        if weight < 0.5 {
            return self.add(&end.sub(self).affine(weight, 0.0));
        }
        end.sub(&end.sub(self).affine(1.0 - weight, 0.0))
    }

    /// [`Tensor::lerp`] by a weight for each element, broadcast.
    #[track_caller]
    pub fn lerp_by(&self, end: &Tensor, weight: &Tensor) -> Tensor {
        if let Some(([start, end, weight], dtype)) = Tensor::widened("lerp", [self, end, weight]) {
            return start.lerp_by(&end, &weight).cast(dtype);
        }
        self.add(&weight.mul(&end.sub(self)))
    }

    /// `self + value * a * b`, broadcast.
    #[track_caller]
    pub fn addcmul(&self, a: &Tensor, b: &Tensor, value: f32) -> Tensor {
        if let Some(([x, a, b], dtype)) = Tensor::widened("addcmul", [self, a, b]) {
            return x.addcmul(&a, &b, value).cast(dtype);
        }
        self.add(&a.mul(b).affine(value, 0.0))
    }

    /// `self + value * a / b`, broadcast.
    #[track_caller]
    pub fn addcdiv(&self, a: &Tensor, b: &Tensor, value: f32) -> Tensor {
        if let Some(([x, a, b], dtype)) = Tensor::widened("addcdiv", [self, a, b]) {
            return x.addcdiv(&a, &b, value).cast(dtype);
        }
        self.add(&a.div(b).affine(value, 0.0))
    }

    /// Numbers in the place of NaN, infinity and -infinity (PyTorch's defaults are 0 and the largest and smallest f32). The
    /// gradient there is 0.
    #[track_caller]
    pub fn nan_to_num(&self, nan: f32, posinf: f32, neginf: f32) -> Tensor {
        let kept = self.masked_fill(&self.isnan(), nan);
        let kept = kept.masked_fill(&self.eq(f32::INFINITY), posinf);
        kept.masked_fill(&self.eq(f32::NEG_INFINITY), neginf)
    }

    /// `x` held above a number: [`Tensor::clamp`] by one bound.
    ///
    /// ```
    /// let x = wgrad::Tensor::from_slice(&[-1.0f32, 2.0], [2], &wgrad::Device::cpu());
    /// assert_eq!((x.clamp_min(0.0).to_vec()?, x.clamp_max(1.0).to_vec()?), (vec![0.0f32, 2.0], vec![-1.0f32, 1.0]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn clamp_min(&self, min: f32) -> Tensor {
        self.clamp(min, f32::INFINITY)
    }

    /// `x` held below a number: [`Tensor::clamp`] by one bound.
    #[track_caller]
    pub fn clamp_max(&self, max: f32) -> Tensor {
        self.clamp(f32::NEG_INFINITY, max)
    }

    /// `x` held above one tensor and then below another, broadcast; the gradient goes to what the result is, of equals to `x`.
    #[track_caller]
    pub fn clamp_by(&self, min: Option<&Tensor>, max: Option<&Tensor>) -> Tensor {
        let mut y = self.clone();
        let [min, max] = [min, max]
            .map(|end| end.map(|end| if end.dtype().is_float() { end.clone() } else { end.cast(self.dtype()) }));
        if let Some(min) = &min {
            y = Tensor::where_(&y.lt(min).maximum(min.isnan()), min, &y);
        }
        if let Some(max) = &max {
            y = Tensor::where_(&y.gt(max).maximum(max.isnan()), max, &y);
        }
        y
    }

    /// Sums of products over dimensions of both: of a number, the last of `self` and the first of `other`; or those that are named
    /// of each, in the order in which they belong together.
    ///
    /// ```
    /// let device = wgrad::Device::cpu();
    /// let [x, y] = [[2, 3, 4], [4, 3, 5]].map(|shape| wgrad::Tensor::ones(shape, &device));
    /// assert_eq!(x.tensordot(&y, ([1, 2], [1, 0])).shape(), [2, 5]);
    /// assert_eq!(x.tensordot(&y, 1).shape(), [2, 3, 3, 5]);
    /// ```
    ///
    /// # Panics
    /// If there are no such dimensions, one is named twice, or their sizes differ.
    #[track_caller]
    pub fn tensordot(&self, other: &Tensor, dims: impl Contracted) -> Tensor {
        let (a, b) = (self.shape(), other.shape());
        let (left, right) = dims.of([a.rank(), b.rank()]);
        let (left, right) = (each_once(a, &left), each_once(b, &right));
        let fits = left.len() == right.len() && left.iter().zip(&right).all(|(&l, &r)| a[l] == b[r]);
        assert!(fits, "tensordot: {a} x {b}: dimensions {left:?} and {right:?} differ");
        let rest =
            |shape: Shape, own: &[usize]| -> Vec<usize> { (0..shape.rank()).filter(|d| !own.contains(d)).collect() };
        let (rows, columns) = (rest(a, &left), rest(b, &right));
        let count = |shape: Shape, own: &[usize]| own.iter().map(|&d| shape[d]).product::<usize>();
        let first =
            self.permute(&[&rows[..], &left].concat()).reshape_to(Shape::from([count(a, &rows), count(a, &left)]));
        let second = other
            .permute(&[&right[..], &columns].concat())
            .reshape_to(Shape::from([count(b, &right), count(b, &columns)]));
        let sizes: Vec<usize> = rows.iter().map(|&d| a[d]).chain(columns.iter().map(|&d| b[d])).collect();
        first.matmul(&second).reshape_to(Shape::from(sizes))
    }

    /// Kronecker's product: each element of `self` times all of `other`, side by side. Of two ranks, sizes of 1 lead the
    /// smaller.
    ///
    /// # Panics
    /// If the result has too many dimensions on the way: three are the most.
    #[track_caller]
    pub fn kron(&self, other: &Tensor) -> Tensor {
        let rank = self.rank().max(other.rank());
        let wide = |t: &Tensor| [vec![1; rank - t.rank()], t.shape().to_vec()].concat();
        let (a, b) = (wide(self), wide(other));
        assert!(
            2 * rank <= crate::shape::MAX_RANK,
            "kron: {} x {}: expected at most three dimensions",
            self.shape(),
            other.shape()
        );
        let between = |sizes: &[usize], at: usize| -> Vec<usize> {
            sizes.iter().flat_map(|&n| if at == 0 { [n, 1] } else { [1, n] }).collect()
        };
        let product = self.reshape_to(Shape::from(between(&a, 0))).mul(&other.reshape_to(Shape::from(between(&b, 1))));
        product.reshape_to(Shape::from(a.iter().zip(&b).map(|(a, b)| a * b).collect::<Vec<_>>()))
    }

    /// The sum of a matrix's diagonal.
    ///
    /// # Panics
    /// If it is no matrix.
    #[track_caller]
    pub fn trace(&self) -> Tensor {
        assert!(self.rank() == 2, "trace: {} is no matrix", self.shape());
        self.diagonal(0, 1).sum()
    }

    /// What a share `q` of the elements along a dimension is not above, on the straight line between the two nearest; NaN where
    /// there is one.
    ///
    /// # Panics
    /// If there is no such dimension, it has no elements, or `q` is not between 0 and 1.
    #[track_caller]
    pub fn quantile(&self, q: f32, dim: impl Int, keep: KeepDims) -> Tensor {
        self.quantile_by(q, dim, keep, Interpolation::Linear)
    }

    /// [`Tensor::quantile`], which is found between two elements as `interpolation` says.
    ///
    /// # Panics
    /// As [`Tensor::quantile`].
    #[track_caller]
    pub fn quantile_by(&self, q: f32, dim: impl Int, keep: KeepDims, interpolation: Interpolation) -> Tensor {
        let (sorted, dim) = self.in_order("quantile", q, dim.int());
        let n = sorted.shape()[dim];
        let place = q * (n - 1) as f32;
        let (low, high) = (place.floor() as usize, place.ceil() as usize);
        let at = |i: usize| sorted.narrow(dim, i, 1);
        let y = match interpolation {
            Interpolation::Linear => at(low).lerp(&at(high), place - place.floor()),
            Interpolation::Lower => at(low),
            Interpolation::Higher => at(high),
            Interpolation::Midpoint => at(low).lerp(&at(high), 0.5),
            Interpolation::Nearest => at(place.round_ties_even() as usize),
        };
        let last = at(n - 1).detach();
        self.one_of(Tensor::where_(&last.isnan(), &last, &y), dim, keep)
    }

    /// [`Tensor::quantile_by`] of what is not NaN; NaN of nothing.
    ///
    /// # Panics
    /// As [`Tensor::quantile`].
    #[track_caller]
    pub fn nanquantile(&self, q: f32, dim: impl Int, keep: KeepDims, interpolation: Interpolation) -> Tensor {
        let (sorted, dim) = self.in_order("nanquantile", q, dim.int());
        let count = sorted.isnan().eq(0).cast(DType::F32).sum_dims(&[dim], KeepDims::Yes);
        let place = count.affine(q, -q).clamp(0.0, f32::INFINITY);
        let (low, high) = (place.floor(), place.ceil());
        let at = |place: &Tensor| sorted.gather(dim, &place.cast(DType::I32));
        let y = match interpolation {
            Interpolation::Linear => at(&low).lerp_by(&at(&high), &place.sub(&low)),
            Interpolation::Lower => at(&low),
            Interpolation::Higher => at(&high),
            Interpolation::Midpoint => at(&low).lerp(&at(&high), 0.5),
            Interpolation::Nearest => at(&place.round()),
        };
        self.one_of(y.cast(self.dtype()), dim, keep)
    }

    /// The elements in order along a dimension, of a scalar too.
    #[track_caller]
    fn in_order(&self, op: &str, q: f32, dim: isize) -> (Tensor, usize) {
        let dim = self.shape().dim_or_scalar(op, dim);
        assert!((0.0..=1.0).contains(&q), "{op}: {q} is no share between 0 and 1");
        let n = self.shape().get(dim).copied().unwrap_or(1);
        assert!(n > 0, "{op}: {} has no elements along dimension {dim}", self.shape());
        let lines = if self.rank() == 0 { self.unsqueeze(0) } else { self.clone() };
        (lines.sort(dim, Order::Ascending).0, dim)
    }

    /// What is one element along a dimension, as a reduction leaves it.
    #[track_caller]
    fn one_of(&self, y: Tensor, dim: usize, keep: KeepDims) -> Tensor {
        if keep == KeepDims::Yes && self.rank() > 0 { y } else { y.squeeze(dim) }
    }

    /// The elements where the mask is not 0, as a vector; both broadcast. It reads the mask, and so waits for the device: a
    /// captured step cannot.
    ///
    /// # Errors
    /// The device's first failure.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    pub fn masked_select(&self, mask: &Tensor) -> Result<Tensor> {
        let Some(shape) = self.shape().broadcast(&mask.shape()) else {
            panic!("masked_select: {} x {}: the shapes do not broadcast", self.shape(), mask.shape())
        };
        let kept = mask.expand(shape).ne(0).cast(DType::F32).to_vec::<f32>()?;
        let index: Vec<i32> = (0..).zip(kept).filter(|(_, kept)| *kept != 0.0).map(|(at, _)| at).collect();
        let index = Tensor::from_slice(&index, [index.len()], self.device());
        Ok(self.expand(shape).reshape([shape.numel()]).index_select(0, &index))
    }

    /// The indices of the elements that are not 0, a row for each, in order: i32 `[found, rank]`. It reads the elements, and so
    /// waits for the device: a captured step cannot.
    ///
    /// # Errors
    /// The device's first failure.
    #[doc(alias = "argwhere")]
    #[track_caller]
    pub fn nonzero(&self) -> Result<Tensor> {
        let (shape, found) = (self.shape(), self.ne(0).cast(DType::F32).to_vec::<f32>()?);
        let places: Vec<usize> = (0..found.len()).filter(|&at| found[at] != 0.0).collect();
        let mut rows = vec![0; places.len() * shape.rank()];
        for (row, place) in rows.chunks_mut(shape.rank().max(1)).zip(&places) {
            let mut left = *place;
            for (to, n) in row.iter_mut().zip(shape.iter()).rev() {
                (*to, left) = ((left % n) as i32, left / n);
            }
        }
        Ok(Tensor::from_slice(&rows, [places.len(), shape.rank()], self.device()))
    }

    /// How often each number from 0 on is there: i32, of as many numbers as there are, and at least `least`. It reads the
    /// elements, and so waits for the device: a captured step cannot.
    ///
    /// # Errors
    /// The device's first failure.
    ///
    /// # Panics
    /// If the elements are not i32, or one is negative.
    #[track_caller]
    pub fn bincount(&self, least: usize) -> Result<Tensor> {
        let all = self.integers().to_vec::<i32>()?;
        let mut counts = vec![0i32; least];
        for number in all {
            let Ok(at) = usize::try_from(number) else { panic!("bincount: expected numbers from 0 on, got {number}") };
            counts.resize(counts.len().max(at + 1), 0);
            counts[at] += 1;
        }
        Ok(Tensor::from_slice(&counts, [counts.len()], self.device()))
    }

    /// [`Tensor::bincount`] that adds up a weight for each element: PyTorch's `weights`. Without gradient, as there.
    ///
    /// # Errors
    /// The device's first failure.
    ///
    /// # Panics
    /// As [`Tensor::bincount`], and if there is not a weight for each element.
    #[track_caller]
    pub fn bincount_weighed(&self, weights: &Tensor, least: usize) -> Result<Tensor> {
        let fits = weights.shape() == self.shape();
        assert!(fits, "bincount: {} x {}: expected a weight for each number", self.shape(), weights.shape());
        let bins = self.bincount(least)?.numel();
        let (flat, weights) = (self.integers().reshape([-1]), weights.detach().reshape([-1]));
        Ok(weights.new_zeros([bins]).index_add(0, &flat, &weights))
    }
}

/// The dimensions that [`Tensor::tensordot`] sums over: a number of them, or two lists.
pub trait Contracted {
    /// Those of both, of tensors of these ranks.
    fn of(self, ranks: [usize; 2]) -> (Vec<isize>, Vec<isize>);
}

/// Dimensions of a shape by their numbers, each once.
#[track_caller]
fn each_once(shape: Shape, dims: &[isize]) -> Vec<usize> {
    let mut all = Vec::with_capacity(dims.len());
    for &dim in dims {
        let at = shape.dim("tensordot", dim);
        assert!(!all.contains(&at), "tensordot: {shape}: {dims:?}: expected each dimension once");
        all.push(at);
    }
    all
}

impl Contracted for usize {
    #[track_caller]
    fn of(self, ranks: [usize; 2]) -> (Vec<isize>, Vec<isize>) {
        let fits = ranks.iter().all(|&rank| self <= rank);
        assert!(fits, "tensordot: {self} dimensions of tensors of {} and {}", ranks[0], ranks[1]);
        (((ranks[0] - self) as isize..ranks[0] as isize).collect(), (0..self as isize).collect())
    }
}

impl<I: Int, J: Int, const N: usize> Contracted for ([I; N], [J; N]) {
    fn of(self, _: [usize; 2]) -> (Vec<isize>, Vec<isize>) {
        (self.0.map(Int::int).to_vec(), self.1.map(Int::int).to_vec())
    }
}

impl<I: Int, J: Int> Contracted for (&[I], &[J]) {
    fn of(self, _: [usize; 2]) -> (Vec<isize>, Vec<isize>) {
        (ints(self.0), ints(self.1))
    }
}

/// PyTorch's `interpolation` of `quantile`: which number between two elements stands for a place between theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interpolation {
    /// The one on the straight line.
    #[default]
    Linear,
    /// The smaller element.
    Lower,
    /// The larger element.
    Higher,
    /// The one in the middle.
    Midpoint,
    /// The nearer element; of halves the even place.
    Nearest,
}
