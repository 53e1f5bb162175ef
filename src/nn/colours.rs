//! Colours and sharpness of images changed by chance, each image's own, made on the device.

use super::augment::random;
use super::ctx::{Ctx, Mode};
use super::fits::misfit_at;
use super::generator::Generator;
use super::module::{Init, Layer, Module, Path};
use super::transforms::{centres, grey, numbers, sample, within};
use crate::ops::grid_sample::Outside;
use crate::ops::padding::Padding;
use crate::ops::random::Draw;
use crate::ops::reduce::KeepDims;
use crate::tensor::Tensor;

/// One where something happens to an image, else zero.
fn chosen(u: &Tensor, p: f32) -> Tensor {
    u.lt(p)
}

/// `a` of images where `chosen` is 1, else `b`.
fn either(chosen: &Tensor, a: &Tensor, b: &Tensor) -> Tensor {
    chosen.expand(b.shape()).where_(a, b)
}

random! {
    /// Takes the colours of some images: all three channels become their brightness. Images of one channel stay.
    #[doc(alias = "Grayscale")]
    pub struct RandomGrayscale {
        /// The part of images that it happens to; in PyTorch 0.1.
        p: f32,
    }
    change(self, x, draw) {
        let [chance] = numbers(draw, x.size(0), 4);
        if x.size(1) != 3 {
            return x.clone();
        }
        either(&chosen(&chance, self.p), &grey(x).expand(x.shape()).contiguous(), x)
    }
}

random! {
    /// Turns the hues of each image by chance, of values from 0 to 1; images of one channel have none. It stands where the other
    /// parts of torchvision's `ColorJitter` do: before or behind [`ColorJitter`](super::ColorJitter).
    #[doc(alias = "adjust_hue")]
    pub struct RandomHue {
        /// How far at most to either side, in parts of the circle: at most 0.5.
        hue: f32,
    }
    change(self, x, draw) {
        let [turn] = numbers(draw, x.size(0), 4);
        if x.size(1) != 3 {
            return x.clone();
        }
        turned(x, &within(&turn, [-self.hue, self.hue]).cast(x.dtype()))
    }
}

/// Hues turned by a part of the circle, by way of hue, saturation and value.
fn turned(x: &Tensor, turn: &Tensor) -> Tensor {
    let [r, g, b] = [0, 1, 2].map(|channel| x.narrow(1, channel, 1));
    let (value, least) = (x.amax(&[1], KeepDims::Yes), x.amin(&[1], KeepDims::Yes));
    let width = value.sub(&least);
    let whole = width.masked_fill(&width.eq(0.0), 1.0);
    let [from_r, from_g, from_b] = [&r, &g, &b].map(|channel| value.sub(channel).div(&whole));
    let by_b = from_g.sub(&from_r).affine(1.0, 4.0);
    let by_g = value.eq(&g).where_(&from_r.sub(&from_b).affine(1.0, 2.0), &by_b);
    let hue = value.eq(&r).where_(&from_b.sub(&from_g), &by_g).affine(1.0 / 6.0, 0.0).add(turn);
    let sixths = hue.sub(&hue.floor()).affine(6.0, 0.0);
    let channel = |from: f32| {
        let at = sixths.affine(1.0, from);
        let at = at.sub(&at.affine(1.0 / 6.0, 0.0).floor().affine(6.0, 0.0));
        let share = at.minimum(at.affine(-1.0, 4.0)).clamp(0.0, 1.0);
        value.sub(&width.mul(&share))
    };
    Tensor::cat(&[&channel(5.0), &channel(3.0), &channel(1.0)], 1)
}

random! {
    /// Blurs each image by a bell curve whose width is drawn; what lies beyond the border is its mirror image.
    pub struct GaussianBlur {
        /// The pixels of the curve, in height and width: odd numbers.
        kernel_size: [usize; 2],
        /// The range of the curve's deviation, in pixels; in PyTorch 0.1 to 2.
        sigma: [f32; 2],
    }
    change(self, x, draw) {
        let [u] = numbers(draw, x.size(0), 4);
        let sigma = within(&u, self.sigma);
        let down = blurred(x, 2, self.kernel_size[0], &sigma);
        blurred(&down, 3, self.kernel_size[1], &sigma)
    }
}

