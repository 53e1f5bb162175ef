//! Pooling of images: `shaders/max_pool.wgsl`, `shaders/max_pool_quads.wgsl`, `shaders/max_pool_backward.wgsl`,
//! `shaders/max_pool_windows.wgsl`, `shaders/avg_pool.wgsl`, `shaders/avg_pool_backward.wgsl`.
//!
//! Results lie channels last in memory, in the shape [n, c, h, w].

mod definition;
mod fractional;
mod fuse;
mod host;
mod lp;
mod modes;
mod params;
mod pool1d;
mod pool3d;

pub use lp::LpPoolOptions;
pub use pool1d::{AvgPool1dOptions, MaxPool1dOptions};
pub use pool3d::{AvgPool3dOptions, MaxPool3dOptions};

use super::channels_last::channels_last;
use super::reduce::KeepDims;
use crate::dtype::DType;
use crate::kernel::{
    Access, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Variant, groups, shader,
};
use crate::shape::{MAX_EXTENT, Shape};
use crate::tensor::Tensor;
use params::PoolParams;

/// PyTorch's arguments of `max_pool2d`: height before width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2dOptions {
    /// The window.
    pub kernel_size: [usize; 2],
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Pixels around the image that never are the largest; at most half the window.
    pub padding: [usize; 2],
    /// Distance between the window's pixels.
    pub dilation: [usize; 2],
    /// Whether a last window may reach past the end, if it begins before.
    pub ceil_mode: bool,
}

impl MaxPool2dOptions {
    /// Square windows side by side.
    pub fn new(kernel_size: usize) -> MaxPool2dOptions {
        let kernel_size = [kernel_size; 2];
        MaxPool2dOptions { kernel_size, stride: kernel_size, padding: [0, 0], dilation: [1, 1], ceil_mode: false }
    }
}

/// PyTorch's arguments of `avg_pool2d`: height before width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool2dOptions {
    /// The window.
    pub kernel_size: [usize; 2],
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Zeros around the image; at most half the window.
    pub padding: [usize; 2],
    /// Whether a last window may reach past the end, if it begins before.
    pub ceil_mode: bool,
    /// Whether zeros of the padding count among the elements that a sum is divided by.
    pub count_include_pad: bool,
    /// What a sum is divided by, in the place of the number of its elements.
    pub divisor_override: Option<usize>,
}

