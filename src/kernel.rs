//! Kernels as data: what one reads, writes and means, and the ways to run it in WGSL.
//!
//! Nothing here runs anything. A [`Dispatch`] is the same value on every backend: the CPU calls the kernel's
//! [host path](Kernel::on_host), wgpu lowers it to [`Pass`]es of a [`Variant`], the null device counts it.

pub(crate) mod aligned;
mod call;
pub mod convert;
pub(crate) mod elementwise;
pub mod functions;
pub mod parallel;
mod params;
pub mod rewrite;
pub mod scratch;
pub mod squares;
pub mod strided;

pub use call::{Call, Slice};

use crate::dtype::DType;
use bytemuck::Pod;
pub use params::{MAX_PARAM_WORDS, Member, Params, Uniform};
use std::fmt;
use std::sync::Arc;

/// A kernel's use of one of its bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only read.
    Read,
    /// Every element is written, none is read before. Kernels store whole vec4: what lies behind the last element up to a
    /// whole vec4 may be overwritten, so that nothing may lie there ([`Binding::padded`]).
    Write,
    /// Read and written; what is not written keeps its value, and so does what lies behind the last element.
    ReadWrite,
}

/// The distance that a device's result may have from the definition's: |got - want| <= relative * |want| + absolute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Relative to the wanted value.
    pub relative: f32,
    /// In the unit of the result.
    pub absolute: f32,
}

impl Tolerance {
    /// The same bits: copies, comparisons, indices, random masks.
    pub const EXACT: Tolerance = Tolerance { relative: 0.0, absolute: 0.0 };
    /// One rounding or a few, as in element-wise arithmetic and functions.
    pub const ROUNDED: Tolerance = Tolerance { relative: 2e-5, absolute: 1e-6 };
    /// Sums of many terms in another order.
    pub const SUMMED: Tolerance = Tolerance { relative: 1e-4, absolute: 1e-4 };
}

/// Work that a dispatch implies, from its shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts two.
    pub flops: u64,
    /// Bytes read and written if each binding is touched once.
    pub bytes: u64,
}

/// A contract: what one compute kernel reads, writes and means.
#[doc(alias = "custom_op")]
pub struct Kernel {
    /// The name in traces, errors and tests.
    pub name: &'static str,
    /// The use of each binding, in order.
    pub access: &'static [Access],
    /// Its meaning: plain loops on slices that a newcomer can read, sums in f64. All else is held against it.
    pub definition: fn(&mut Call),
    /// A faster way to the same on the CPU backend.
    pub host: Option<fn(&mut Call)>,
    /// Operations and bytes.
    pub cost: fn(&Dispatch) -> Cost,
    /// The distance from the definition that the host path and every variant must keep within.
    pub tolerance: Tolerance,
    /// The bindings that its results are proportional to: both factors of a product, of a gradient the one from above. What they
    /// may be off grows with these, as rounding does.
    pub proportional: &'static [usize],
    /// The work that it can do at once with that of the dispatches around it.
    pub rewrites: &'static [rewrite::Rewrite],
    /// The ways to run it in WGSL, the preferred first.
    pub variants: &'static [Variant],
    /// Whether a replayed step runs dispatches of it once that do the same: for what is small beside its readers, and is never made
    /// again to save memory.
    pub once: bool,
}

impl Kernel {
    /// A kernel whose variants come within [`Tolerance::ROUNDED`] of the definition; without any yet, it runs on the CPU
    /// backend alone.
    ///
    /// ```
    /// use wgrad::kernel::{Access, Kernel, Tolerance};
    ///
    /// static FIRST: Kernel = Kernel::new(
    ///     "first",
    ///     &[Access::Read, Access::Write],
    ///     |call| call.write::<f32>(1)[0] = call.read::<f32>(0)[0],
    ///     |d| d.cost(0),
    /// )
    /// .tolerance(Tolerance::EXACT);
    /// ```
    pub const fn new(
        name: &'static str,
        access: &'static [Access],
        definition: fn(&mut Call),
        cost: fn(&Dispatch) -> Cost,
    ) -> Kernel {
        let tolerance = Tolerance::ROUNDED;
        Kernel {
            name,
            access,
            definition,
            host: None,
            cost,
            tolerance,
            proportional: &[],
            rewrites: &[],
            variants: &[],
            once: false,
        }
    }

