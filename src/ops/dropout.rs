//! Dropout: `shaders/dropout.wgsl`.

use super::random::{Draw, PIECE, number};
use crate::autograd::Op;
use crate::kernel::{Access, Call, Kernel, Pass, Shader, Uniform, Variant, groups, parallel, shader};
use crate::rng::{key, philox, unit, units};
use crate::shape::Shape;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = shader!("dropout", ["halves"], &[Access::Read, Access::Read, Access::Write]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct DropoutParams {
    n: u32,
    stream: u32,
    key: [u32; 2],
    drop: f32,
    scale: f32,
    offset: u32,
}

/// The gradient is the same kernel: the mask is drawn again, not kept.
static DROPOUT: Kernel = Kernel::new("dropout", SHADER.access, definition, |d| d.cost(d.len(0) as u64))
    .host(host)
    .variants(&[Variant::new("flat", |_, d| {
        let pass = Pass::new(&SHADER, "dropout", groups(d.params::<DropoutParams>().n as usize, 4 * 256));
        pass.elements(&["X", "", "Y"]).alone()
    })]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&DROPOUT];

fn definition(call: &mut Call) {
    let (p, x) = (call.params::<DropoutParams>(), call.read::<f32>(0));
    let [low, high] = number(call.read(1), p.offset);
    parallel::rows(&mut call.write::<f32>(2)[..p.n as usize], 4, |block, y| {
        let words = philox([block as u32, low, high, p.stream], p.key);
        for (i, (y, word)) in y.iter_mut().zip(words).enumerate() {
            *y = if unit(word) >= p.drop { x[block * 4 + i] * p.scale } else { 0.0 };
        }
    });
}

/// The same, many blocks at a time.
fn host(call: &mut Call) {
    let (p, x) = (call.params::<DropoutParams>(), call.read::<f32>(0));
    let [low, high] = number(call.read(1), p.offset);
    parallel::chunks(
        &mut call.write::<f32>(2)[..p.n as usize],
        PIECE,
        #[inline(always)]
        |piece, y| {
            units(y, (piece * PIECE / 4) as u32, [low, high, p.stream], p.key);
            for (y, x) in y.iter_mut().zip(&x[piece * PIECE..]) {
                *y = if *y >= p.drop { x * p.scale } else { 0.0 };
            }
        },
    );
}

/// # Dropout
impl Tensor {
    /// Zeroes elements with probability `p` and scales the others by 1 / (1 - p) (Srivastava et al., 2014); a probability of
    /// 1 leaves none. The same draw gives the same mask on every device; masks follow the elements' order in memory.
    ///
    /// # Panics
    /// If `p` is not in 0..=1, or the tensor is not of floats.
    #[track_caller]
    pub fn dropout(&self, p: f32, draw: &Draw) -> Tensor {
        assert!((0.0..=1.0).contains(&p), "dropout: a probability of {p} is not in 0..=1");
        assert!(self.dtype().is_float(), "dropout: expected a tensor of floats, got {}: cast it first", self.dtype());
        let x = self.dense();
        let scale = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
        let (n, offset) = (x.numel() as u32, draw.offset);
        let params = DropoutParams { n, stream: draw.stream, key: key(draw.seed), drop: p, scale, offset };
        x.dropped(&draw.step.saved(), params)
    }

    /// Sets elements with probability `p` to what [`Tensor::selu`] tends to, and scales and shifts all so that mean and variance
    /// stay (Klambauer et al., 2017): `torch.nn.functional.alpha_dropout`.
    ///
    /// # Panics
    /// If `p` is not in 0..=1, or the tensor is not of floats.
    #[track_caller]
    pub fn alpha_dropout(&self, p: f32, draw: &Draw) -> Tensor {
        self.ended(self.shape(), p, draw)
    }

    /// [`Tensor::alpha_dropout`] of whole channels of `[n, c, ..]`: `torch.nn.functional.feature_alpha_dropout`.
    ///
    /// # Panics
    /// If `p` is not in 0..=1, or it is no batch `[n, c, ..]` of floats.
    #[track_caller]
    pub fn feature_alpha_dropout(&self, p: f32, draw: &Draw) -> Tensor {
        let mut sizes = vec![1; self.rank()];
        assert!(self.rank() >= 2, "feature_alpha_dropout: {}: expected a batch [n, c, ..]", self.shape());
        sizes[..2].copy_from_slice(&self.shape()[..2]);
        self.ended(Shape::from(sizes), p, draw)
    }

    /// What is left of each part of such a shape, or its end.
    #[track_caller]
    fn ended(&self, shape: Shape, p: f32, draw: &Draw) -> Tensor {
        /// The scale times alpha of SELU, negative.
        const END: f32 = -1.758_099_4;
        let kept = self.new_full(shape, 1.0).dropout(p, draw).ne(0.0);
        if p >= 1.0 {
            return self.mul(&kept);
        }
        let scale = 1.0 / ((END * END * p + 1.0) * (1.0 - p)).sqrt();
        let ended = kept.affine(-END, END);
        self.mul(&kept).add(&ended).affine(scale, -scale * END * p)
    }

    /// [`Tensor::leaky_relu`] by slopes that are drawn between two numbers for each element: `torch.nn.functional.rrelu` in training
    /// (Xu et al., 2015), whose ends are 1/8 and 1/3 unless they are told. In evaluation it is `leaky_relu((lower + upper) / 2)`.
    ///
    /// # Panics
    /// If `lower` is above `upper`, or the tensor is not of floats.
    #[track_caller]
    pub fn rrelu(&self, lower: f32, upper: f32, draw: &Draw) -> Tensor {
        assert!(lower <= upper, "rrelu: {lower}..{upper} is no range: give the lower end first");
        assert!(self.dtype().is_float(), "rrelu: expected a tensor of floats, got {}: cast it first", self.dtype());
        let slopes = draw.uniform(self.shape(), lower, upper).cast(self.dtype());
        self.mul(&Tensor::where_(&self.detach().gt(0.0), &self.new_full([], 1.0), &slopes))
    }

    /// Its gradient is the same of the gradient from above.
    fn dropped(&self, step: &Tensor, params: DropoutParams) -> Tensor {
        let (y, step) = (self.new_like(), step.clone());
        Tensor::run(&DROPOUT, &[self, &step, &y], &params);
        let layout = *y.layout();
        y.tracked(
            || Op::new("dropout").with("p", params.drop),
            &[self],
            move |dy, _| vec![Some(dy.in_layout(&layout).dropped(&step, params))],
        )
    }
}