impl AvgPool2dOptions {
    /// Square windows side by side.
    pub fn new(kernel_size: usize) -> AvgPool2dOptions {
        let kernel_size = [kernel_size; 2];
        AvgPool2dOptions {
            kernel_size,
            stride: kernel_size,
            padding: [0, 0],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }
}

use Access::{Read, Write};

static MAX: Shader = shader!("max_pool", ["pool", "places"], &[Read, Write, Write]);
static MAX_BACKWARD: Shader = shader!("max_pool_backward", ["pool"], &[Read, Read, Read, Write]);
static MAX_QUADS: Shader = shader!("max_pool_quads", ["halves", "pool", "places"], &[Read, Write, Write]);
static MAX_WINDOWS: Shader = shader!("max_pool_windows", ["halves", "pool", "places"], &[Read, Read, Read, Write]);
static AVG: Shader = shader!("avg_pool", ["halves", "pool"], &[Read, Write]);
static AVG_BACKWARD: Shader = shader!("avg_pool_backward", ["halves", "pool"], &[Read, Write]);

/// Pixels of a window that one invocation adds up: its loops stay under 65,535 iterations.
const MAX_WINDOW: usize = 16_384;

/// Whether one invocation may walk a window, with an iteration a pixel and one a row, in under 65,535 iterations.
fn fits(_: &Info, d: &Dispatch) -> bool {
    let p: PoolParams = d.params();
    p.reach(0) * (p.reach(1) + 1) < 60_000
}

/// The same for a pixel and the windows that hold it.
fn fits_backward(_: &Info, d: &Dispatch) -> bool {
    let p: PoolParams = d.params();
    p.views(0) * (p.views(1) + 1) < 60_000
}

fn each_of(shader: &'static Shader, entry: &'static str, elements: usize) -> Pass {
    Pass::new(shader, entry, groups(elements, 256))
}

fn cost(d: &Dispatch) -> Cost {
    d.cost(d.len(0).max(d.len(1)) as u64)
}

/// Whether four channels can be read at once.
fn fits_quads(info: &Info, d: &Dispatch) -> bool {
    let p: PoolParams = d.params();
    let quads = [p.channels, p.x_base, p.x_n, p.x[0], p.x[1]].iter().all(|w| w.is_multiple_of(4));
    fits(info, d) && p.x_c == 1 && quads && p.y[1] == 1
}

/// The same, where windows are all of one size.
fn fits_quads_of_fixed(info: &Info, d: &Dispatch) -> bool {
    d.params::<PoolParams>().adaptive == 0 && fits_quads(info, d)
}

/// Whether channels come by fours and windows are all of one size.
fn fits_overlaps(info: &Info, d: &Dispatch) -> bool {
    let p: PoolParams = d.params();
    p.adaptive == 0 && p.channels.is_multiple_of(4) && fits_backward(info, d)
}

/// Whether each pixel has one window, and channels come by fours.
fn fits_windows(info: &Info, d: &Dispatch) -> bool {
    let p: PoolParams = d.params();
    p.adaptive == 0 && p.windows_tile() && p.channels.is_multiple_of(4) && fits(info, d)
}

static MAX_POOL: Kernel = Kernel::new("max_pool2d", MAX.access, definition::max, cost)
    .host(host::max)
    .tolerance(Tolerance::EXACT)
    .rewrites(&[fuse::COPIED])
    .variants(&[
        Variant::new("quads", |_, d| {
            let pass = each_of(&MAX_QUADS, "max_pool_quads", d.len(2) / 4).elements(&["X", "Y"]);
            four_places(pass, &d.params()).alone()
        })
        .fits(fits_quads_of_fixed),
        Variant::new("each", |_, d| each_place(&d.params(), d.len(2)).alone()).fits(fits),
    ]);

/// The pass for results one by one, four of which share a word where places are bytes.
fn each_place(p: &PoolParams, results: usize) -> Pass {
    let bytes = p.place_type() == DType::U8;
    each_of(&MAX, "max_pool", if bytes { results.div_ceil(4) } else { results })
        .constant("BYTES", Constant::Bool(bytes))
        .constant("FOURS", Constant::Bool(bytes && p.channels.is_multiple_of(4)))
}

/// How a pass by fours keeps and reads four places.
fn four_places(pass: Pass, p: &PoolParams) -> Pass {
    let [item, kept, read] = match p.place_type() {
        DType::U8 => ["u32", "packed_places(v)", "unpacked_places(v)"],
        _ => ["vec4<u32>", "v", "v"],
    };
    pass.constant("PLACES", Constant::Alias(item))
        .constant("kept_places(v: vec4<u32>) -> PLACES", Constant::Function(kept))
        .constant("places_of(v: PLACES) -> vec4<u32>", Constant::Function(read))
}

/// dx from dy and the place of each window's largest.
static MAX_POOL_BACKWARD: Kernel =
    Kernel::new("max_pool2d_backward", &[Read, Read, Write], definition::max_backward, cost)
        .host(host::max_backward)
        .rewrites(&[fuse::RELU])
        .variants(BACKWARD);

/// The same, times the slope of the relu that stood before the pooling, told by the pooled values y.
static MAX_POOL_RELU_BACKWARD: Kernel =
    Kernel::new("max_pool2d_relu_backward", &[Read, Read, Read, Write], definition::max_backward, cost)
        .host(host::max_backward)
        .variants(BACKWARD);

const BACKWARD: &[Variant] = &[
    Variant::new("windows", |_, d| backward(d, &MAX_WINDOWS, "max_pool_windows", d.len(1) / 4)).fits(fits_windows),
    Variant::new("overlaps", |_, d| backward(d, &MAX_WINDOWS, "max_pool_overlaps", d.len(d.bindings.len() - 1) / 4))
        .fits(fits_overlaps),
    Variant::new("each", |_, d| {
        let entry =
            if d.params::<PoolParams>().adaptive == 1 { "max_pool_backward_adaptive" } else { "max_pool_backward" };
        backward(d, &MAX_BACKWARD, entry, d.len(d.bindings.len() - 1))
    })
    .fits(fits_backward),
];

fn backward(d: &Dispatch, shader: &'static Shader, entry: &'static str, invocations: usize) -> Lowering {
    let p: PoolParams = d.params();
    let quads = |strides: [u32; 4]| [0, 2, 3].iter().all(|d| strides[*d].is_multiple_of(4)) && strides[1] == 1;
    let y = if p.relu == 1 { Slot::Arg(2) } else { Slot::Arg(0) };
    let types: &[&str] = if std::ptr::eq(shader, &MAX_WINDOWS) { &["DY", "", "Y", "DX"] } else { &[] };
    let pass = Pass::new(shader, entry, groups(invocations, 256));
    let pass = match types {
        [] => pass.constant("BYTES", Constant::Bool(p.place_type() == DType::U8)),
        _ => four_places(pass, &p),
    };
    pass.elements(types)
        .constant("RELU", Constant::Bool(p.relu == 1))
        .constant("DY_QUADS", Constant::Bool(quads(p.dy)))
        .constant("Y_QUADS", Constant::Bool(quads(p.y)))
        .slots(&[Slot::Arg(0), Slot::Arg(1), y, Slot::Arg(d.bindings.len() - 1)])
        .alone()
}

static AVG_POOL: Kernel = Kernel::new("avg_pool2d", AVG.access, definition::avg, cost)
    .host(host::avg)
    .tolerance(Tolerance::SUMMED)
    .proportional_to(&[0])
    .variants(&[
        Variant::new("quads", |_, d| {
            average(&AVG, "avg_pool", &d.params::<PoolParams>().by_fours(), d.len(1) / 4).items(4, &["X", "Y"]).alone()
        })
        .fits(fits_quads),
        Variant::new("each", |_, d| average(&AVG, "avg_pool", &d.params(), d.len(1)).items(1, &["X", "Y"]).alone())
            .fits(fits),
    ]);

static AVG_POOL_BACKWARD: Kernel =
    Kernel::new("avg_pool2d_backward", AVG_BACKWARD.access, definition::avg_backward, cost)
        .host(host::avg_backward)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[0])
        .variants(&[
            Variant::new("quads", |_, d| {
                let p = d.params::<PoolParams>().by_fours();
                average(&AVG_BACKWARD, "avg_pool_backward", &p, d.len(1) / 4).items(4, &["DY", "DX"]).alone()
            })
            .fits(|info, d| d.params::<PoolParams>().channels.is_multiple_of(4) && fits_backward(info, d)),
            Variant::new("each", |_, d| {
                average(&AVG_BACKWARD, "avg_pool_backward", &d.params(), d.len(1)).items(1, &["DY", "DX"]).alone()
            })
            .fits(fits_backward),
        ]);

