//! Images at another size, by the nearest pixel or by straight lines between pixels: `shaders/upsample.wgsl`,
//! `shaders/upsample_backward.wgsl`.

mod matrices;

use crate::autograd::Op;
use crate::dtype::decimal;
use crate::kernel::{
    Access, Call, Constant, Cost, Dispatch, Kernel, Pass, Shader, Tolerance, Uniform, Variant, groups, parallel, shader,
};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// PyTorch's `mode` of `interpolate`, with its `align_corners`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upsampling {
    /// The nearest pixel: `nearest`.
    #[default]
    Nearest,
    /// Straight lines between the centres of pixels: `bilinear`.
    Bilinear,
    /// Straight lines, the outermost centres on one another: `bilinear` with `align_corners`.
    BilinearAligned,
    /// The nearest centre: `nearest-exact`.
    NearestExact,
    /// The mean of what a pixel covers, by [`Tensor::adaptive_avg_pool2d`]: `area`.
    Area,
    /// Cubic curves through the centres of pixels: `bicubic`.
    Bicubic,
    /// Cubic curves, the outermost centres on one another: `bicubic` with `align_corners`.
    BicubicAligned,
    /// Straight lines over all that a smaller pixel covers: `bilinear` with `antialias`.
    BilinearAntialiased,
    /// Cubic curves over all that a smaller pixel covers: `bicubic` with `antialias`.
    BicubicAntialiased,
}

impl Upsampling {
    fn is_aligned(self) -> bool {
        matches!(self, Upsampling::BilinearAligned | Upsampling::BicubicAligned)
    }
}

use Access::{Read, Write};

static FORWARD: Shader = shader!("upsample", &[Read, Write]);
static BACKWARD: Shader = shader!("upsample_backward", &[Read, Write]);

/// Images [count, height, width] at [count, out_h, out_w]; a place of the result times a scale is one of the image.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct UpsampleParams {
    count: u32,
    height: u32,
    width: u32,
    out_h: u32,
    out_w: u32,
    scale_h: f32,
    scale_w: f32,
    mode: u32,
}

impl UpsampleParams {
    /// The two pixels that a place lies between along a dimension, and how far it is on the way to the second.
    fn between(&self, at: usize, scale: f32, size: u32) -> (usize, usize, f32) {
        let last = size as usize - 1;
        let place = match self.mode {
            0 => {
                let nearest = ((at as f32 * scale) as usize).min(last);
                return (nearest, nearest, 0.0);
            }
            1 => ((at as f32 + 0.5) * scale - 0.5).max(0.0),
            _ => at as f32 * scale,
        };
        let first = (place as usize).min(last);
        (first, (first + 1).min(last), place - first as f32)
    }

    fn rows(&self, at: usize) -> (usize, usize, f32) {
        self.between(at, self.scale_h, self.height)
    }

    fn columns(&self, at: usize) -> (usize, usize, f32) {
        self.between(at, self.scale_w, self.width)
    }

    /// Results that one pixel has a part in, at most.
    fn reach(&self) -> f32 {
        let along = |scale: f32, out: u32| (2.5 / scale.max(1e-9) + 4.0).min(out as f32);
        along(self.scale_h, self.out_h) * along(self.scale_w, self.out_w)
    }
}

fn cost(d: &Dispatch) -> Cost {
    let p: UpsampleParams = d.params();
    d.cost(8 * u64::from(p.count) * u64::from(p.out_h) * u64::from(p.out_w))
}

fn pass(shader: &'static Shader, entry: &'static str, items: usize, p: &UpsampleParams) -> Pass {
    Pass::new(shader, entry, groups(items, 256)).constant("MODE", Constant::U32(p.mode))
}

static UPSAMPLE: Kernel = Kernel::new("upsample", FORWARD.access, forward_definition, cost)
    .host(forward_host)
    .variants(&[Variant::new("flat", |_, d| pass(&FORWARD, "upsample", d.len(1), &d.params()).alone())]);

static UPSAMPLE_BACKWARD: Kernel = Kernel::new("upsample_backward", BACKWARD.access, backward_definition, cost)
    .host(backward_host)
    .tolerance(Tolerance::SUMMED)
    .variants(&[Variant::new("flat", |_, d| pass(&BACKWARD, "upsample_backward", d.len(1), &d.params()).alone())
        .fits(|_, d| d.params::<UpsampleParams>().reach() < 60_000.0)]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&UPSAMPLE, &UPSAMPLE_BACKWARD];

