//! What is asked of a case, on one device and between two.

use crate::cases::{Case, Data, Gradient, Outcome};
use wgrad::Device;
use wgrad::kernel::Tolerance;

/// Holds the gradient against differences of the function; every input that asks for one has one, of its shape.
pub fn gradient(case: &Case, device: &Device) -> Result<(), String> {
    case.outcome(device)?;
    case.checked(device)
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

/// Holds what a device gives against the numbers that are written out, each on its own.
pub fn written(case: &Case, device: &Device) -> Result<(), String> {
    if case.wanted.is_none() && case.slopes.is_empty() {
        return Ok(());
    }
    let got = case.of_sum(device)?;
    let same = |what: &str, got: &[f32], want: &[f32]| {
        let is_near = |(&got, &want): (&f32, &f32)| {
            let near = want.is_finite() && (got - want).abs() <= 2e-5 * want.abs() + 1e-7;
            got == want || got.is_nan() && want.is_nan() || near
        };
        match got.len() == want.len() && got.iter().zip(want).all(is_near) {
            true => Ok(()),
            false => Err(format!("{what} is {got:?}, not {want:?} as PyTorch has it")),
        }
    };
    match (&got.y, case.wanted) {
        (Data::F32(y), Some(want)) => same("the result", y, want)?,
        (y, Some(_)) => return Err(format!("{y:?} is not of f32")),
        (_, None) => {}
    }
    for &(input, want) in &case.slopes {
        let gradient = got.gradients.get(input).cloned().flatten().unwrap_or_default();
        same(&format!("the gradient of input {input}"), &gradient, want)?;
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
            || want.is_finite() && (got - want).abs() <= tolerance.relative * want.abs() + tolerance.absolute * largest
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

/// Gradients of gradients: what tracked operations give is what the kernels of a gradient give, and differences of it confirm
/// its own gradients.
pub fn second(case: &Case, device: &Device) -> Result<(), String> {
    let said = |what: String| format!("the gradient of the gradient: {what}");
    let (got, want) = (case.second(device).map_err(said)?, case.outcome(device)?);
    let flat: Vec<f32> = want.gradients.into_iter().flatten().flatten().collect();
    if let Data::F32(got) = &got.y {
        near("the gradient in tracked operations", got, &flat, SECOND)?;
    }
    let is_flat = got.gradients.is_empty();
    match if case.once || is_flat { Ok(()) } else { case.checked_again(device) } {
        // Where the gradient hardly depends on an input, differences tell nothing.
        Err(what) if what.contains("hides a slope") => Ok(()),
        result => result.map_err(said),
    }
}

/// Sums of products in another order.
const SECOND: Tolerance = Tolerance { relative: 1e-3, absolute: 1e-4 };

/// The same on two devices.
pub fn second_agreement(case: &Case, device: &Device, want: &Device) -> Result<(), String> {
    let (got, want) = (case.second(device)?, case.second(want)?);
    let all = |outcome: &Outcome| -> Vec<Vec<f32>> {
        let Data::F32(y) = &outcome.y else { return Vec::new() };
        [y].into_iter().chain(outcome.gradients.iter().flatten()).cloned().collect()
    };
    for (got, want) in all(&got).iter().zip(&all(&want)) {
        near("the gradient of the gradient", got, want, SECOND)?;
    }
    Ok(())
}

/// Whether the gradient is differentiated too.
pub fn has_second(case: &Case) -> bool {
    case.gradient == Gradient::Checked && !case.big && !case.steps
}

/// Everything that the host alone can tell.
pub fn on_the_host(case: &Case, device: &Device) -> Result<(), String> {
    match case.gradient {
        Gradient::Checked => gradient(case, device)?,
        Gradient::Compared | Gradient::Absent => case.outcome(device).map(drop)?,
    }
    written(case, device)?;
    if has_second(case) {
        second(case, device)?;
    }
    let Some(definition) = &case.definition else { return Ok(()) };
    let want = case.outcome_of(definition, device).map_err(|what| format!("the definition: {what}"))?;
    agreement(case, &case.outcome(device)?, &want).map_err(|what| format!("beside its definition, {what}"))
}

/// A captured step gives the bits that its kernels gave one by one, and so does its replay on other inputs.
pub fn replayed(case: &Case, device: &Device, want: &Outcome) -> Result<(), String> {
    if case.steps {
        return match case.replayed(device) {
            Err(what) if what.contains("call each optimizer once") => Ok(()),
            Err(what) => Err(what),
            Ok(_) => Err("a captured step that calls an optimizer twice was not refused".into()),
        };
    }
    let [captured, replayed] = case.replayed(device)?;
    sameness(want, &captured).map_err(|what| format!("captured: {what}"))?;
    sameness(&case.other_outcome(device)?, &replayed).map_err(|what| format!("replayed: {what}"))
}
