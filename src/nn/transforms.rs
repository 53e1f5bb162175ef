//! Changes of images by chance, each image's own, made on the device: anew at each replay of a step, and the same everywhere.

use super::augment::random;
use super::ctx::{Ctx, Mode};
use super::fits::misfit_at;
use super::generator::Generator;
use super::module::{Init, Layer, Module, Path};
use crate::dtype::DType;
use crate::ops::grid_sample::{GridSampleOptions, Outside};
use crate::ops::pool::AvgPool2dOptions;
use crate::ops::random::Draw;
use crate::ops::reduce::KeepDims;
use crate::tensor::Tensor;

/// The numbers of a draw as `count` tensors of `shape`, uniform from 0 to 1.
pub(super) fn numbers<const COUNT: usize>(draw: &Draw, images: usize, rank: usize) -> [Tensor; COUNT] {
    let all = draw.uniform([COUNT, images], 0.0, 1.0);
    std::array::from_fn(|at| one_each(&all.narrow(0, at, 1), images, rank))
}

/// A number for each image, beside images of this rank.
fn one_each(values: &Tensor, images: usize, rank: usize) -> Tensor {
    let ones = std::iter::repeat_n(1, rank - 1);
    values.reshape(&std::iter::once(images).chain(ones).collect::<Vec<usize>>()[..])
}

/// A number from 0 to 1 within a range.
pub(super) fn within(u: &Tensor, [low, high]: [f32; 2]) -> Tensor {
    u.affine(high - low, low)
}

/// The centres of so many pixels, from -1 to 1.
pub(super) fn centres(count: usize, like: &Tensor) -> Tensor {
    Tensor::arange(0, count as i32, like.device()).cast(DType::F32).affine(2.0 / count as f32, 1.0 / count as f32 - 1.0)
}

/// Images at places given by their rows and columns, each `[n, h, w]` or broadcast to it.
pub(super) fn sample(x: &Tensor, columns: &Tensor, rows: &Tensor, [h, w]: [usize; 2], outside: Outside) -> Tensor {
    let shape = [x.size(0), h, w];
    let grid = Tensor::stack(&[&columns.expand(shape), &rows.expand(shape)], 3);
    let y = x.cast(DType::F32).grid_sample(&grid, GridSampleOptions { padding_mode: outside, ..Default::default() });
    y.cast(x.dtype())
}

random! {
    /// Turns, moves and scales each image by chance; what comes in from outside is 0. In evaluation images pass through.
    #[doc(alias("RandomRotation"))]
    pub struct RandomAffine {
        /// The range of angles, counterclockwise.
        degrees: [f32; 2],
        /// How far an image is moved to either side at most, in parts of its width and height.
        translate: [f32; 2],
        /// The range of factors of its size.
        scale: [f32; 2],
    }
    change(self, x, draw) {
        let [n, h, w] = [x.size(0), x.size(2), x.size(3)];
        let [angle, across, down, scale] = numbers(draw, n, 3);
        let angle = within(&angle, self.degrees).affine(std::f32::consts::PI / 180.0, 0.0);
        let scale = within(&scale, self.scale).reciprocal();
        let (sin, cos) = (angle.sin().mul(&scale), angle.cos().mul(&scale));
        // In pixels from the middle, so that a turn keeps lengths where sides differ.
        let half = [w as f32 / 2.0, h as f32 / 2.0];
        let moved = |u: &Tensor, at: usize| within(u, [-2.0 * self.translate[at], 2.0 * self.translate[at]]).affine(half[at], 0.0);
        let px = centres(w, x).reshape([1, 1, w]).affine(half[0], 0.0).sub(&moved(&across, 0));
        let py = centres(h, x).reshape([1, h, 1]).affine(half[1], 0.0).sub(&moved(&down, 1));
        let columns = cos.mul(&px).sub(&sin.mul(&py)).affine(1.0 / half[0], 0.0);
        let rows = sin.mul(&px).add(&cos.mul(&py)).affine(1.0 / half[1], 0.0);
        sample(x, &columns, &rows, [h, w], Outside::Zeros)
    }
}

