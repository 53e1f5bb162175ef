//! Images at another size, by the nearest pixel or by straight lines between pixels: `shaders/upsample.wgsl`,
//! `shaders/upsample_backward.wgsl`.

mod matrices;

use crate::autograd::Op;
use crate::dtype::decimal;
use crate::kernel::{
    Access, Call, Constant, Cost, Dispatch, Kernel, Lowering, Pass, Shader, Tolerance, Uniform, Variant, groups,
    parallel, shader,
};
use crate::ops::channels_last::channels_last;
use crate::shape::Shape;
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

    /// Whether it has no meaning for sequences and volumes.
    pub(crate) fn is_for_images(self) -> bool {
        matches!(
            self,
            Upsampling::Bicubic
                | Upsampling::BicubicAligned
                | Upsampling::BicubicAntialiased
                | Upsampling::BilinearAntialiased
        )
    }
}

use Access::{Read, Write};

static FORWARD: Shader = shader!("upsample", &[Read, Write]);
static BACKWARD: Shader = shader!("upsample_backward", &[Read, Write]);

/// Images [count, height, width, inner] at [count, out_h, out_w, inner], where `inner` are the channels if they are neighbours, else 1;
/// a place of the result times a scale is one of the image.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct UpsampleParams {
    count: u32,
    height: u32,
    width: u32,
    out_h: u32,
    out_w: u32,
    inner: u32,
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
    d.cost(8 * u64::from(p.count) * u64::from(p.out_h) * u64::from(p.out_w) * u64::from(p.inner))
}

/// The only pass, for one element or four neighbouring channels a time.
fn alone(shader: &'static Shader, d: &Dispatch, is_quads: bool) -> Lowering {
    let p: UpsampleParams = d.params();
    let (item, width) = if is_quads { ("vec4<f32>", 4) } else { ("f32", 1) };
    let pass = Pass::new(shader, shader.name, groups(d.len(1) / width as usize, 256));
    let pass = pass.constant("MODE", Constant::U32(p.mode)).constant("ITEM", Constant::Alias(item));
    pass.constant("BOOLS", Constant::Alias(if is_quads { "vec4<bool>" } else { "bool" }))
        .params(&UpsampleParams { inner: p.inner / width, ..p })
        .alone()
}

fn is_by_fours(d: &Dispatch) -> bool {
    d.params::<UpsampleParams>().inner.is_multiple_of(4)
}

static UPSAMPLE: Kernel =
    Kernel::new("upsample", FORWARD.access, forward_definition, cost).host(forward_host).variants(&[
        Variant::new("quads", |_, d| alone(&FORWARD, d, true)).fits(|_, d| is_by_fours(d)),
        Variant::new("flat", |_, d| alone(&FORWARD, d, false)),
    ]);

fn fits_backward(d: &Dispatch) -> bool {
    d.params::<UpsampleParams>().reach() < 60_000.0
}

static UPSAMPLE_BACKWARD: Kernel = Kernel::new("upsample_backward", BACKWARD.access, backward_definition, cost)
    .host(backward_host)
    .tolerance(Tolerance::SUMMED)
    .proportional_to(&[0])
    .variants(&[
        Variant::new("quads", |_, d| alone(&BACKWARD, d, true)).fits(|_, d| is_by_fours(d) && fits_backward(d)),
        Variant::new("flat", |_, d| alone(&BACKWARD, d, false)).fits(|_, d| fits_backward(d)),
    ]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&UPSAMPLE, &UPSAMPLE_BACKWARD];

fn forward_definition(call: &mut Call) {
    let (p, x) = (call.params::<UpsampleParams>(), call.read::<f32>(0));
    let [width, out_w, inner] = [p.width, p.out_w, p.inner].map(|size| size as usize);
    parallel::rows(call.write::<f32>(1), out_w * inner, |row, y| {
        let (image, at) = (row / p.out_h as usize, row % p.out_h as usize);
        let (top, bottom, down) = p.rows(at);
        let pixel = |r: usize, c: usize, k: usize| x[((image * p.height as usize + r) * width + c) * inner + k];
        for (at, y) in y.iter_mut().enumerate() {
            let (k, (left, right, along)) = (at % inner, p.columns(at / inner));
            if p.mode == 0 {
                *y = pixel(top, left, k);
                continue;
            }
            let mix = |r: usize| (1.0 - along) * pixel(r, left, k) + along * pixel(r, right, k);
            *y = (1.0 - down) * mix(top) + down * mix(bottom);
        }
    });
}

