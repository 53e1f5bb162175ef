//! Tensors to call functions with: sizes, values, and how they lie in memory.

use wgrad::{DType, Device, Rng, Shape, Tensor};

/// A tensor to make: sizes, values, and how it lies in memory.
#[derive(Debug, Clone)]
pub struct Input {
    shape: Shape,
    values: Values,
    view: View,
    pub tracked: bool,
}

#[derive(Debug, Clone)]
enum Values {
    /// Uniform.
    Range(f32, f32),
    /// Uniform, but not where the function has a kink.
    Avoiding(f32, f32, &'static [f32]),
    /// Multiples of a step, each at most once, in random order, from one on.
    Distinct(f32, f32),
    /// Random multiples of a step plus an offset: equal ones are likely.
    Steps(f32, f32),
    /// Whole numbers from one up to another, which is left out, as i32.
    Whole(i32, i32),
    /// These, over and over.
    Listed(&'static [f32]),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum View {
    Plain,
    /// The dimensions lie in memory the other way round.
    Reversed,
    /// The last two dimensions lie in memory the other way round.
    Transposed,
    /// Cut out of one that is larger along a dimension.
    Narrowed(usize),
    /// Starts past an odd number of elements, in another 256-byte block than its buffer.
    Shifted,
    /// One index of a dimension repeated.
    Expanded(usize),
}

/// How near to a kink differences may not come: more than twice the longest step of the gradient's judge.
const MARGIN: f32 = 0.07;

/// Values in -2..2 of these sizes, with a gradient.
pub fn x(shape: impl Into<Shape>) -> Input {
    Input { shape: shape.into(), values: Values::Range(-2.0, 2.0), view: View::Plain, tracked: true }
}

/// Whole numbers from `low` up to `high`, which is left out, as i32.
pub fn whole(shape: impl Into<Shape>, low: i32, high: i32) -> Input {
    Input { values: Values::Whole(low, high), tracked: false, ..x(shape) }
}

impl Input {
    pub fn within(mut self, low: f32, high: f32) -> Input {
        self.values = Values::Range(low, high);
        self
    }

    /// In -2..2, but not near `kinks`.
    pub fn avoiding(mut self, kinks: &'static [f32]) -> Input {
        self.values = Values::Avoiding(-2.0, 2.0, kinks);
        self
    }

    /// No two values near each other.
    pub fn distinct(mut self) -> Input {
        self.values = Values::Distinct(0.1, -2.0);
        self
    }

    /// Multiples of a fifth plus `offset`; 0 and 0.1 give pairs that are never near each other.
    pub fn steps(mut self, offset: f32) -> Input {
        self.values = Values::Steps(0.2, offset);
        self
    }

    pub fn listed(mut self, values: &'static [f32]) -> Input {
        self.values = Values::Listed(values);
        self
    }

    /// Without a gradient.
    pub fn detached(mut self) -> Input {
        self.tracked = false;
        self
    }

    pub fn reversed(mut self) -> Input {
        self.view = View::Reversed;
        self
    }

    pub fn transposed(mut self) -> Input {
        self.view = View::Transposed;
        self
    }

    pub fn narrowed(mut self, dim: usize) -> Input {
        self.view = View::Narrowed(dim);
        self
    }

    pub fn shifted(mut self) -> Input {
        self.view = View::Shifted;
        self
    }

    pub fn expanded(mut self, dim: usize) -> Input {
        self.view = View::Expanded(dim);
        self
    }

    pub fn describe(&self) -> String {
        let mut text = self.shape.to_string();
        if let Values::Whole(low, high) = self.values {
            text += &format!(" of {low}..{high}");
        }
        if self.view != View::Plain {
            text += &format!(" {:?}", self.view).to_lowercase();
        }
        text
    }

    /// The sizes of the tensor that is made before it is viewed.
    pub fn base(&self) -> Shape {
        let mut sizes = self.shape.to_vec();
        let rank = sizes.len();
        match self.view {
            View::Plain => {}
            View::Reversed => sizes.reverse(),
            View::Transposed => sizes.swap(rank - 2, rank - 1),
            View::Narrowed(dim) => sizes[dim] += 5,
            View::Shifted => sizes = vec![self.shape.numel() + 67],
            View::Expanded(dim) => sizes[dim] = 1,
        }
        Shape::from(sizes)
    }

    pub fn seen(&self, base: &Tensor) -> Tensor {
        match self.view {
            View::Plain => base.clone(),
            View::Reversed => base.permute(&(0..self.shape.rank()).rev().collect::<Vec<_>>()),
            View::Transposed => base.transpose(-2, -1),
            View::Narrowed(dim) => base.narrow(dim as isize, 3, self.shape[dim]),
            View::Shifted => base.narrow(0, 67, self.shape.numel()).reshape_to(self.shape),
            View::Expanded(_) => base.expand(self.shape),
        }
    }

    pub fn dtype(&self) -> DType {
        if matches!(self.values, Values::Whole(..)) { DType::I32 } else { DType::F32 }
    }

    /// What uniform values lie between, where they are uniform.
    pub fn bounds(&self) -> Option<(f32, f32)> {
        match self.values {
            Values::Range(low, high) | Values::Avoiding(low, high, _) => Some((low, high)),
            _ => None,
        }
    }

    pub fn data(&self, rng: &mut Rng) -> Data {
        let n = self.base().numel();
        let (low, high) = self.bounds().unwrap_or_default();
        let mut many = |draw: &mut dyn FnMut(&mut Rng) -> f32| (0..n).map(|_| draw(rng)).collect();
        Data::F32(match self.values {
            Values::Range(..) => many(&mut |rng| low + (high - low) * rng.uniform()),
            Values::Avoiding(_, _, kinks) => many(&mut |rng| {
                loop {
                    let value = low + (high - low) * rng.uniform();
                    if kinks.iter().all(|kink| (value - kink).abs() > MARGIN) {
                        return value;
                    }
                }
            }),
            Values::Distinct(step, first) => {
                // Many of them lie around 0, where sums keep most digits.
                let first = first.min(-step * (n / 2) as f32);
                let mut all: Vec<f32> = (0..n).map(|i| first + step * i as f32).collect();
                rng.shuffle(&mut all);
                all
            }
            Values::Steps(step, offset) => many(&mut |rng| step * (rng.below(21) as f32 - 10.0) + offset),
            Values::Listed(values) => values.iter().copied().cycle().take(n).collect(),
            Values::Whole(low, high) => {
                return Data::I32((0..n).map(|_| low + rng.below((high - low) as u32) as i32).collect());
            }
        })
    }
}

/// A tensor's values on the host.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    F32(Vec<f32>),
    I32(Vec<i32>),
}

impl Data {
    pub fn of(tensor: &Tensor) -> Result<Data, String> {
        let data = match tensor.dtype() {
            DType::I32 => tensor.to_vec().map(Data::I32),
            _ => tensor.cast(DType::F32).to_vec().map(Data::F32),
        };
        data.map_err(|error| error.to_string())
    }

    pub fn tensor(&self, shape: Shape, device: &Device) -> Tensor {
        match self {
            Data::F32(values) => Tensor::from_slice(values, shape, device),
            Data::I32(values) => Tensor::from_slice(values, shape, device),
        }
    }
}
