//! Tensors as text.

use super::Tensor;
use crate::dtype::{Convert, by_dtype};
use std::fmt;

/// Longer tensors show the ends of each dimension only.
const WHOLE: usize = 1000;
/// Decimals where none are asked for.
const DECIMALS: usize = 4;
/// The number of elements that an end shows.
const EDGE: usize = 3;

impl Tensor {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(DECIMALS);
        let values: crate::Result<Vec<String>> = by_dtype!(self.dtype(), T => self.to_vec::<T>().map(|values| {
            if self.dtype().is_float() {
                let values: Vec<f32> = values.iter().map(|v| f32::of(v.number())).collect();
                return strings(&values, &self.shape(), decimals);
            }
            values.iter().map(T::to_string).collect()
        }));
        match values {
            Ok(values) => nested(f, &self.shape(), &values, self.numel() > WHOLE, 0),
            Err(error) => write!(f, "<{error}>"),
        }
    }
}

/// Whether the element at this place is shown where only the ends of dimensions are.
fn is_shown(shape: &[usize], mut at: usize) -> bool {
    shape.iter().rev().all(|&size| {
        let here = at % size;
        at /= size;
        size <= 2 * EDGE || here < EDGE || here >= size - EDGE
    })
}

/// So many decimals, or scientific notation where four of them would hide a value.
fn strings(values: &[f32], shape: &[usize], decimals: usize) -> Vec<String> {
    let cut = values.len() > WHOLE;
    let shown = values.iter().enumerate().filter(|(at, _)| !cut || is_shown(shape, *at));
    let sizes = shown.map(|(_, v)| v.abs()).filter(|v| v.is_finite() && *v > 0.0);
    let (least, most) = sizes.fold((f32::MAX, 0.0f32), |(lo, hi), v| (lo.min(v), hi.max(v)));
    let scientific = most > 0.0 && (!(1e-3..1e6).contains(&most) || least < 5e-5);
    values.iter().map(|v| if scientific { format!("{v:.decimals$e}") } else { format!("{v:.decimals$}") }).collect()
}

fn nested(f: &mut fmt::Formatter<'_>, shape: &[usize], values: &[String], cut: bool, depth: usize) -> fmt::Result {
    let Some((&size, rest)) = shape.split_first() else {
        return f.write_str(values.first().map_or("", String::as_str));
    };
    let step = rest.iter().product::<usize>();
    f.write_str("[")?;
    let mut i = 0;
    while i < size {
        if i > 0 {
            f.write_str(",")?;
            if rest.is_empty() { f.write_str(" ")? } else { write!(f, "\n{:1$}", "", depth + 1)? }
        }
        if cut && i == EDGE && size > 2 * EDGE {
            f.write_str("..")?;
            i = size - EDGE;
            continue;
        }
        nested(f, rest, &values[i * step..(i + 1) * step], cut, depth + 1)?;
        i += 1;
    }
    f.write_str("]")
}

/// The values, then type and shape. `{:.2}` asks for two decimals, where else there are four.
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f)?;
        write!(f, " {} {}", self.dtype(), self.shape())
    }
}

/// Type, shape, device, name and whether it is tracked, then the values.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor {} {} on {}", self.dtype(), self.shape(), self.device())?;
        if let Some(name) = self.name() {
            write!(f, " ({name})")?;
        }
        f.write_str(if self.is_tracked() { ", tracked\n" } else { "\n" })?;
        self.show(f)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Device, Tensor};

    #[test]
    fn values_and_shape() {
        let device = Device::cpu();
        let x = Tensor::from_slice(&[1.0f32, -2.5, 0.0, 3.25], [2, 2], &device);
        assert_eq!(x.to_string(), "[[1.0000, -2.5000],\n [0.0000, 3.2500]] f32 [2, 2]");
        assert_eq!(format!("{x:.1}"), "[[1.0, -2.5],\n [0.0, 3.2]] f32 [2, 2]");
        assert_eq!(format!("{:.2}", &x * 1e9), "[[1.00e9, -2.50e9],\n [0.00e0, 3.25e9]] f32 [2, 2]");
        let small = Tensor::from_slice(&[1e-8f32, 1.0], [2], &device);
        assert_eq!(small.to_string(), "[1.0000e-8, 1.0000e0] f32 [2]");
        // What is not shown has no say.
        let long = Tensor::ones([4000], &device);
        long.i(2000).assign(&Tensor::full([], 1e-8, &device));
        assert!(long.to_string().starts_with("[1.0000, 1.0000, 1.0000, .."), "{long}");
        assert_eq!(format!("{:.0}", Tensor::scalar(7i32, &device)), "7 i32 []");
        assert!(format!("{x:.0?}").ends_with("[[1, -2],\n [0, 3]]"));
        assert_eq!(x.permute(&[1, 0]).to_string(), "[[1.0000, 0.0000],\n [-2.5000, 3.2500]] f32 [2, 2]");
        assert_eq!(Tensor::scalar(7i32, &device).to_string(), "7 i32 []");
        assert_eq!(Tensor::scalar(1e-9f32, &device).to_string(), "1.0000e-9 f32 []");
        let named = format!("{:?}", x.named("fc.weight").requires_grad());
        assert!(named.starts_with("Tensor f32 [2, 2] on CPU backend"), "{named}");
        assert!(named.contains("(fc.weight), tracked\n[[1.0000"), "{named}");
    }

    #[test]
    fn long_tensors_show_their_ends() {
        let x = Tensor::arange(0, 2000, &Device::cpu());
        assert_eq!(x.to_string(), "[0, 1, 2, .., 1997, 1998, 1999] i32 [2000]");
    }
}
