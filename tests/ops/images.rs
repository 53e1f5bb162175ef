//! What works on batches of images: convolution, pooling, normalisation by channel.

use super::{Case, Input, case, x};
use crate::defined;
use wgrad::{AvgPool2dOptions, Conv2dOptions, MaxPool2dOptions, Tensor};

/// The same images with their channels as neighbours in memory.
fn last(x: &Tensor) -> Tensor {
    x.permute(&[0, 2, 3, 1]).contiguous().permute(&[0, 3, 1, 2])
}

fn conv(images: Input, weight: Input, options: Conv2dOptions) -> Case {
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    let name = format!("conv2d conv2d_input conv2d_weight {stride:?} {padding:?} {dilation:?} {groups}:");
    case(&name, [images, weight], move |x| x[0].conv2d(&x[1], None, options))
}

/// Channels as neighbours and by fours, where no matrix of columns is made.
fn fours(images: Input, weight: Input, options: Conv2dOptions) -> Case {
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    let name = format!("conv2d by fours {stride:?} {padding:?} {dilation:?} {groups}:");
    case(&name, [images, weight], move |x| last(&x[0]).conv2d(&x[1], None, options))
}

fn plain() -> Conv2dOptions {
    Conv2dOptions::default()
}

/// With zeros around the image.
fn around(padding: usize) -> Conv2dOptions {
    Conv2dOptions { padding: [padding; 2], ..plain() }
}

