//! Adapters and devices: what there is, what was asked for, and what was got.

use super::squares;
use super::tuning::Tuning;
use crate::backend::edge;
use crate::error::{Error, Result};
use crate::kernel::{Class, Info};
use std::fmt;
use wgpu::ExperimentalFeatures;

/// Which adapter to take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AdapterChoice {
    /// A discrete GPU before an integrated one before any other; a software adapter last.
    #[default]
    Best,
    /// The first whose name holds this text, in any case.
    Name(String),
    /// The number in the list of adapters.
    Index(usize),
}

/// The part of an adapter that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Features {
    /// All that it offers.
    #[default]
    Adapter,
    /// Only what every browser has: WebGPU's default limits, no subgroups and no arithmetic in f16.
    Browser,
}

/// Whether shaders guard their accesses and loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShaderChecks {
    /// Indices are clamped and loops bounded by the shader compiler.
    Checked,
    /// The crate's own shaders are trusted to stay in range, which their tests hold them to.
    Trusted,
}

/// Options of a wgpu device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WgpuOptions {
    /// Which adapter.
    pub adapter: AdapterChoice,
    /// APIs to look for adapters in, as wgpu spells them: `vulkan,metal,dx12`. `None` is all that are built in, but
    /// for `noop` (feature `noop`), which runs nothing and has to be named.
    pub backends: Option<String>,
    /// Whether `noop` may be named. Where the environment names it, it may not: every result would be 0, without a word.
    pub noop: bool,
    /// The part of the adapter that is used.
    pub features: Features,
    /// Trusted in release builds, checked in debug builds.
    pub checks: ShaderChecks,
    /// Runs this variant of every kernel that has it and that it fits, instead of the one that suits the adapter.
    pub variant: Option<&'static str>,
    /// The choice of variants otherwise.
    pub tuning: Tuning,
    /// Whether f16 may be multiplied and, 32 terms at a time, added up in f16 by products and convolutions, where the adapter does: twice
    /// as fast on most GPUs. It is off, as in PyTorch: each result is off by up to four roundings of the largest then, products
    /// of terms below 6e-5 lose digits, and one above 65,504 is infinite.
    #[doc(alias = "allow_fp16_accumulation")]
    pub fp16_accumulation: bool,
    /// What wgpu calls experimental: products, convolutions and attention of f16 by units for small matrices (tensor cores, matrix
    /// cores), added up in f32, on Vulkan and Metal. They are taken only where a first product by them is right.
    #[doc(alias = "tensor cores")]
    #[doc(alias = "cooperative_matrix")]
    pub experimental: Experimental,
}

/// Whether a user agrees to wgpu's experiments, whose faults are wgpu's to mend and may be met. wgpu wants to hear so by an `unsafe`
/// call, [`ExperimentalFeatures::enabled`]; what that returns is turned into this by `into()`. By default, no.
#[derive(Debug, Clone, Copy, Default)]
pub struct Experimental(ExperimentalFeatures);

impl From<ExperimentalFeatures> for Experimental {
    fn from(agreed: ExperimentalFeatures) -> Experimental {
        Experimental(agreed)
    }
}

impl PartialEq for Experimental {
    fn eq(&self, other: &Experimental) -> bool {
        self.0.is_enabled() == other.0.is_enabled()
    }
}

impl Eq for Experimental {}

impl Default for WgpuOptions {
    fn default() -> WgpuOptions {
        WgpuOptions {
            adapter: AdapterChoice::Best,
            backends: None,
            noop: true,
            features: Features::Adapter,
            checks: if cfg!(debug_assertions) { ShaderChecks::Checked } else { ShaderChecks::Trusted },
            variant: None,
            tuning: Tuning::Table,
            fp16_accumulation: false,
            experimental: Experimental::default(),
        }
    }
}

impl WgpuOptions {
    /// Reads the variables that wgpu's own examples know: `WGPU_ADAPTER_NAME` (part of a name, or a number in the
    /// list of adapters) and `WGPU_BACKEND` (`vulkan`, `metal`, `dx12`, or several with commas).
    pub fn from_env() -> WgpuOptions {
        let name = std::env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.trim().is_empty());
        let adapter = name.map_or(AdapterChoice::Best, |name| match name.trim().parse() {
            Ok(index) => AdapterChoice::Index(index),
            Err(_) => AdapterChoice::Name(name),
        });
        let backends = std::env::var("WGPU_BACKEND").ok().filter(|list| !list.trim().is_empty());
        WgpuOptions { adapter, backends, noop: false, ..WgpuOptions::default() }
    }
}