fn average(shader: &'static Shader, entry: &'static str, p: &PoolParams, items: usize) -> Pass {
    each_of(shader, entry, items).params(p)
}

/// The sizes and strides of the results, where the windows are 2 x 2 side by side over images whose channels are
/// neighbours, in memory without gaps.
pub(super) fn halves(d: &Dispatch) -> Option<([u32; 2], [u32; 4])> {
    if !std::ptr::eq(d.kernel, &MAX_POOL) {
        return None;
    }
    let p: PoolParams = d.params();
    let windows = p.kernel == [2; 2] && p.stride == [2; 2] && p.padding == [0; 2] && p.dilation == [1; 2];
    (windows && p.x_base == 0 && p.is_dense()).then_some((p.out, p.y))
}

/// The pass that pools images [n, h, w, c] so to results of these sizes and strides, from the first slot into the others.
pub(super) fn pass_of_halves([n, h, w, c]: [u32; 4], out: [u32; 2], strides: [u32; 4], slots: [Slot; 3]) -> Pass {
    let p = PoolParams {
        batch: n,
        channels: c,
        size: [h, w],
        out,
        kernel: [2; 2],
        stride: [2; 2],
        padding: [0; 2],
        dilation: [1; 2],
        adaptive: 0,
        x_base: 0,
        x_n: h * w * c,
        x_c: 1,
        x: [w * c, c],
        y: strides,
        dy: strides,
        relu: 0,
    };
    let elements = (n * out[0] * out[1] * c) as usize;
    each_place(&p, elements).slots(&slots).params(&p)
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] =
    &[&MAX_POOL, &MAX_POOL_BACKWARD, &MAX_POOL_RELU_BACKWARD, &AVG_POOL, &AVG_POOL_BACKWARD];

/// # Pooling of images
impl Tensor {
    /// The largest of each window of images [n, c, h, w], or of one [c, h, w]; the first of equals gets the gradient. On a GPU a window has
    /// fewer than 60,000 pixels.
    ///
    /// # Panics
    /// If the shape does not fit the options.
    #[track_caller]
    pub fn max_pool2d(&self, options: MaxPool2dOptions) -> Tensor {
        self.max_pooled("max_pool2d", options)
    }

