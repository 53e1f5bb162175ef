//! Element types.

use std::fmt;

/// The type of a tensor's elements. Every element takes four bytes on the device.
///
/// Masks (the results of comparisons) are `F32` tensors of 0 and 1, so that they multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit floating point: values, gradients and masks.
    F32,
    /// 32-bit signed integers: indices and labels (-100 is a label that losses ignore).
    I32,
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::I32 => "i32",
        })
    }
}

/// A Rust type that tensors can hold.
pub trait Element: bytemuck::Pod + fmt::Debug + fmt::Display + PartialOrd + Send + Sync {
    /// The tensor's element type.
    const DTYPE: DType;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}

impl Element for i32 {
    const DTYPE: DType = DType::I32;
}

/// The decimal number that an f32 was written as: 0.999 and not 0.99900001287.
pub(crate) fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
