//! Element types.

use bytemuck::{CheckedBitPattern, NoUninit};
use half::{bf16, f16};
use std::fmt;

/// The type of a tensor's elements.
///
/// Kernels compute in f32 whatever floats they read and write: elements of half size are widened as they are read, and
/// results are rounded to the nearest as they are written (to even between two). Sums and products are added up in f32; products
/// of f16 to f16 on an adapter that computes in f16 are so by parts of 32 terms, each of which is added up in f16.
///
/// Comparisons give 0 and 1 in the type of the floats that they compare, so that masks multiply, and in `F32` of integers;
/// where a mask is asked for, one of `Bool` or of integers is taken too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DType {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point of IEEE 754: 11 significant bits, up to 65,504.
    F16,
    /// The upper half of an `F32`: 8 significant bits, and the same range.
    BF16,
    /// 64-bit signed integers: labels and indices as PyTorch has them. Kernels take them as `I32`.
    I64,
    /// 32-bit signed integers: indices and labels (-100 is a label that losses ignore).
    I32,
    /// Bytes: pixels.
    U8,
    /// Truth values, a byte each.
    Bool,
}

/// Calls an expression with `$T` as the Rust type of a [`DType`].
macro_rules! by_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => $crate::dtype::by_dtype!(@ $T = f32 => $body),
            $crate::DType::F16 => $crate::dtype::by_dtype!(@ $T = half::f16 => $body),
            $crate::DType::BF16 => $crate::dtype::by_dtype!(@ $T = half::bf16 => $body),
            $crate::DType::I64 => $crate::dtype::by_dtype!(@ $T = i64 => $body),
            $crate::DType::I32 => $crate::dtype::by_dtype!(@ $T = i32 => $body),
            $crate::DType::U8 => $crate::dtype::by_dtype!(@ $T = u8 => $body),
            $crate::DType::Bool => $crate::dtype::by_dtype!(@ $T = bool => $body),
        }
    };
    (@ $T:ident = $type:ty => $body:expr) => {{
        type $T = $type;
        $body
    }};
}
pub(crate) use by_dtype;

impl DType {
    /// Every type.
    pub const ALL: [DType; 7] = [DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32, DType::U8, DType::Bool];

    /// The bytes of one element. Elements lie side by side, the smaller ones packed in words.
    pub const fn bytes(self) -> usize {
        match self {
            DType::I64 => 8,
            DType::F32 | DType::I32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 | DType::Bool => 1,
        }
    }

    /// Whether it is a floating point type: those have gradients.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16)
    }

    /// The type that holds elements of both, as PyTorch promotes them: of two types of floats f32, beside a whole number the
    /// float's, and of whole numbers the one of the widest.
    pub(crate) fn with(self, other: DType) -> DType {
        match [self, other].map(DType::is_float) {
            _ if self == other => self,
            [true, true] => DType::F32,
            [true, false] => self,
            [false, true] => other,
            // The widest stand first.
            [false, false] => self.min(other),
        }
    }

    /// Whether it is a float that kernels widen to f32.
    pub(crate) const fn is_half(self) -> bool {
        matches!(self, DType::F16 | DType::BF16)
    }

    /// The distance from 1 to the next larger number of a floating point type; of others 1.
    ///
    /// ```
    /// assert_eq!(wgrad::DType::BF16.epsilon(), 0.0078125);
    /// ```
    pub const fn epsilon(self) -> f32 {
        match self {
            DType::F32 => f32::EPSILON,
            DType::F16 => 1.0 / 1024.0,
            DType::BF16 => 1.0 / 128.0,
            _ => 1.0,
        }
    }

    /// The smallest normal number of a floating point type: below it, numbers have fewer digits.
    pub(crate) const fn smallest(self) -> f32 {
        match self {
            DType::F16 => 1.0 / 16384.0,
            _ => f32::MIN_POSITIVE,
        }
    }

    /// The value of an element's bytes.
    pub(crate) fn float(self, bytes: &[u8]) -> f32 {
        by_dtype!(self, T => bytemuck::checked::try_pod_read_unaligned::<T>(bytes).map_or(f32::NAN, |v| f32::of(v.number())))
    }

    /// The number of the elements that lie in so many bytes.
    pub(crate) const fn count(self, bytes: u64) -> usize {
        (bytes / self.bytes() as u64) as usize
    }

    /// An element's bytes as text.
    pub(crate) fn text(self, bytes: &[u8]) -> String {
        by_dtype!(self, T => bytemuck::checked::try_pod_read_unaligned::<T>(bytes).map_or_else(|_| format!("{bytes:?}"), |v| v.to_string()))
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::U8 => "u8",
            DType::Bool => "bool",
        })
    }
}

/// An element on its way from one type to another.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// Of a floating point type.
    Float(f32),
    /// Of an integer type, or a truth value.
    Whole(i64),
}

/// How an element becomes one of another type.
pub trait Convert: Copy {
    /// Its value.
    fn number(self) -> Number;
    /// A value in this type. Floats become integers towards zero, the nearest there is where they are too large, and 0 of NaN;
    /// integers are cut to the bits there are, as in Rust and C. What is not 0 is true.
    fn of(number: Number) -> Self;
}

/// A Rust type that tensors can hold.
pub trait Element:
    Convert + NoUninit + CheckedBitPattern + fmt::Debug + fmt::Display + PartialOrd + Send + Sync
{
    /// The tensor's element type.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($type:ty: $dtype:ident, $self:ident => $number:expr, $float:expr, $whole:expr;)*) => {$(
        impl Element for $type {
            const DTYPE: DType = DType::$dtype;
        }
        impl Convert for $type {
            fn number($self) -> Number {
                $number
            }
            fn of(number: Number) -> $type {
                match number {
                    Number::Float(value) => $float(value),
                    Number::Whole(value) => $whole(value),
                }
            }
        }
    )*};
}

elements! {
    f32: F32, self => Number::Float(self), |v| v, |v| v as f32;
    f16: F16, self => Number::Float(self.to_f32()), f16::from_f32, |v| f16::from_f32(v as f32);
    bf16: BF16, self => Number::Float(self.to_f32()), bf16::from_f32, |v| bf16::from_f32(v as f32);
    i64: I64, self => Number::Whole(self), |v| v as i64, |v| v;
    i32: I32, self => Number::Whole(self.into()), |v| v as i32, |v| v as i32;
    u8: U8, self => Number::Whole(self.into()), |v| v as u8, |v| v as u8;
    bool: Bool, self => Number::Whole(self.into()), |v| v != 0.0, |v| v != 0;
}

/// The decimal number that an f32 was written as: 0.999 and not 0.99900001287.
pub(crate) fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