    #[track_caller]
    fn max_pooled(&self, op: &'static str, options: MaxPool2dOptions) -> Tensor {
        if let Some(batch) = self.batch_of_one(4) {
            return batch.max_pooled(op, options).squeeze(0);
        }
        if options.ceil_mode {
            let (x, options) = self.reaching(op, options);
            return x.max_pooled(op, options);
        }
        let MaxPool2dOptions { kernel_size, stride, padding, dilation, .. } = options;
        self.largest(op, PoolParams::new(op, self, kernel_size, stride, padding, dilation))
    }

    /// The largest of images [n, c, h, w], or of one [c, h, w], in windows that cut them into `size` parts; the first of equals gets the gradient.
    /// On a GPU a window has fewer than 60,000 pixels.
    ///
    /// # Panics
    /// If the shape is not that of images, or a size is 0.
    #[track_caller]
    pub fn adaptive_max_pool2d(&self, size: [usize; 2]) -> Tensor {
        self.adaptive_max("adaptive_max_pool2d", size)
    }

    #[track_caller]
    fn adaptive_max(&self, op: &'static str, size: [usize; 2]) -> Tensor {
        if let Some(batch) = self.batch_of_one(4) {
            return batch.adaptive_max(op, size).squeeze(0);
        }
        self.largest(op, PoolParams::adaptive(op, self, size))
    }

    #[track_caller]
    fn largest(&self, op: &'static str, p: PoolParams) -> Tensor {
        let y = channels_last(p.output(), self);
        let at = Tensor::empty([y.numel()], p.place_type(), self.device());
        Tensor::run(&MAX_POOL, &[&self.detach(), &y, &at], &p);
        let (shape, at) = (self.shape(), at.saved());
        y.tracked(
            || p.op(op),
            &[self],
            move |dy, _| {
                let dx = channels_last(shape, dy);
                let own = if dy.base() == 0 { dy.detach() } else { dy.contiguous().detach() };
                Tensor::run(&MAX_POOL_BACKWARD, &[&own, &at, &dx], &p.given(&own));
                let at = at.clone();
                vec![Some(dx.tracked("max_pool_backward", &[dy], move |ddx, _| vec![Some(ddx.seen_at(&at, &p))]))]
            },
        )
    }

    /// The pixels that were the largest of their windows; 0 where a window saw none.
    fn seen_at(&self, at: &Tensor, p: &PoolParams) -> Tensor {
        let [n, c, pixels, h, w] =
            [p.batch, p.channels, p.size[0] * p.size[1], p.out[0], p.out[1]].map(|size| size as usize);
        let device = at.device();
        let none = if at.dtype() == DType::U8 { 255 } else { -1 };
        let tap = at.cast(DType::I32).reshape_to(Shape::from([n, h, w, c]));
        let wide = Tensor::full([], p.kernel[1] as i32, device);
        let along = |d: usize, tap: Tensor| {
            let starts: Vec<i32> = (0..p.out[d] as usize).map(|o| p.start(d, o) as i32).collect();
            let starts = Tensor::constant(&starts, Shape::from([[h, 1, 1], [1, w, 1]][d]), device);
            tap * p.dilation[d] as i32 + &starts
        };
        let pixel = along(0, tap.floor_divide(&wide)) * p.size[1] as i32 + along(1, tap.remainder(&wide));
        // Of no pixel, any.
        let none = tap.eq(none).reshape_to(Shape::from([n, h * w, c]));
        let pixel = pixel.reshape_to(Shape::from([n, h * w, c])).mul(&none.eq(0.0).cast(DType::I32));
        let pixels = self.permute(&[0, 2, 3, 1]).reshape_to(Shape::from([n, pixels, c]));
        let seen = pixels.gather(1, &pixel).masked_fill(&none, 0.0);
        seen.reshape_to(Shape::from([n, h, w, c])).permute(&[0, 3, 1, 2])
    }

    /// The mean of each window of images [n, c, h, w], or of one [c, h, w].
    ///
    /// # Panics
    /// If the shape does not fit the options.
    #[track_caller]
    pub fn avg_pool2d(&self, options: AvgPool2dOptions) -> Tensor {
        self.avg_pooled("avg_pool2d", options)
    }