random! {
    /// Cuts a part of each image by chance and brings it to a size; in evaluation the whole image. A pixel of what comes is the mean
    /// of the part of the image that it stands for, so that fine patterns become grey (in PyTorch `antialias`).
    pub struct RandomResizedCrop {
        /// The height and width of what comes.
        size: [usize; 2],
        /// The range of the part's area, in parts of the image's; in PyTorch 0.08 to 1.
        scale: [f32; 2],
        /// The range of its width by its height; in PyTorch 3/4 to 4/3.
        ratio: [f32; 2],
    }
    change(self, x, draw) {
        let [area, ratio, across, down] = numbers(draw, x.size(0), 3);
        let area = within(&area, self.scale);
        let ratio = within(&ratio, self.ratio.map(f32::ln)).exp().affine(x.size(2) as f32 / x.size(3) as f32, 0.0);
        let wide = area.mul(&ratio).sqrt().clamp(0.0, 1.0);
        let high = area.div(&ratio).sqrt().clamp(0.0, 1.0);
        let place = |centres: Tensor, size: &Tensor, u: &Tensor| {
            let middle = within(u, [-1.0, 1.0]).mul(&size.affine(-1.0, 1.0));
            centres.mul(size).add(&middle)
        };
        averaged(x, self.size, |columns, rows| [place(columns, &wide, &across), place(rows, &high, &down)])
    }
    else {
        averaged(x, self.size, |columns, rows| [columns, rows])
    }
}

/// Images brought to a size, each pixel the mean of samples in it that lie no more than two pixels of the image apart, of which
/// each is a mean of two. `place` says where the columns and rows lie that would be the whole image's.
fn averaged(x: &Tensor, [h, w]: [usize; 2], place: impl FnOnce(Tensor, Tensor) -> [Tensor; 2]) -> Tensor {
    let kernel_size = [x.size(2).div_ceil((2 * h).max(1)), x.size(3).div_ceil((2 * w).max(1))];
    let [tall, broad] = [h * kernel_size[0], w * kernel_size[1]];
    let [columns, rows] = place(centres(broad, x).reshape([1, 1, broad]), centres(tall, x).reshape([1, tall, 1]));
    let y = sample(x, &columns, &rows, [tall, broad], Outside::Border);
    if kernel_size == [1, 1] {
        return y;
    }
    y.avg_pool2d(AvgPool2dOptions { kernel_size, stride: kernel_size, ..AvgPool2dOptions::new(1) })
}

random! {
    /// Changes brightness, then contrast, then saturation of each image by chance, by factors from 1 less so much to 1 more;
    /// images of one channel have no saturation. Values are kept from 0 to 1.
    pub struct ColorJitter {
        /// Of brightness.
        brightness: f32,
        /// Of contrast: the distance from the image's mean.
        contrast: f32,
        /// Of saturation: the distance from grey.
        saturation: f32,
    }
    change(self, x, draw) {
        let factors: [Tensor; 3] = numbers(draw, x.size(0), 4);
        let by = |at: usize, most: f32| within(&factors[at], [(1.0 - most).max(0.0), 1.0 + most]).cast(x.dtype());
        let x = x.mul(&by(0, self.brightness)).clamp(0.0, 1.0);
        let mean = grey(&x).mean_dims(&[1, 2, 3], KeepDims::Yes);
        let x = x.sub(&mean).mul(&by(1, self.contrast)).add(&mean).clamp(0.0, 1.0);
        if x.size(1) != 3 {
            return x;
        }
        let grey = grey(&x);
        x.sub(&grey).mul(&by(2, self.saturation)).add(&grey).clamp(0.0, 1.0)
    }
}

/// The brightness of colours (ITU-R BT.601), `[n, 1, h, w]`.
pub(super) fn grey(x: &Tensor) -> Tensor {
    if x.size(1) != 3 {
        return x.mean_dims(&[1], KeepDims::Yes);
    }
    let part = |at: usize, share: f32| x.narrow(1, at, 1).affine(share, 0.0);
    part(0, 0.299).add(&part(1, 0.587)).add(&part(2, 0.114))
}

random! {
    /// Sets a rectangle of some images to a value.
    pub struct RandomErasing {
        /// The part of images that it happens to; in PyTorch a half.
        p: f32,
        /// The range of the rectangle's area, in parts of the image's; in PyTorch 0.02 to 0.33.
        scale: [f32; 2],
        /// The range of its width by its height, in pixels; in PyTorch 0.3 to 3.3.
        ratio: [f32; 2],
        /// What it is set to.
        value: f32,
    }
    change(self, x, draw) {
        let [area, ratio, across, down, chance] = numbers(draw, x.size(0), 4);
        let area = within(&area, self.scale);
        // Of pixels, where the rectangle's sides are parts of the image's.
        let sides = x.size(2) as f32 / x.size(3) as f32;
        let ratio = within(&ratio, self.ratio.map(|ratio| (ratio * sides).ln())).exp();
        let happens = chance.lt(Tensor::full([], self.p, x.device()));
        let inside = rectangle(x, &area.mul(&ratio).sqrt(), &area.div(&ratio).sqrt(), [&across, &down]).mul(&happens);
        Tensor::where_(&inside.expand(x.shape()), &Tensor::full([], self.value, x.device()).cast(x.dtype()), x)
    }
}

