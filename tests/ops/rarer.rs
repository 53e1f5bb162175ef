//! Operations that PyTorch's users reach for now and then, made of others.

use super::{Case, case, whole, x};
use wgrad::loss::{PoissonNllOptions, TripletMarginOptions};
use wgrad::nn::{Ctx, Layer, Upsample};
use wgrad::{
    Conv3dOptions, DType, Draw, Interpolation, KeepDims, LpPoolOptions, MaxPool1dOptions, MaxPool3dOptions, Order,
    Reduction, Tensor, Upsampling,
};

const NAN: f32 = f32::NAN;

/// The operation that a case is named after.
fn named(at: &str) -> String {
    format!("{at} by where")
}

fn functions() -> Vec<Case> {
    vec![
        case("lgamma by where", [x([65]).within(0.2, 12.0)], |x| x[0].lgamma()),
        case("lgamma below 0 by where", [x([33]).within(-3.9, -3.1)], |x| x[0].lgamma()),
        case("lgamma at points by where", [x([5]).listed(&[1.0, 2.0, 0.5, 5.0, 0.0])], |x| x[0].detach().lgamma())
            .gives(&[0.0, 0.0, 0.572_364_9, 3.178_053_9, f32::INFINITY])
            .constant(),
        case("digamma by where", [x([65]).within(0.3, 12.0)], |x| x[0].digamma()).compared(),
        case("digamma at poles by where", [x([5]).listed(&[0.0, -1.0, -2.0, -30.0, 1.0])], |x| x[0].detach().digamma())
            .gives(&[f32::NEG_INFINITY, f32::NAN, f32::NAN, f32::NAN, -0.577_215_7])
            .constant(),
        case("erfc by where", [x([65])], |x| x[0].erfc()),
        case("erfc far out by where", [x([3]).listed(&[0.0, 4.0, 9.0])], |x| x[0].detach().erfc() * 1e8)
            .gives(&[1e8, 1.541_725_8, 4.137_032e-29])
            .constant(),
        case("i0 by where", [x([65]).within(-9.0, 9.0)], |x| x[0].i0()).compared(),
        case("i0 at points by where", [x([4]).listed(&[0.0, -1.0, 3.75, 20.0])], |x| x[0].detach().i0())
            .gives(&[1.0, 1.266_066, 9.118_946, 4.355_828e7])
            .constant(),
        case("i1 by where", [x([65]).within(-9.0, 9.0)], |x| x[0].i1()).compared(),
        case("i1 at points by where", [x([4]).listed(&[0.0, -1.0, 3.75, 20.0])], |x| x[0].detach().i1())
            .gives(&[0.0, -0.565_159_1, 7.780_015, 4.245_497_3e7])
            .constant(),
        case(&named("exp2"), [x([33])], |x| x[0].exp2()),
        case(&named("copysign"), [x([33]).avoiding(&[0.0]), x([33]).avoiding(&[0.0])], |x| x[0].copysign(&x[1])),
        case(&named("heaviside"), [x([33]), x([33])], |x| x[0].heaviside(&x[1])).constant(),
        case(&named("round_to"), [x([33]).avoiding(&[0.0])], |x| x[0].round_to(1)).constant(),
    ]
}

fn places() -> Vec<Case> {
    vec![
        case("unfold_dim by index_select", [x([3, 9])], |x| x[0].unfold_dim(1, 4, 2).square()),
        case("unfold_dim of rows by index_select", [x([7, 3]).transposed()], |x| x[0].unfold_dim(0, 2, 3).square()),
        case("diag_embed_at above by where", [x([2, 4])], |x| x[0].diag_embed_at(2, 0, -1).square()),
        case("diag_embed_at below by where", [x([5])], |x| x[0].diag_embed_at(-1, 0, 1).square()),
        case("masked_scatter by index_select", [x([3, 5]), whole([3, 5], 0, 2), x([15])], |x| {
            x[0].masked_scatter(&x[1], &x[2]).square()
        }),
        case("scatter to a scalar", [x([]), whole([1], 0, 1), x([1])], |x| {
            x[0].scatter(0, &x[1].cast(DType::I32), &x[2])
        }),
        case("index_add to a scalar", [x([]), whole([1], 0, 1), x([])], |x| {
            x[0].index_add(0, &x[1].cast(DType::I32), &x[2])
        }),
        case("take from the end by index_select", [x([7]), whole([4], -7, 7)], |x| x[0].take(&x[1].cast(DType::I32))),
    ]
}

