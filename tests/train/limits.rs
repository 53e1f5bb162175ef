//! Numbers at the limits of what a machine counts: a right answer or one sentence, the same on every backend.

use crate::devices::{devices, has_gpu, open};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wgrad::backend::WgpuOptions;
use wgrad::backend::wgpu::Features;
use wgrad::{
    Conv2dOptions, ConvTranspose2dOptions, CrossEntropyOptions, DType, Device, Error, Extreme, KeepDims,
    MaxPool2dOptions, Reduction, Tensor, Upsampling,
};

/// What a panic says.
fn said<T>(work: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).err().expect("it is refused");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).expect("a sentence")
}

fn values(x: &Tensor) -> Vec<f32> {
    x.to_vec().expect("the device works")
}

#[test]
fn more_elements_than_32_bits_count_are_added_up() {
    const MANY: usize = (1 << 32) + 3;
    for (name, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, 2.0], [2, 1], &device).requires_grad();
        let all = x.expand([2, MANY]);
        let rows = all.sum_dims(&[1], KeepDims::No);
        assert_eq!(values(&rows), [MANY as f32, 2.0 * MANY as f32], "{name}");
        assert_eq!(values(&all.mean()), [1.5], "{name}");
        assert_eq!(values(&all.amax(&[0, 1], KeepDims::No)), [2.0], "{name}");
        assert_eq!(all.argmax(1).to_vec::<i32>(), Ok(vec![0, 0]), "{name}");
        // What would have to be made, or counted one by one, is refused.
        for lost in [all.square().sum(), all.matmul(&x.narrow(0, 0, 1).expand([MANY, 1]))] {
            assert!(matches!(lost.to_vec::<f32>(), Err(Error::Limit(_))), "{name}");
        }
        assert_eq!(values(&x), [1.0, 2.0], "{name}");
        let step = device.capture(&x.detach(), |x| Ok(x.expand([2, MANY]).sum())).expect("it is small");
        assert_eq!(values(&step.run(&x.detach()).expect("it fits")), [3.0 * MANY as f32], "{name}");
    }
}

#[test]
fn the_sum_of_nothing_is_0_and_not_below() {
    for (name, device) in devices() {
        let nothing = Tensor::zeros([3, 0], &device);
        for sum in [nothing.sum(), nothing.sum_dims(&[1], KeepDims::No), Tensor::full([4], -0.0, &device).sum()] {
            assert!(values(&sum).iter().all(|sum| sum.to_bits() == 0), "{name}: {sum:?}");
        }
    }
}

#[test]
fn huge_numbers_are_refused_in_a_sentence() {
    for (_, device) in devices() {
        let (x, w) = (Tensor::zeros([1, 1, 4, 4], &device), Tensor::zeros([1, 1, 2, 2], &device));
        const MAX: usize = usize::MAX;
        let conv = |options| move |x: &Tensor, w: &Tensor| x.conv2d(w, None, options);
        let turned = |options| move |x: &Tensor, w: &Tensor| x.conv_transpose2d(w, None, options);
        let (plain, back) = (Conv2dOptions::default(), ConvTranspose2dOptions::default());
        let pool = |o: MaxPool2dOptions| said(|| x.max_pool2d(o));
        let largest = MaxPool2dOptions::new(2);
        let all = [
            said(|| conv(Conv2dOptions { dilation: [MAX, 1], ..plain })(&x, &w)),
            said(|| conv(Conv2dOptions { dilation: [1 << 40; 2], ..plain })(&x, &w)),
            said(|| conv(Conv2dOptions { padding: [MAX, 0], ..plain })(&x, &w)),
            said(|| conv(Conv2dOptions { padding: [MAX / 2; 2], dilation: [MAX; 2], ..plain })(&x, &w)),
            said(|| conv(Conv2dOptions { groups: MAX, ..plain })(&x, &w)),
            said(|| conv(plain)(&x, &Tensor::zeros([1, 1, 0, 3], &device))),
            said(|| turned(ConvTranspose2dOptions { stride: [MAX, 1], ..back })(&x, &w)),
            said(|| turned(ConvTranspose2dOptions { dilation: [1, 1 << 62], ..back })(&x, &w)),
            said(|| turned(ConvTranspose2dOptions { padding: [MAX, 0], ..back })(&x, &w)),
            said(|| turned(back)(&x, &Tensor::zeros([1, 1, 0, 3], &device))),
            pool(MaxPool2dOptions { dilation: [MAX, 1], ..largest }),
            pool(MaxPool2dOptions { padding: [MAX, 1], ..largest }),
            pool(MaxPool2dOptions { kernel_size: [MAX, 0], ..largest }),
            said(|| x.adaptive_avg_pool2d([1 << 33, 1 << 33])),
            said(|| x.pad(&[(MAX, 1)], 0.0)),
            said(|| x.pad(&[(1 << 62, 1 << 62)], 0.0)),
            said(|| x.pixel_shuffle(MAX)),
            said(|| x.split_sizes(&[MAX, 5], 3)),
            said(|| x.narrow(3, MAX, MAX)),
            said(|| Tensor::zeros([2], &device).cast(DType::I32).one_hot(MAX)),
        ];
        for text in all {
            println!("{text}");
            let op = text.split(':').next().expect("it starts with the operation");
            assert!(!op.contains(' ') || op.starts_with("shape "), "{text}");
            assert!(!text.contains("overflow") && !text.contains("out of"), "{text}");
        }
    }
}

