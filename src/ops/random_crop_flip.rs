//! Images moved and mirrored at random: `shaders/random_crop_flip.wgsl`.

use super::random::{Draw, number};
use crate::autograd::Op;
use crate::kernel::{
    Access, Call, Constant, Dispatch, Kernel, Lowering, Pass, Shader, Tolerance, Uniform, Variant, groups, parallel,
    shader,
};
use crate::rng::{key, philox};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = shader!("random_crop_flip", &[Access::Read, Access::Read, Access::Write]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct RandomCropFlipParams {
    n: u32,
    channels: u32,
    height: u32,
    width: u32,
    padding: u32,
    stream: u32,
    key: [u32; 2],
    /// 1, or -1 for the gradient, which moves the other way.
    sign: i32,
    offset: u32,
}

fn lower(d: &Dispatch, quads: bool) -> Lowering {
    let groups = groups(d.params::<RandomCropFlipParams>().n as usize, 4 * 256);
    Pass::new(&SHADER, "random_crop_flip", groups).constant("QUADS", Constant::Bool(quads)).alone()
}

/// The gradient is the same kernel the other way: each pixel of x is seen once at most.
static RANDOM_CROP_FLIP: Kernel =
    Kernel::new("random_crop_flip", SHADER.access, definition, |d| d.cost(0)).tolerance(Tolerance::EXACT).variants(&[
        Variant::new("quads", |_, d| lower(d, true))
            .fits(|_, d| d.params::<RandomCropFlipParams>().width.is_multiple_of(4)),
        Variant::new("flat", |_, d| lower(d, false)),
    ]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&RANDOM_CROP_FLIP];

fn definition(call: &mut Call) {
    let (p, x) = (call.params::<RandomCropFlipParams>(), call.read::<f32>(0));
    let [low, high] = number(call.read(1), p.offset);
    let [channels, height, width] = [p.channels, p.height, p.width].map(|size| size as usize);
    let [padding, sign] = [p.padding as i64, i64::from(p.sign)];
    parallel::chunks(&mut call.write::<f32>(2)[..p.n as usize], height * width, |plane, y| {
        let words = philox([(plane / channels) as u32, low, high, p.stream], p.key);
        let [down, right] = [words[0], words[1]].map(|word| {
            let place = ((word >> 16) * (2 * p.padding + 1)) >> 16;
            i64::from(place) - padding
        });
        let is_mirrored = words[2] >= 1 << 31;
        let x = &x[plane * height * width..][..height * width];
        for (i, y) in y.chunks_mut(width).enumerate() {
            let row = i as i64 + sign * down;
            let x = usize::try_from(row).ok().filter(|&row| row < height).map(|row| &x[row * width..][..width]);
            let Some(x) = x else {
                y.fill(0.0);
                continue;
            };
            for (j, y) in y.iter_mut().enumerate() {
                // Mirroring is its own inverse, so that this holds for the gradient too.
                let column = if is_mirrored { width as i64 - 1 - j as i64 + right } else { j as i64 + sign * right };
                *y = usize::try_from(column).ok().and_then(|column| x.get(column)).copied().unwrap_or(0.0);
            }
        }
    });
}

/// # Augmentation
impl Tensor {
    /// Augments images `[n, c, h, w]`: each is moved by up to `padding` pixels in both directions, with zeros where it
    /// ends, and mirrored left to right with a probability of one half; all channels of an image alike. It is
    /// torchvision's `RandomCrop` of the images' own size with this `padding`, then `RandomHorizontalFlip`, drawn for
    /// each image. The same draw gives the same pixels on every device.
    ///
    /// # Panics
    /// If it is no batch of images of floats, or `padding` is above 16,383.
    #[track_caller]
    pub fn random_crop_flip(&self, padding: usize, draw: &Draw) -> Tensor {
        let shape = self.shape();
        assert!(shape.rank() == 4, "random_crop_flip: {shape}: expected images [n, c, h, w]");
        assert!(self.dtype().is_float(), "random_crop_flip: expected images of floats, got {}", self.dtype());
        assert!(padding < 1 << 14, "random_crop_flip: a padding of {padding} is above 16,383");
        let x = self.contiguous();
        let params = RandomCropFlipParams {
            n: x.numel() as u32,
            channels: shape[1] as u32,
            height: shape[2] as u32,
            width: shape[3] as u32,
            padding: padding as u32,
            stream: draw.stream,
            key: key(draw.seed),
            sign: 1,
            offset: draw.offset,
        };
        x.moved(&draw.step.saved(), params)
    }

    /// Its gradient goes the other way.
    fn moved(&self, step: &Tensor, params: RandomCropFlipParams) -> Tensor {
        let (y, step) = (self.new_empty(self.shape()), step.clone());
        Tensor::run(&RANDOM_CROP_FLIP, &[self, &step, &y], &params);
        let back = RandomCropFlipParams { sign: -params.sign, ..params };
        y.tracked(
            || Op::new("random_crop_flip").with("padding", params.padding),
            &[self],
            move |dy, _| vec![Some(dy.contiguous().moved(&step, back))],
        )
    }
}