fn convolutions() -> Vec<Case> {
    vec![
        conv(x([1, 1, 1, 1]), x([1, 1, 1, 1]), plain()),
        conv(x([2, 3, 5, 7]), x([4, 3, 1, 1]), plain()),
        conv(x([2, 3, 5, 7]), x([4, 3, 3, 2]), plain()),
        conv(x([2, 3, 6, 6]), x([8, 3, 3, 3]), around(1)),
        conv(x([1, 4, 8, 8]), x([4, 4, 5, 5]), around(2)),
        conv(x([2, 3, 9, 8]), x([5, 3, 3, 3]), Conv2dOptions { stride: [2, 3], ..around(1) }),
        conv(x([2, 3, 9, 8]), x([5, 3, 2, 3]), Conv2dOptions { dilation: [3, 2], ..around(2) }),
        conv(x([2, 2, 9, 8]), x([3, 2, 3, 3]), Conv2dOptions { stride: [2, 2], dilation: [2, 1], ..around(2) }),
        conv(x([2, 2, 4, 4]), x([3, 2, 3, 3]), Conv2dOptions { padding: [0, 3], ..plain() }),
        // The last rows and columns are seen by no window.
        conv(x([1, 2, 8, 8]), x([3, 2, 3, 3]), Conv2dOptions { stride: [3, 4], ..plain() }),
        conv(x([2, 6, 5, 5]), x([4, 3, 3, 3]), Conv2dOptions { groups: 2, ..around(1) }),
        conv(x([2, 6, 5, 5]), x([6, 1, 3, 3]), Conv2dOptions { groups: 6, ..around(1) }),
        // Groups by fours, of every number of neighbouring taps that are one loop.
        conv(x([2, 16, 5, 6]), x([8, 8, 3, 3]), Conv2dOptions { groups: 2, ..around(1) }),
        conv(x([1, 8, 6, 7]), x([16, 4, 1, 1]), Conv2dOptions { groups: 2, ..plain() }),
        conv(x([2, 12, 7, 9]), x([12, 4, 3, 2]), Conv2dOptions { groups: 3, stride: [2, 3], ..around(1) }),
        conv(x([1, 8, 5, 11]), x([8, 4, 2, 5]), Conv2dOptions { groups: 2, dilation: [1, 2], ..around(2) }),
        conv(x([1, 8, 9, 6]), x([8, 4, 2, 4]), Conv2dOptions { groups: 2, stride: [1, 2], ..around(1) }),
        // Groups that go by twos and by fours, to one that is all and to several.
        conv(x([2, 8, 5, 6]), x([8, 2, 3, 3]), Conv2dOptions { groups: 4, ..around(1) }),
        conv(x([1, 4, 6, 5]), x([12, 2, 3, 2]), Conv2dOptions { groups: 2, stride: [2, 3], ..around(1) }),
        conv(x([2, 12, 5, 7]), x([8, 3, 2, 4]), Conv2dOptions { groups: 4, dilation: [1, 2], ..around(2) }),
        fours(x([2, 24, 6, 5]), x([24, 3, 3, 3]), Conv2dOptions { groups: 8, stride: [2, 1], ..around(1) }),
        fours(x([1, 12, 5, 5]), x([36, 2, 1, 1]), Conv2dOptions { groups: 6, ..plain() }),
        // Far more zeros around the images than pixels.
        conv(
            x([2, 4, 5, 4]),
            x([4, 2, 2, 2]),
            Conv2dOptions { stride: [3; 2], dilation: [20; 2], groups: 2, ..around(20) },
        ),
        conv(x([2, 4, 6, 5]), x([8, 1, 3, 3]), Conv2dOptions { groups: 4, stride: [2, 2], ..around(1) }),
        conv(x([3, 63, 3, 3]), x([65, 63, 1, 1]), plain()),
        conv(x([1, 16, 8, 8]), x([64, 16, 3, 3]), around(1)),
        conv(x([2, 3, 5, 7]).narrowed(2), x([4, 3, 3, 2]).narrowed(0), plain()),
        conv(x([2, 3, 5, 7]).reversed(), x([4, 3, 3, 2]).reversed(), plain()),
        conv(x([2, 3, 5, 7]).shifted(), x([4, 3, 3, 2]).shifted(), around(1)),
        conv(x([2, 3, 5, 7]).expanded(0), x([4, 3, 3, 2]), plain()),
        fours(x([2, 16, 9, 6]), x([24, 8, 3, 3]), Conv2dOptions { groups: 2, ..around(1) }),
        fours(x([2, 4, 5, 7]), x([4, 4, 1, 1]), plain()),
        fours(x([2, 8, 9, 6]), x([12, 8, 3, 2]), around(1)),
        fours(x([1, 12, 7, 7]), x([4, 12, 3, 3]), Conv2dOptions { dilation: [2, 1], ..around(2) }),
        fours(x([2, 4, 9, 8]), x([8, 4, 3, 3]), Conv2dOptions { stride: [2, 3], ..around(1) }),
        fours(x([1, 16, 5, 5]), x([68, 16, 5, 3]), around(2)),
        fours(x([3, 4, 3, 3]), x([36, 4, 3, 3]), around(1)),
        // Channels past a tile of 16, and positions past a split of 64.
        fours(x([2, 20, 9, 9]), x([40, 20, 3, 3]), around(1)),
        fours(x([2, 32, 11, 13]), x([72, 32, 3, 2]), Conv2dOptions { dilation: [1, 2], ..around(2) }),
        // More zeros around than the turned kernel can see.
        fours(x([1, 4, 4, 4]), x([4, 4, 1, 1]), around(1)),
        fours(x([1, 4, 300, 230]).within(-0.5, 0.5), x([4, 4, 1, 1]), plain()).compared(),
        case("conv2d of channels last, with a bias", [x([2, 3, 6, 5]), x([4, 3, 3, 3]), x([4])], move |x| {
            last(&x[0]).conv2d(&x[1], Some(&x[2]), around(1))
        }),
        case("conv2d twice", [x([2, 3, 6, 5]), x([4, 3, 3, 3]), x([2, 4, 2, 2])], move |x| {
            x[0].conv2d(&x[1], None, around(1)).conv2d(&x[2], None, plain())
        }),
        case("conv2d of images alone", [x([2, 3, 6, 5]), x([4, 3, 3, 3]).detached()], move |x| {
            x[0].conv2d(&x[1], None, plain())
        }),
        case("conv2d of weights alone", [x([2, 3, 6, 5]).detached(), x([4, 3, 3, 3])], move |x| {
            x[0].conv2d(&x[1], None, plain())
        }),
        // A weight gradient over more than 65,536 positions.
        conv(x([2, 1, 190, 190]).within(-0.5, 0.5), x([2, 1, 3, 3]), around(1)).compared(),
        conv(x([17, 2, 64, 64]).within(-0.5, 0.5), x([3, 2, 1, 1]), plain()).compared(),
        // Columns that go in slices.
        conv(x([3, 1, 80, 80]).within(-0.5, 0.5), x([2, 1, 31, 31]).within(-0.5, 0.5), around(15)).compared().big(),
    ]
}

