//! What is asked of a case, on one device and between two.

use super::cases::{Case, Data, Gradient, Outcome};
use wgrad::kernel::Tolerance;
use wgrad::{Device, Rng};

/// The step of the differences; a second pair takes twice of it.
const STEP: f32 = 0.01;
/// How far, relative to its size, a slope may lie from the differences: a third of the error that must be caught.
const SLOPE: f64 = 3e-3;

/// Holds the gradient against differences of the function, in a direction along the gradient of each input and in
/// random directions of all inputs at once.
pub fn gradient(case: &Case, device: &Device) -> Result<(), String> {
    let found = case.outcome(device)?;
    let data = case.data();
    let y = floats(&found.y)?;
    let upstream = case.upstream(y.len());
    let mut rng = case.draws();
    let tracked: Vec<usize> = (0..data.len()).filter(|&i| found.gradients[i].is_some()).collect();
    let mut directions: Vec<(String, bool, Vec<Vec<f32>>)> = Vec::new();
    for &only in &tracked {
        directions.push((format!("along the gradient of input {only}"), true, along(&found, only, &mut rng)));
    }
    for _ in 0..2 {
        // By chance its slope may be so small that rounding hides it.
        directions.push(("in a random direction".into(), false, randomly(&found, &mut rng)));
    }
    for (title, judges, direction) in directions {
        let pairs = || {
            tracked
                .iter()
                .flat_map(|&i| found.gradients[i].iter().flatten().zip(&direction[i]))
                .map(|(&g, &v)| f64::from(g) * f64::from(v))
        };
        let slope: f64 = pairs().sum();
        let scale = pairs().map(|term| term * term).sum::<f64>().sqrt().max(slope.abs());
        let at = |step: f32| -> Result<f64, String> {
            let y = case.value(device, &moved(&data, &direction, step)?)?;
            Ok(floats(&y)?.iter().zip(&upstream).map(|(&y, &u)| f64::from(y) * f64::from(u)).sum())
        };
        let central = |step: f32| Ok::<f64, String>((at(step)? - at(-step)?) / (2.0 * f64::from(step)));
        // Richardson's extrapolation: the error of the differences falls with the fourth power of the step.
        let differences = (4.0 * central(STEP)? - central(2.0 * STEP)?) / 3.0;
        let rounding: f64 = y.iter().zip(&upstream).map(|(&y, &u)| (f64::from(y) * f64::from(u)).powi(2)).sum();
        let noise = 2.0 * f64::from(f32::EPSILON) * rounding.sqrt() / f64::from(STEP);
        if judges && scale > 0.0 && noise > 2.0 * SLOPE * scale {
            return Err(format!("nothing is judged {title}: the slope is {slope:e}, rounding alone {noise:e}"));
        }
        let off = (differences - slope).abs();
        if off.is_nan() || off > SLOPE * scale + noise {
            return Err(format!("{title} the gradient gives a slope of {slope}, differences give {differences}"));
        }
    }
    Ok(())
}

/// Along the gradient of one input, so that a factor that is wrong cannot hide; each element by a length of its own.
fn along(found: &Outcome, only: usize, rng: &mut Rng) -> Vec<Vec<f32>> {
    let mut step = |&g: &f32| (0.5 + rng.uniform()) * if g < 0.0 { -1.0 } else { 1.0 };
    let of = |(i, gradient): (usize, &Option<Vec<f32>>)| match gradient {
        Some(gradient) if i == only => gradient.iter().map(&mut step).collect(),
        Some(gradient) => vec![0.0; gradient.len()],
        None => Vec::new(),
    };
    found.gradients.iter().enumerate().map(of).collect()
}

fn randomly(found: &Outcome, rng: &mut Rng) -> Vec<Vec<f32>> {
    let mut step = |_: &f32| (0.5 + rng.uniform()) * if rng.below(2) == 0 { -1.0 } else { 1.0 };
    found.gradients.iter().map(|gradient| gradient.iter().flatten().map(&mut step).collect()).collect()
}

