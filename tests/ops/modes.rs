//! Arguments that are seldom met: borders, windows past the end, sizes of images by other curves, places between pixels.

use super::{Case, Input, case, x};
use wgrad::{
    AvgPool1dOptions, AvgPool2dOptions, Conv1dOptions, Conv2dOptions, DType, GridMode, GridSampleOptions,
    MaxPool1dOptions, MaxPool2dOptions, Outside, Padding, Tensor, Upsampling,
};

fn padded() -> Vec<Case> {
    let mut all = Vec::new();
    for mode in [Padding::Reflect, Padding::Replicate, Padding::Circular, Padding::Constant(0.5)] {
        let name = format!("pad_with {mode:?}: copy_into");
        all.push(case(&name, [x([3, 5])], move |x| x[0].pad_with(&[(2, 3), (1, 2)], mode).square()));
        all.push(case(&name, [x([4, 5]).transposed()], move |x| x[0].pad_with(&[(-1, 2), (1, -2)], mode).square()));
    }
    all.push(
        case("pad_with a mirror: copy_into", [x([3]).listed(&[1.0, 2.0, 3.0])], |x| {
            x[0].pad_with(&[(2, 1)], Padding::Reflect)
        })
        .gives(&[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]),
    );
    all
}

fn pooled() -> Vec<Case> {
    let largest = MaxPool2dOptions { stride: [2, 3], ceil_mode: true, ..MaxPool2dOptions::new(3) };
    let mean = AvgPool2dOptions::new(3);
    let max = |shape: Input, o: MaxPool2dOptions| {
        case(&format!("max_pool2d {o:?} of"), [shape.distinct()], move |x| x[0].max_pool2d(o))
    };
    let avg =
        |shape: Input, o: AvgPool2dOptions| case(&format!("avg_pool2d {o:?} of"), [shape], move |x| x[0].avg_pool2d(o));
    let indices = |shape: Input, o: MaxPool2dOptions| {
        case(&format!("max_pool2d_indices {o:?} by argmax of"), [shape.distinct()], move |x| {
            let (values, index) = x[0].max_pool2d_indices(o);
            values.add(&index.cast(DType::F32))
        })
    };
    vec![
        max(x([1, 2, 8, 9]), largest),
        max(x([2, 6, 6]), MaxPool2dOptions { padding: [1, 1], ..largest }),
        avg(x([1, 2, 8, 9]), AvgPool2dOptions { stride: [2, 3], ceil_mode: true, ..mean }),
        avg(x([1, 2, 6, 7]), AvgPool2dOptions { padding: [1, 1], count_include_pad: false, ..mean }),
        avg(x([2, 6, 7]), AvgPool2dOptions { padding: [1, 0], stride: [2, 2], ceil_mode: true, ..mean }),
        avg(x([1, 2, 6, 7]), AvgPool2dOptions { divisor_override: Some(4), ..mean }),
        indices(x([1, 2, 8, 9]), largest),
        indices(x([2, 2, 6, 7]), MaxPool2dOptions { padding: [1, 1], dilation: [1, 2], ..MaxPool2dOptions::new(3) }),
        case("max_pool1d with a window past the end", [x([2, 3, 8]).distinct()], |x| {
            x[0].max_pool1d(MaxPool1dOptions { ceil_mode: true, ..MaxPool1dOptions::new(3) })
        }),
        case("avg_pool1d of what is inside", [x([2, 3, 8])], |x| {
            x[0].avg_pool1d(AvgPool1dOptions { padding: 1, count_include_pad: false, ..AvgPool1dOptions::new(3) })
        }),
        case("max_unpool2d by scatter", [x([1, 2, 6, 6]).distinct()], |x| {
            let (values, index) = x[0].max_pool2d_indices(MaxPool2dOptions::new(2));
            values.max_unpool2d(&index, [6, 6]).square()
        }),
    ]
}

fn resized() -> Vec<Case> {
    use Upsampling::{Area, Bicubic, BicubicAligned, BicubicAntialiased, BilinearAntialiased, NearestExact};
    let mut all = Vec::new();
    for mode in [Area, Bicubic, BicubicAligned, BicubicAntialiased, BilinearAntialiased, NearestExact] {
        for size in [[7, 3], [2, 9]] {
            let name = format!("interpolate {mode:?} to {size:?}: matmul of");
            all.push(case(&name, [x([2, 3, 5, 4])], move |x| x[0].interpolate(size, mode)));
        }
    }
    all
}

fn sampled() -> Vec<Case> {
    let columns = Conv2dOptions { stride: [1, 2], padding: [1, 0], dilation: [2, 1], groups: 1 };
    let mut all = vec![
        case("unfold by copy", [x([2, 3, 6, 7])], move |x| x[0].unfold([2, 3], columns).square()),
        case("unfold by copy", [x([1, 2, 4, 4]).reversed()], |x| {
            x[0].unfold([2, 2], Conv2dOptions::default()).square()
        }),
        case("fold by copy_into", [x([2, 12, 15])], |x| x[0].fold([6, 4], [2, 2], Conv2dOptions::default()).square()),
        case("pixel_unshuffle", [x([2, 3, 4, 6])], |x| x[0].pixel_unshuffle(2).square()),
        case("pixel_unshuffle and back", [x([2, 3, 4, 6])], |x| x[0].pixel_unshuffle(2).pixel_shuffle(2))
            .defined(|x| x[0].copy()),
        case("conv2d_same", [x([2, 3, 6, 7]), x([4, 3, 2, 3]), x([4])], |x| {
            x[0].conv2d_same(&x[1], Some(&x[2]), Conv2dOptions { dilation: [3, 1], ..Conv2dOptions::default() })
        }),
        case("conv1d_same", [x([3, 7]), x([4, 3, 4])], |x| x[0].conv1d_same(&x[1], None, Conv1dOptions::default())),
        case("softplus_with", [x([65])], |x| x[0].softplus_with(2.0, 3.5)).compared(),
        case("diagonal above", [x([4, 5])], |x| x[0].diagonal_at(2, 0, 1).square()),
        case("diagonal below", [x([2, 4, 5]).narrowed(0)], |x| x[0].diagonal_at(-1, 1, 2).square()),
        case("diagonal beyond", [x([4, 5])], |x| x[0].diagonal_at(9, 0, 1)).constant(),
        case("flatten of a range", [x([2, 3, 4, 5])], |x| x[0].flatten(1..3).square())
            .defined(|x| x[0].reshape([2, 12, 5]).square()),
        case("squeeze_all", [x([1, 3, 1, 4])], |x| x[0].squeeze_all().square()),
    ];
    for padding_mode in [Outside::Zeros, Outside::Border, Outside::Reflection] {
        let modes = [(GridMode::Bilinear, false), (GridMode::Bilinear, true), (GridMode::Nearest, false)];
        for (mode, align_corners) in modes.into_iter().chain([(GridMode::Bicubic, false), (GridMode::Bicubic, true)]) {
            let options = GridSampleOptions { mode, padding_mode, align_corners };
            let name = format!("grid_sample {padding_mode:?} {mode:?} {align_corners}: gather of");
            let run = move |x: &[Tensor]| x[0].grid_sample(&x[1], options);
            let grid = x([2, 3, 2, 2]).within(-1.3, 1.3);
            let grid = if mode == GridMode::Nearest { grid.detached() } else { grid };
            all.push(case(&name, [x([2, 3, 5, 4]), grid], run).compared());
        }
    }
    all
}

pub fn cases() -> Vec<Case> {
    [padded(), pooled(), resized(), sampled()].into_iter().flatten().collect()
}