/// Results that see one channel each: by fours and not, one or more of a channel, in strides and dilations that keep
/// pixels from tap to tap and that do not.
fn depthwise() -> Vec<Case> {
    let deep = |images: Input, weight: Input, options: Conv2dOptions| {
        let Conv2dOptions { stride, padding, dilation, .. } = options;
        let options = Conv2dOptions { groups: images.base()[1], ..options };
        let name = format!("depthwise depthwise_input depthwise_weight {stride:?} {padding:?} {dilation:?}:");
        let bias = x([weight.base()[0]]).within(-0.5, 0.5);
        case(&name, [images, weight, bias], move |x| last(&x[0]).conv2d(&x[1], Some(&x[2]), options))
    };
    let steps = |stride: [usize; 2], dilation: [usize; 2], padding: [usize; 2]| Conv2dOptions {
        stride,
        dilation,
        padding,
        ..plain()
    };
    vec![
        deep(x([1, 4, 1, 1]), x([4, 1, 1, 1]), plain()),
        deep(x([2, 4, 5, 7]), x([4, 1, 3, 3]), around(1)),
        deep(x([2, 8, 6, 9]), x([8, 1, 3, 2]), plain()),
        deep(x([2, 12, 9, 8]), x([12, 1, 3, 3]), steps([2, 2], [1, 1], [1, 1])),
        deep(x([1, 4, 11, 13]), x([4, 1, 7, 7]), around(3)),
        deep(x([1, 4, 12, 11]), x([4, 1, 2, 9]), around(4)),
        deep(x([2, 4, 9, 10]), x([4, 1, 3, 3]), steps([2, 2], [2, 2], [2, 1])),
        deep(x([2, 4, 9, 10]), x([4, 1, 3, 3]), steps([3, 1], [2, 2], [0, 3])),
        deep(x([2, 4, 9, 10]), x([4, 1, 3, 5]), steps([1, 3], [1, 2], [2, 5])),
        deep(x([2, 3, 5, 6]), x([3, 1, 3, 3]), around(1)),
        deep(x([2, 6, 5, 6]), x([6, 1, 3, 3]), steps([2, 1], [1, 1], [1, 1])),
        deep(x([2, 4, 6, 5]), x([8, 1, 3, 3]), around(1)),
        deep(x([2, 5, 6, 5]), x([15, 1, 2, 3]), steps([2, 2], [1, 1], [1, 1])),
        // The last rows and columns are seen by no window, and more zeros around than the turned kernel can see.
        deep(x([1, 4, 8, 8]), x([4, 1, 3, 3]), steps([3, 4], [1, 1], [0, 0])),
        deep(x([1, 4, 3, 3]), x([4, 1, 1, 1]), around(2)),
        deep(x([64, 4, 33, 33]).within(-0.5, 0.5), x([4, 1, 3, 3]), around(1)).compared(),
        deep(x([1, 4, 2, 9_000]).within(-0.5, 0.5), x([4, 1, 1, 3]), around(1)).compared(),
        case("depthwise of channels apart", [x([2, 4, 5, 6]), x([4, 1, 3, 3])], move |x| {
            x[0].conv2d(&x[1], None, Conv2dOptions { groups: 4, ..around(1) })
        }),
        case("depthwise and relu", [x([2, 4, 5, 6]), x([4, 1, 3, 3]), x([4]), x([3, 4, 1, 1])], move |x| {
            let y = last(&x[0]).conv2d(&x[1], Some(&x[2]), Conv2dOptions { groups: 4, ..around(1) });
            y.relu().conv2d(&x[3], None, plain())
        })
        .compared(),
        case(
            "depthwise of weights alone",
            [x([2, 4, 5, 6]).detached(), x([4, 1, 3, 3]), x([4]).detached()],
            move |x| x[0].conv2d(&x[1], Some(&x[2]), Conv2dOptions { groups: 4, ..around(1) }),
        ),
        case("depthwise of a bias alone", [x([2, 4, 5, 6]), x([4, 1, 3, 3]).detached(), x([4])], move |x| {
            x[0].conv2d(&x[1], Some(&x[2]), Conv2dOptions { groups: 4, ..around(1) })
        }),
        case("depthwise of images alone", [x([2, 4, 5, 6]), x([4, 1, 3, 3]).detached()], move |x| {
            x[0].conv2d(&x[1], None, Conv2dOptions { groups: 4, ..around(1) })
        }),
    ]
}