fn bins() -> Vec<Case> {
    let borders: &'static [f32] = &[-1.0, 0.0, 1.5];
    vec![
        case("bucketize by comparisons", [x([33]), x([3]).listed(borders)], |x| {
            x[0].bucketize(&x[1], false).cast(DType::F32)
        })
        .constant(),
        case("isin by comparisons", [whole([4, 9], 0, 7), whole([3], 0, 7)], |x| x[0].isin(&x[1])).constant(),
        case("nanmedian_dim by sort", [x([2, 5]).listed(&[1.0, NAN, 3.0, 2.0, NAN, NAN, NAN, NAN, NAN, NAN])], |x| {
            x[0].detach().nanmedian_dim(1, KeepDims::No).0
        })
        .gives(&[2.0, NAN])
        .constant(),
        case("nanmedian_dim of distinct by sort", [x([5, 8]).distinct()], |x| x[0].nanmedian_dim(1, KeepDims::No).0),
        case("mode by sort", [whole([4, 9], 0, 3)], |x| {
            let (values, places) = x[0].detach().cast(DType::F32).mode(1, KeepDims::No);
            values.add(&places.cast(DType::F32).affine(10.0, 0.0))
        })
        .constant(),
        case("cartesian_prod by stack", [x([3]), x([4])], |x| Tensor::cartesian_prod(&[&x[0], &x[1]]).square()),
        case("histogram by index_add", [x([65]), x([3]).listed(borders), x([65])], |x| {
            x[0].histogram(&x[1], Some(&x[2]))
        })
        .constant(),
        case("histc by index_add", [x([65])], |x| x[0].histc(7, -1.0, 1.0)).constant(),
        case("quantile_by the middle", [x([4, 7]).distinct()], |x| {
            x[0].quantile_by(0.4, 1, KeepDims::No, Interpolation::Midpoint)
        }),
        case("nanquantile by gather", [x([4, 7]).distinct()], |x| {
            x[0].nanquantile(0.3, 0, KeepDims::Yes, Interpolation::Linear)
        }),
        case("trapezoid", [x([3, 6])], |x| x[0].trapezoid(0.5, 1)),
        case("cov_weighed", [x([3, 6]), x([6]).within(0.5, 2.0)], |x| x[0].cov_weighed(1, None, Some(&x[1]))),
        case("corrcoef", [x([3, 6])], |x| x[0].corrcoef()).compared(),
        case("pdist by index_select", [x([5, 3])], |x| x[0].pdist(2.0)),
        case("pairwise_distance", [x([5, 3]), x([5, 3])], |x| x[0].pairwise_distance(&x[1], 3.0, 1e-6, KeepDims::No)),
        case("renorm by where", [x([4, 5]).within(0.5, 2.0)], |x| x[0].renorm(2.0, 0, 1.0)),
    ]
}

