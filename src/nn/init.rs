//! First values of parameters, under the names of `torch.nn.init`. They overwrite a parameter in place and are drawn on the
//! host: one seed gives the same weights on every device.
//!
//! ```
//! use wgrad::nn::init::{Fan, Nonlinearity, kaiming_normal, zeros};
//! use wgrad::nn::{Conv2d, Init};
//! let mut init = Init::new(0, &wgrad::Device::cpu());
//! let conv = Conv2d::new(3, 16, 3, &mut init);
//! kaiming_normal(&conv.weight, Fan::Out, Nonlinearity::Relu, &mut init.rng);
//! zeros(conv.bias.as_ref().expect("it has one"));
//! ```

use super::parameter::Parameter;
use crate::rng::{Rng, check_range};
use crate::shape::Shape;
use std::f64::consts::FRAC_1_SQRT_2;

/// Which of a weight's two widths keeps its variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fan {
    /// The inputs: values keep their size on the way forward.
    #[default]
    In,
    /// The outputs: gradients keep theirs on the way back.
    Out,
}

/// The function that follows a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Nonlinearity {
    /// Nothing.
    Linear,
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// Zero below 0.
    Relu,
    /// This slope below 0.
    LeakyRelu(f32),
    /// The scaled exponential unit.
    Selu,
}