fn moved(data: &[Data], direction: &[Vec<f32>], step: f32) -> Result<Vec<Data>, String> {
    let one = |(data, direction): (&Data, &Vec<f32>)| match data {
        Data::F32(values) if !direction.is_empty() => {
            Data::F32(values.iter().zip(direction).map(|(x, v)| x + step * v).collect())
        }
        other => other.clone(),
    };
    Ok(data.iter().zip(direction).map(one).collect())
}

fn floats(data: &Data) -> Result<&[f32], String> {
    match data {
        Data::F32(values) => Ok(values),
        Data::I32(_) => Err("whole numbers have no gradient".into()),
    }
}

/// Holds one device's results against another's.
pub fn agreement(case: &Case, got: &Outcome, want: &Outcome) -> Result<(), String> {
    let tolerance = case.tolerance.unwrap_or_else(|| of_kernels(case));
    match (&got.y, &want.y) {
        (Data::F32(got), Data::F32(want)) => near("the result", got, want, tolerance)?,
        (got, want) if got == want => {}
        (got, want) => return Err(format!("the result is {got:?}, not {want:?}").chars().take(400).collect()),
    }
    for (i, (got, want)) in got.gradients.iter().zip(&want.gradients).enumerate() {
        if let (Some(got), Some(want)) = (got, want) {
            near(&format!("the gradient of input {i}"), got, want, tolerance)?;
        }
    }
    Ok(())
}

/// Several kernels one after another may be off by as many tolerances; four of the widest are taken. Exact ones stay exact.
fn of_kernels(case: &Case) -> Tolerance {
    let widest = |widest: Tolerance, t: Tolerance| Tolerance {
        relative: widest.relative.max(t.relative),
        absolute: widest.absolute.max(t.absolute),
    };
    let t = case.dispatches().iter().map(|d| d.kernel.tolerance).fold(Tolerance::EXACT, widest);
    Tolerance { relative: 4.0 * t.relative, absolute: 4.0 * t.absolute }
}

/// The absolute part grows with the largest value, since sums of such values lose digits to it.
pub fn near(what: &str, got: &[f32], want: &[f32], tolerance: Tolerance) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{what} has {} elements, not {}", got.len(), want.len()));
    }
    let largest = want.iter().filter(|v| v.is_finite()).fold(1.0f32, |most, v| most.max(v.abs()));
    let is_near = |(&got, &want): (&f32, &f32)| {
        got == want
            || got.is_nan() && want.is_nan()
            || (got - want).abs() <= tolerance.relative * want.abs() + tolerance.absolute * largest
    };
    match got.iter().zip(want).position(|pair| !is_near(pair)) {
        None => Ok(()),
        Some(at) => Err(format!("{what} at {at} is {}, not {}", got[at], want[at])),
    }
}

/// Holds a second run against the first, bit by bit.
pub fn sameness(first: &Outcome, second: &Outcome) -> Result<(), String> {
    let same = |what: &str, a: &[f32], b: &[f32]| match a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits()) {
        None => Ok(()),
        Some(at) => Err(format!("{what} at {at} is {} the first time and {} the second", a[at], b[at])),
    };
    if let (Data::F32(a), Data::F32(b)) = (&first.y, &second.y) {
        same("the result", a, b)?;
    } else if first.y != second.y {
        return Err("the result differs from one run to the next".into());
    }
    for (a, b) in first.gradients.iter().zip(&second.gradients) {
        if let (Some(a), Some(b)) = (a, b) {
            same("a gradient", a, b)?;
        }
    }
    Ok(())
}

/// Everything that the host alone can tell.
pub fn on_the_host(case: &Case, device: &Device) -> Result<(), String> {
    match case.gradient {
        Gradient::Checked => gradient(case, device)?,
        Gradient::Compared | Gradient::Absent => case.outcome(device).map(drop)?,
    }
    let Some(definition) = &case.definition else { return Ok(()) };
    let want = case.outcome_of(definition, device).map_err(|what| format!("the definition: {what}"))?;
    agreement(case, &case.outcome(device)?, &want).map_err(|what| format!("beside its definition, {what}"))
}
