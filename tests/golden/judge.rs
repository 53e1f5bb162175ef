//! Whether a result is what PyTorch computed.

use crate::case::{Data, Tolerance, Value};
use std::fmt;
use wgrad::{DType, Shape, Tensor};

/// One thing wrong with a case: the tensor, and the first element or the fact that is wrong.
#[derive(Debug)]
pub struct Finding {
    pub tensor: String,
    pub fact: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.tensor, self.fact)
    }
}

impl Finding {
    pub fn new(tensor: impl Into<String>, fact: impl Into<String>) -> Finding {
        Finding { tensor: tensor.into(), fact: fact.into() }
    }
}

/// What is wrong with `got`, if anything is.
pub fn judge(name: &str, got: &Tensor, want: &Value, tolerance: Tolerance) -> Option<Finding> {
    let shape = Shape::from(&want.shape);
    if got.shape() != shape {
        return Some(Finding::new(name, format!("got shape {}, want {shape}", got.shape())));
    }
    let fact = match (&want.data, got.dtype()) {
        (Data::Float(want), DType::F32) => match got.to_vec::<f32>() {
            Ok(got) => beyond(&got, want, tolerance).map(|bad| bad.describe(shape)),
            Err(error) => Some(error.to_string()),
        },
        (Data::Int(want), DType::I32) => match got.to_vec::<i32>() {
            Ok(got) => unequal(&got, want).map(|bad| bad.describe(shape)),
            Err(error) => Some(error.to_string()),
        },
        (Data::Float(_), other) => Some(format!("got elements of {other}, want f32")),
        (Data::Int(_), other) => Some(format!("got elements of {other}, want integers")),
    };
    fact.map(|fact| Finding::new(name, fact))
}

/// How many times a result may be off by a rounding of the largest of its numbers (of a gradient, or of what flows in from
/// above), and by what it moves where the inputs do by half a rounding: layers of several operations round on the way.
const ROUNDINGS: f32 = 4.0;

/// What is wrong with a result of half size beside the one of f32 from the same numbers, if anything is.
pub fn rounded(
    name: &str,
    (got, want): (&Tensor, &Tensor),
    moved: &[&Tensor],
    dtype: DType,
    flow: f32,
) -> Option<Finding> {
    let due = if want.dtype().is_float() { dtype } else { want.dtype() };
    if got.shape() != want.shape() || got.dtype() != due {
        let [got, want] = [got, want].map(|x| format!("{} {}", x.dtype(), x.shape()));
        return Some(Finding::new(name, format!("got {got}, want {want} in {dtype}")));
    }
    let values = |x: &Tensor| x.cast(DType::F32).to_vec::<f32>().map_err(|error| error.to_string());
    let (got_values, want_values) = match values(got).and_then(|got| Ok((got, values(want)?))) {
        Ok(both) => both,
        Err(error) => return Some(Finding::new(name, error)),
    };
    if !want.dtype().is_float() {
        let same = got_values == want_values;
        return (!same).then(|| Finding::new(name, format!("got {got_values:?}, want {want_values:?}")));
    }
    let most = if dtype == DType::F16 { 65504.0 } else { f32::MAX };
    // The smallest normal number, below which there are fewer digits.
    let least = if dtype == DType::F16 { 2f32.powi(-14) } else { f32::MIN_POSITIVE };
    let scale =
        want_values.iter().filter(|v| v.is_finite() && v.abs() < most).fold(least.max(flow), |m, v| m.max(v.abs()));
    let ways: Vec<Vec<f32>> = moved.iter().filter_map(|moved| values(moved).ok()).collect();
    let moves = ways.iter().flat_map(|moved| moved.iter().zip(&want_values)).map(|(a, b)| (a - b).abs());
    let step = dtype.epsilon() * scale + moves.filter(|v| v.is_finite()).fold(0.0, f32::max);
    let worst = got_values.iter().zip(&want_values).map(|(&got, &want)| {
        let off = (got - want).abs() / step;
        let is_same = got == want
            || got.is_nan() && want.is_nan()
            || got.is_infinite() && want.abs() >= 0.99 * most && got * want > 0.0;
        if is_same {
            0.0
        } else if off.is_nan() {
            f32::INFINITY
        } else {
            off
        }
    });
    let (at, off) = worst.enumerate().fold((0, 0.0), |worst, next| if next.1 > worst.1 { next } else { worst });
    (off > ROUNDINGS).then(|| {
        Finding::new(
            name,
            format!(
                "at {at} got {}, want {} in {dtype}: {off:.1} steps of {scale:e} off",
                got_values[at], want_values[at]
            ),
        )
    })
}

