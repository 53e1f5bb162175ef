//! Gradients held against differences of the function.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// The step of the differences; a second pair takes twice of it.
const STEP: f32 = 0.01;
/// The distance of a slope from the differences, relative to its size, that passes.
const SLOPE: f64 = 3e-3;

/// The elements of an input and its gradient; nothing for an input that is passed as it is.
type At = Option<(Vec<f32>, Vec<f32>)>;

/// Holds the gradients of `f` at `inputs` against differences of `f`: those of the inputs that
/// [require a gradient](Tensor::requires_grad), while the others are passed as they are.
///
/// The gradient that comes from above is random, since mistakes hide where it is 1. For each input alone, along its
/// gradient, and for two random directions v of all of them, the slope `sum(gradient * v)` must be that of central
/// differences, whose error falls with the fourth power of the step (Richardson's extrapolation), to 0.3% and what f32
/// rounds. The numbers drawn are the same in every call. For an operation with a kernel of its own this checks the definition
/// on [`Device::cpu`](crate::Device::cpu); [`Device::checked`](crate::Device::checked) then holds the shaders against it.
///
/// Inputs are best of a few dozen elements about 1 in size, where `f` has no kink within 0.03: an element that moves
/// across the corner of a ReLU fails.
///
/// ```
/// use wgrad::{Device, Tensor, autograd::gradient_check};
/// let x = Tensor::from_slice(&[0.5f32, -1.0, 2.0], [3], &Device::cpu()).requires_grad();
/// gradient_check(|x| x[0].tanh(), std::slice::from_ref(&x))?;
///
/// // A gradient that forgets a factor.
/// let wrong = |x: &[Tensor]| x[0].detach().square().tracked("wrong", &[&x[0]], |dy, _| vec![Some(dy.clone())]);
/// assert!(gradient_check(wrong, &[x]).is_err());
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Mismatch`] with the direction, the slope and what differences give; where the result has no history, where a
/// gradient is not of its input's shape, or where the result is so large that rounding hides the slopes. The device's
/// first failure.
///
/// # Panics
/// If no input requires a gradient.
#[doc(alias = "gradcheck")]
#[track_caller]
pub fn gradient_check(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[Tensor]) -> Result<()> {
    assert!(inputs.iter().any(Tensor::is_tracked), "gradient_check: no input requires a gradient");
    let mut rng = Rng::new(0);
    let leaf = |input: &Tensor| if input.is_tracked() { input.detach().requires_grad() } else { input.clone() };
    let leaves: Vec<Tensor> = inputs.iter().map(leaf).collect();
    let y = f(&leaves);
    if !y.is_tracked() || y.dtype() != DType::F32 {
        return Err(mismatch("the result has no history: end the operation with Tensor::tracked"));
    }
    let upstream: Vec<f32> = (0..y.numel()).map(|_| length(&mut rng) * sign(&mut rng)).collect();
    let grads = y.backward_with(&Tensor::from_slice(&upstream, y.shape(), y.device()));
    let y = y.to_vec::<f32>()?;

    let mut at: Vec<At> = Vec::new();
    for (i, leaf) in leaves.iter().enumerate() {
        at.push(match (leaf.is_tracked(), grads.of(leaf)) {
            (false, _) => None,
            // Where nothing came, the gradient is said to be zero.
            (true, None) => Some((leaf.to_vec::<f32>()?, vec![0.0; leaf.numel()])),
            (true, Some(gradient)) if gradient.shape() == leaf.shape() => {
                Some((leaf.to_vec::<f32>()?, gradient.to_vec::<f32>()?))
            }
            (true, Some(gradient)) => {
                let text = format!("input {i} of {} has a gradient of {}", leaf.shape(), gradient.shape());
                return Err(mismatch(&text));
            }
        });
    }
    let value = |direction: &[Vec<f32>], step: f32| -> Result<f64> {
        let moved = inputs.iter().zip(&at).zip(direction).map(|((input, at), direction)| match at {
            None => input.clone(),
            Some((x, _)) => {
                let x: Vec<f32> = x.iter().zip(direction).map(|(x, v)| x + step * v).collect();
                Tensor::from_vec(x, input.shape(), input.device())
            }
        });
        let y = f(&moved.collect::<Vec<_>>()).to_vec::<f32>()?;
        Ok(y.iter().zip(&upstream).map(|(&y, &u)| f64::from(y) * f64::from(u)).sum())
    };
    let rounding: f64 = y.iter().zip(&upstream).map(|(&y, &u)| (f64::from(y) * f64::from(u)).powi(2)).sum();
    let noise = 2.0 * f64::from(f32::EPSILON) * rounding.sqrt() / f64::from(STEP);

    for (title, only) in directions(&at) {
        let direction = |(i, at): (usize, &At)| match at {
            None => Vec::new(),
            // Along the gradient, so that a factor that is wrong cannot hide.
            Some((_, gradient)) if only == Some(i) => gradient
                .iter()
                .map(|&g| length(&mut rng) * if g == 0.0 { sign(&mut rng) } else { g.signum() })
                .collect(),
            Some((_, gradient)) if only.is_some() => vec![0.0; gradient.len()],
            Some((_, gradient)) => gradient.iter().map(|_| length(&mut rng) * sign(&mut rng)).collect(),
        };
        let direction: Vec<Vec<f32>> = at.iter().enumerate().map(direction).collect();
        let terms: Vec<f64> = at
            .iter()
            .zip(&direction)
            .flat_map(|(at, v)| at.iter().flat_map(|(_, gradient)| gradient).zip(v))
            .map(|(&g, &v)| f64::from(g) * f64::from(v))
            .collect();
        let slope: f64 = terms.iter().sum();
        let scale = terms.iter().map(|term| term * term).sum::<f64>().sqrt().max(slope.abs());
        let central = |step: f32| -> Result<f64> {
            Ok((value(&direction, step)? - value(&direction, -step)?) / (2.0 * f64::from(step)))
        };
        let differences = (4.0 * central(STEP)? - central(2.0 * STEP)?) / 3.0;
        if only.is_some() && scale > 0.0 && noise > 2.0 * SLOPE * scale {
            let text = format!("{title} rounding of {noise:.1e} hides a slope of {slope:.1e}: take smaller inputs");
            return Err(mismatch(&text));
        }
        let off = (differences - slope).abs();
        if off.is_nan() || off > SLOPE * scale + noise {
            let text = format!("{title} the gradient gives a slope of {slope:.6}, differences give {differences:.6}");
            return Err(mismatch(&text));
        }
    }
    Ok(())
}

/// The name of each direction, and the only input that it moves; at random where that is none.
fn directions(at: &[At]) -> Vec<(String, Option<usize>)> {
    let alone = at.iter().enumerate().filter(|(_, at)| at.is_some());
    let mut all: Vec<_> = alone.map(|(i, _)| (format!("along the gradient of input {i}"), Some(i))).collect();
    all.extend([("in a random direction".into(), None), ("in a random direction".into(), None)]);
    all
}

fn mismatch(text: &str) -> Error {
    Error::Mismatch { kernel: "gradient_check".into(), problem: text.into() }
}

fn length(rng: &mut Rng) -> f32 {
    0.5 + rng.uniform()
}

fn sign(rng: &mut Rng) -> f32 {
    if rng.below(2) == 0 { -1.0 } else { 1.0 }
}