/// The factor that makes up for what follows a layer: `torch.nn.init.calculate_gain`.
pub fn calculate_gain(nonlinearity: Nonlinearity) -> f32 {
    match nonlinearity {
        Nonlinearity::Linear | Nonlinearity::Sigmoid => 1.0,
        Nonlinearity::Tanh => 5.0 / 3.0,
        Nonlinearity::Relu => 2f32.sqrt(),
        Nonlinearity::LeakyRelu(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
        Nonlinearity::Selu => 0.75,
    }
}

/// The inputs and outputs that one element of a weight `[out, in, ..]` is among.
///
/// # Panics
/// If there are fewer than two dimensions.
#[track_caller]
fn fans(op: &str, shape: Shape) -> (f32, f32) {
    assert!(shape.rank() >= 2, "{op}: {shape}: expected a weight [out, in, ..]");
    let field: usize = shape[2..].iter().product();
    ((shape[1] * field) as f32, (shape[0] * field) as f32)
}

fn draw(parameter: &Parameter, mut each: impl FnMut() -> f32) {
    let tensor = parameter.tensor();
    let values: Vec<f32> = (0..tensor.numel()).map(|_| each()).collect();
    tensor.upload(&values);
}

/// Uniform in `low..high`.
///
/// # Panics
/// If `low` is above `high`, one is NaN, or they are farther apart than the largest f32.
#[track_caller]
pub fn uniform(parameter: &Parameter, low: f32, high: f32, rng: &mut Rng) {
    if parameter.shape().numel() > 0 {
        check_range(low, high);
    }
    draw(parameter, || rng.within(low, high));
}

/// Normal.
pub fn normal(parameter: &Parameter, mean: f32, std: f32, rng: &mut Rng) {
    draw(parameter, || mean + std * rng.normal());
}

/// Normal, but only between `low` and `high` (PyTorch's defaults: mean 0, standard deviation 1, between -2 and 2).
///
/// # Panics
/// If `low` is not less than `high`.
#[track_caller]
pub fn trunc_normal(parameter: &Parameter, mean: f32, std: f32, low: f32, high: f32, rng: &mut Rng) {
    assert!(low < high, "trunc_normal: {low}..{high} is no range");
    let below = |x: f64| 0.5 * libm::erfc(-x * FRAC_1_SQRT_2);
    let [first, last] = [low, high].map(|bound| f64::from((bound - mean) / std));
    if below(last) - below(first) > 0.2 {
        // Most draws fit.
        return draw(parameter, || {
            loop {
                let value = mean + std * rng.normal();
                if (low..=high).contains(&value) {
                    return value;
                }
            }
        });
    }
    draw(parameter, || {
        let share = below(first) + (below(last) - below(first)) * f64::from(rng.uniform());
        let (mut from, mut to) = (first, last);
        // Each halving is a bit, and more than 53 of them change nothing.
        for _ in 0..53 {
            let middle = 0.5 * (from + to);
            if below(middle) < share { from = middle } else { to = middle }
        }
        (mean + std * (0.5 * (from + to)) as f32).clamp(low, high)
    });
}

/// Every value the same.
pub fn constant(parameter: &Parameter, value: f32) {
    draw(parameter, || value);
}

/// Zeros.
pub fn zeros(parameter: &Parameter) {
    constant(parameter, 0.0);
}

/// Ones.
pub fn ones(parameter: &Parameter) {
    constant(parameter, 1.0);
}

/// Uniform within `gain * sqrt(6 / (in + out))` (Glorot and Bengio, 2010; PyTorch's default gain is 1).
///
/// # Panics
/// If there are fewer than two dimensions, here as in the functions below.
#[track_caller]
pub fn xavier_uniform(parameter: &Parameter, gain: f32, rng: &mut Rng) {
    let (inputs, outputs) = fans("xavier_uniform", parameter.shape());
    let bound = gain * (6.0 / (inputs + outputs)).sqrt();
    uniform(parameter, -bound, bound, rng);
}

/// Normal with a deviation of `gain * sqrt(2 / (in + out))`.
#[track_caller]
pub fn xavier_normal(parameter: &Parameter, gain: f32, rng: &mut Rng) {
    let (inputs, outputs) = fans("xavier_normal", parameter.shape());
    normal(parameter, 0.0, gain * (2.0 / (inputs + outputs)).sqrt(), rng);
}

#[track_caller]
fn kaiming(op: &str, parameter: &Parameter, fan: Fan, nonlinearity: Nonlinearity) -> f32 {
    let (inputs, outputs) = fans(op, parameter.shape());
    calculate_gain(nonlinearity) / if fan == Fan::In { inputs } else { outputs }.sqrt()
}

/// Uniform within `gain * sqrt(3 / fan)` (He et al., 2015).
#[track_caller]
pub fn kaiming_uniform(parameter: &Parameter, fan: Fan, nonlinearity: Nonlinearity, rng: &mut Rng) {
    let bound = 3f32.sqrt() * kaiming("kaiming_uniform", parameter, fan, nonlinearity);
    uniform(parameter, -bound, bound, rng);
}

/// Normal with a deviation of `gain / sqrt(fan)`.
#[track_caller]
pub fn kaiming_normal(parameter: &Parameter, fan: Fan, nonlinearity: Nonlinearity, rng: &mut Rng) {
    let std = kaiming("kaiming_normal", parameter, fan, nonlinearity);
    normal(parameter, 0.0, std, rng);
}

/// `gain` times a matrix `[out, in * ..]` whose rows (or columns, if there are fewer) are orthogonal and of length 1 (Saxe
/// et al., 2014).
///
/// # Panics
/// If the parameter has less than two dimensions.
#[track_caller]
pub fn orthogonal(parameter: &Parameter, gain: f32, rng: &mut Rng) {
    let shape = parameter.shape();
    assert!(shape.rank() >= 2, "orthogonal: {shape}: expected a weight [out, in, ..]");
    let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
    let (short, long) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(short);
    while vectors.len() < short {
        let mut vector: Vec<f64> = (0..long).map(|_| f64::from(rng.normal())).collect();
        // Twice, since what rounding leaves of the others the first time is gone the second.
        for _ in 0..2 {
            for other in &vectors {
                let shared: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= shared * b);
            }
            let length = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
            vector.iter_mut().for_each(|a| *a /= length);
        }
        vectors.push(vector);
    }
    let mut at = 0;
    draw(parameter, || {
        let (row, column) = (at / columns, at % columns);
        at += 1;
        gain * if rows <= columns { vectors[row][column] } else { vectors[column][row] } as f32
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::tensor::Tensor;

    /// The values of a weight of this shape after `each`.
    fn drawn(shape: &[usize], each: impl Fn(&Parameter, &mut Rng)) -> Vec<f32> {
        let parameter = Parameter::new(Tensor::full(shape, f32::NAN, &Device::cpu()));
        each(&parameter, &mut Rng::new(7));
        parameter.tensor().to_vec().expect("the device works")
    }

    /// Mean, standard deviation, least and largest.
    fn measured(values: &[f32]) -> [f64; 4] {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        let ends = values.iter().fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        [mean, variance.sqrt(), ends.0.into(), ends.1.into()]
    }

    #[track_caller]
    fn spreads(values: &[f32], std: f64, bound: f64) {
        let [mean, found, least, most] = measured(values);
        assert!(
            mean.abs() < 0.02 * std && (found - std).abs() < 0.02 * std,
            "mean {mean}, deviation {found}, not {std}"
        );
        assert!(least >= -bound && most <= bound, "{least}..{most}, not within {bound}");
    }

    #[test]
    fn deviations_and_bounds_are_those_of_pytorch() {
        // 64 * 9 inputs, 32 * 9 outputs.
        let shape = [32, 64, 3, 3];
        let xavier = (2.0f64 / (576.0 + 288.0)).sqrt();
        spreads(&drawn(&shape, |p, rng| xavier_normal(p, 1.0, rng)), xavier, 1.0);
        spreads(&drawn(&shape, |p, rng| xavier_uniform(p, 2.0, rng)), 2.0 * xavier, 2.0 * xavier * 3f64.sqrt() + 1e-6);
        let relu = |p: &Parameter, rng: &mut Rng| kaiming_normal(p, Fan::Out, Nonlinearity::Relu, rng);
        spreads(&drawn(&shape, relu), (2.0f64 / 288.0).sqrt(), 1.0);
        let leaky = |p: &Parameter, rng: &mut Rng| kaiming_uniform(p, Fan::In, Nonlinearity::LeakyRelu(0.5), rng);
        let std = (2.0f64 / 1.25 / 576.0).sqrt();
        spreads(&drawn(&shape, leaky), std, std * 3f64.sqrt() + 1e-6);
        spreads(&drawn(&shape, |p, rng| uniform(p, -0.5, 0.5, rng)), (1.0f64 / 12.0).sqrt(), 0.5);
        // A normal distribution between -2 and 2 has a deviation of 0.8796.
        spreads(&drawn(&shape, |p, rng| trunc_normal(p, 0.0, 0.5, -1.0, 1.0, rng)), 0.43981, 1.0);
        assert!(drawn(&shape, |p, _| constant(p, 2.5)).iter().all(|v| *v == 2.5));
    }

    #[test]
    fn a_tail_is_drawn_too() {
        let values = drawn(&[30_000], |p, rng| trunc_normal(p, 1.0, 1.0, 4.0, 9.0, rng));
        let [mean, _, least, most] = measured(&values);
        // The mean beyond three deviations: 3 + 1 / (3 + 1 / (3 + 2 / (3 + ..))) of a standard normal variable.
        assert!((mean - 1.0 - 3.2831).abs() < 0.01 && least >= 4.0 && most <= 9.0, "{mean}, {least}..{most}");
    }

    #[test]
    fn rows_or_columns_are_orthogonal() {
        for (rows, columns) in [(6, 20), (20, 6), (9, 9)] {
            let values = drawn(&[rows, columns], |p, rng| orthogonal(p, 2.0, rng));
            let (short, [step, along]) = if rows <= columns { (rows, [columns, 1]) } else { (columns, [1, columns]) };
            for a in 0..short {
                for b in 0..short {
                    let product: f32 = (0..rows.max(columns))
                        .map(|i| values[a * step + i * along] * values[b * step + i * along])
                        .sum();
                    let want = if a == b { 4.0 } else { 0.0 };
                    assert!((product - want).abs() < 1e-5, "{rows} x {columns}: {a} and {b} give {product}");
                }
            }
        }
    }
}
