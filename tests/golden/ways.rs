//! The ways in which a case runs: as it lies in its file, by views, and replayed.

use crate::case::{Data, Value};
use wgrad::plan::{Inputs, Replay};
use wgrad::{Device, Tensor};

/// How a case's inputs reach what it tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Packed, and at once.
    Eager,
    /// Each input is a view: behind a gap, its dimensions the other way round in memory, strangers between its rows.
    Strided,
    /// Captured on other numbers, then replayed on the case's.
    Replayed,
}

impl Way {
    pub const ALL: [Way; 3] = [Way::Eager, Way::Strided, Way::Replayed];

    pub fn name(self) -> &'static str {
        match self {
            Way::Eager => "eager",
            Way::Strided => "strided",
            Way::Replayed => "replayed",
        }
    }

    pub fn upload(self, value: &Value, device: &Device) -> Tensor {
        match self {
            Way::Strided => strided(value, device),
            Way::Eager | Way::Replayed => packed(value, device),
        }
    }

    /// One step of training; its result is the caller's own.
    pub fn step<I: Inputs>(self, replay: &mut Replay, inputs: I, work: impl FnOnce(I) -> Tensor) -> Tensor {
        if self == Way::Replayed {
            return replay.run(inputs, |own| Ok(work(own))).expect("the step can be replayed").copy();
        }
        work(inputs)
    }
}

pub fn packed(value: &Value, device: &Device) -> Tensor {
    match &value.data {
        Data::Float(data) => Tensor::from_slice(data, &value.shape, device),
        Data::Int(_) => Tensor::from_vec(value.ints(), &value.shape, device),
    }
}

/// Other numbers of the same shape: a half everywhere, and whole numbers the other way round, since an index has to stay
/// one.
pub fn others(value: &Value, device: &Device) -> Tensor {
    match &value.data {
        Data::Float(data) => Tensor::from_vec(vec![0.5f32; data.len()], &value.shape, device),
        Data::Int(_) => Tensor::from_vec(value.ints().into_iter().rev().collect(), &value.shape, device),
    }
}

/// The same elements as a view of a larger tensor: `[a, b, c]` lies in `[c, b, a + 3]`, one element in.
fn strided(value: &Value, device: &Device) -> Tensor {
    let shape = if value.shape.is_empty() { vec![1] } else { value.shape.clone() };
    let mut wide: Vec<usize> = shape.iter().rev().copied().collect();
    *wide.last_mut().expect("a dimension") += 3;
    let places = places(&shape);
    let all = match &value.data {
        Data::Float(data) => Tensor::from_vec(spread(data, &places, &wide, f32::NAN), &wide, device),
        Data::Int(_) => Tensor::from_vec(spread(&value.ints(), &places, &wide, i32::MIN), &wide, device),
    };
    let order: Vec<usize> = (0..shape.len()).rev().collect();
    let view = all.narrow(-1, 1, shape[0]).permute(&order);
    if value.shape.is_empty() { view.squeeze(0) } else { view }
}

/// Where each element lies in the larger tensor.
fn places(shape: &[usize]) -> Vec<usize> {
    let count: usize = shape.iter().product();
    let place = |flat: usize| {
        // From the last index to the first, as the larger tensor has its dimensions.
        let (mut rest, mut place) = (flat, 0);
        for (d, &size) in shape.iter().enumerate().rev() {
            let index = rest % size;
            place = if d == 0 { place * (size + 3) + 1 + index } else { place * size + index };
            rest /= size;
        }
        place
    };
    (0..count).map(place).collect()
}

fn spread<T: Copy>(data: &[T], places: &[usize], wide: &[usize], stranger: T) -> Vec<T> {
    let mut all = vec![stranger; wide.iter().product()];
    data.iter().zip(places).for_each(|(&element, &place)| all[place] = element);
    all
}
