//! Linear layers: products with a bias, and the gradients of weight and bias at once. Shaders as for the matmul.

use super::{
    MatMul, Operands, Tiling, VARIANTS, cost, epilogue, fits_subgroup, fits_tiled, fuse, lower, preferred, product,
    suits_large, walkable,
};
use crate::autograd::is_differentiated;
use crate::dtype::DType;
use crate::kernel::{Access, Call, Kernel, Slot, Tolerance, Variant, parallel};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// y = x w^T + b.
pub(super) static LINEAR: Kernel =
    Kernel::new("linear", &[Access::Read, Access::Read, Access::Read, Access::Write], epilogue::definition, cost)
        .host(epilogue::host)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[0, 1])
        .rewrites(fuse::REWRITES)
        .variants(VARIANTS);

/// y = x w^T + b, and what follows it with a matrix of the same shape.
pub(super) static LINEAR_WITH: Kernel = Kernel::new(
    "linear_with",
    &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Write],
    epilogue::definition,
    cost,
)
.host(epilogue::host)
.tolerance(Tolerance::SUMMED)
.proportional_to(&[0, 1])
.variants(VARIANTS);

/// dw = dy^T x, and db, the sums of the columns of dy.
static LINEAR_WEIGHT: Kernel =
    Kernel::new("linear_weight", &[Access::Read, Access::Read, Access::Write, Access::Write], weight_definition, cost)
        .host(weight_host)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[0, 1])
        .variants(&[
            Variant::new("subgroup", |info, d| lower(info, Tiling::Subgroup, d, WEIGHT))
                .fits(|info, _| fits_subgroup(info))
                .suits(|info, _| preferred(info) == Tiling::Subgroup),
            Variant::new("tiled", |info, d| lower(info, Tiling::Tiled, d, WEIGHT))
                .fits(|info, _| fits_tiled(info))
                .suits(|info, d| suits_large(info, &d.params())),
            Variant::new("tiled_small", |info, d| lower(info, Tiling::Small, d, WEIGHT))
                .fits(|info, _| fits_tiled(info)),
        ]);

const WEIGHT: Operands =
    Operands { sums: Some(Slot::Arg(3)), ..Operands::plain(Slot::Arg(0), Slot::Arg(1), Slot::Arg(2)) };

fn weight_definition(call: &mut Call) {
    let (p, dy, x) = (call.params::<MatMul>(), call.read::<f32>(0), call.read::<f32>(1));
    p.sums(dy, x).zip(call.write::<f32>(2)).for_each(|(sum, dw)| *dw = sum as f32);
    for (column, db) in call.write::<f32>(3)[..p.m as usize].iter_mut().enumerate() {
        let row = |row: usize| f64::from(dy[p.a_base as usize + column * p.a_row as usize + row * p.a_col as usize]);
        *db = (0..p.k as usize).map(row).sum::<f64>() as f32;
    }
}

fn weight_host(call: &mut Call) {
    let (p, dy) = (call.params::<MatMul>(), call.read::<f32>(0));
    product(&p, [dy, call.read(1)], call.write(2), &|_, _| ());
    // A block of columns at a time, row by row, in order of memory.
    const COLUMNS: usize = 64;
    parallel::chunks(
        &mut call.write::<f32>(3)[..p.m as usize],
        COLUMNS,
        #[inline(always)]
        |block, db| {
            let mut sums = [0.0f64; COLUMNS];
            for row in 0..p.k as usize {
                let from = p.a_base as usize + row * p.a_col as usize + block * COLUMNS;
                sums.iter_mut().zip(&dy[from..from + db.len()]).for_each(|(sum, &dy)| *sum += f64::from(dy));
            }
            db.iter_mut().zip(sums).for_each(|(db, sum)| *db = sum as f32);
        },
    );
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&LINEAR, &LINEAR_WITH, &LINEAR_WEIGHT];

/// [rows, columns]: all but the last dimension are rows.
fn rows_of(x: &Tensor) -> Tensor {
    let shape = x.shape();
    let (rows, columns) = shape.split_at(shape.rank() - 1);
    x.reshape_to(Shape::from([rows.iter().product(), columns[0]]))
}

