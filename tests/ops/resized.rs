//! Images made larger, moved and mirrored, and lines: transposed convolution, convolution along one dimension,
//! upsampling, random crops.

use super::{Case, Input, case, whole, x};
use wgrad::{
    AvgPool1dOptions, Conv1dOptions, ConvTranspose1dOptions, ConvTranspose2dOptions, Draw, MaxPool1dOptions, Upsampling,
};

use Upsampling::{Bilinear, BilinearAligned, Nearest};

fn transposed(images: Input, weight: Input, options: ConvTranspose2dOptions) -> Case {
    let ConvTranspose2dOptions { stride, padding, output_padding, dilation, groups } = options;
    let name = format!("conv_transpose2d by conv2d {stride:?} {padding:?} {output_padding:?} {dilation:?} {groups}:");
    let outputs = weight.base()[1] * groups;
    case(&name, [images, weight, x([outputs])], move |x| x[0].conv_transpose2d(&x[1], Some(&x[2]), options))
}

fn interpolated(images: Input, size: [usize; 2], mode: Upsampling) -> Case {
    case(&format!("upsample to {size:?} {mode:?}:"), [images], move |x| x[0].interpolate(size, mode))
}

/// Channels as neighbours, as convolutions leave them.
fn interpolated_last(images: Input, size: [usize; 2], mode: Upsampling) -> Case {
    case(&format!("upsample of channels last to {size:?} {mode:?}:"), [images], move |x| {
        x[0].permute(&[0, 2, 3, 1]).contiguous().permute(&[0, 3, 1, 2]).interpolate(size, mode)
    })
}

fn moved(images: Input, padding: usize) -> Case {
    case(&format!("random_crop_flip by {padding} of"), [images, whole([2], 0, 9)], move |x| {
        x[0].random_crop_flip(
            padding,
            &Draw { seed: 0x0123_4567_89AB_CDEF, stream: 65_540, step: x[1].clone(), offset: 0 },
        )
    })
}

fn adaptive(images: Input, size: [usize; 2]) -> Case {
    let name = format!("adaptive_max_pool2d by max_pool2d, max_pool2d_backward to {size:?} of");
    case(&name, [images.distinct()], move |x| x[0].adaptive_max_pool2d(size))
}