/// An adapter that wgpu found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Its number in the list.
    pub index: usize,
    /// Its kind and its limits.
    pub info: Info,
    /// Whether it is a discrete GPU, an integrated one, or another kind.
    pub kind: &'static str,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Info { name, api, driver, subgroup, max_binding_bytes, max_threads, max_shared_bytes, .. } = &self.info;
        let squares =
            self.info.cooperative.map_or(String::new(), |side| format!(", products of {side} x {side} squares"));
        let f16 = if self.info.shader_f16 { ", arithmetic in f16" } else { "" };
        let subgroup = subgroup.map_or("no fixed subgroups".into(), |n| format!("subgroups of {n}"));
        write!(
            f,
            "{}: {name} ({}, {api}, {driver}): {subgroup}, bindings to {} MiB, {max_threads} threads and {} KiB shared a workgroup{f16}{squares}",
            self.index,
            self.kind,
            max_binding_bytes >> 20,
            max_shared_bytes >> 10
        )
    }
}

fn instance(backends: wgpu::Backends) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backend_options.noop.enable = backends == wgpu::Backends::NOOP;
    descriptor.flags = if cfg!(debug_assertions) { wgpu::InstanceFlags::DEBUG } else { wgpu::InstanceFlags::empty() };
    wgpu::Instance::new(descriptor)
}

fn backends(options: &WgpuOptions) -> Result<wgpu::Backends> {
    let Some(list) = &options.backends else { return Ok(wgpu::Backends::all()) };
    let backends = wgpu::Backends::from_comma_list(&list.to_lowercase());
    if backends.contains(wgpu::Backends::NOOP) && !options.noop {
        return Err(Error::Option(format!(
            "backends `{list}`: noop runs nothing, and every result would be 0: use vulkan, metal or dx12"
        )));
    }
    if backends.is_empty() {
        return Err(Error::Option(format!("backends `{list}`: none of them is known; use vulkan, metal or dx12")));
    }
    Ok(backends)
}

fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// The adapters there are, the best first. Looking for them takes long and loads every driver: once is enough.
pub struct Found(Vec<wgpu::Adapter>);

impl Found {
    /// Those of the APIs that `options` name.
    pub async fn by(options: &WgpuOptions) -> Result<Found> {
        let backends = backends(options)?;
        let mut adapters = instance(backends).enumerate_adapters(backends).await;
        adapters.retain(|a| a.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS));
        adapters.sort_by_key(|a| rank(a.get_info().device_type));
        Ok(Found(adapters))
    }

    /// Their descriptions, the best first.
    pub fn described(&self, options: &WgpuOptions) -> Vec<Adapter> {
        self.0.iter().enumerate().map(|(i, a)| described(i, a, options)).collect()
    }
}

fn info(adapter: &wgpu::Adapter, options: &WgpuOptions) -> Info {
    let features = options.features;
    let about = adapter.get_info();
    let limits = limits(adapter, features);
    let subgroups = features == Features::Adapter && adapter.features().contains(wgpu::Features::SUBGROUP);
    let fixed = subgroups && about.subgroup_min_size == about.subgroup_max_size && about.subgroup_min_size > 0;
    let f16 = features == Features::Adapter && adapter.features().contains(wgpu::Features::SHADER_F16);
    let squares = options.experimental.0.is_enabled() && f16 && fixed;
    Info {
        name: about.name,
        api: about.backend.to_str().to_string(),
        driver: [about.driver, about.driver_info].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" "),
        class: if about.device_type == wgpu::DeviceType::Cpu { Class::Software } else { Class::Gpu },
        subgroup: fixed.then_some(about.subgroup_min_size),
        // Kernels count elements in 32 bits.
        max_binding_bytes: limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size)
            .min(u64::from(u32::MAX) * 4),
        max_groups: limits.max_compute_workgroups_per_dimension,
        max_threads: limits.max_compute_invocations_per_workgroup,
        max_shared_bytes: limits.max_compute_workgroup_storage_size,
        shader_f16: options.fp16_accumulation && f16,
        cooperative: squares.then(|| cooperative(adapter)).flatten(),
    }
}