/// Sums of neighbours along a dimension by the bell curve of each image.
#[track_caller]
fn blurred(x: &Tensor, dim: usize, taps: usize, sigma: &Tensor) -> Tensor {
    assert!(!taps.is_multiple_of(2), "GaussianBlur: a curve of {taps} pixels has no middle: take an odd number");
    let half = taps / 2;
    let (before, none) = ((half, half), (0, 0));
    let widths = if dim == 3 { vec![before] } else { vec![none, before] };
    let wide = x.pad_with(&widths, Padding::Reflect);
    let curve = |tap: usize| {
        let away = tap as f32 - half as f32;
        sigma.square().reciprocal().affine(-0.5 * away * away, 0.0).exp()
    };
    let curves: Vec<Tensor> = (0..taps).map(curve).collect();
    let sum = curves[1..].iter().fold(curves[0].clone(), |sum, curve| sum.add(curve));
    let part = |tap: usize| wide.narrow(dim, tap, x.size(dim)).mul(&curves[tap].div(&sum).cast(x.dtype()));
    (1..taps).fold(part(0), |all, tap| all.add(&part(tap)))
}

/// How many changes [`RandAugment`] chooses among.
const CHANGES: usize = 13;

random! {
    /// Several changes of each image, drawn from thirteen: none, shearing and moving along either side, turning, brightness,
    /// saturation, contrast, sharpness, fewer levels, values above a bound inverted, and values stretched to the whole range
    /// (Cubuk et al., 2020). Images are of values from 0 to 1, with one channel or three. Of torchvision's fourteen, `Equalize` is not there.
    pub struct RandAugment {
        /// How many changes one after another; in PyTorch 2.
        num_ops: usize,
        /// Their strength, from 0 to 1; in PyTorch 9 of 30.
        magnitude: f32,
    }
    change(self, x, draw) {
        let n = x.size(0);
        let all = draw.uniform([2 * self.num_ops, n], 0.0, 1.0);
        let number = |at: usize| all.narrow(0, at, 1).reshape([n, 1, 1, 1]);
        let mut x = x.clone();
        for at in 0..self.num_ops {
            let change = number(2 * at).affine(CHANGES as f32, 0.0).floor();
            let sign = number(2 * at + 1).lt(0.5).affine(2.0, -1.0);
            x = self.once(&x, &change, &sign);
        }
        x
    }
}

impl RandAugment {
    /// A change of each image by its number, to the side that a sign says.
    fn once(&self, x: &Tensor, change: &Tensor, sign: &Tensor) -> Tensor {
        let m = self.magnitude;
        let is = |number: usize| change.eq(number as f32);
        let part = |number: usize, size: f32| is(number).mul(sign).affine(size * m, 0.0);
        // Shearing, moving and turning are one map of places.
        let [n, h, w] = [x.size(0), x.size(2), x.size(3)];
        let three = |t: Tensor| t.reshape([n, 1, 1]);
        let (across, down) = (centres(w, x).reshape([1, 1, w]), centres(h, x).reshape([1, h, 1]));
        let ratio = w as f32 / h as f32;
        let angle = three(part(5, 30.0f32.to_radians()));
        let (sin, cos) = (angle.sin(), angle.cos());
        let turn = |a: &Tensor, b: &Tensor, by: f32| cos.mul(a).add(&sin.mul(b).affine(by, 0.0));
        let columns = turn(&across, &down, 1.0 / ratio)
            .add(&three(part(1, 0.3)).affine(1.0 / ratio, 0.0).mul(&down))
            .add(&three(part(3, 0.9)));
        let rows = turn(&down, &across, -ratio)
            .add(&three(part(2, 0.3)).affine(ratio, 0.0).mul(&across))
            .add(&three(part(4, 0.9)));
        let is_moved = change.ge(1.0).mul(&change.le(5.0));
        let mut y = either(&is_moved, &sample(x, &columns, &rows, [h, w], Outside::Zeros), x);
        // Towards something else, or away from it.
        let factor = sign.affine(0.9 * m, 1.0).cast(x.dtype());
        let plain = grey(x);
        let kept = |other: &Tensor| x.sub(other).mul(&factor).add(other).clamp(0.0, 1.0);
        let soft = blurred(&blurred(x, 2, 3, &sign.affine(0.0, 0.8)), 3, 3, &sign.affine(0.0, 0.8));
        let levels = 2f32.powf(8.0 - (4.0 * m).round()) - 1.0;
        let (low, high) = (x.amin(&[2, 3], KeepDims::Yes), x.amax(&[2, 3], KeepDims::Yes));
        let width = high.sub(&low);
        let changes = [
            kept(&x.zeros_like()),
            kept(&plain.expand(x.shape())),
            kept(&plain.mean_dims(&[2, 3], KeepDims::Yes)),
            kept(&soft),
            x.affine(levels, 0.0).round().affine(1.0 / levels, 0.0),
            x.ge(1.0 - m).where_(&x.affine(-1.0, 1.0), x),
            x.sub(&low).div(&width.masked_fill(&width.eq(0.0), 1.0)),
        ];
        for (at, changed) in changes.iter().enumerate() {
            y = either(&is(6 + at), changed, &y);
        }
        y
    }
}