pub fn cases() -> Vec<Case> {
    let plain = ConvTranspose2dOptions::default();
    let doubling = ConvTranspose2dOptions { stride: [2; 2], padding: [1; 2], ..plain };
    vec![
        transposed(x([1, 1, 1, 1]), x([1, 1, 1, 1]), plain),
        transposed(x([2, 3, 4, 5]), x([3, 4, 3, 2]), plain),
        transposed(x([2, 4, 5, 4]), x([4, 8, 4, 4]), doubling),
        transposed(
            x([2, 8, 5, 4]).reversed(),
            x([8, 4, 3, 3]).transposed(),
            ConvTranspose2dOptions { output_padding: [1, 0], ..doubling },
        ),
        transposed(
            x([2, 4, 5, 4]),
            x([4, 3, 3, 2]),
            ConvTranspose2dOptions { groups: 2, dilation: [2, 1], ..doubling },
        ),
        transposed(x([1, 16, 7, 7]), x([16, 8, 4, 4]), doubling),
        transposed(x([2, 4, 5, 4]), x([4, 1, 4, 4]), ConvTranspose2dOptions { groups: 4, ..doubling }),
        transposed(x([2, 6, 4, 5]), x([6, 1, 3, 2]), ConvTranspose2dOptions { groups: 3, dilation: [2, 1], ..plain }),
        case("conv_transpose1d by conv2d", [x([2, 4, 9]), x([4, 3, 4])], |x| {
            x[0].conv_transpose1d(
                &x[1],
                None,
                ConvTranspose1dOptions { stride: 3, ..ConvTranspose1dOptions::default() },
            )
        }),
        case("conv1d by conv2d", [x([2, 3, 10]), x([4, 3, 3]), x([4])], |x| {
            x[0].conv1d(&x[1], Some(&x[2]), Conv1dOptions { padding: 1, ..Conv1dOptions::default() })
        }),
        case("conv1d by conv2d, dilated, in groups", [x([2, 4, 11]).transposed(), x([6, 2, 3])], |x| {
            x[0].conv1d(&x[1], None, Conv1dOptions { stride: 2, padding: 2, dilation: 2, groups: 2 })
        }),
        interpolated(x([1, 1, 1, 1]), [3, 2], Nearest),
        interpolated(x([2, 3, 5, 4]), [10, 8], Nearest),
        interpolated(x([2, 3, 5, 4]).reversed(), [7, 3], Nearest),
        interpolated(x([1, 1, 1, 1]), [3, 2], Bilinear),
        interpolated(x([2, 3, 5, 4]), [10, 8], Bilinear),
        interpolated(x([2, 3, 9, 7]).narrowed(2), [4, 13], Bilinear),
        interpolated(x([2, 3, 5, 4]), [9, 7], BilinearAligned),
        interpolated(x([2, 3, 5, 4]).transposed(), [1, 11], BilinearAligned),
        interpolated_last(x([2, 8, 5, 4]), [10, 8], Nearest),
        interpolated_last(x([2, 3, 5, 4]), [7, 3], Nearest),
        interpolated_last(x([2, 4, 9, 7]), [4, 13], Bilinear),
        interpolated_last(x([1, 12, 5, 4]), [9, 7], BilinearAligned),
        // Each pixel spreads over many results.
        interpolated(x([1, 1, 2, 3]), [70, 129], Bilinear).compared(),
        moved(x([1, 1, 1, 1]), 0),
        moved(x([5, 3, 4, 8]), 2),
        moved(x([5, 3, 5, 7]), 2),
        moved(x([3, 2, 6, 4]).reversed(), 1),
        moved(x([4, 3, 7, 9]).narrowed(2), 3),
        // Further than the images are wide.
        moved(x([9, 1, 3, 5]), 8),
        moved(x([64, 3, 32, 32]), 4).compared(),
        adaptive(x([1, 1, 1, 1]), [1, 1]),
        adaptive(x([2, 3, 5, 7]), [1, 1]),
        adaptive(x([2, 3, 5, 7]), [2, 3]),
        adaptive(x([1, 4, 6, 4]), [3, 2]),
        adaptive(x([1, 4, 3, 2]), [5, 7]),
        adaptive(x([2, 4, 7, 5]).reversed(), [3, 5]),
        adaptive(x([2, 3, 9, 5]).narrowed(2), [4, 2]),
        case("adaptive_max_pool2d of relu", [x([2, 4, 5, 7])], |x| x[0].relu().adaptive_max_pool2d([2, 3])).compared(),
        case("adaptive_max_pool2d of equals", [x([2, 4, 5, 7]).steps(0.0)], |x| x[0].adaptive_max_pool2d([2, 3]))
            .compared(),
        case("adaptive_max_pool1d", [x([2, 3, 7]).distinct()], |x| x[0].adaptive_max_pool1d(3)),
        case("adaptive_avg_pool1d", [x([2, 3, 7])], |x| x[0].adaptive_avg_pool1d(3)),
        case("max_pool1d", [x([2, 3, 9]).distinct()], |x| {
            x[0].max_pool1d(MaxPool1dOptions { stride: 2, padding: 1, ..MaxPool1dOptions::new(3) })
        }),
        case("avg_pool1d", [x([2, 3, 9])], |x| {
            x[0].avg_pool1d(AvgPool1dOptions { stride: 2, padding: 1, ..AvgPool1dOptions::new(3) })
        }),
        case("pixel_shuffle", [x([2, 12, 3, 2])], |x| x[0].pixel_shuffle(2)),
        case("pixel_shuffle by 3", [x([1, 9, 2, 3]).reversed()], |x| x[0].pixel_shuffle(3)),
        case("upsample by a factor", [x([2, 3, 5, 4])], |x| x[0].upsample([1.5, 2.3], Bilinear)),
    ]
}
