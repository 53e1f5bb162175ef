//! The order in which elements lie: what stands between convolutions leaves channels as neighbours, forward and backward, so that
//! nothing is laid out anew.

use wgrad::nn::{
    BatchNorm2d, Conv2d, Ctx, Dropout, Dropout2d, GroupNorm, Init, InstanceNorm2d, Layer, Mish, PRelu, Precision,
};
use wgrad::{AvgPool2dOptions, DType, Device, MaxPool2dOptions, Rng, Tensor, Upsampling};

/// A name, what is done, and the copies that it takes: of parts, and where groups of channels change places.
type Between = (&'static str, Box<dyn Fn(&Tensor, &Ctx) -> Tensor>, usize);

fn layer(name: &'static str, layer: impl Layer + 'static) -> Between {
    (name, Box::new(move |x, ctx| layer.forward(x, ctx)), 0)
}

fn of(name: &'static str, copies: usize, f: impl Fn(&Tensor) -> Tensor + 'static) -> Between {
    (name, Box::new(move |x, _| f(x)), copies)
}

#[test]
fn channels_stay_neighbours_between_convolutions() {
    let device = Device::null();
    let init = &mut Init::new(0, &device);
    let all: Vec<Between> = vec![
        layer("batch norm", BatchNorm2d::new(8, init)),
        layer("group norm", GroupNorm::new(2, 8, init)),
        layer("instance norm", InstanceNorm2d::new(8, init)),
        layer("dropout", Dropout::new(0.5, init)),
        layer("dropout of channels", Dropout2d::new(0.5, init)),
        layer("prelu", PRelu::new(8, init)),
        layer("mish", Mish::new()),
        of("relu", 0, |x| x.relu()),
        of("gelu and a sum", 0, |x| x + x.gelu()),
        of("clamp", 0, |x| x.clamp(-1.0, 1.0)),
        of("softmax", 0, |x| x.softmax(1)),
        of("where", 0, |x| Tensor::where_(&x.gt(0.0), x, &x.affine(0.1, 0.0))),
        of("where of a number", 0, |x| Tensor::where_(&x.gt(0.0), &Tensor::scalar(1.0f32, x.device()), x)),
        of("halves", 0, |x| x.cast(DType::F16).cast(DType::F32)),
        // The sums of the gate are copied, which are few.
        of("squeeze and excitation", 1, |x| x * x.adaptive_avg_pool2d([1, 1]).sigmoid()),
        of("max pool", 0, |x| x.max_pool2d(MaxPool2dOptions::new(2))),
        of("average pool", 0, |x| x.avg_pool2d(AvgPool2dOptions::new(2))),
        of("bilinear", 0, |x| x.upsample([2.0, 2.0], Upsampling::Bilinear)),
        of("pad", 1, |x| x.pad(&[(1, 1), (1, 1)], 0.0)),
        of("channel shuffle", 2, |x| {
            let [n, c, h, w] = [0, 1, 2, 3].map(|dim| x.size(dim));
            x.reshape([n, 2, c / 2, h, w]).transpose(1, 2).reshape([n, c, h, w])
        }),
        of("gate", 2, |x| {
            let parts = x.chunk(2, 1);
            let gated = parts[0].tanh() * parts[1].sigmoid();
            Tensor::cat(&[&gated, &gated], 1)
        }),
        of("part", 1, |x| {
            let part = x.narrow(1, 0, 4).relu();
            Tensor::cat(&[&part, &part], 1)
        }),
    ];
    let is_channels_last = |x: &Tensor| x.layout().permute(&[0, 2, 3, 1]).is_contiguous();
    for precision in [Precision::F32, Precision::F16Mixed] {
        for (name, between, most) in &all {
            let (first, last) = (Conv2d::new(4, 8, 3, init).padding(1), Conv2d::new(8, 4, 3, init).padding(1));
            let x = Tensor::normal([2, 4, 8, 8], 0.0, 1.0, &mut Rng::new(1), &device);
            let ctx = Ctx::train().precision(precision);
            let step = device.capture([&x], |[x]| {
                let y = between(&first.forward(x, &ctx), &ctx);
                assert!(is_channels_last(&y), "{name}, {precision:?}: {:?}", y.layout());
                let y = last.forward(&y, &ctx);
                let grads = (&y * &y).sum().backward();
                Ok([grads.of(&first.weight.tensor()).expect("it has one").clone()])
            });
            let step = step.expect("it can be captured");
            let names: Vec<_> = step.plan().dispatches().iter().map(|d| d.kernel.name).collect();
            let copies = names.iter().filter(|name| **name == "copy").count();
            assert!(copies <= *most, "{name}, {precision:?}: {names:?}");
        }
    }
}

#[test]
fn what_grows_from_one_row_lies_where_the_shape_has_it() {
    let device = Device::cpu();
    let strides = |x: &Tensor| x.layout().strides().to_vec();
    let of = |sizes: [usize; 4]| Tensor::ones(sizes, &device);
    let (one, many) = (of([4, 1, 6, 5]), of([4, 7, 6, 5]));
    let plain = strides(&of([4, 8, 6, 5]));
    assert_eq!(strides(&Tensor::cat(&[&one, &many], 1)), plain);
    assert_eq!(strides(&Tensor::cat(&[&many, &one], 1)), plain);
    assert_eq!(strides(&Tensor::cat(&vec![one.clone(); 8], 1)), plain);
    assert_eq!(strides(&of([4, 6, 5, 1]).pad(&[(1, 1)], 0.0)), strides(&of([4, 6, 5, 3])));
    // What has an order of its own leads where the first has none.
    let last = of([4, 6, 5, 7]).permute(&[0, 3, 1, 2]);
    assert!(Tensor::cat(&[&one, &last], 1).layout().permute(&[0, 2, 3, 1]).is_contiguous());
}
