//! Operations as data: a name, and all else than inputs that the result depends on.

use crate::shape::Shape;
use crate::tensor::Tensor;
use std::fmt;

/// An operation with its attributes. It is made only where something holds it: in a graph of gradients, or in a
/// [trace](super::trace).
///
/// ```
/// use wgrad::autograd::Op;
/// let op = Op::new("softmax").with("dim", -1);
/// assert_eq!(op.to_string(), "softmax(dim=-1)");
/// ```
#[derive(Debug, Clone)]
pub struct Op {
    name: &'static str,
    attributes: Vec<(&'static str, Attribute)>,
}

/// The value of an attribute.
#[derive(Debug, Clone)]
pub enum Attribute {
    /// Yes or no.
    Bool(bool),
    /// A whole number: a dimension, a count.
    Int(i64),
    /// A number.
    Float(f32),
    /// Whole numbers: sizes, an order of dimensions.
    Ints(Vec<i64>),
    /// One of several ways, by its name.
    Text(String),
    /// A tensor that no gradient flows to: labels, indices, a mask.
    Tensor(Tensor),
}

impl Op {
    /// An operation without attributes.
    pub fn new(name: &'static str) -> Op {
        Op { name, attributes: Vec::new() }
    }

    /// With one more attribute.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Attribute>) -> Op {
        self.attributes.push((name, value.into()));
        self
    }

    /// Its name, as messages have it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// All else than its inputs that its result depends on.
    pub fn attributes(&self) -> &[(&'static str, Attribute)] {
        &self.attributes
    }
}

macro_rules! attributes {
    ($($from:ty => |$value:ident| $to:expr;)*) => {
        $(impl From<$from> for Attribute {
            fn from($value: $from) -> Attribute {
                $to
            }
        })*
    };
}

attributes! {
    bool => |value| Attribute::Bool(value);
    i32 => |value| Attribute::Int(value.into());
    u32 => |value| Attribute::Int(value.into());
    isize => |value| Attribute::Int(value as i64);
    usize => |value| Attribute::Int(value as i64);
    f32 => |value| Attribute::Float(value);
    &str => |value| Attribute::Text(value.into());
    String => |value| Attribute::Text(value);
    &[isize] => |value| Attribute::Ints(value.iter().map(|n| *n as i64).collect());
    &[usize] => |value| Attribute::Ints(value.iter().map(|n| *n as i64).collect());
    Shape => |value| Attribute::from(&value[..]);
    &Tensor => |value| Attribute::Tensor(value.clone());
}

impl<const N: usize> From<[u32; N]> for Attribute {
    fn from(value: [u32; N]) -> Attribute {
        Attribute::Ints(value.iter().map(|n| i64::from(*n)).collect())
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Bool(value) => write!(f, "{value}"),
            Attribute::Int(value) => write!(f, "{value}"),
            Attribute::Float(value) => write!(f, "{value:?}"),
            Attribute::Ints(value) => write!(f, "{value:?}"),
            Attribute::Text(value) => f.write_str(value),
            Attribute::Tensor(value) => write!(f, "{} {}", value.dtype(), value.shape()),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        write!(f, "{}({})", self.name, all.join(", "))
    }
}

/// An operation as [`Tensor::tracked`] takes it: a name, an [`Op`], or a closure that makes one where it is needed.
pub trait IntoOp {
    /// The operation.
    fn into_op(self) -> Op;
}

impl IntoOp for &'static str {
    fn into_op(self) -> Op {
        Op::new(self)
    }
}

impl IntoOp for Op {
    fn into_op(self) -> Op {
        self
    }
}

impl<F: FnOnce() -> Op> IntoOp for F {
    fn into_op(self) -> Op {
        self()
    }
}