/// The first element that is wrong, and how many are.
#[derive(Debug, PartialEq)]
pub struct Bad {
    pub first: usize,
    pub count: usize,
    pub got: String,
    pub want: String,
    pub allowed: f64,
}

impl Bad {
    fn describe(&self, shape: Shape) -> String {
        let mut index = vec![0; shape.rank()];
        let mut rest = self.first;
        for (at, &size) in index.iter_mut().zip(shape.iter()).rev() {
            (*at, rest) = (rest % size, rest / size);
        }
        let Bad { count, got, want, allowed, .. } = self;
        format!("{index:?} got {got}, want {want} within {allowed:.1e} ({count} of {} elements are off)", shape.numel())
    }
}

/// Elements farther from `want` than rtol * |want| + max(1e-7, min(atol, 1e-3 * m)), m the largest |want|.
pub fn beyond(got: &[f32], want: &[f32], tolerance: Tolerance) -> Option<Bad> {
    let largest = want.iter().fold(0.0f64, |m, &w| m.max(f64::from(w).abs()));
    let absolute = tolerance.atol.min(1e-3 * largest).max(1e-7);
    let allowed = |want: f64| tolerance.rtol * want.abs() + absolute;
    let fits = |got: f32, want: f32| {
        let (got, want) = (f64::from(got), f64::from(want));
        // What is not finite has no distance: it must be the same.
        if !want.is_finite() || !got.is_finite() {
            return got == want || got.is_nan() && want.is_nan();
        }
        (got - want).abs() <= allowed(want)
    };
    let mut off = (0..want.len()).filter(|&i| !fits(got[i], want[i]));
    let first = off.next()?;
    Some(Bad {
        first,
        count: 1 + off.count(),
        got: got[first].to_string(),
        want: want[first].to_string(),
        allowed: allowed(want[first].into()),
    })
}

fn unequal(got: &[i32], want: &[i64]) -> Option<Bad> {
    let mut off = (0..want.len()).filter(|&i| i64::from(got[i]) != want[i]);
    let first = off.next()?;
    let (got, want) = (got[first].to_string(), want[first].to_string());
    Some(Bad { first, count: 1 + off.count(), got, want, allowed: 0.0 })
}

/// Each test of this page with its name.
pub const TESTS: &[(&str, fn())] = &[
    ("the_tolerance_is_relative_with_a_floor", the_tolerance_is_relative_with_a_floor),
    ("what_is_not_finite_must_be_the_same", what_is_not_finite_must_be_the_same),
    ("the_first_wrong_element_is_named", the_first_wrong_element_is_named),
];

const TIGHT: Tolerance = Tolerance { rtol: 1e-4, atol: 1e-5 };

fn passes(got: &[f32], want: &[f32]) -> bool {
    beyond(got, want, TIGHT).is_none()
}

fn the_tolerance_is_relative_with_a_floor() {
    assert!(passes(&[1.0001], &[1.0]));
    assert!(!passes(&[1.00012], &[1.0]));
    // The floor follows the largest element, down to 1e-7.
    assert!(passes(&[1.0, 0.9e-5], &[1.0, 0.0]));
    assert!(!passes(&[1e-3, 0.9e-5], &[1e-3, 0.0]));
    assert!(passes(&[0.9e-7], &[0.0]));
    assert!(!passes(&[1.1e-7], &[0.0]));
}

fn what_is_not_finite_must_be_the_same() {
    assert!(!passes(&[f32::NAN], &[1.0]));
    assert!(!passes(&[f32::NAN], &[f32::INFINITY]));
    assert!(!passes(&[f32::MAX], &[f32::INFINITY]));
    assert!(!passes(&[1.0], &[f32::NAN]));
    assert!(passes(&[f32::NEG_INFINITY, f32::NAN], &[f32::NEG_INFINITY, f32::NAN]));
}

fn the_first_wrong_element_is_named() {
    let bad = beyond(&[1.0, 2.0, 3.0, 9.0, 9.0, 6.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], TIGHT).expect("two are off");
    assert_eq!((bad.first, bad.count), (3, 2));
    assert!(bad.describe(Shape::new(&[2, 3])).starts_with("[1, 0] got 9, want 4 within"), "{bad:?}");
    assert!(unequal(&[1, 2], &[1, 2]).is_none() && unequal(&[1, 2], &[1, 3]).is_some());
}
