//! Parameters of kernels: small structs, laid out as uniforms of WGSL.

use bytemuck::Pod;
use std::fmt;

pub use wgrad_derive::Uniform;

/// The most 32-bit words of a kernel's parameters.
pub const MAX_PARAM_WORDS: usize = 48;

/// A kernel's parameters as a struct, laid out as the WGSL uniform that has its members: `#[derive(Uniform)]` tells these, and
/// tests hold both against each other.
///
/// ```
/// use bytemuck::{Pod, Zeroable};
/// use wgrad::kernel::Uniform;
///
/// #[repr(C)]
/// #[derive(Clone, Copy, Pod, Zeroable, Uniform)]
/// struct Params {
///     n: u32,
///     scale: f32,
/// }
/// assert_eq!(Params::MEMBERS[1].name, "scale");
/// assert_eq!(Params::MEMBERS[1].offset, 4);
/// ```
pub trait Uniform: Pod {
    /// The members of a struct, in order; none of what is no struct.
    const MEMBERS: &'static [Member];
    /// The WGSL scalar that it is made of; nothing of a struct.
    const SCALAR: &'static str = "";
}

/// A member of a kernel's parameters.
#[derive(Debug)]
pub struct Member {
    /// The name; in WGSL the words of an array may be members of their own, `size_h` and `size_w` of `size`.
    pub name: &'static str,
    /// The first byte.
    pub offset: usize,
    /// The length in bytes.
    pub bytes: usize,
    /// The WGSL scalar that it is made of; nothing of a struct.
    pub scalar: &'static str,
    /// Members of its own.
    pub members: &'static [Member],
}

macro_rules! scalars {
    ($($scalar:ident)*) => {$(
        impl Uniform for $scalar {
            const MEMBERS: &'static [Member] = &[];
            const SCALAR: &'static str = stringify!($scalar);
        }
    )*};
}

scalars! { u32 i32 f32 }

impl<T: Uniform, const N: usize> Uniform for [T; N]
where
    [T; N]: Pod,
{
    const MEMBERS: &'static [Member] = &[];
    const SCALAR: &'static str = T::SCALAR;
}

/// A kernel's parameters: the bytes of a small struct, laid out as its WGSL uniform.
#[derive(Clone, Copy)]
pub struct Params {
    words: [u32; MAX_PARAM_WORDS],
    len: usize,
    members: &'static [Member],
}

impl PartialEq for Params {
    fn eq(&self, other: &Params) -> bool {
        self.words[..self.len] == other.words[..other.len]
    }
}

impl Eq for Params {}

impl Params {
    /// # Panics
    /// If the struct is larger than [`MAX_PARAM_WORDS`] words or not made of words.
    #[track_caller]
    pub fn new<P: Uniform>(params: &P) -> Params {
        let source: &[u32] = bytemuck::cast_slice(std::slice::from_ref(params));
        let mut words = [0; MAX_PARAM_WORDS];
        words[..source.len()].copy_from_slice(source);
        Params { words, len: source.len(), members: P::MEMBERS }
    }

    /// The struct again.
    ///
    /// # Panics
    /// If `P` has another size.
    #[track_caller]
    pub fn read<P: Pod>(&self) -> P {
        *bytemuck::from_bytes(bytemuck::cast_slice(&self.words[..self.len]))
    }

    /// The members of the struct.
    pub fn members(&self) -> &'static [Member] {
        self.members
    }

    /// The bytes that travel to the device.
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words[..self.len])
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.words[..self.len])
    }
}