/// The side of the largest squares of f16 that shaders can name and the adapter multiplies and adds up in f32.
fn cooperative(adapter: &wgpu::Adapter) -> Option<u32> {
    if !adapter.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return None;
    }
    let all = adapter.cooperative_matrix_properties();
    let has = |side: &u32| {
        let types = (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32);
        all.iter().any(|of| [of.m_size, of.n_size, of.k_size] == [*side; 3] && (of.ab_type, of.cr_type) == types)
    };
    [16, 8].into_iter().find(has)
}

fn limits(adapter: &wgpu::Adapter, features: Features) -> wgpu::Limits {
    match features {
        Features::Adapter => adapter.limits(),
        Features::Browser => wgpu::Limits::default(),
    }
}

fn described(index: usize, adapter: &wgpu::Adapter, options: &WgpuOptions) -> Adapter {
    let kind = match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => "a discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "an integrated GPU",
        wgpu::DeviceType::VirtualGpu => "a virtual GPU",
        wgpu::DeviceType::Cpu => "a software adapter",
        wgpu::DeviceType::Other => "an adapter of unknown kind",
    };
    Adapter { index, info: info(adapter, options), kind }
}

/// The adapters there are, the best first.
pub fn adapters(options: &WgpuOptions) -> Result<Vec<Adapter>> {
    Ok(edge::wait("adapters", Found::by(options))?.described(options))
}

/// Advice for a user where no adapter is found.
pub const INSTALL_HINT: &str = "install a GPU driver with Vulkan, or a software adapter \
     (Debian and Ubuntu: apt-get install mesa-vulkan-drivers), or use the CPU backend";

/// An open device with the adapter's description.
pub async fn open(Found(mut found): Found, options: &WgpuOptions) -> Result<(wgpu::Device, wgpu::Queue, Info)> {
    if found.is_empty() {
        return Err(Error::NoAdapter(format!("no GPU adapter was found: {INSTALL_HINT}")));
    }
    let names = || {
        let list: Vec<String> = found.iter().enumerate().map(|(i, a)| format!("{i}: {}", a.get_info().name)).collect();
        list.join(", ")
    };
    let index = match &options.adapter {
        AdapterChoice::Best => 0,
        AdapterChoice::Index(index) if *index < found.len() => *index,
        AdapterChoice::Index(index) => {
            return Err(Error::NoAdapter(format!("there is no adapter {index}; there are {}", names())));
        }
        AdapterChoice::Name(name) => {
            let wanted = name.to_lowercase();
            let at = found.iter().position(|a| a.get_info().name.to_lowercase().contains(&wanted));
            at.ok_or_else(|| Error::NoAdapter(format!("no adapter is named like `{name}`; there are {}", names())))?
        }
    };
    let adapter = found.swap_remove(index);
    let mut info = info(&adapter, options);
    let (device, queue) = device(&adapter, &info, options).await?;
    if let (Some(side), Some(lanes)) = (info.cooperative, info.subgroup)
        && !squares::are_right(&device, &queue, side, lanes).await
    {
        log::warn!("{}: products by matrix units are wrong on this driver, and are made without them", info.name);
        info.cooperative = None;
        let (device, queue) = self::device(&adapter, &info, options).await?;
        return Ok((device, queue, info));
    }
    Ok((device, queue, info))
}

async fn device(adapter: &wgpu::Adapter, info: &Info, options: &WgpuOptions) -> Result<(wgpu::Device, wgpu::Queue)> {
    let mut features = wgpu::Features::empty();
    if info.subgroup.is_some() {
        features |= wgpu::Features::SUBGROUP;
    }
    if info.shader_f16 || info.cooperative.is_some() {
        features |= wgpu::Features::SHADER_F16;
    }
    if info.cooperative.is_some() {
        features |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    }
    features |= adapter.features() & wgpu::Features::TIMESTAMP_QUERY;
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("wgrad"),
        required_features: features,
        required_limits: limits(adapter, options.features),
        memory_hints: wgpu::MemoryHints::Performance,
        experimental_features: options.experimental.0,
        ..Default::default()
    };
    let device = adapter.request_device(&descriptor).await;
    device.map_err(|e| Error::NoAdapter(format!("{}: the adapter gave no device: {e}", info.name)))
}