#[test]
fn a_tensor_made_too_large_by_padding_fails_alone() {
    for (name, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, 2.0], [2], &device).requires_grad();
        let y = x.pad(&[(1 << 33, 7)], 0.5);
        assert!(matches!(y.to_vec::<f32>(), Err(Error::Limit(_))), "{name}");
        assert_eq!(values(&x.pad(&[(1, 0)], 0.5)), [0.5, 1.0, 2.0], "{name}");
    }
}

#[test]
fn taps_far_apart_meet_what_they_meet() {
    for (name, device) in devices() {
        const FAR: usize = 1 << 20;
        let x = Tensor::from_vec((1..=16).map(|i| i as f32).collect(), [1, 1, 4, 4], &device).requires_grad();
        let w = Tensor::from_slice(&[1.0f32, 10.0, 100.0, 1000.0], [1, 1, 2, 2], &device).requires_grad();
        let options = Conv2dOptions { stride: [FAR; 2], padding: [FAR; 2], dilation: [FAR; 2], groups: 1 };
        let y = x.conv2d(&w, None, options);
        assert_eq!(values(&y), [1000.0, 100.0, 10.0, 1.0], "{name}");
        let grads = y.mul(&Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [1, 1, 2, 2], &device)).sum().backward();
        let mut dx = vec![0.0; 16];
        dx[0] = 1000.0 + 200.0 + 30.0 + 4.0;
        assert_eq!(values(grads.of(&x).expect("it has one")), dx, "{name}");
        assert_eq!(values(grads.of(&w).expect("it has one")), [4.0, 3.0, 2.0, 1.0], "{name}");
        // Of one tap, and of one position, the distance to the next does not matter.
        let far = Conv2dOptions { stride: [usize::MAX; 2], dilation: [usize::MAX; 2], ..Conv2dOptions::default() };
        assert_eq!(values(&x.conv2d(&w.narrow(2, 0, 1).narrow(3, 1, 1), None, far)), [10.0], "{name}");
    }
}

#[test]
fn a_million_classes_have_a_loss() {
    for (name, device) in devices() {
        const CLASSES: usize = 1_000_000;
        let x = Tensor::zeros([2, CLASSES], &device).requires_grad();
        let labels = Tensor::from_slice(&[7i32, -100], [2], &device);
        let loss = x.cross_entropy(&labels);
        let each = x.cross_entropy_with(
            &labels,
            &CrossEntropyOptions { reduction: Reduction::None, label_smoothing: 0.1, ..CrossEntropyOptions::default() },
        );
        let near = |got: f32, want: f32| assert!((got - want).abs() < 1e-4, "{name}: {got}, not {want}");
        near(values(&loss)[0], 13.815_511);
        near(values(&each)[0], 13.815_511);
        near(values(&each)[1], 0.0);
        let grads = loss.backward();
        let dx = values(grads.of(&x).expect("it has one"));
        assert!((dx[7] - (1e-6 - 1.0)).abs() < 1e-6 && (dx[8] - 1e-6).abs() < 1e-8 && dx[CLASSES] == 0.0, "{name}");
        let masked = Tensor::from_slice(&[1.0f32, f32::NEG_INFINITY, 2.0], [1, 3], &device);
        let masked = Tensor::cat(&[&masked, &Tensor::full([1, CLASSES], f32::NEG_INFINITY, &device)], 1);
        near(values(&masked.cross_entropy(&Tensor::zeros([1], &device).cast(DType::I32)))[0], 1.313_261_7);
    }
}

#[test]
fn the_first_of_millions_are_found() {
    for (name, device) in devices() {
        let n = 3_000_000usize;
        let x: Vec<f32> = (0..n).map(|i| ((i * 7_654_321) % n) as f32).collect();
        let (top, at) = Tensor::from_vec(x.clone(), [n], &device).topk(100, 0, Extreme::Largest);
        let want: Vec<f32> = (0..100).map(|i| (n - 1 - i) as f32).collect();
        assert_eq!(values(&top), want, "{name}");
        let at = at.to_vec::<i32>().expect("the device works");
        assert!(at.iter().zip(want).all(|(at, want)| x[*at as usize] == want), "{name}");
    }
}