    #[track_caller]
    fn avg_pooled(&self, op: &'static str, options: AvgPool2dOptions) -> Tensor {
        if let Some(batch) = self.batch_of_one(4) {
            return batch.avg_pooled(op, options).squeeze(0);
        }
        if options.ceil_mode || !options.count_include_pad || options.divisor_override.is_some() {
            return self.averaged_by(op, options);
        }
        let AvgPool2dOptions { kernel_size, stride, padding, .. } = options;
        let [height, width] = kernel_size;
        if height.saturating_mul(width) > MAX_WINDOW && height > 1 && width > 1 {
            // The mean over columns of means over rows: each alone stays in the bound of an invocation's loop.
            let part = |d: usize| {
                let along = |values: [usize; 2], other| if d == 0 { [values[0], other] } else { [other, values[1]] };
                AvgPool2dOptions {
                    kernel_size: along(kernel_size, 1),
                    stride: along(stride, 1),
                    padding: along(padding, 0),
                    ..options
                }
            };
            return self.avg_pooled(op, part(0)).avg_pooled(op, part(1));
        }
        self.averaged(op, PoolParams::new(op, self, kernel_size, stride, padding, [1, 1]))
    }

    /// The means of images [n, c, h, w], or of one [c, h, w], over windows that cut them into `size` parts.
    ///
    /// # Panics
    /// If the shape is not that of images, or a size is 0.
    #[track_caller]
    pub fn adaptive_avg_pool2d(&self, size: [usize; 2]) -> Tensor {
        self.adaptive_avg("adaptive_avg_pool2d", size)
    }

    #[track_caller]
    fn adaptive_avg(&self, op: &'static str, size: [usize; 2]) -> Tensor {
        if let Some(batch) = self.batch_of_one(4) {
            return batch.adaptive_avg(op, size).squeeze(0);
        }
        PoolParams::cuts(op, self, size);
        if self.dtype().is_half() && !self.cuts_at_once(size) {
            return self.cast(DType::F32).adaptive_avg(op, size).cast(self.dtype());
        }
        match self.cuts_at_once(size) {
            true => self.averaged(op, PoolParams::adaptive(op, self, size)),
            // The mean over columns of means over rows.
            false => self.means_along(op, 0, size[0]).means_along(op, 1, size[1]),
        }
    }

    /// Whether one kernel may take the means of windows that cut images into so many parts.
    fn cuts_at_once(&self, size: [usize; 2]) -> bool {
        let shape = self.shape();
        let reach = |d: usize| (shape[2 + d].div_ceil(size[d]) + 1).min(shape[2 + d]);
        PoolParams::counts(self, size) && reach(0).saturating_mul(reach(1)) <= MAX_WINDOW
    }

    /// The means of the parts of rows (0) or of columns (1), of which there are `count`.
    #[track_caller]
    fn means_along(&self, op: &'static str, d: usize, count: usize) -> Tensor {
        let (shape, dim) = (self.shape(), 2 + d);
        let (n, mut sizes) = (shape[dim], shape.to_vec());
        let to = if d == 0 { [count, shape[3]] } else { [shape[2], count] };
        if n == count {
            return self.clone();
        }
        if n.is_multiple_of(count) {
            sizes.splice(dim..=dim, [count, n / count]);
            return self.reshape_to(Shape::from(sizes)).mean_dims(&[dim + 1], KeepDims::No);
        }
        // Where windows are long, they are few.
        let counted = n.checked_mul(count).is_some_and(|starts| starts <= MAX_EXTENT);
        if self.cuts_at_once(to) || !counted && n.div_ceil(count) < MAX_WINDOW {
            return self.averaged(op, PoolParams::adaptive(op, self, to));
        }
        let part = |at: usize| {
            let (start, end) = (at * n / count, ((at + 1) * n).div_ceil(count));
            self.narrow(dim, start, end - start).mean_dims(&[dim], KeepDims::Yes)
        };
        Tensor::cat(&(0..count).map(part).collect::<Vec<_>>(), dim)
    }

    #[track_caller]
    fn averaged(&self, op: &'static str, p: PoolParams) -> Tensor {
        let y = channels_last(p.output(), self);
        Tensor::run(&AVG_POOL, &[&self.detach(), &y], &p);
        let shape = self.shape();
        y.tracked(
            || p.op(op),
            &[self],
            move |dy, _| {
                let dx = channels_last(shape, dy);
                Tensor::run(&AVG_POOL_BACKWARD, &[&dy.to_channels_last(), &dx], &p);
                let again = move |ddx: &Tensor, _: &[bool]| vec![Some(ddx.averaged(op, p.over_images(ddx)))];
                vec![Some(dx.tracked("avg_pool_backward", &[dy], again))]
            },
        )
    }
}