fn images() -> Vec<Case> {
    let options = MaxPool3dOptions { stride: [1, 2, 1], ..MaxPool3dOptions::new(2) };
    let same = Conv3dOptions { dilation: [1, 2, 1], ..Conv3dOptions::default() };
    vec![
        case("interpolate_nd of sequences: upsample", [x([2, 3, 5])], |x| {
            x[0].interpolate_nd(&[8], Upsampling::Bilinear)
        }),
        case("interpolate_nd of volumes: upsample", [x([1, 2, 3, 4, 5])], |x| {
            x[0].interpolate_nd(&[5, 3, 7], Upsampling::BilinearAligned)
        }),
        case("upsample_nd: upsample", [x([1, 2, 2, 3, 4])], |x| {
            x[0].upsample_nd(&[1.5, 2.0, 0.6], Upsampling::Nearest)
        }),
        case("layers of sequences and volumes: upsample", [x([2, 3, 5]), x([1, 2, 2, 3, 4])], |x| {
            let ctx = Ctx::train();
            let longer = Upsample::new(2.0, Upsampling::Bilinear).forward(&x[0], &ctx);
            let fixed = Upsample::to_size([7], Upsampling::Nearest).forward(&x[0], &ctx);
            let volume = Upsample::with([1.5, 2.0, 0.6], Upsampling::Bilinear).forward(&x[1], &ctx);
            longer.square().sum().add(&fixed.square().sum()).add(&volume.square().sum())
        })
        .defined(|x| {
            let longer = x[0].upsample_nd(&[2.0], Upsampling::Bilinear);
            let fixed = x[0].interpolate_nd(&[7], Upsampling::Nearest);
            let volume = x[1].upsample_nd(&[1.5, 2.0, 0.6], Upsampling::Bilinear);
            longer.square().sum().add(&fixed.square().sum()).add(&volume.square().sum())
        }),
        case("max_pool3d_indices by gather", [x([1, 2, 4, 5, 4]).distinct()], move |x| {
            let (values, index) = x[0].max_pool3d_indices(options);
            values.max_unpool3d(&index, [4, 5, 4]).add(&x[0]).square()
        })
        .compared(),
        case("adaptive_max_pool2d_indices by gather", [x([2, 2, 7, 5]).distinct()], |x| {
            let (values, index) = x[0].adaptive_max_pool2d_indices([3, 2]);
            values.add(&index.cast(DType::F32))
        }),
        case("adaptive_max_pool3d_indices by gather", [x([1, 2, 5, 4, 3]).distinct()], |x| {
            let (values, index) = x[0].adaptive_max_pool3d_indices([2, 3, 2]);
            values.add(&index.cast(DType::F32))
        }),
        case("max_unpool1d by scatter", [x([2, 3, 8]).distinct()], |x| {
            let (values, index) =
                x[0].max_pool1d_indices(MaxPool1dOptions { ceil_mode: true, ..MaxPool1dOptions::new(3) });
            values.max_unpool1d(&index, 8).add(&x[0]).square()
        })
        .compared(),
        case("adaptive_max_pool1d_indices by gather", [x([2, 3, 7]).distinct()], |x| {
            let (values, index) = x[0].adaptive_max_pool1d_indices(3);
            values.add(&index.cast(DType::F32))
        }),
        case("lp_pool1d: avg_pool", [x([2, 3, 9]).within(0.2, 2.0)], |x| x[0].lp_pool1d(LpPoolOptions::new(3.0, 2))),
        case("lp_pool2d: avg_pool", [x([2, 2, 7, 6])], |x| {
            x[0].lp_pool2d(LpPoolOptions { stride: [2, 1], ceil_mode: true, ..LpPoolOptions::new(2.0, 3) })
        }),
        case("lp_pool3d: avg_pool", [x([1, 2, 4, 4, 3])], |x| x[0].lp_pool3d(LpPoolOptions::new(2.0, 2))),
        case("lp_pool1d of zeros", [x([1, 1, 4]).listed(&[0.0, 0.0, 3.0, 4.0])], |x| {
            x[0].lp_pool1d(LpPoolOptions::new(2.0, 2))
        })
        .gives(&[0.0, 5.0])
        .sloped(0, &[0.0, 0.0, 0.6, 0.8])
        .compared(),
        case(
            "fractional_max_pool2d by gather",
            [x([2, 2, 7, 6]).distinct(), x([2, 2, 2]).within(0.0, 0.9).detached()],
            |x| {
                let (values, index) = x[0].fractional_max_pool2d_indices([2, 3], [4, 3], &x[1]);
                values.add(&index.cast(DType::F32))
            },
        ),
        case(
            "fractional_max_pool3d by gather",
            [x([1, 2, 5, 4, 4]).distinct(), x([1, 2, 3]).within(0.0, 0.9).detached()],
            |x| x[0].fractional_max_pool3d([2, 1, 2], [3, 2, 2], &x[1]),
        ),
        case("affine_grid by matmul", [x([2, 2, 3])], |x| x[0].affine_grid(&[3, 4], false)),
        case("affine_grid of volumes", [x([2, 3, 4])], |x| x[0].affine_grid(&[2, 1, 3], true)),
        case("gradient at places", [x([5, 6]), x([6]).listed(&[-1.0, 0.0, 0.5, 2.0, 2.5, 4.0]).detached()], |x| {
            x[0].gradient(&x[1], 1, 2)
        })
        .compared(),
        case("gradient", [x([5, 3])], |x| x[0].gradient(0.5, 0, 1)),
        case("frexp_mantissa frexp_exponent", [x([65]).within(0.1, 30.0)], |x| {
            let (m, e) = x[0].frexp();
            m.mul(&e.cast(DType::F32).affine(1.0, 9.0))
        })
        .compared(),
        case("tensordot of named dimensions", [x([2, 3, 4]), x([4, 5, 3])], |x| {
            x[0].tensordot(&x[1], ([2, 1], [0, 2]))
        })
        .defined(|x| Tensor::einsum("abc,cdb->ad", &[&x[0], &x[1]])),
        case("where of whole numbers", [whole([3, 5], -4, 4), whole([5], -9, 9)], |x| {
            x[0].gt(0).where_(&x[0], &x[1]).cast(DType::F32)
        })
        .constant(),
        case("conv3d_same: conv2d", [x([1, 2, 3, 5, 4]), x([2, 2, 2, 3, 2])], move |x| {
            x[0].conv3d_same(&x[1], None, same)
        }),
    ]
}