#[test]
fn gpu_cuts_the_columns_of_one_picture_where_they_cannot_be_bound() {
    if !has_gpu() {
        return;
    }
    // As in a browser: no subgroups, and bindings that end at 128 MiB.
    let device = open(&WgpuOptions { features: Features::Browser, ..WgpuOptions::from_env() });
    let cpu = Device::cpu();
    // Of one the gradient of the picture, of the other that of the weight: each takes seconds on a software adapter.
    let pictures =
        [([1, 3, 1024, 1024], [2, 3, 7, 7], [2, 2], true), ([1, 15, 1, 1_000_000], [3, 15, 1, 3], [1, 1], false)];
    for (x, w, stride, of_picture) in pictures {
        let [want, got] = [&cpu, &device].map(|device| {
            let made = |sizes: [usize; 4]| {
                let data = (0..sizes.iter().product()).map(|i: usize| (i * 2_654_435_761 % 1009) as f32 / 1009.0 - 0.5);
                Tensor::from_vec(data.collect(), sizes, device)
            };
            let (x, w) =
                if of_picture { (made(x).requires_grad(), made(w)) } else { (made(x), made(w).requires_grad()) };
            let options = Conv2dOptions { stride, padding: [w.size(2) / 2, 1], ..Conv2dOptions::default() };
            let y = x.conv2d(&w, None, options);
            let grads = y.square().sum().backward();
            [&y, grads.of(if of_picture { &x } else { &w }).expect("it has one")].map(values)
        });
        for (got, want) in got.iter().zip(&want) {
            let largest = want.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            let off = got.iter().zip(want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
            assert!(got.len() == want.len() && off <= 1e-4 * largest, "{x:?} x {w:?}: {off} of {largest}");
        }
    }
}

#[test]
fn results_that_are_too_large_fail_alone() {
    for (name, device) in devices() {
        const LARGE: usize = 1 << 20;
        let x = Tensor::ones([1, 1, 4, 4], &device).requires_grad();
        let w = Tensor::ones([1, 1, 2, 2], &device).requires_grad();
        let column = Tensor::ones([LARGE, 1], &device).requires_grad();
        let labels = Tensor::zeros([1, LARGE], &device).cast(DType::I32);
        let around = Conv2dOptions { padding: [LARGE; 2], ..Conv2dOptions::default() };
        let apart = ConvTranspose2dOptions { stride: [1 << 28; 2], ..ConvTranspose2dOptions::default() };
        let two = x.expand([1, 2, 4, 4]);
        let deep = w.expand([2, 1, 2, 2]);
        let all = [
            x.conv2d(&w, None, around),
            two.conv2d(&deep, None, Conv2dOptions { groups: 2, ..around }),
            x.conv_transpose2d(&w, None, apart),
            two.conv_transpose2d(&deep, None, ConvTranspose2dOptions { groups: 2, ..apart }),
            x.adaptive_avg_pool2d([LARGE; 2]),
            x.adaptive_max_pool2d([LARGE; 2]),
            x.interpolate([LARGE; 2], Upsampling::Nearest),
            x.interpolate([LARGE; 2], Upsampling::Bilinear),
            column.matmul(&column.t()),
            &column + &column.t(),
            column.expand([LARGE, LARGE]).exp(),
            column.expand([LARGE, LARGE]).softmax(-1),
            column.expand([LARGE, LARGE]).log_softmax(0),
            column.expand([LARGE, LARGE]).cumsum(1),
            column.expand([LARGE, LARGE]).layer_norm(&[LARGE], None, None, 1e-5),
            column.expand([LARGE, LARGE]).contiguous(),
            column.expand([LARGE, LARGE]).flip(&[0]),
            column.expand([LARGE, LARGE]).tril(0),
            column.expand([LARGE, LARGE]).topk(3, 1, Extreme::Largest).0,
            column.expand([LARGE, LARGE]).square().mean(),
            column.expand([LARGE, LARGE]).cross_entropy(&labels.squeeze(0)),
            column.expand([LARGE, LARGE]).gather(0, &labels.expand([LARGE, LARGE])),
            Tensor::cat(&[&column.expand([LARGE, LARGE]), &column.expand([LARGE, LARGE])], 0),
            Tensor::stack(&[&column.expand([LARGE, LARGE]), &column.expand([LARGE, LARGE])], 0),
            column.pad(&[(LARGE, LARGE)], 1.0),
            labels.one_hot(LARGE).mul(&column),
        ];
        for (at, y) in all.iter().enumerate() {
            let lost = y.to_vec::<f32>();
            assert!(matches!(lost, Err(Error::Limit(_))), "{name}, {at}: {:?}", lost.map(|y| y.len()));
            let grads = y.sum().backward();
            for leaf in [&x, &w, &column] {
                if let Some(gradient) = grads.of(leaf) {
                    let lost = gradient.to_vec::<f32>();
                    assert!(lost.is_err() || lost.is_ok_and(|g| g.len() == leaf.numel()), "{name}, {at}");
                }
            }
        }
        drop(all);
        assert_eq!(values(&x), [1.0; 16], "{name}");
    }
}