/// # Linear maps
impl Tensor {
    /// `x w^T + b`: rows of `self`, `[.., in]`, times the rows of `weight`, `[out, in]`, plus `bias`, `[out]`, to
    /// `[.., out]`.
    ///
    /// # Panics
    /// If the shapes do not fit each other, or a tensor is not of floats.
    #[doc(alias("addmm", "F.linear"))]
    #[track_caller]
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let (x, w) = (self.shape(), weight.shape());
        assert!(x.rank() > 0 && w.rank() == 2, "linear: {x} x {w}: expected rows [.., in] and a weight [out, in]");
        let [out, inputs] = [w[0], w[1]];
        let have = x[x.rank() - 1];
        assert!(have == inputs, "linear: {x} x {w}: expected rows of {inputs}, got {have}");
        let all: Vec<&Tensor> = [Some(self), Some(weight), bias].into_iter().flatten().collect();
        let dtype = Tensor::promoted("linear", &all);
        if [self, weight].iter().any(|x| x.dtype() != dtype) {
            // The bias is added before anything is rounded.
            return self.cast(dtype).linear(&weight.cast(dtype), bias);
        }
        let mut sizes = x.to_vec();
        sizes[x.rank() - 1] = out;
        let y = match bias {
            Some(bias) => {
                assert!(*bias.shape() == [out], "linear: {w} x {}: expected a bias for each row", bias.shape());
                rows_of(self).linear_rows(weight, bias)
            }
            None => rows_of(self).matmul(&weight.t()),
        };
        y.reshape_to(Shape::from(sizes))
    }

    #[track_caller]
    fn linear_rows(&self, weight: &Tensor, bias: &Tensor) -> Tensor {
        let ([rows, inputs], out) = ([self.shape()[0], self.shape()[1]], weight.shape()[0]);
        if rows * inputs * out == 0 {
            return self.matmul(&weight.t()).add(bias);
        }
        let y = self.new_empty([rows, out]);
        let (x, w) = (walkable(self), walkable(weight).t());
        let mut p = MatMul::of([rows, out, inputs], &x, &w);
        p.bias = 1;
        Tensor::run(&LINEAR, &[&x, &w, &at_start(bias), &y], &p);
        let (x, w) = (self.saved(), weight.saved());
        let [of_x, of_w, of_b] = [self, weight, bias].map(Tensor::gradient_dtype);
        y.tracked("linear", &[self, weight, bias], move |dy, needs| {
            let dx = needs[0].then(|| dy.matmul_to(&w, of_x));
            let (dw, db) = match (needs[1], needs[2]) {
                (true, true) if !is_differentiated() => {
                    let (dw, db) = weight_gradients(dy, &x, [of_w, of_b]);
                    (Some(dw), Some(db))
                }
                (true, false) => (Some(dy.t().matmul_to(&x, of_w)), None),
                (true, true) => (Some(dy.t().matmul_to(&x, of_w)), Some(dy.sum_to_as(Shape::from([out]), of_b))),
                (false, needed) => (None, needed.then(|| dy.sum_to_as(Shape::from([out]), of_b))),
            };
            vec![dx, dw, db]
        })
    }
}

/// The gradients of a weight [out, in] and a bias [out] from dy [rows, out] and x [rows, in].
fn weight_gradients(dy: &Tensor, x: &Tensor, [of_w, of_b]: [DType; 2]) -> (Tensor, Tensor) {
    let [rows, out] = [dy.shape()[0], dy.shape()[1]];
    let inputs = x.shape()[1];
    // The sums are taken where the rows of dy^T are neighbours.
    let dy = walkable(dy);
    let dy = if dy.layout().strides[1] == 1 { dy } else { dy.contiguous() };
    let x = if super::is_matrix(x) { x.clone() } else { x.contiguous() };
    let dw = Tensor::empty([out, inputs], of_w, x.device());
    let db = Tensor::empty([out], of_b, x.device());
    let p = MatMul::of([out, inputs, rows], &dy.t(), &x);
    Tensor::run(&LINEAR_WEIGHT, &[&dy, &x, &dw, &db], &p);
    (dw, db)
}

/// The same elements without gaps, from the start of a binding, and without history.
fn at_start(x: &Tensor) -> Tensor {
    let x = x.detach();
    if x.layout().is_dense() && x.base() == 0 { x } else { x.contiguous() }
}
