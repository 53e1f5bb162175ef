//! What each operation of a description means: the method of its name.

use super::program::{float, sizes, whole};
use crate::dtype::DType;
use crate::ops::attention::AttentionOptions;
use crate::ops::conv::{Conv2dOptions, ConvTranspose2dOptions};
use crate::ops::division::Rounding;
use crate::ops::pool::{AvgPool2dOptions, MaxPool2dOptions};
use crate::ops::recurrent::{Cell, Direction, Recurrence, States};
use crate::ops::reduce::KeepDims;
use crate::ops::topk::Extreme;
use crate::ops::upsample::Upsampling;
use crate::shape::{Layout, MAX_RANK, Shape};
use crate::tensor::Tensor;
use serde_json::{Map, Value as Json};

/// What an operation is given: its name, tensors and attributes, and the size of the batch.
struct Given<'a> {
    op: &'a str,
    x: &'a [&'a Tensor],
    attributes: &'a Map<String, Json>,
    batch: usize,
}

type Made<T> = std::result::Result<T, String>;

impl Given<'_> {
    fn x(&self, at: usize) -> Made<&Tensor> {
        let found = self.x.get(at).copied();
        found.ok_or_else(|| format!("`{}` reads {} tensors, and needs one more", self.op, self.x.len()))
    }

    fn attribute<T>(&self, name: &str, read: impl Fn(&Json) -> Option<T>) -> Made<T> {
        let found = self.attributes.get(name).and_then(read);
        found.ok_or_else(|| format!("`{}` has no `{name}`, or another than it takes", self.op))
    }

    fn int(&self, name: &str) -> Made<isize> {
        self.attribute(name, |value| whole(value, self.batch)).map(|value| value as isize)
    }

    fn size(&self, name: &str) -> Made<usize> {
        usize::try_from(self.int(name)?).map_err(|_| format!("`{}` has a negative `{name}`", self.op))
    }

    fn sizes(&self, name: &str) -> Made<Vec<usize>> {
        self.attribute(name, |value| sizes(value, self.batch))
    }

    fn dims(&self, name: &str) -> Made<Vec<isize>> {
        let read = |value: &Json| {
            let all = value.as_array()?.iter().map(|value| whole(value, self.batch).map(|value| value as isize));
            all.collect::<Option<Vec<_>>>()
        };
        self.attribute(name, read)
    }

    fn two(&self, name: &str) -> Made<[usize; 2]> {
        let all = self.sizes(name)?;
        all.try_into().map_err(|_| format!("`{}` has no two numbers as `{name}`", self.op))
    }

    fn shape(&self, name: &str) -> Made<Shape> {
        let all = self.sizes(name)?;
        if all.len() <= MAX_RANK { Ok(Shape::from(all)) } else { Err(format!("`{}`: {all:?} is too long", self.op)) }
    }

    fn float(&self, name: &str) -> Made<f32> {
        self.attribute(name, float)
    }

    fn is(&self, name: &str) -> Made<bool> {
        self.attribute(name, Json::as_bool)
    }

    fn keep(&self) -> Made<KeepDims> {
        Ok(if self.is("keep")? { KeepDims::Yes } else { KeepDims::No })
    }

    /// The one of several values whose name an attribute is.
    fn one<T: std::fmt::Debug + Copy>(&self, name: &str, all: &[T]) -> Made<T> {
        self.attribute(name, |value| all.iter().find(|one| Some(&*format!("{one:?}")) == value.as_str()).copied())
    }

    fn direction(&self) -> Made<Direction> {
        self.one("direction", &[Direction::Forward, Direction::Reverse])
    }
}

macro_rules! table {
    (
        plain: $($plain:ident)*;
        of_floats: $($of_floats:ident($($number:ident),*))*;
        of_two: $($of_two:ident)*;
        others: $($($name:literal)|+ => |$given:ident, $x:ident| $body:expr;)*
    ) => {
        /// Whether an operation has a meaning here.
        pub(super) fn knows(op: &str) -> bool {
            const PLAIN: &[&str] = &[$(stringify!($plain),)* $(stringify!($of_floats),)* $(stringify!($of_two),)*];
            PLAIN.contains(&op) || [$($($name,)+)*].contains(&op)
        }

        /// The result of an operation; what does not fit about its tensors is a panic, as elsewhere.
        #[track_caller]
        pub(super) fn apply(op: &str, x: &[&Tensor], attributes: &Map<String, Json>, batch: usize) -> Made<Tensor> {
            let given = &Given { op, x, attributes, batch };
            let x = given.x(0)?;
            Ok(match op {
                $(stringify!($plain) => x.$plain(),)*
                $(stringify!($of_floats) => x.$of_floats($(given.float(stringify!($number))?),*),)*
                $(stringify!($of_two) => x.$of_two(given.x(1)?),)*
                $($($name)|+ => {
                    let ($given, $x) = (given, x);
                    $body
                })*
                _ => return Err(format!("this version has no operation `{op}`")),
            })
        }
    };
}