fn forward_definition(call: &mut Call) {
    let (p, x) = (call.params::<UpsampleParams>(), call.read::<f32>(0));
    let (width, out_w) = (p.width as usize, p.out_w as usize);
    parallel::rows(call.write::<f32>(1), out_w, |row, y| {
        let (image, at) = (row / p.out_h as usize, row % p.out_h as usize);
        let (top, bottom, down) = p.rows(at);
        let line = |r: usize| &x[(image * p.height as usize + r) * width..][..width];
        for (at, y) in y.iter_mut().enumerate() {
            let (left, right, along) = p.columns(at);
            if p.mode == 0 {
                *y = line(top)[left];
                continue;
            }
            let mix = |line: &[f32]| (1.0 - along) * line[left] + along * line[right];
            *y = (1.0 - down) * mix(line(top)) + down * mix(line(bottom));
        }
    });
}

fn backward_definition(call: &mut Call) {
    let (p, dy) = (call.params::<UpsampleParams>(), call.read::<f32>(0));
    let (width, out_w) = (p.width as usize, p.out_w as usize);
    let results = p.out_h as usize * out_w;
    parallel::chunks(call.write::<f32>(1), p.height as usize * width, |image, dx| {
        let mut sums = vec![0.0f64; dx.len()];
        for (at, &dy) in dy[image * results..][..results].iter().enumerate() {
            let ((top, bottom, down), (left, right, along)) = (p.rows(at / out_w), p.columns(at % out_w));
            if p.mode == 0 {
                sums[top * width + left] += f64::from(dy);
                continue;
            }
            for (row, by) in [(top, 1.0 - down), (bottom, down)] {
                for (column, share) in [(left, 1.0 - along), (right, along)] {
                    sums[row * width + column] += f64::from(by * share * dy);
                }
            }
        }
        dx.iter_mut().zip(sums).for_each(|(dx, sum)| *dx = sum as f32);
    });
}

fn forward_host(call: &mut Call) {
    let (p, x) = (call.params::<UpsampleParams>(), call.read::<f32>(0));
    let (width, out_w) = (p.width as usize, p.out_w as usize);
    let columns: Vec<_> = (0..out_w).map(|at| p.columns(at)).collect();
    parallel::rows(
        call.write::<f32>(1),
        out_w,
        #[inline(always)]
        |row, y| {
            let (image, at) = (row / p.out_h as usize, row % p.out_h as usize);
            let (top, bottom, down) = p.rows(at);
            let line = |r: usize| &x[(image * p.height as usize + r) * width..][..width];
            let (top, bottom) = (line(top), line(bottom));
            if p.mode == 0 {
                return y.iter_mut().zip(&columns).for_each(|(y, (left, ..))| *y = top[*left]);
            }
            for (y, &(left, right, along)) in y.iter_mut().zip(&columns) {
                let mix = |line: &[f32]| (1.0 - along) * line[left] + along * line[right];
                *y = (1.0 - down) * mix(top) + down * mix(bottom);
            }
        },
    );
}

/// A row of results at a time goes to a row of pixels as wide, weighted for each row it lies between.
fn backward_host(call: &mut Call) {
    let (p, dy) = (call.params::<UpsampleParams>(), call.read::<f32>(0));
    let (width, out_w) = (p.width as usize, p.out_w as usize);
    let results = p.out_h as usize * out_w;
    let columns: Vec<_> = (0..out_w).map(|at| p.columns(at)).collect();
    // Rows of pixels whose columns are twice as many in the result: neighbours are added two by two.
    let is_double =
        p.mode == 0 && out_w == 2 * width && columns.iter().enumerate().all(|(at, (left, ..))| *left == at / 2);
    parallel::chunks(
        call.write::<f32>(1),
        p.height as usize * width,
        #[inline(always)]
        |image, dx| {
            let mut sums = vec![0.0f64; dx.len()];
            let mut line = vec![0.0f64; width];
            for (at, dy) in dy[image * results..][..results].chunks(out_w).enumerate() {
                let (top, bottom, down) = p.rows(at);
                if is_double {
                    let sums = &mut sums[top * width..][..width];
                    for (sum, [a, b]) in sums.iter_mut().zip(dy.as_chunks::<2>().0) {
                        *sum += f64::from(*a) + f64::from(*b);
                    }
                    continue;
                }
                line.fill(0.0);
                for (&dy, &(left, right, along)) in dy.iter().zip(&columns) {
                    let dy = f64::from(dy);
                    line[left] += f64::from(1.0 - along) * dy;
                    if p.mode != 0 {
                        line[right] += f64::from(along) * dy;
                    }
                }
                let rows = [(top, 1.0 - down), (bottom, down)];
                for &(row, by) in &rows[..if p.mode == 0 { 1 } else { 2 }] {
                    let sums = &mut sums[row * width..][..width];
                    sums.iter_mut().zip(&line).for_each(|(sum, part)| *sum += f64::from(by) * part);
                }
            }
            dx.iter_mut().zip(sums).for_each(|(dx, sum)| *dx = sum as f32);
        },
    );
}