/// A bias, a relu and a pooling, which a captured step joins to the convolution.
fn joined() -> Vec<Case> {
    let block = |images: Input, weight: Input, options: Conv2dOptions, what: &str| {
        let bias = x([weight.base()[0]]).within(-0.5, 0.5);
        case(&format!("conv2d_bias conv2d_weight_bias conv2d_pool {what}:"), [images, weight, bias], move |x| {
            x[0].conv2d(&x[1], Some(&x[2]), options).relu().max_pool2d(MaxPool2dOptions::new(2))
        })
        .compared()
    };
    let mut all = Vec::new();
    // Channels, few and by fours, at the edges of tiles; images whose last row or column no window holds.
    for (c, o, h, w) in [(1, 4, 6, 6), (1, 32, 12, 9), (3, 8, 7, 8), (3, 36, 5, 5), (4, 8, 6, 7), (8, 64, 9, 8)] {
        all.push(block(x([2, c, h, w]), x([o, c, 3, 3]), around(1), "channels apart"));
    }
    for (c, o, h, w) in [(4, 4, 6, 6), (4, 32, 13, 12), (8, 36, 7, 8), (12, 68, 5, 5)] {
        let images = x([2, c, h, w]);
        let bias = x([o]).within(-0.5, 0.5);
        all.push(
            case("conv2d_pool of channels last", [images, x([o, c, 3, 3]), bias], move |x| {
                last(&x[0]).conv2d(&x[1], Some(&x[2]), around(1)).relu().max_pool2d(MaxPool2dOptions::new(2))
            })
            .compared(),
        );
    }
    all.extend([
        block(x([3, 1, 9, 11]), x([4, 1, 5, 5]), Conv2dOptions { stride: [2, 1], ..around(2) }, "strides"),
        block(x([3, 5, 9, 11]), x([5, 5, 3, 3]), around(1), "odd channels"),
        block(x([2, 16, 8, 8]), x([8, 16, 3, 3]), around(1), "many taps"),
        case("conv2d_pool to rows", [x([2, 4, 6, 6]), x([8, 4, 3, 3]), x([8]), x([72, 5])], move |x| {
            let y = last(&x[0]).conv2d(&x[1], Some(&x[2]), around(1)).relu();
            y.max_pool2d(MaxPool2dOptions::new(2)).flatten(1).matmul(&x[3])
        })
        .compared(),
        case("conv2d_pool without relu", [x([2, 4, 6, 6]).distinct(), x([8, 4, 1, 1]), x([8])], move |x| {
            last(&x[0]).conv2d(&x[1], Some(&x[2]), plain()).max_pool2d(MaxPool2dOptions::new(2))
        })
        .compared(),
        case("conv2d and relu", [x([2, 4, 6, 6]), x([8, 4, 3, 3]), x([3, 8, 3, 3])], move |x| {
            x[0].conv2d(&x[1], None, around(1)).relu().conv2d(&x[2], None, plain())
        })
        .compared(),
        case("conv2d of groups with a bias", [x([2, 6, 5, 5]), x([4, 3, 3, 3]), x([4])], move |x| {
            x[0].conv2d(&x[1], Some(&x[2]), Conv2dOptions { groups: 2, ..around(1) })
        }),
        case(
            "conv2d with a bias alone in training",
            [x([2, 3, 5, 5]).detached(), x([4, 3, 3, 3]).detached(), x([4])],
            move |x| x[0].conv2d(&x[1], Some(&x[2]), around(1)),
        ),
        case("conv2d with a bias that is fixed", [x([2, 3, 5, 5]), x([4, 3, 3, 3]), x([4]).detached()], move |x| {
            x[0].conv2d(&x[1], Some(&x[2]), around(1))
        }),
        case("conv2d_weight_bias in slices", [x([3, 1, 80, 80]), x([2, 1, 31, 31]), x([2])], move |x| {
            x[0].conv2d(&(&x[1] * 0.1), Some(&x[2]), around(15))
        })
        .compared()
        .big(),
    ]);
    all
}