/// 1 within a rectangle of each image, `[n, 1, h, w]`: its width and height in parts of the image's, at most the whole, and its
/// place from 0 to 1.
fn rectangle(x: &Tensor, wide: &Tensor, high: &Tensor, [across, down]: [&Tensor; 2]) -> Tensor {
    let side = |size: &Tensor, place: &Tensor, count: usize, shape: [usize; 4]| {
        let size = size.clamp(0.0, 1.0);
        let from = place.mul(&size.affine(-1.0, 1.0));
        let at = centres(count, x).affine(0.5, 0.5).reshape(shape);
        at.ge(&from).mul(&at.lt(from.add(&size)))
    };
    let (h, w) = (x.size(2), x.size(3));
    side(wide, across, w, [1, 1, 1, w]).mul(&side(high, down, h, [1, 1, h, 1]))
}

/// Each of a batch beside the one after it; the last beside the first.
fn next(x: &Tensor) -> Tensor {
    let n = x.size(0);
    if n < 2 { x.clone() } else { Tensor::cat(&[&x.narrow(0, 1, n - 1), &x.narrow(0, 0, 1)], 0) }
}

/// What two mixed images are, of labels `[n]`: `[n, classes]`, each with its share.
fn mixed_labels(labels: &Tensor, classes: usize, share: &Tensor) -> Tensor {
    let known = labels.ge(0).mul(&labels.lt(classes as i32)).reshape([labels.size(0), 1]);
    let nothing = Tensor::full([], f32::NAN, labels.device());
    let own = Tensor::where_(&known, &labels.one_hot(classes).cast(DType::F32), &nothing);
    let share = share.reshape([labels.size(0), 1]);
    own.mul(&share).add(&next(&own).mul(&share.affine(-1.0, 1.0)))
}

/// # Mixed images
impl Draw {
    /// Mixes each image with the next of its batch, by a share that is uniform from 0 to 1: images like `x`, and what they are,
    /// `[n, classes]`, for [`cross_entropy_soft`](Tensor::cross_entropy_soft) (Zhang et al., 2018, whose alpha is 1
    /// here).
    ///
    /// # Panics
    /// If `x` is not `[n, ..]`, or there is not a label for each.
    #[track_caller]
    pub fn mixup(&self, x: &Tensor, labels: &Tensor, classes: usize) -> [Tensor; 2] {
        self.mixup_by(x, labels, classes, 1.0)
    }

    /// The same by shares of a Beta distribution of this alpha, from 0 to 1: the smaller, the more of an image is one of the two.
    ///
    /// # Panics
    /// As [`mixup`](Draw::mixup), and if alpha is not above 0 and at most 1.
    #[track_caller]
    pub fn mixup_by(&self, x: &Tensor, labels: &Tensor, classes: usize, alpha: f32) -> [Tensor; 2] {
        let fits = x.rank() > 0 && labels.rank() == 1 && labels.size(0) == x.size(0);
        assert!(fits, "mixup: {} x {}: expected items [n, ..] and labels [n]", x.shape(), labels.shape());
        let items = x.size(0);
        // That of an alpha of 1 is uniform.
        let share = if alpha == 1.0 { self.uniform([items], 0.0, 1.0) } else { self.beta([items], alpha, alpha) };
        let share = one_each(&share, items, x.rank());
        let own = share.cast(x.dtype());
        let mixed = x.mul(&own).add(&next(x).mul(&own.affine(-1.0, 1.0)));
        [mixed, mixed_labels(labels, classes, &share)]
    }

    /// Puts a rectangle of the next image of its batch into each, whose area is uniform from 0 to 1 before it is cut to whole
    /// pixels (Yun et al., 2019): as [`mixup`](Draw::mixup), with shares by area.
    ///
    /// # Panics
    /// If `x` is not `[n, c, h, w]`, or there is not a label for each.
    #[track_caller]
    pub fn cutmix(&self, x: &Tensor, labels: &Tensor, classes: usize) -> [Tensor; 2] {
        let fits = x.rank() == 4 && labels.rank() == 1 && labels.size(0) == x.size(0);
        assert!(fits, "cutmix: {} x {}: expected images [n, c, h, w] and labels [n]", x.shape(), labels.shape());
        let [area, across, down]: [Tensor; 3] = numbers(self, x.size(0), 4);
        let side = area.sqrt();
        let inside = rectangle(x, &side, &side, [&across, &down]);
        let share = inside.mean_dims(&[1, 2, 3], KeepDims::No).affine(-1.0, 1.0);
        [Tensor::where_(&inside.expand(x.shape()), &next(x), x), mixed_labels(labels, classes, &share)]
    }
}