/// # Other sizes of images
impl Tensor {
    /// Images `[n, c, h, w]` at another height and width: `torch.nn.functional.interpolate`.
    ///
    /// # Panics
    /// If it is no batch of images, or a size is 0.
    #[doc(alias = "resize")]
    #[track_caller]
    pub fn interpolate(&self, size: [usize; 2], mode: Upsampling) -> Tensor {
        let scale = [0, 1].map(|d| {
            let (from, to) = (self.shape().get(2 + d).copied().unwrap_or(0) as f32, size[d] as f32);
            match mode {
                _ if mode.is_aligned() && size[d] > 1 => (from - 1.0) / (to - 1.0),
                _ if mode.is_aligned() => 0.0,
                _ => from / to,
            }
        });
        self.upsampled(size, scale, mode)
    }

    /// Images `[n, c, h, w]` times a factor in height and width, rounded down: `torch.nn.Upsample` with a `scale_factor`.
    ///
    /// # Panics
    /// If it is no batch of images, or nothing would be left of them.
    #[track_caller]
    pub fn upsample(&self, factor: [f32; 2], mode: Upsampling) -> Tensor {
        // In f64 and from the factor's decimals, as PyTorch: 100 times 0.29 is 28.999999999999996.
        let factor = factor.map(decimal);
        let size = [0, 1].map(|d| (self.shape().get(2 + d).copied().unwrap_or(0) as f64 * factor[d]) as usize);
        match mode {
            _ if mode.is_aligned() => self.interpolate(size, mode),
            _ => self.upsampled(size, factor.map(|factor| (1.0 / factor) as f32), mode),
        }
    }

    #[track_caller]
    fn upsampled(&self, [out_h, out_w]: [usize; 2], scale: [f32; 2], mode: Upsampling) -> Tensor {
        let shape = self.shape();
        let fits = shape.rank() == 4 && ![shape[2], shape[3], out_h, out_w].contains(&0);
        assert!(fits, "interpolate: {shape} to {out_h} x {out_w}: expected images [n, c, h, w] and sizes above 0");
        assert!(self.dtype().is_float(), "interpolate: expected images of floats, got {}", self.dtype());
        match mode {
            Upsampling::Nearest | Upsampling::Bilinear | Upsampling::BilinearAligned => (),
            Upsampling::Area => return self.adaptive_avg_pool2d([out_h, out_w]),
            _ => return self.weighed([out_h, out_w], scale, mode),
        }
        // Where a factor leaves the size as it is, or doubles it, pixels are copied whatever the factor: PyTorch's rule.
        let whole = |d: usize, out: usize| match out {
            _ if out == shape[2 + d] => 1.0,
            _ if Some(out) == shape[2 + d].checked_mul(2) && mode == Upsampling::Nearest => 0.5,
            _ => scale[d],
        };
        let [scale_h, scale_w] = [whole(0, out_h), whole(1, out_w)];
        let p = UpsampleParams {
            count: (shape[0] * shape[1]) as u32,
            height: shape[2] as u32,
            width: shape[3] as u32,
            out_h: out_h as u32,
            out_w: out_w as u32,
            scale_h,
            scale_w,
            mode: mode as u32,
        };
        self.upsampled_by(p, mode)
    }

    fn upsampled_by(&self, p: UpsampleParams, mode: Upsampling) -> Tensor {
        let (x, shape) = (self.contiguous(), self.shape());
        let y = self.new_empty([shape[0], shape[1], p.out_h as usize, p.out_w as usize]);
        Tensor::run(&UPSAMPLE, &[&x.detach(), &y], &p);
        let op = || Op::new("interpolate").with("size", [p.out_h, p.out_w]).with("mode", format!("{mode:?}"));
        y.tracked(op, &[&x], move |dy, _| {
            let dx = dy.new_empty(shape);
            Tensor::run(&UPSAMPLE_BACKWARD, &[&dy.contiguous(), &dx], &p);
            let again = move |ddx: &Tensor, _: &[bool]| vec![Some(ddx.upsampled_by(p, mode))];
            vec![Some(dx.tracked("interpolate_backward", &[dy], again))]
        })
    }
}