fn pools() -> Vec<Case> {
    let max = |images: Input, options: MaxPool2dOptions| {
        let MaxPool2dOptions { kernel_size, stride, padding, dilation, .. } = options;
        let name = format!("max_pool2d max_pool2d_backward {kernel_size:?} {stride:?} {padding:?} {dilation:?}:");
        case(&name, [images.distinct()], move |x| x[0].max_pool2d(options))
    };
    let avg = |images: Input, options: AvgPool2dOptions| {
        let AvgPool2dOptions { kernel_size, stride, padding, .. } = options;
        let name = format!("avg_pool2d avg_pool2d_backward {kernel_size:?} {stride:?} {padding:?}:");
        case(&name, [images], move |x| x[0].avg_pool2d(options))
    };
    let adaptive = |images: Input, size: [usize; 2]| {
        case(&format!("adaptive_avg_pool2d to {size:?} of"), [images], move |x| x[0].adaptive_avg_pool2d(size))
    };
    let largest = MaxPool2dOptions::new;
    let mean = AvgPool2dOptions::new;
    // Windows that have no pixel of images three pixels wide.
    let beside = MaxPool2dOptions { stride: [1, 1], padding: [0, 1], dilation: [1, 4], ..largest(2) };
    vec![
        max(x([1, 1, 1, 1]), largest(1)),
        max(x([2, 3, 4, 6]), largest(2)),
        max(x([2, 3, 5, 7]), largest(2)),
        max(x([2, 3, 7, 7]), MaxPool2dOptions { stride: [1, 2], padding: [1, 1], ..largest(3) }),
        max(x([1, 2, 8, 7]), MaxPool2dOptions { kernel_size: [2, 3], dilation: [2, 2], stride: [1, 1], ..largest(2) }),
        max(x([2, 3, 7, 7]).narrowed(3), MaxPool2dOptions { stride: [2, 2], padding: [1, 1], ..largest(3) }),
        max(x([2, 3, 4, 6]).reversed(), largest(2)),
        max(x([2, 65, 4, 4]), largest(2)),
        max(x([2, 3, 5, 3]), beside).compared(),
        case("max_pool2d by fours, all in the padding", [x([2, 8, 5, 3]).distinct()], move |x| {
            last(&x[0]).max_pool2d(beside)
        })
        .compared(),
        case("max_pool2d_relu_backward by fours", [x([2, 8, 6, 4])], move |x| {
            last(&x[0]).relu().max_pool2d(largest(2))
        })
        .compared(),
        case("max_pool2d of a channel repeated", [x([3, 1, 8, 5]).distinct()], move |x| {
            x[0].expand([3, 5, 8, 5]).max_pool2d(MaxPool2dOptions { stride: [3, 1], ..largest(1) })
        })
        .defined(move |x| x[0].max_pool2d(MaxPool2dOptions { stride: [3, 1], ..largest(1) }).expand([3, 5, 3, 5])),
        // Its gradient is one number, repeated.
        case("max_pool2d of windows that overlap, added up", [x([2, 3, 6, 7]).distinct()], move |x| {
            let options = MaxPool2dOptions { stride: [1, 2], ..largest(2) };
            x[0].max_pool2d(options).add(&x[0].max_pool2d(largest(1)).narrow(2, 0, 5).narrow(3, 0, 3)).sum()
        }),
        case("max_pool2d of relu, some pixels unseen", [x([2, 4, 7, 5])], move |x| {
            last(&x[0]).relu().max_pool2d(largest(2))
        })
        .compared(),
        case("max_pool2d of relu, windows that overlap", [x([1, 3, 6, 7])], move |x| {
            last(&x[0]).relu().max_pool2d(MaxPool2dOptions { stride: [2, 1], padding: [1, 1], ..largest(3) })
        })
        .compared(),
        case("max_pool2d of relu to rows", [x([2, 8, 6, 4]), x([48, 5])], move |x| {
            last(&x[0]).relu().max_pool2d(largest(2)).flatten(1).matmul(&x[1])
        })
        .compared(),
        case("max_pool2d of relu to rows, three channels", [x([2, 3, 7, 6]), x([27, 5])], move |x| {
            x[0].relu().max_pool2d(largest(2)).flatten(1).matmul(&x[1])
        })
        .compared(),
        case("max_pool2d to another order and read twice", [x([2, 8, 6, 4]).distinct()], move |x| {
            let y = last(&x[0]).max_pool2d(largest(2));
            y.flatten(1).sum().mul(&y.square().sum())
        }),
        case("max_pool2d of channels last", [x([2, 3, 5, 7]).distinct()], move |x| last(&x[0]).max_pool2d(largest(2))),
        case("max_pool2d by fours", [x([2, 8, 6, 4]).distinct()], move |x| last(&x[0]).max_pool2d(largest(2))),
        case("max_pool2d by fours, some pixels unseen", [x([2, 4, 7, 5]).distinct()], move |x| {
            last(&x[0]).max_pool2d(largest(2))
        }),
        case("max_pool2d by fours, windows that overlap", [x([1, 12, 6, 7]).distinct()], move |x| {
            last(&x[0]).max_pool2d(MaxPool2dOptions { stride: [2, 1], padding: [1, 1], ..largest(3) })
        }),
        case("max_pool2d by fours, windows far apart", [x([2, 4, 9, 8]).distinct()], move |x| {
            last(&x[0]).max_pool2d(MaxPool2dOptions { stride: [1, 2], dilation: [2, 3], ..largest(2) })
        }),
        case("max_pool2d by fours of one large window and more", [x([1, 4, 21, 19]).distinct()], move |x| {
            last(&x[0]).max_pool2d(MaxPool2dOptions { stride: [3, 2], ..largest(17) })
        }),
        case("max_pool2d of relu by fours, windows that overlap", [x([2, 8, 7, 6])], move |x| {
            last(&x[0]).relu().max_pool2d(MaxPool2dOptions { stride: [2, 2], padding: [1, 1], ..largest(3) })
        })
        .compared(),
        case("max_pool2d by fours, windows that overlap, to another order", [x([2, 8, 7, 6]).distinct()], move |x| {
            let y = last(&x[0]).max_pool2d(MaxPool2dOptions { stride: [2, 1], padding: [1, 1], ..largest(3) });
            y.flatten(1).sum().mul(&y.square().sum())
        }),
        case("max_pool2d of equals by fours", [x([2, 4, 8, 8]).steps(0.0)], move |x| {
            last(&x[0]).max_pool2d(largest(4))
        })
        .compared(),
        case("max_pool2d of equals", [x([2, 3, 16, 16]).steps(0.0)], move |x| x[0].max_pool2d(largest(4))).compared(),
        case("max_pool2d of a large image", [x([1, 1, 530, 520]).distinct()], move |x| x[0].max_pool2d(largest(2)))
            .compared(),
        avg(x([1, 1, 1, 1]), mean(1)),
        avg(x([2, 3, 4, 6]), mean(2)),
        avg(x([2, 3, 5, 7]), mean(2)),
        avg(x([2, 3, 7, 7]), AvgPool2dOptions { stride: [1, 2], padding: [1, 1], ..mean(3) }),
        avg(x([2, 3, 8, 7]), AvgPool2dOptions { kernel_size: [2, 5], stride: [3, 1], padding: [0, 2], ..mean(1) }),
        avg(x([2, 3, 7, 7]).narrowed(3), AvgPool2dOptions { stride: [2, 2], padding: [1, 1], ..mean(3) }),
        avg(x([2, 3, 4, 6]).reversed(), mean(2)),
        case("avg_pool2d of channels last", [x([2, 3, 5, 7])], move |x| last(&x[0]).avg_pool2d(mean(2))),
        // Windows of more than 65,535 pixels, in two steps, and one that is nearly too large for one.
        avg(x([1, 2, 270, 260]), AvgPool2dOptions { stride: [1, 1], kernel_size: [270, 260], ..mean(1) }).compared(),
        avg(
            x([1, 1, 270, 262]),
            AvgPool2dOptions { stride: [2, 3], padding: [3, 5], kernel_size: [272, 260], ..mean(1) },
        )
        .compared(),
        max(x([1, 1, 240, 241]), MaxPool2dOptions { stride: [1, 1], ..largest(240) }).compared(),
        adaptive(x([2, 3, 7, 5]), [1, 1]),
        adaptive(x([2, 3, 7, 5]), [3, 2]),
        adaptive(x([2, 3, 4, 4]), [4, 4]),
        adaptive(x([1, 2, 3, 2]), [5, 7]),
        adaptive(x([2, 3, 8, 9]).transposed(), [2, 3]),
        adaptive(x([1, 2, 270, 260]), [1, 1]).compared(),
        adaptive(x([1, 1, 520, 530]), [2, 1]).compared(),
    ]
}