    /// With a faster way to the same on the CPU backend.
    pub const fn host(self, host: fn(&mut Call)) -> Kernel {
        Kernel { host: Some(host), ..self }
    }

    /// With another tolerance.
    pub const fn tolerance(self, tolerance: Tolerance) -> Kernel {
        Kernel { tolerance, ..self }
    }

    /// With the bindings that its results are proportional to.
    pub const fn proportional_to(self, bindings: &'static [usize]) -> Kernel {
        Kernel { proportional: bindings, ..self }
    }

    /// With what it can do at once with the dispatches around it.
    pub const fn rewrites(self, rewrites: &'static [rewrite::Rewrite]) -> Kernel {
        Kernel { rewrites, ..self }
    }

    /// With the ways to run it in WGSL, the preferred first.
    pub const fn variants(self, variants: &'static [Variant]) -> Kernel {
        Kernel { variants, ..self }
    }

    /// Run once in a replayed step where several dispatches do the same.
    pub const fn once(self) -> Kernel {
        Kernel { once: true, ..self }
    }

    /// The function that the CPU backend runs: the host path, or the definition where there is none.
    pub fn on_host(&self) -> fn(&mut Call) {
        self.host.unwrap_or(self.definition)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// One way to run a kernel in WGSL.
pub struct Variant {
    /// Unique within the kernel.
    pub name: &'static str,
    /// Whether it computes the right result for this dispatch on this adapter.
    pub fits: fn(&Info, &Dispatch) -> bool,
    /// Whether it is worth choosing there; a variant that fits is taken all the same where none suits.
    pub suits: fn(&Info, &Dispatch) -> bool,
    /// The passes it takes.
    pub lower: fn(&Info, &Dispatch) -> Lowering,
    /// The distance from the definition that it may have beyond its kernel's tolerance, as a part of the largest number in the
    /// result: of one that adds up in f16, where a result may be small beside its terms; else 0.
    pub of_largest: f32,
}

impl Variant {
    /// One that is right for every dispatch, and worth choosing, on any adapter.
    pub const fn new(name: &'static str, lower: fn(&Info, &Dispatch) -> Lowering) -> Variant {
        Variant { name, fits: |_, _| true, suits: |_, _| true, lower, of_largest: 0.0 }
    }

    /// Right only where this says so.
    pub const fn fits(self, fits: fn(&Info, &Dispatch) -> bool) -> Variant {
        Variant { fits, ..self }
    }

    /// Worth choosing only where this says so.
    pub const fn suits(self, suits: fn(&Info, &Dispatch) -> bool) -> Variant {
        Variant { suits, ..self }
    }

    /// Off by so large a part of the largest result, beyond the kernel's tolerance.
    pub const fn coarser(self, of_largest: f32) -> Variant {
        Variant { of_largest, ..self }
    }
}

/// The passes of one dispatch, and the scratch buffers that they share.
#[derive(Debug, Default)]
pub struct Lowering {
    /// In the order they run.
    pub passes: Vec<Pass>,
    /// The size of each scratch buffer, in bytes.
    pub scratch: Vec<u64>,
}

impl Lowering {
    /// Scratch memory of so many bytes, for all passes of the lowering.
    pub fn scratch(&mut self, bytes: u64) -> Slot {
        self.scratch.push(bytes);
        Slot::Scratch(self.scratch.len() - 1)
    }
}

/// A WGSL file: the entry points in it share one list of bindings, with the parameters' uniform after the last.
#[derive(Debug)]
pub struct Shader {
    /// The file's stem.
    pub name: &'static str,
    /// The file's text, without the prelude.
    pub source: &'static str,
    /// The file's declaration of each storage binding.
    pub access: &'static [Access],
}

/// A file of the crate's `shaders/`, behind those of `shaders/prelude/` that it builds on.
macro_rules! shader {
    ($name:literal, $access:expr) => {
        $crate::kernel::shader!($name, [], $access)
    };
    ($name:literal, [$($before:literal),*], $access:expr) => {
        $crate::kernel::Shader {
            name: $name,
            source: concat!(
                $(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/prelude/", $before, ".wgsl")),)*
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl"))
            ),
            access: $access,
        }
    };
}
pub(crate) use shader;

/// A value that a variant sets at the head of a WGSL file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Constant {
    /// `const NAME: u32 = ..;`
    U32(u32),
    /// `const NAME: bool = ..;`
    Bool(bool),
    /// `alias NAME = ..;`
    Alias(&'static str),
    /// `fn NAME { return ..; }`, where the name is the function's whole head.
    Function(&'static str),
    /// The type of a float binding: `NAME`, which holds four elements, and `wide_NAME` and `narrow_NAME` to f32 and back;
    /// `NAME_WORD`, of which each holds `EACH_NAME` elements, `word_NAME`, a word of four, and `pick_NAME`, an element of a word.
    /// As products read them, in which an f16 below the smallest normal one may be 0: `load_NAME`, `load_of_NAME`, an element
    /// of a word, and `load_at_NAME`, one of four. Halves take `prelude/halves.wgsl`.
    Element(DType),
    /// `enable NAME;`, before all else.
    Enable,
    /// A float binding of f32 whose file takes it one by one where others take it by fours: `NAME`, `wide_NAME`, `load_NAME` and
    /// `narrow_NAME` of one element.
    Single,
}

/// The memory that a pass binds in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A binding of the dispatch.
    Arg(usize),
    /// A scratch buffer, which [`Lowering::scratch`] gives out.
    Scratch(usize),
}

/// One run of one WGSL entry point.
#[derive(Debug)]
pub struct Pass {
    /// The file.
    pub shader: &'static Shader,
    /// The entry point.
    pub entry: &'static str,
    /// Put before the file.
    pub constants: Vec<(&'static str, Constant)>,
    /// The memory behind each storage binding of the file.
    pub slots: Vec<Slot>,
    /// Parameters of this pass; `None` for those of the dispatch.
    pub params: Option<Params>,
    /// The number of workgroups. Past 65,535 they spill into a second dimension, which the prelude folds back.
    pub groups: u64,
    /// Whether it reads and writes the dispatch's bindings as they are, whatever their types. To others floats of half size are
    /// f32, in scratch memory, but for those that it names.
    pub typed: bool,
    /// For each slot the name of the [`Constant::Element`] by which the file reads or writes its floats, of any type; empty
    /// where it knows f32 alone.
    pub elements: &'static [&'static str],
}

impl Pass {
    /// A pass that binds the dispatch's bindings in order.
    pub fn new(shader: &'static Shader, entry: &'static str, groups: u64) -> Pass {
        let slots = (0..shader.access.len()).map(Slot::Arg).collect();
        Pass { shader, entry, constants: Vec::new(), slots, params: None, groups, typed: false, elements: &[] }
    }

    /// With other slots.
    pub fn slots(mut self, slots: &[Slot]) -> Pass {
        self.slots = slots.to_vec();
        self
    }

    /// With a constant before the file.
    pub fn constant(mut self, name: &'static str, value: Constant) -> Pass {
        self.constants.push((name, value));
        self
    }

    /// That knows the types of its bindings.
    pub fn typed(mut self) -> Pass {
        self.typed = true;
        self
    }

    /// That reads and writes floats as they are, by [`Constant::Element`] under these names, one for each slot in order; an empty
    /// one, or none, stands for a slot that it knows as f32.
    pub fn elements(mut self, names: &'static [&'static str]) -> Pass {
        self.elements = names;
        self
    }

    /// That takes floats by items of `width`: of any type by fours, or of f32 one by one. ITEM is an item and WIDTH its width.
    pub fn items(self, width: usize, names: &'static [&'static str]) -> Pass {
        let item = if width == 4 { "vec4<f32>" } else { "f32" };
        let pass = self.constant("ITEM", Constant::Alias(item)).constant("WIDTH", Constant::U32(width as u32));
        match width {
            4 => pass.elements(names),
            _ => names
                .iter()
                .filter(|name| !name.is_empty())
                .fold(pass, |pass, name| pass.constant(name, Constant::Single)),
        }
    }

    /// With parameters of its own.
    pub fn params<P: Uniform>(mut self, params: &P) -> Pass {
        self.params = Some(Params::new(params));
        self
    }

    /// As the only pass of a lowering.
    pub fn alone(self) -> Lowering {
        Lowering { passes: vec![self], scratch: Vec::new() }
    }
}

/// The text of a shader module: the constants, the prelude, the file.
pub fn module_source(shader: &Shader, constants: &[(&'static str, Constant)]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(PRELUDE.len() + shader.source.len() + 256);
    let is_enabled = |(_, value): &&(&str, Constant)| *value == Constant::Enable;
    constants.iter().filter(is_enabled).for_each(|(name, _)| text.extend(["enable ", *name, ";\n"]));
    for (name, value) in constants {
        // Writing to a string cannot fail.
        let _ = match value {
            Constant::U32(v) => writeln!(text, "const {name}: u32 = {v}u;"),
            Constant::Bool(v) => writeln!(text, "const {name}: bool = {v};"),
            Constant::Alias(v) => writeln!(text, "alias {name} = {v};"),
            Constant::Function(v) => writeln!(text, "fn {name} {{ return {v}; }}"),
            Constant::Element(dtype) => element_source(&mut text, name, *dtype),
            Constant::Single => single_source(&mut text, name),
            Constant::Enable => Ok(()),
        };
    }
    text + PRELUDE + shader.source
}

fn element_source(text: &mut String, name: &str, dtype: DType) -> fmt::Result {
    use std::fmt::Write;
    let (four, word, each) = if dtype.is_half() { ("vec2<u32>", "u32", 2) } else { ("vec4<f32>", "f32", 1) };
    let [wide, narrow, pick] = match dtype {
        DType::F16 => ["f16_wide4(v)", "f16_narrow4(v)", "f16_pick(word, i)"],
        DType::BF16 => ["bf16_wide4(v)", "bf16_narrow4(v)", "bf16_pick(word, i)"],
        _ => ["v", "v", "word"],
    };
    let [load, load_of, load_at] = match dtype {
        DType::F16 => ["f16_load4(v)", "f16_load(word, i)", "f16_load_of4(v, i)"],
        DType::BF16 => ["bf16_wide4(v)", "bf16_pick(word, i)", "bf16_pick_of4(v, i)"],
        _ => ["v", "word", "v[i % 4u]"],
    };
    writeln!(text, "alias {name} = {four};\nalias {name}_WORD = {word};\nconst EACH_{name} = {each}u;")?;
    writeln!(text, "fn wide_{name}(v: {name}) -> vec4<f32> {{ return {wide}; }}")?;
    writeln!(text, "fn narrow_{name}(v: vec4<f32>) -> {name} {{ return {narrow}; }}")?;
    writeln!(text, "fn word_{name}(v: vec4<f32>, i: u32) -> {name}_WORD {{ return narrow_{name}(v)[i]; }}")?;
    writeln!(text, "fn pick_{name}(word: {name}_WORD, i: u32) -> f32 {{ return {pick}; }}")?;
    writeln!(text, "fn load_{name}(v: {name}) -> vec4<f32> {{ return {load}; }}")?;
    writeln!(text, "fn load_of_{name}(word: {name}_WORD, i: u32) -> f32 {{ return {load_of}; }}")?;
    writeln!(text, "fn load_at_{name}(v: {name}, i: u32) -> f32 {{ return {load_at}; }}")
}

fn single_source(text: &mut String, name: &str) -> fmt::Result {
    use std::fmt::Write;
    writeln!(text, "alias {name} = f32;\nfn wide_{name}(v: f32) -> f32 {{ return v; }}")?;
    writeln!(text, "fn load_{name}(v: f32) -> f32 {{ return v; }}\nfn narrow_{name}(v: f32) -> f32 {{ return v; }}")
}

/// WGSL that stands before every file.
pub const PRELUDE: &str = include_str!("../shaders/prelude.wgsl");

/// The number of workgroups that `items` take at `per_group` each; at least one.
pub fn groups(items: usize, per_group: usize) -> u64 {
    items.div_ceil(per_group).max(1) as u64
}

/// A buffer of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u64);

/// A range of a buffer, bound to a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The buffer.
    pub buffer: BufferId,
    /// The first byte; a multiple of 256.
    pub offset: u64,
    /// The length in bytes; the last word may hold other elements behind it.
    pub bytes: u64,
    /// The type of the elements.
    pub dtype: DType,
    /// Whether nothing lies behind it up to a whole vec4 of 16 bytes: the end of a buffer, or padding.
    pub padded: bool,
}

impl Binding {
    /// The elements that it holds.
    pub fn numel(&self) -> usize {
        self.dtype.count(self.bytes)
    }

    /// Its length in bytes to the end of its last word.
    pub fn word_bytes(&self) -> u64 {
        self.bytes.next_multiple_of(4)
    }

    /// Whether all bytes of the other are among its own.
    pub fn covers(&self, other: &Binding) -> bool {
        self.buffer == other.buffer
            && self.offset <= other.offset
            && other.offset + other.bytes <= self.offset + self.bytes
    }

    /// Whether both share bytes.
    pub fn overlaps(&self, other: &Binding) -> bool {
        self.buffer == other.buffer
            && self.offset < other.offset + other.bytes
            && other.offset < self.offset + self.bytes
    }
}

/// One queued execution of a kernel: plain data that can be printed, compared, stored and replayed.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// On what.
    pub bindings: Vec<Binding>,
    /// With which parameters.
    pub params: Params,
    /// The path of the parameter it works for, where it reads one.
    pub label: Option<Arc<str>>,
}

impl Dispatch {
    /// The parameters.
    pub fn params<P: Pod>(&self) -> P {
        self.params.read()
    }

