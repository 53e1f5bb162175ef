//! A length along a direction that fulfils the strong conditions of Wolfe (Nocedal and Wright, 2006, algorithms 3.5 and 3.6).

use super::Found;
use crate::error::Result;

/// How much less loss a length must bring, and how much less slope it may leave.
const LESS: f64 = 1e-4;
const FLATTER: f64 = 0.9;
/// The least distance between two lengths.
const NEAR: f64 = 1e-9;

/// What was found, how far along, and how many losses it took.
pub(super) struct Looked {
    pub found: Found,
    pub length: f64,
    pub evaluated: usize,
}

/// A length with what is there: the loss and gradient, and the slope along the direction.
#[derive(Clone)]
struct Tried {
    length: f64,
    found: Found,
    slope: f64,
}

/// The lowest point of the cubic through two lengths, with their losses and slopes.
fn lowest(a: &Tried, b: &Tried, bounds: Option<(f64, f64)>) -> f64 {
    let (low, high) = bounds.unwrap_or((a.length.min(b.length), a.length.max(b.length)));
    let d1 = a.slope + b.slope - 3.0 * (a.found.loss - b.found.loss) / (a.length - b.length);
    let square = d1 * d1 - a.slope * b.slope;
    if square < 0.0 {
        return (low + high) / 2.0;
    }
    let d2 = square.sqrt();
    let (a, b) = if a.length <= b.length { (a, b) } else { (b, a) };
    let place = b.length - (b.length - a.length) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2));
    // What is no number at all is held, too.
    place.max(low).min(high)
}

/// Looks for a length, from `length` on. `at` goes to one; `along` is a gradient's slope along the direction; `slope` is that of
/// the start, and `width` the largest element of the direction. Behind the first, at most so many more lengths are tried.
pub(super) fn strong_wolfe(
    at: &mut dyn FnMut(f64) -> Result<Found>,
    along: &dyn Fn(&Found) -> Result<f64>,
    length: f64,
    start: &Found,
    slope: f64,
    width: f64,
    most: usize,
) -> Result<Looked> {
    let mut evaluated = 0;
    let mut tried = |length: f64| -> Result<Tried> {
        evaluated += 1;
        let found = at(length)?;
        Ok(Tried { length, slope: along(&found)?, found })
    };
    let is_high = |new: &Tried| new.found.loss > start.loss + LESS * new.length * slope;
    let is_flat = |new: &Tried| new.slope.abs() <= -FLATTER * slope;
    let first = Tried { length: 0.0, found: start.clone(), slope };
    let mut before = first.clone();
    let mut new = tried(length)?;
    let mut iteration = 0;
    // Two lengths between which there is one that fulfils both.
    let mut bracket = loop {
        if iteration == most {
            break [first, new];
        }
        if is_high(&new) || iteration > 1 && new.found.loss >= before.found.loss {
            break [before, new];
        }
        if is_flat(&new) {
            let Tried { length, found, .. } = new;
            return Ok(Looked { found, length, evaluated });
        }
        if new.slope >= 0.0 {
            break [before, new];
        }
        let bounds = (new.length + 0.01 * (new.length - before.length), 10.0 * new.length);
        let next = lowest(&before, &new, Some(bounds));
        before = new;
        new = tried(next)?;
        iteration += 1;
    };
    let order = |bracket: &[Tried; 2]| if bracket[0].found.loss <= bracket[1].found.loss { (0, 1) } else { (1, 0) };
    let (mut low, mut high) = order(&bracket);
    let mut is_slow = false;
    while iteration < most {
        if (bracket[1].length - bracket[0].length).abs() * width < NEAR {
            break;
        }
        let mut next = lowest(&bracket[0], &bracket[1], None);
        let (left, right) = (bracket[0].length.min(bracket[1].length), bracket[0].length.max(bracket[1].length));
        let margin = 0.1 * (right - left);
        if (right - next).min(next - left) < margin {
            // Twice near an end, or at it: a step away from it.
            if is_slow || next >= right || next <= left {
                next = if (next - right).abs() < (next - left).abs() { right - margin } else { left + margin };
                is_slow = false;
            } else {
                is_slow = true;
            }
        } else {
            is_slow = false;
        }
        let new = tried(next)?;
        iteration += 1;
        if is_high(&new) || new.found.loss >= bracket[low].found.loss {
            bracket[high] = new;
            (low, high) = order(&bracket);
            continue;
        }
        let is_done = is_flat(&new);
        if !is_done && new.slope * (bracket[high].length - bracket[low].length) >= 0.0 {
            bracket[high] = bracket[low].clone();
        }
        bracket[low] = new;
        if is_done {
            break;
        }
    }
    let [a, b] = bracket;
    let Tried { length, found, .. } = if low == 0 { a } else { b };
    Ok(Looked { found, length, evaluated })
}