/// Means of four channels at a time.
fn means_by_fours() -> Vec<Case> {
    let options = [
        AvgPool2dOptions::new(2),
        AvgPool2dOptions { padding: [1, 1], ..AvgPool2dOptions::new(3) },
        AvgPool2dOptions { stride: [1, 2], ..AvgPool2dOptions::new(2) },
    ];
    let fixed = options.map(|options| {
        let AvgPool2dOptions { kernel_size, stride, padding, .. } = options;
        let name = format!("avg_pool2d by fours {kernel_size:?} {stride:?} {padding:?}:");
        case(&name, [x([2, 8, 6, 7])], move |x| last(&x[0]).avg_pool2d(options))
    });
    let adaptive = [[1, 1], [2, 3], [7, 5]].map(|size| {
        let name = format!("adaptive_avg_pool2d by fours to {size:?} of");
        case(&name, [x([2, 4, 6, 7])], move |x| last(&x[0]).adaptive_avg_pool2d(size))
    });
    fixed.into_iter().chain(adaptive).collect()
}

fn norms() -> Vec<Case> {
    const EPS: f32 = 1e-5;
    let norm = |images: Input, channels: usize| {
        let name = "batch_norm batch_norm_sums batch_norm_backward channel_stats";
        case(name, [images, x([channels]), x([channels])], |x| x[0].batch_norm(Some(&x[1]), Some(&x[2]), EPS).output)
            .defined(|x| defined::batch_norm(&x[0], &x[1], &x[2], EPS))
    };
    vec![
        norm(x([7, 5]), 5),
        norm(x([65, 1]), 1),
        norm(x([4, 3, 7]), 3),
        norm(x([4, 3, 5, 6]), 3),
        norm(x([2, 65, 3, 3]), 65),
        norm(x([1, 2, 64, 65]), 2),
        norm(x([4, 3, 5, 6]).reversed(), 3),
        norm(x([4, 3, 5, 6]).narrowed(1), 3),
        norm(x([4, 3, 5, 6]).shifted(), 3),
        norm(x([9, 13]).transposed(), 13),
        norm(x([5, 3, 5, 6]).within(99.0, 101.0), 3).compared().tolerance(2e-3, 2e-3),
        // More than 65,535 values of a channel, in both memory orders.
        norm(x([70_003, 3]), 3).compared(),
        norm(x([2, 3, 190, 190]), 3).compared(),
        case("batch_norm of many channels last", [x([2, 3, 190, 190])], |x| {
            last(&x[0]).batch_norm(None, None, EPS).output
        })
        .compared(),
        case("batch_norm of one column", [x([2, 4, 3, 1]).narrowed(3), x([4]), x([4])], |x| {
            x[0].batch_norm(Some(&x[1]), Some(&x[2]), EPS).output
        })
        .defined(|x| defined::batch_norm(&x[0], &x[1], &x[2], EPS)),
        case("batch_norm of one channel and column", [x([3, 1, 6, 1]).narrowed(1), x([1]), x([1])], |x| {
            x[0].batch_norm(Some(&x[1]), Some(&x[2]), EPS).output
        })
        .defined(|x| defined::batch_norm(&x[0], &x[1], &x[2], EPS)),
        case("batch_norm of channels last", [x([4, 3, 5, 6]), x([3]), x([3])], |x| {
            last(&x[0]).batch_norm(Some(&x[1]), Some(&x[2]), EPS).output
        }),
        norm(x([70, 4]), 4),
        norm(x([5, 68]), 68),
        case("batch_norm of channels last, by fours", [x([4, 8, 5, 6]), x([8]), x([8])], |x| {
            last(&x[0]).batch_norm(Some(&x[1]), Some(&x[2]), EPS).output
        }),
        case("batch_norm of many channels last, by fours", [x([2, 4, 190, 190])], |x| {
            last(&x[0]).batch_norm(None, None, EPS).output
        })
        .compared(),
        case("batch_norm without weight and bias", [x([4, 3, 5, 6])], |x| x[0].batch_norm(None, None, 0.1).output),
        case("batch_norm_eval", [x([4, 3, 5, 6]), x([3]), x([3]).within(0.5, 2.0), x([3]), x([3])], |x| {
            x[0].batch_norm_eval(&x[1], &x[2], Some(&x[3]), Some(&x[4]), EPS)
        }),
        // What a captured step joins to the normalisation: the way around a block, a relu, another bound.
        case("batch_norm_added and relu", [x([4, 3, 5, 6]), x([3]), x([3]), x([4, 3, 5, 6])], |x| {
            x[0].batch_norm(Some(&x[1]), Some(&x[2]), EPS).output.add(&x[3]).relu()
        })
        .compared(),
        case("batch_norm_added by fours, and relu", [x([4, 8, 5, 6]), x([8]), x([8]), x([4, 8, 5, 6])], |x| {
            let y = last(&x[0]).batch_norm(Some(&x[1]), Some(&x[2]), EPS).output;
            last(&x[3]).add(&y).relu()
        })
        .compared(),
        case("batch_norm_added of two", [x([3, 4, 5]), x([3, 4, 5])], |x| {
            let [a, b] = [0, 1].map(|at: usize| x[at].batch_norm(None, None, EPS).output);
            a.add(&b)
        }),
        case("batch_norm and relu", [x([4, 8, 5, 6]), x([8]), x([8])], |x| {
            last(&x[0]).batch_norm(Some(&x[1]), Some(&x[2]), EPS).output.relu()
        })
        .compared(),
        case("batch_norm and relu6", [x([4, 3, 5, 6]), x([3]).within(2.0, 9.0), x([3])], |x| {
            x[0].batch_norm(Some(&x[1]), Some(&x[2]), EPS).output.relu6()
        })
        .compared(),
        case("batch_norm added to a row", [x([4, 3, 5]), x([5])], |x| {
            x[0].batch_norm(None, None, EPS).output.add(&x[1])
        }),
        case("running_stats by batch_norm", [x([4, 65, 5]), x([65]), x([65])], |x| {
            let (mean, variance) = (x[1].copy(), x[2].copy());
            let batches = Tensor::full([], 41i32, x[0].device());
            x[0].batch_norm(None, None, EPS).update_running(&mean, &variance, &batches, 0.1);
            Tensor::cat(&[&mean, &variance, &batches.cast(mean.dtype()).unsqueeze(0)], 0)
        })
        .constant(),
    ]
}

pub fn cases() -> Vec<Case> {
    [convolutions(), depthwise(), joined(), pools(), means_by_fours(), norms()].into_iter().flatten().collect()
}