    /// The bytes that all bindings hold together.
    pub fn bytes(&self) -> u64 {
        self.bindings.iter().map(|b| b.bytes).sum()
    }

    /// The work of so many operations where each binding is touched once.
    pub fn cost(&self, flops: u64) -> Cost {
        Cost { flops, bytes: self.bytes() }
    }

    /// The elements that a binding holds.
    pub fn len(&self, binding: usize) -> usize {
        self.bindings[binding].numel()
    }

    /// Whether nothing is bound.
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// The kernel and its layer, for messages.
    pub fn title(&self) -> String {
        match &self.label {
            Some(label) => format!("{} ({label})", self.kernel.name),
            None => self.kernel.name.to_string(),
        }
    }
}

impl PartialEq for Dispatch {
    fn eq(&self, other: &Dispatch) -> bool {
        std::ptr::eq(self.kernel, other.kernel) && self.bindings == other.bindings && self.params == other.params
    }
}

/// The kind of machine that runs the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A graphics processor.
    Gpu,
    /// A software implementation of a graphics API, such as lavapipe.
    Software,
    /// The CPU backend.
    Host,
    /// The null device.
    Null,
}

/// A device's kind and limits: all that choosing a variant may depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The adapter's name.
    pub name: String,
    /// The API under it: `vulkan`, `metal`, `dx12`, `noop`, `cpu` or `null`.
    pub api: String,
    /// The driver with its version.
    pub driver: String,
    /// The kind of machine.
    pub class: Class,
    /// Invocations of a subgroup, where subgroups exist and all have this size.
    pub subgroup: Option<u32>,
    /// The most bytes of one binding, and so of one tensor.
    pub max_binding_bytes: u64,
    /// The most workgroups along one dimension of a grid.
    pub max_groups: u32,
    /// The most invocations of a workgroup.
    pub max_threads: u32,
    /// The most bytes that a workgroup shares.
    pub max_shared_bytes: u32,
    /// Whether products and convolutions may compute in f16: the adapter does, and `WgpuOptions::fp16_accumulation` asks for it.
    pub shader_f16: bool,
    /// The side of the squares of f16 that a subgroup multiplies and adds up in f32: the adapter has such units, and
    /// `WgpuOptions::experimental` agrees to them.
    pub cooperative: Option<u32>,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            Class::Host | Class::Null => write!(f, "{}", self.name),
            Class::Gpu => write!(f, "{} ({}, {})", self.name, self.api, self.driver),
            Class::Software => write!(f, "{} ({}, {}, a software adapter)", self.name, self.api, self.driver),
        }
    }
}