table! {
    plain: exp log sqrt rsqrt reciprocal abs sin cos tanh sigmoid relu gelu gelu_tanh silu softplus square erf hardswish
        hardsigmoid softsign mish selu logsigmoid log1p expm1 log2 log10 tan asin acos atan sinh cosh asinh acosh atanh erfinv
        sign round floor ceil trunc median nanmedian;
    of_floats: affine(scale, shift) leaky_relu(negative_slope) elu(alpha) celu(alpha) clamp(min, max)
        hardtanh(min_val, max_val) threshold(threshold, value) hardshrink(lambd) softshrink(lambd) pow_scalar(exponent);
    of_two: add sub mul div pow maximum minimum fmod remainder atan2 logaddexp matmul eq ne lt le gt ge;
    others:
    "copy" => |_given, x| x.copy();
    "detach" => |_given, x| x.detach();
    "grid_sample" => |given, x| x.flat_in("grid_sample", &given.x[1..]);
    "requires_grad" => |_given, x| x.clone();
    "linear" => |given, x| x.linear(given.x(1)?, given.x.get(2).copied());
    "conv2d" => |given, x| x.conv2d(given.x(1)?, given.x.get(2).copied(), Conv2dOptions {
        stride: given.two("stride")?,
        padding: given.two("padding")?,
        dilation: given.two("dilation")?,
        groups: given.size("groups")?,
    });
    "conv_transpose2d" | "conv_transpose1d" | "conv_transpose3d" => |given, x| x.conv_transpose2d(given.x(1)?, None, ConvTranspose2dOptions {
        stride: given.two("stride")?,
        padding: given.two("padding")?,
        output_padding: given.two("output_padding")?,
        dilation: given.two("dilation")?,
        groups: given.size("groups")?,
    });
    "max_pool2d" | "max_pool1d" => |given, x| x.max_pool2d(MaxPool2dOptions {
        kernel_size: given.two("kernel_size")?,
        stride: given.two("stride")?,
        padding: given.two("padding")?,
        dilation: given.two("dilation")?,
        ceil_mode: false,
    });
    "avg_pool2d" | "avg_pool1d" => |given, x| x.avg_pool2d(AvgPool2dOptions {
        stride: given.two("stride")?,
        padding: given.two("padding")?,
        kernel_size: given.two("kernel_size")?,
        ..AvgPool2dOptions::new(1)
    });
    "adaptive_max_pool2d" | "adaptive_max_pool1d" => |given, x| x.adaptive_max_pool2d(given.two("output_size")?);
    "adaptive_avg_pool2d" | "adaptive_avg_pool1d" => |given, x| x.adaptive_avg_pool2d(given.two("output_size")?);
    "batch_norm_eval" => |given, x| {
        let (weight, bias) = (Some(given.x(1)?), Some(given.x(2)?));
        x.batch_norm_eval(given.x(3)?, given.x(4)?, weight, bias, given.float("eps")?)
    };
    "layer_norm" => |given, x| {
        let (weight, bias) = (given.x(1)?, given.x(2)?);
        let rows = rows(x, weight)?;
        rows.layer_norm(&weight.shape(), Some(weight), Some(bias), given.float("eps")?).reshape_to(x.shape())
    };
    "rms_norm" => |given, x| {
        let weight = given.x(1)?;
        rows(x, weight)?.rms_norm(&weight.shape(), Some(weight), given.float("eps")?).reshape_to(x.shape())
    };
    "group_norm" => |given, x| {
        // It is told of channels that come last.
        let (groups, eps) = (given.size("groups")?, given.float("eps")?);
        x.movedim(-1, 1).group_norm(groups, Some(given.x(1)?), given.x.get(2).copied(), eps).movedim(1, -1)
    };
    "embedding" => |given, x| x.embedding(given.x(1)?);
    "attention" => |given, x| {
        let heads = given.attributes.contains_key("heads");
        let options = AttentionOptions {
            is_causal: given.is("is_causal")?,
            mask: given.x.get(if heads { 1 } else { 3 }).map(|mask| (*mask).clone()),
            scale: given.attributes.get("scale").and_then(float),
            ..AttentionOptions::default()
        };
        match heads {
            true => x.self_attention(given.size("heads")?, &options),
            false => x.scaled_dot_product_attention(given.x(1)?, given.x(2)?, &options),
        }
    };
    "recurrent" => |given, x| {
        let cell = given.one("cell", &[Cell::Tanh, Cell::Relu, Cell::Lstm, Cell::Gru])?;
        let mut more = given.x.iter().skip(3).copied();
        // A bias has a dimension of gates, lengths are whole numbers.
        let bias = more.clone().find(|x| x.dtype().is_float());
        let lengths = more.find(|x| !x.dtype().is_float());
        let (weight, initial, direction) = (given.x(1)?, given.x(2)?, given.direction()?);
        x.recurrent(&Recurrence { cell, weight, bias, initial, lengths, direction }).all().clone()
    };
    "outputs" => |given, x| States::of(x.clone(), given.direction()?).outputs();
    "last" => |given, x| States::of(x.clone(), given.direction()?).last(given.size("part")?);
    "reshape" => |given, x| x.reshape_to(given.shape("shape")?);
    "expand" => |given, x| x.expand(given.shape("shape")?);
    "permute" => |given, x| x.permute(&given.dims("order")?);
    "narrow" => |given, x| x.narrow(given.int("dim")?, given.size("start")?, given.size("len")?);
    "diagonal" => |given, x| x.diagonal_at(given.int("offset")?, given.int("dim1")?, given.int("dim2")?);
    "index" => |given, x| {
        let (shape, strides) = (given.shape("shape")?, given.sizes("strides")?);
        let mut layout = Layout { offset: given.size("offset")?, ..Layout::contiguous(shape) };
        if strides.len() != shape.rank() {
            return Err("`index` has not a stride for each dimension".into());
        }
        layout.strides[..strides.len()].copy_from_slice(&strides);
        let x = x.contiguous();
        let last = shape.iter().zip(&strides).map(|(n, step)| n.saturating_sub(1).saturating_mul(*step));
        let last = last.fold(layout.offset, usize::saturating_add);
        if shape.numel() > 0 && last >= x.numel() {
            return Err(format!("`index` reaches past the elements of {}", x.shape()));
        }
        x.viewed_as(layout)
    };
    "cat" => |given, _x| Tensor::cat(given.x, given.int("dim")?);
    "pad" => |given, x| {
        let widths: Vec<(usize, usize)> = given.sizes("widths")?.chunks(2).map(|pair| (pair[0], pair[pair.len() - 1])).collect();
        x.pad(&widths, given.float("value")?)
    };
    "flip" => |given, x| x.flip(&given.dims("dims")?);
    "sum" => |given, x| x.sum_dims(&given.dims("dims")?, given.keep()?);
    "mean" => |given, x| x.mean_dims(&given.dims("dims")?, given.keep()?);
    "amax" => |given, x| x.amax(&given.dims("dims")?, given.keep()?);
    "amin" => |given, x| x.amin(&given.dims("dims")?, given.keep()?);
    "var" => |given, x| {
        let dims = given.dims("dims")?;
        let (shape, rank) = (x.shape(), x.rank().max(1) as isize);
        let count: usize = dims.iter().filter_map(|dim| shape.get(dim.rem_euclid(rank) as usize).copied()).product();
        x.var_dims(&dims, (count as f32 - given.float("divisor")?).max(0.0) as usize, given.keep()?)
    };
    "cdist" => |given, x| x.cdist(given.x(1)?, 2.0);
    "norm" => |given, x| x.norm(&given.dims("dims")?, given.keep()?);
    "argmax" => |given, x| x.argmax(given.int("dim")?);
    "topk_indices" => |given, x| {
        let extreme = if given.is("largest")? { Extreme::Largest } else { Extreme::Smallest };
        x.topk(given.size("k")?, given.int("dim")?, extreme).1
    };
    "softmax" => |given, x| x.softmax(given.int("dim")?);
    "log_softmax" => |given, x| x.log_softmax(given.int("dim")?);
    "cumsum" => |given, x| x.cumsum(given.int("dim")?);
    "cumprod" => |given, x| x.cumprod(given.int("dim")?);
    "index_add" => |given, x| x.index_add(given.int("dim")?, given.x(2)?, given.x(1)?);
    "index_copy" => |given, x| x.index_copy(given.int("dim")?, given.x(2)?, given.x(1)?);
    "gather" => |given, x| x.gather(given.int("dim")?, given.x(1)?);
    "index_select" => |given, x| x.index_select(given.int("dim")?, given.x(1)?);
    "prelu" => |given, x| x.sloped(given.x(1)?);
    "where" => |given, x| given.x(2)?.where_(x, given.x(1)?);
    "cast" => |given, x| {
        let of = |value: &Json| DType::ALL.into_iter().find(|dtype| Some(&*dtype.to_string()) == value.as_str());
        x.cast(given.attribute("dtype", of)?)
    };
    "div_rounded" => |given, x| {
        x.div_rounded(given.x(1)?, given.one("rounding", &[Rounding::Floor, Rounding::Trunc])?)
    };
    "interpolate" => |given, x| {
        let modes = [Upsampling::Nearest, Upsampling::Bilinear, Upsampling::BilinearAligned];
        let scale = [given.float("scale_h")?, given.float("scale_w")?];
        x.upsampled(given.two("size")?, scale, given.one("mode", &modes)?)
    };
}

/// The rows that a weight of one dimension normalises, whatever the shape around them.
fn rows(x: &Tensor, weight: &Tensor) -> Made<Tensor> {
    let (width, count) = (weight.numel(), x.numel());
    if weight.rank() != 1 || width == 0 || !count.is_multiple_of(width) {
        return Err(format!("{} has no rows for a weight of {}", x.shape(), weight.shape()));
    }
    Ok(x.reshape_to(Shape::from([count / width, width])))
}