fn losses() -> Vec<Case> {
    let poisson = |log_input, full| PoissonNllOptions { log_input, full, ..PoissonNllOptions::default() };
    let triplet =
        TripletMarginOptions { swap: true, p: 1.5, reduction: Reduction::Sum, ..TripletMarginOptions::default() };
    vec![
        case("poisson_nll_loss_with rates", [x([4, 5]).within(0.2, 3.0), whole([4, 5], 0, 6)], move |x| {
            x[0].poisson_nll_loss_with(&x[1], &poisson(false, true))
        }),
        case("poisson_nll_loss_with all", [x([4, 5]), whole([4, 5], 0, 6)], move |x| {
            x[0].poisson_nll_loss_with(&x[1], &poisson(true, true))
        }),
        case("triplet_margin_loss_with swap", [x([4, 5]), x([4, 5]), x([4, 5])], move |x| {
            x[0].triplet_margin_loss_with(&x[1], &x[2], &triplet)
        })
        .compared(),
    ]
}

fn stacked() -> Vec<Case> {
    let ends: &'static [f32] = &[1.0, 1.0, -1.0, 2.0, f32::INFINITY, NAN];
    let others: &'static [f32] = &[2.0, -9.0, f32::INFINITY, 2.0, 0.0, 1.0];
    let draw = |x: &Tensor, stream| Draw { seed: 3, stream, step: x.clone(), offset: 0 };
    let slopes = |a: &Tensor, x: &Tensor| a.detach().igamma(x).add(&a.detach().igammac(x).affine(-0.5, 0.0));
    vec![
        case("igamma igammac", [x([65]).within(0.2, 9.0).detached(), x([65]).within(0.2, 12.0)], move |x| {
            slopes(&x[0], &x[1])
        }),
        case(
            "igamma igammac of rows",
            [x([33, 1]).within(0.02, 1.5).detached(), x([32]).within(0.02, 3.0)],
            move |x| slopes(&x[0], &x[1]),
        )
        .compared(),
        case(
            "igamma far out",
            [x([64, 1]).within(0.1, 300.0).detached(), x([64]).detached().within(0.1, 300.0)],
            |x| x[0].igamma(&x[1]),
        )
        .constant(),
        case("igammac far out", [x([64, 1]).within(0.1, 60.0).detached(), x([64]).detached().within(0.1, 90.0)], |x| {
            x[0].igammac(&x[1])
        })
        .constant(),
        // Of f32 alone: what comes as halves is widened.
        case("nextafter", [x([65]), x([65])], |x| {
            let [a, b] = [&x[0], &x[1]].map(|x| x.cast(DType::F32));
            a.nextafter(&b)
        })
        .compared(),
        case("nextafter at ends", [x([6]).listed(ends), x([6]).listed(others)], |x| {
            let [a, b] = [&x[0], &x[1]].map(|x| x.cast(DType::F32).detach());
            // By 2^24 below 1 and 2^23 above it.
            a.nextafter(&b).sub(&a).affine(8_388_608.0, 0.0)
        })
        .gives(&[1.0, -0.5, 0.5, 0.0, f32::NEG_INFINITY, NAN])
        .constant(),
        case("vander: pow", [x([5]).avoiding(&[0.0])], |x| x[0].vander(Some(4), false)),
        case("vander of zeros: pow", [x([2]).listed(&[0.0, 3.0])], |x| x[0].detach().vander(None, true))
            .gives(&[1.0, 0.0, 1.0, 3.0])
            .constant(),
        case("block_diag: pad", [x([2, 3]), x([2]), x([])], |x| Tensor::block_diag(&[&x[0], &x[1], &x[2]]).square()),
        case("hstack vstack dstack", [x([2, 3]), x([2, 3])], |x| {
            let pair = [&x[0], &x[1]];
            let all = [Tensor::hstack(&pair), Tensor::vstack(&pair), Tensor::dstack(&pair)].map(|y| y.reshape(-1));
            Tensor::hstack(&all.each_ref()).square()
        }),
        case("column_stack of vectors", [x([4]), x([4, 2])], |x| Tensor::column_stack(&[&x[0], &x[1]]).square()),
        case("combinations by index_select", [x([5])], |x| x[0].combinations(3, true).square()),
        case("roll of several dimensions", [x([3, 4, 2])], |x| x[0].roll([1, -2], [0, 1]).mul(&x[0].roll(5, ()))),
        case("cumulative_trapezoid at places: cumsum", [x([3, 6]), x([6])], |x| x[0].cumulative_trapezoid(&x[1], 1)),
        case("trapezoid at places", [x([4, 3]), x([4])], |x| x[0].trapezoid(&x[1], 0)),
        case("logaddexp2", [x([33]), x([33])], |x| x[0].logaddexp2(&x[1])),
        case("std_mean", [x([3, 7])], |x| {
            let (spread, mean) = x[0].std_mean(&[1], 1, KeepDims::No);
            spread.mul(&mean)
        }),
        case("rrelu: uniform", [x([65]).avoiding(&[0.0]), whole([2], 0, 9)], move |x| {
            x[0].rrelu(0.125, 0.5, &draw(&x[1], 70_001))
        }),
        case("feature_alpha_dropout: dropout", [x([3, 5, 2, 4]), whole([2], 0, 9)], move |x| {
            x[0].feature_alpha_dropout(0.4, &draw(&x[1], 70_002))
        }),
        case("bits of truth values", [whole([33], 0, 2), whole([33], 0, 2)], |x| {
            let [a, b] = [&x[0], &x[1]].map(|x| x.cast(DType::Bool));
            a.bitwise_and(&b).bitwise_xor(&a.bitwise_not()).cast(DType::F32)
        })
        .constant(),
        case("lcm of whole numbers", [whole([33], -40, 40), whole([33], -30, 30)], |x| {
            x[0].lcm(&x[1]).cast(DType::F32)
        })
        .constant(),
        case("searchsorted by comparisons", [x([4, 3]).distinct(), x([4, 9])], |x| {
            x[0].sort(1, Order::Ascending).0.searchsorted(&x[1], true).cast(DType::F32)
        })
        .constant(),
    ]
}

pub fn cases() -> Vec<Case> {
    [functions(), places(), bins(), images(), losses(), stacked()].into_iter().flatten().collect::<Vec<Case>>()
}