fn backward_definition(call: &mut Call) {
    let (p, dy) = (call.params::<UpsampleParams>(), call.read::<f32>(0));
    let [width, out_w, inner] = [p.width, p.out_w, p.inner].map(|size| size as usize);
    let results = p.out_h as usize * out_w * inner;
    parallel::chunks(call.write::<f32>(1), p.height as usize * width * inner, |image, dx| {
        let mut sums = vec![0.0f64; dx.len()];
        for (at, &dy) in dy[image * results..][..results].iter().enumerate() {
            let (k, at) = (at % inner, at / inner);
            let ((top, bottom, down), (left, right, along)) = (p.rows(at / out_w), p.columns(at % out_w));
            if p.mode == 0 {
                sums[(top * width + left) * inner + k] += f64::from(dy);
                continue;
            }
            for (row, by) in [(top, 1.0 - down), (bottom, down)] {
                for (column, share) in [(left, 1.0 - along), (right, along)] {
                    sums[(row * width + column) * inner + k] += f64::from(by * share * dy);
                }
            }
        }
        dx.iter_mut().zip(sums).for_each(|(dx, sum)| *dx = sum as f32);
    });
}

fn forward_host(call: &mut Call) {
    let (p, x) = (call.params::<UpsampleParams>(), call.read::<f32>(0));
    let [width, out_w, inner] = [p.width, p.out_w, p.inner].map(|size| size as usize);
    let columns: Vec<_> = (0..out_w).map(|at| p.columns(at)).collect();
    parallel::rows(
        call.write::<f32>(1),
        out_w * inner,
        #[inline(always)]
        |row, y| {
            let (image, at) = (row / p.out_h as usize, row % p.out_h as usize);
            let (top, bottom, down) = p.rows(at);
            let line = |r: usize| &x[(image * p.height as usize + r) * width * inner..][..width * inner];
            let (top, bottom) = (line(top), line(bottom));
            if inner > 1 {
                for (y, &(left, right, along)) in y.chunks_exact_mut(inner).zip(&columns) {
                    let all = [(top, left), (top, right), (bottom, left), (bottom, right)];
                    let all = all.map(|(line, at)| &line[at * inner..][..inner]);
                    if p.mode == 0 { y.copy_from_slice(all[0]) } else { mixed(y, all, along, down) }
                }
                return;
            }
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

/// A pixel between four.
#[inline(always)]
fn mixed(y: &mut [f32], [a, b, c, d]: [&[f32]; 4], along: f32, down: f32) {
    for ((((y, a), b), c), d) in y.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *y = (1.0 - down) * ((1.0 - along) * a + along * b) + down * ((1.0 - along) * c + along * d);
    }
}

/// A row of results at a time goes to a row of pixels as wide, weighted for each row it lies between.
fn backward_host(call: &mut Call) {
    let (p, dy) = (call.params::<UpsampleParams>(), call.read::<f32>(0));
    let [width, out_w, inner] = [p.width, p.out_w, p.inner].map(|size| size as usize);
    let results = p.out_h as usize * out_w * inner;
    let columns: Vec<_> = (0..out_w).map(|at| p.columns(at)).collect();
    // Rows of pixels whose columns are twice as many in the result: neighbours are added two by two.
    let is_double = p.mode == 0
        && inner == 1
        && out_w == 2 * width
        && columns.iter().enumerate().all(|(at, (left, ..))| *left == at / 2);
    parallel::chunks(
        call.write::<f32>(1),
        p.height as usize * width * inner,
        #[inline(always)]
        |image, dx| {
            let mut sums = vec![0.0f64; dx.len()];
            let mut line = vec![0.0f64; width * inner];
            for (at, dy) in dy[image * results..][..results].chunks(out_w * inner).enumerate() {
                let (top, bottom, down) = p.rows(at);
                if is_double {
                    let sums = &mut sums[top * width..][..width];
                    for (sum, [a, b]) in sums.iter_mut().zip(dy.as_chunks::<2>().0) {
                        *sum += f64::from(*a) + f64::from(*b);
                    }
                    continue;
                }
                line.fill(0.0);
                for (dy, &(left, right, along)) in dy.chunks_exact(inner).zip(&columns) {
                    let places = [(left, 1.0 - along), (right, along)];
                    for &(at, share) in &places[..if p.mode == 0 { 1 } else { 2 }] {
                        let line = &mut line[at * inner..][..inner];
                        line.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += f64::from(share) * f64::from(*dy));
                    }
                }
                let rows = [(top, 1.0 - down), (bottom, down)];
                for &(row, by) in &rows[..if p.mode == 0 { 1 } else { 2 }] {
                    let sums = &mut sums[row * line.len()..][..line.len()];
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

    /// Sequences `[n, c, length]` or volumes `[n, c, d, h, w]` at other sizes, one for each dimension behind the channels:
    /// PyTorch's modes `linear` and `trilinear` are [`Upsampling::Bilinear`] here, dimension by dimension.
    ///
    /// # Panics
    /// If it is no batch of sequences or volumes with as many sizes, a size is 0, or curves are asked for.
    #[track_caller]
    pub fn interpolate_nd(&self, sizes: &[usize], mode: Upsampling) -> Tensor {
        self.by_planes(sizes.len(), mode, &|x, dims| {
            x.interpolate([0, 1].map(|at| sizes.get(dims[at]).copied().unwrap_or(x.shape()[2 + at])), mode)
        })
    }

    /// [`Tensor::interpolate_nd`] to sizes times a factor each, rounded down.
    ///
    /// # Panics
    /// As [`Tensor::interpolate_nd`].
    #[track_caller]
    pub fn upsample_nd(&self, factors: &[f32], mode: Upsampling) -> Tensor {
        self.by_planes(factors.len(), mode, &|x, dims| {
            x.upsample(dims.map(|d| factors.get(d).copied().unwrap_or(1.0)), mode)
        })
    }

    /// Resizes planes of one or three dimensions by `plane`, which is told what dimension each of its sizes is, or none.
    #[track_caller]
    fn by_planes(&self, count: usize, mode: Upsampling, plane: &dyn Fn(&Tensor, [usize; 2]) -> Tensor) -> Tensor {
        let s = self.shape();
        let fits = s.rank() == count + 2 && (count == 1 || count == 3);
        assert!(fits, "interpolate: {s} to {count} sizes: expected sequences [n, c, l] or volumes [n, c, d, h, w]");
        assert!(!mode.is_for_images(), "interpolate: {s}: {mode:?} is for images");
        let none = usize::MAX;
        if count == 1 {
            return plane(&self.unsqueeze(2), [none, 0]).squeeze(2);
        }
        let slices = plane(&self.reshape_to(Shape::from([s[0], s[1] * s[2], s[3], s[4]])), [1, 2]);
        let [h, w] = [2, 3].map(|d| slices.shape()[d]);
        let y = plane(&slices.reshape_to(Shape::from([s[0], s[1], s[2], h * w])), [0, none]);
        let depth = y.shape()[2];
        y.reshape_to(Shape::from([s[0], s[1], depth, h, w]))
    }

    #[track_caller]
    pub(crate) fn upsampled(&self, [out_h, out_w]: [usize; 2], scale: [f32; 2], mode: Upsampling) -> Tensor {
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
        let lies = self.layout().permute(&[0, 2, 3, 1]).is_contiguous() && self.base() == 0;
        let inner = if lies { shape[1] } else { 1 };
        let p = UpsampleParams {
            count: (shape[0] * shape[1] / inner) as u32,
            height: shape[2] as u32,
            width: shape[3] as u32,
            out_h: out_h as u32,
            out_w: out_w as u32,
            inner: inner as u32,
            scale_h,
            scale_w,
            mode: mode as u32,
        };
        self.upsampled_by(p, mode)
    }

    fn upsampled_by(&self, p: UpsampleParams, mode: Upsampling) -> Tensor {
        // In the memory order that the parameters tell of.
        let ordered = move |x: &Tensor| if p.inner > 1 { x.to_channels_last() } else { x.contiguous() };
        let fresh =
            move |x: &Tensor, shape: Shape| if p.inner > 1 { channels_last(shape, x) } else { x.new_empty(shape) };
        let (x, shape) = (ordered(self), self.shape());
        let y = fresh(self, Shape::from([shape[0], shape[1], p.out_h as usize, p.out_w as usize]));
        Tensor::run(&UPSAMPLE, &[&x.detach(), &y], &p);
        let op = || Op::new("interpolate").with("size", [p.out_h, p.out_w]).with("mode", format!("{mode:?}"));
        let op = move || op().with("scale_h", p.scale_h).with("scale_w", p.scale_w);
        y.tracked(op, &[&x], move |dy, _| {
            let dx = fresh(dy, shape);
            Tensor::run(&UPSAMPLE_BACKWARD, &[&ordered(dy), &dx], &p);
            let again = move |ddx: &Tensor, _: &[bool]| vec![Some(ddx.upsampled_by(p, mode))];
            vec![Some(dx.tracked("interpolate_backward", &[dy], again))]
        })
    }
}
