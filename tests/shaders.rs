//! Every WGSL module that the crate can build, read and translated by naga: no GPU is needed.
//!
//! The cases of `tests/ops` run on the null device, and what they would run is lowered for several kinds of adapter
//! with every variant that fits there.

mod parameters;
mod written;

use crate::cases;
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, ShaderStage, StorageAccess};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use wgrad::DType;
use wgrad::backend::wgpu::SQUARES;
use wgrad::kernel::{Access, Class, Constant, Dispatch, Info, Pass, Shader, Slot, module_source, squares};

/// Each test with its name.
pub const TESTS: &[(&str, fn())] = &[
    ("every_module_is_valid", every_module_is_valid),
    ("every_entry_point_translates", every_entry_point_translates),
    ("bindings_are_as_the_shader_table_says", bindings_are_as_the_shader_table_says),
    ("parameters_are_as_the_uniform_says", parameters::parameters_are_as_the_uniform_says),
    ("a_swapped_member_is_noticed", parameters::a_swapped_member_is_noticed),
    ("modules_without_subgroups_fit_a_browser", modules_without_subgroups_fit_a_browser),
    ("every_kernel_runs_in_a_browser", every_kernel_runs_in_a_browser),
    ("what_would_loop_too_long_is_refused", what_would_loop_too_long_is_refused),
    ("a_sum_of_many_parts_stays_within_the_bound_of_loops", a_sum_of_many_parts_stays_within_the_bound_of_loops),
    ("passes_keep_to_what_their_kernel_says", passes_keep_to_what_their_kernel_says),
    ("every_file_is_used", every_file_is_used),
    ("elements_of_half_size_take_no_pass_of_their_own", elements_of_half_size_take_no_pass_of_their_own),
    ("every_module_is_written", written::every_module_is_written),
];

/// What WebGPU guarantees, and what the browsers' adapters are held to.
const THREADS: u32 = 256;
const SHARED_BYTES: u32 = 16 << 10;
const STORAGE_BINDINGS: usize = 8;

fn adapter(name: &str, class: Class, subgroup: Option<u32>, max_threads: u32, max_shared_bytes: u32) -> Info {
    Info {
        name: name.into(),
        api: "none".into(),
        driver: String::new(),
        class,
        subgroup,
        max_binding_bytes: 128 << 20,
        max_groups: 65_535,
        max_threads,
        max_shared_bytes,
        shader_f16: false,
        cooperative: None,
    }
}

fn browser() -> Info {
    adapter("a browser", Class::Gpu, None, THREADS, SHARED_BYTES)
}

fn adapters() -> Vec<Info> {
    vec![
        browser(),
        Info { cooperative: Some(16), ..adapter("a GPU", Class::Gpu, Some(32), 1024, 48 << 10) },
        Info { shader_f16: true, ..adapter("a GPU of narrow subgroups", Class::Gpu, Some(16), 512, 32 << 10) },
        Info { cooperative: Some(8), ..adapter("lavapipe", Class::Software, Some(8), 1024, 32 << 10) },
        Info {
            shader_f16: true,
            ..adapter("a software adapter without subgroups", Class::Software, None, THREADS, SHARED_BYTES)
        },
    ]
}

/// A module with the entry points that lowerings use.
pub struct Module {
    pub shader: &'static Shader,
    constants: Vec<(&'static str, Constant)>,
    entries: BTreeSet<&'static str>,
    pub naga: naga::Module,
    pub info: ModuleInfo,
    /// Whether it needs subgroups, and arithmetic in f16.
    subgroups: bool,
    f16: bool,
    /// Whether it needs units for small matrices, which neither DX12 nor a browser has.
    squares: bool,
}

impl Module {
    fn name(&self) -> String {
        format!("{}.wgsl {:?}", self.shader.name, self.constants)
    }

    /// An entry point's index, and itself.
    fn entry(&self, name: &str) -> (usize, &naga::EntryPoint) {
        let found = self.naga.entry_points.iter().enumerate().find(|(_, entry)| entry.name == name);
        found.unwrap_or_else(|| panic!("{}: there is no entry point `{name}`", self.name()))
    }

    /// Storage and uniform variables by the number of their binding: the access each declares, and how the entry points use it.
    fn bindings(&self) -> BTreeMap<u32, Vec<(AddressSpace, GlobalUse)>> {
        let mut all: BTreeMap<u32, Vec<(AddressSpace, GlobalUse)>> = BTreeMap::new();
        for (handle, variable) in self.naga.global_variables.iter() {
            let Some(binding) = variable.binding else { continue };
            assert_eq!(binding.group, 0, "{}: a binding outside of group 0", self.name());
            let uses = (0..self.naga.entry_points.len()).map(|at| self.info.get_entry_point(at)[handle]);
            all.entry(binding.binding).or_default().push((variable.space, uses.collect()));
        }
        all
    }
}

struct Lowered {
    dispatch: Dispatch,
    title: String,
    passes: Vec<Pass>,
}

pub struct Collected {
    pub modules: Vec<Module>,
    lowered: Vec<Lowered>,
    /// Kernels that no variant runs with a browser's means, and for what.
    beyond_browsers: Vec<String>,
}

pub static ALL: LazyLock<Collected> = LazyLock::new(collect);

fn collect() -> Collected {
    let mut lowered = Vec::new();
    let mut beyond_browsers = Vec::new();
    for case in cases::all() {
        for dispatch in case.dispatches() {
            if !dispatch.kernel.variants.iter().any(|variant| (variant.fits)(&browser(), &dispatch)) {
                beyond_browsers.push(format!("{} in {}", dispatch.kernel.name, case.name));
            }
            for info in adapters() {
                for variant in dispatch.kernel.variants.iter().filter(|variant| (variant.fits)(&info, &dispatch)) {
                    let title = format!("{}, {} on {} in {}", dispatch.kernel.name, variant.name, info.name, case.name);
                    let passes = variant.lowered(&info, &dispatch).passes;
                    assert!(!passes.is_empty(), "{title}: no pass");
                    lowered.push(Lowered { dispatch: dispatch.clone(), title, passes });
                }
            }
            let types = [DType::F16, DType::BF16].into_iter().cycle();
            let all = adapters().into_iter().zip(types).map(|(info, dtype)| (info, dtype, halved(&dispatch, dtype)));
            // What a pass in mixed precision runs.
            let mixed = adapters().into_iter().map(|info| (info, DType::F16, mixed(&dispatch)));
            for (info, dtype, halved) in
                all.chain(mixed.filter(|(info, ..)| info.shader_f16 || info.cooperative.is_some()))
            {
                for variant in dispatch.kernel.variants.iter().filter(|variant| (variant.fits)(&info, &halved)) {
                    let title = format!(
                        "{}, {} of {dtype} in {} on {}",
                        dispatch.kernel.name, variant.name, case.name, info.name
                    );
                    let passes = variant.lowered(&info, &halved).passes;
                    if passes.iter().any(|pass| pass.typed || !pass.elements.is_empty()) {
                        lowered.push(Lowered { dispatch: halved.clone(), title, passes });
                    }
                }
            }
        }
    }
    let mut modules: BTreeMap<String, Module> = BTreeMap::new();
    for pass in lowered.iter().flat_map(|lowered| &lowered.passes) {
        let key = format!("{} {:?}", pass.shader.name, pass.constants);
        modules.entry(key).or_insert_with(|| parse(pass.shader, &pass.constants)).entries.insert(pass.entry);
    }
    // What judges matrix units before any kernel runs on them.
    for (side, lanes) in [(8, 8), (16, 32)] {
        let constants = squares::constants(side, lanes);
        let module = modules.entry(format!("{side} {constants:?}")).or_insert_with(|| parse(&SQUARES, &constants));
        module.entries.insert(SQUARES.name);
    }
    Collected { modules: modules.into_values().collect(), lowered, beyond_browsers }
}

/// The same of floats of half size.
fn halved(dispatch: &Dispatch, dtype: DType) -> Dispatch {
    let mut halved = dispatch.clone();
    for binding in halved.bindings.iter_mut().filter(|binding| binding.dtype == DType::F32) {
        (binding.dtype, binding.bytes) = (dtype, binding.bytes / 2);
    }
    halved
}

/// The same with f16 in the two that are read first and in what is written last.
fn mixed(dispatch: &Dispatch) -> Dispatch {
    let mut mixed = halved(dispatch, DType::F16);
    let last = mixed.bindings.len().max(3) - 1;
    for (at, binding) in mixed.bindings.iter_mut().enumerate().filter(|(at, _)| (2..last).contains(at)) {
        *binding = dispatch.bindings[at];
    }
    mixed
}

fn parse(shader: &'static Shader, constants: &[(&'static str, Constant)]) -> Module {
    let source = module_source(shader, constants);
    let path = format!("{}.wgsl", shader.name);
    let naga = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string_with_path(&source, &path)));
    let validate =
        |capabilities| Validator::new(ValidationFlags::all(), capabilities).validate(&naga).map_err(Box::new);
    // `unpack2x16float` is a part of WGSL, which every backend of wgpu has but OpenGL's.
    let enables = |name| constants.contains(&(name, Constant::Enable));
    let (f16, squares) = (enables("f16"), enables("wgpu_cooperative_matrix"));
    let mut able = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    able.set(Capabilities::SHADER_FLOAT16, f16);
    able.set(Capabilities::COOPERATIVE_MATRIX, squares);
    let plain = validate(able);
    let subgroups = plain.is_err();
    let info = plain
        .or_else(|_| validate(able | Capabilities::SUBGROUP))
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string_with_path(&source, &path)));
    Module { shader, constants: constants.to_vec(), entries: BTreeSet::new(), naga, info, subgroups, f16, squares }
}

/// What is as large as the work, by kernel: arguments that no pass may widen or round where a variant for software adapters and
/// one for GPUs is chosen.
const NATIVE: &[(&str, &[usize])] = &[
    ("attention", &[0, 1, 2, 4]),
    ("attention_backward", &[0, 1, 2, 4, 6, 7]),
    ("avg_pool2d", &[0, 1]),
    ("avg_pool2d_backward", &[0, 1]),
    ("batch_norm", &[0, 4]),
    ("batch_norm_backward", &[0, 1, 5]),
    ("batch_norm_sums", &[0, 1]),
    ("channel_stats", &[0]),
    ("conv2d", &[0, 1, 2]),
    ("conv2d_bias", &[0, 1, 2, 3]),
    ("conv2d_input", &[0, 1, 2]),
    ("conv2d_weight", &[0, 1]),
    ("conv2d_weight_bias", &[0, 1]),
    ("cross_entropy", &[0]),
    ("cross_entropy_backward", &[0, 5]),
    ("depthwise", &[0, 3]),
    ("depthwise_input", &[0, 2]),
    ("depthwise_weight", &[0, 1]),
    ("embedding", &[0, 2]),
    ("embedding_backward", &[0]),
    ("group_norm", &[0, 4]),
    ("group_norm_backward", &[0, 1, 5]),
    ("group_norm_sums", &[0, 1]),
    ("group_stats", &[0]),
    ("layer_norm", &[0, 3]),
    ("layer_norm_backward", &[0, 1, 4, 5]),
    ("max_pool2d", &[0, 1]),
    ("max_pool2d_backward", &[0, 2]),
    ("softmax", &[0, 1]),
    ("softmax_backward", &[0, 1, 2]),
    ("sum", &[0]),
];

fn elements_of_half_size_take_no_pass_of_their_own() {
    let halves = || ALL.lowered.iter().filter(|lowered| lowered.dispatch.bindings.iter().any(|b| b.dtype.bytes() == 2));
    let widened = |lowered: &Lowered, arg: usize| {
        lowered.passes.iter().any(|pass| pass.shader.name == "convert" && pass.slots.contains(&Slot::Arg(arg)))
    };
    for (kernel, args) in NATIVE {
        for adapter in ["lavapipe", "a GPU"] {
            let here = |l: &&Lowered| l.dispatch.kernel.name == *kernel && l.title.ends_with(&format!(" on {adapter}"));
            let is_native = halves().filter(here).any(|lowered| args.iter().all(|arg| !widened(lowered, *arg)));
            assert!(is_native, "{kernel} on {adapter} is widened by passes around it");
        }
    }
    let kernels: BTreeSet<&str> =
        halves().filter(|lowered| lowered.passes.len() == 1).map(|lowered| lowered.dispatch.kernel.name).collect();
    let one_by_one = ["unary", "unary_backward", "binary", "select", "dropout"];
    for lowered in ALL.lowered.iter().filter(|l| l.passes.iter().any(|pass| one_by_one.contains(&pass.shader.name))) {
        assert!(kernels.contains(lowered.dispatch.kernel.name), "{} is widened by passes before it", lowered.title);
    }
}

fn every_module_is_valid() {
    assert!(ALL.modules.len() > 20 && ALL.lowered.len() > 1000, "hardly anything is lowered");
    for module in &ALL.modules {
        for entry in &module.entries {
            assert_eq!(module.entry(entry).1.stage, ShaderStage::Compute, "{}: {entry}", module.name());
        }
    }
}

fn every_entry_point_translates() {
    for module in &ALL.modules {
        for &entry in &module.entries {
            let place = || format!("{}: {entry}", module.name());
            let point = (ShaderStage::Compute, entry.to_string());
            let options = spv::Options { lang_version: (1, 3), ..Default::default() };
            let pipeline = spv::PipelineOptions { shader_stage: point.0, entry_point: point.1.clone() };
            let words = spv::write_vec(&module.naga, &module.info, &options, Some(&pipeline))
                .unwrap_or_else(|error| panic!("{} in SPIR-V: {error}", place()));
            assert!(!words.is_empty(), "{}", place());
            let options = msl::Options { lang_version: (2, 4), ..Default::default() };
            let pipeline = msl::PipelineOptions { entry_point: Some(point.clone()), ..Default::default() };
            let (text, told) = msl::write_string(&module.naga, &module.info, &options, &pipeline)
                .unwrap_or_else(|error| panic!("{} in MSL: {error}", place()));
            assert!(text.contains("kernel void"), "{}", place());
            for name in told.entry_point_names {
                name.unwrap_or_else(|error| panic!("{} in MSL: {error}", place()));
            }
            if module.squares {
                continue;
            }
            let options = hlsl::Options {
                shader_model: if module.f16 { hlsl::ShaderModel::V6_2 } else { hlsl::ShaderModel::V6_0 },
                ..Default::default()
            };
            let pipeline = hlsl::PipelineOptions { entry_point: Some(point) };
            let mut text = String::new();
            let told = hlsl::Writer::new(&mut text, &options, &pipeline)
                .write(&module.naga, &module.info, None)
                .unwrap_or_else(|error| panic!("{} in HLSL: {error}", place()));
            for name in told.entry_point_names {
                name.unwrap_or_else(|error| panic!("{} in HLSL: {error}", place()));
            }
            assert!(text.contains("numthreads"), "{}", place());
        }
    }
}

fn bindings_are_as_the_shader_table_says() {
    for module in &ALL.modules {
        let (name, access) = (module.name(), module.shader.access);
        let bindings = module.bindings();
        let numbers: Vec<u32> = bindings.keys().copied().collect();
        let due: Vec<u32> = (0..=access.len() as u32).collect();
        assert_eq!(numbers, due, "{name}: the storage bindings, then the parameters");
        for (at, variables) in &bindings {
            for &(space, used) in variables {
                let Some(&want) = access.get(*at as usize) else {
                    assert_eq!(space, AddressSpace::Uniform, "{name}: binding {at} is the parameters");
                    continue;
                };
                let AddressSpace::Storage { access: declared } = space else {
                    panic!("{name}: binding {at} is {space:?}, not storage");
                };
                let readable = declared == StorageAccess::LOAD;
                assert_eq!(readable, want == Access::Read, "{name}: binding {at} is {declared:?}, not {want:?}");
                if want != Access::Read {
                    assert_eq!(declared, StorageAccess::LOAD | StorageAccess::STORE, "{name}: binding {at}");
                }
                let unread = want == Access::Write && writes_once(module);
                assert!(!(unread && used.contains(GlobalUse::READ)), "{name}: binding {at} is read, yet {want:?}");
            }
        }
    }
}

/// Whether every lowering runs the file in one pass: a later one may read what an earlier one wrote.
fn writes_once(module: &Module) -> bool {
    let passes = |lowered: &Lowered| lowered.passes.iter().filter(|p| p.shader.name == module.shader.name).count();
    ALL.lowered.iter().all(|lowered| passes(lowered) <= 1)
}

fn modules_without_subgroups_fit_a_browser() {
    for module in ALL.modules.iter().filter(|module| !module.subgroups && !module.squares) {
        for name in &module.entries {
            let (at, entry) = module.entry(name);
            let threads: u32 = entry.workgroup_size.iter().product();
            assert!(threads <= THREADS, "{}: {name} has {threads} threads", module.name());
            let uses = module.info.get_entry_point(at);
            let shared: u32 = module
                .naga
                .global_variables
                .iter()
                .filter(|(handle, variable)| variable.space == AddressSpace::WorkGroup && !uses[*handle].is_empty())
                .map(|(_, variable)| module.naga.types[variable.ty].inner.size(module.naga.to_ctx()))
                .sum();
            assert!(shared <= SHARED_BYTES, "{}: {name} shares {shared} bytes", module.name());
        }
    }
    for module in &ALL.modules {
        let storage = module.shader.access.len();
        assert!(storage <= STORAGE_BINDINGS, "{}: {storage} storage bindings", module.name());
    }
    assert!(ALL.modules.iter().any(|module| module.subgroups), "none uses subgroups: is it noticed at all?");
}

fn every_kernel_runs_in_a_browser() {
    assert!(ALL.beyond_browsers.is_empty(), "no variant fits: {:#?}", ALL.beyond_browsers);
    let capable = |lowered: &&Lowered| lowered.title.contains(" on a browser in ");
    for pass in ALL.lowered.iter().filter(capable).flat_map(|lowered| &lowered.passes) {
        let module = ALL.modules.iter().find(|m| m.shader.name == pass.shader.name && m.constants == pass.constants);
        let module = module.unwrap_or_else(|| panic!("{} was not collected", pass.shader.name));
        assert!(!module.subgroups, "{}: a variant for browsers uses subgroups", module.name());
        assert!(!module.f16, "{}: a variant for browsers computes in f16", module.name());
    }
}

fn what_would_loop_too_long_is_refused() {
    let device = wgrad::Device::null();
    let zeros = |sizes: &[usize]| wgrad::Tensor::zeros(wgrad::Shape::new(sizes), &device);
    let fitting = |name: &str, work: &dyn Fn()| {
        let (_, plan) = device.record(work);
        let found: Vec<Dispatch> = plan.dispatches().iter().filter(|d| d.kernel.name == name).cloned().collect();
        assert_eq!(found.len(), 1, "{name}");
        let runs = |info: &Info| found[0].kernel.variants.iter().any(|variant| (variant.fits)(info, &found[0]));
        adapters().iter().any(runs)
    };
    // Windows, and pixels that many outputs see.
    let square = zeros(&[1, 1, 260, 260]);
    assert!(!fitting("max_pool2d", &|| drop(square.max_pool2d(wgrad::MaxPool2dOptions::new(260)))));
    let line = zeros(&[1, 1, 1, 70_000]);
    let mean = wgrad::AvgPool2dOptions { kernel_size: [1, 70_000], ..wgrad::AvgPool2dOptions::new(1) };
    assert!(!fitting("avg_pool2d", &|| drop(line.avg_pool2d(mean))));
    for (outputs, is_right) in [(50_000, true), (70_000, false)] {
        let pixel = zeros(&[1, 1, 1, 1]).requires_grad();
        let most = || drop(pixel.adaptive_max_pool2d([1, outputs]).sum().backward());
        let mean = || drop(pixel.adaptive_avg_pool2d([1, outputs]).sum().backward());
        assert_eq!(fitting("max_pool2d_backward", &most), is_right);
        assert_eq!(fitting("avg_pool2d_backward", &mean), is_right);
    }
    // Three walks by the 256 invocations of a workgroup.
    for (columns, is_right) in [(5_000_001, true), (5_600_001, false), (20_000_000, true), (24_000_000, false)] {
        let row = zeros(&[1, columns]).requires_grad();
        let work = || drop(row.softmax(-1).sum().backward());
        assert_eq!(fitting("softmax", &work), is_right);
        assert_eq!(fitting("softmax_backward", &work), is_right);
    }
    // The taps of one channel.
    let filter = zeros(&[1, 1, 1, 70_000]);
    assert!(!fitting("conv2d", &|| drop(line.conv2d(&filter, None, wgrad::Conv2dOptions::default()))));
}

fn a_sum_of_many_parts_stays_within_the_bound_of_loops() {
    let device = wgrad::Device::null();
    // One element seen as 600 million: 73,243 parts of 8,192.
    let one = wgrad::Tensor::zeros([1, 1], &device);
    let (_, plan) = device.record(|| one.expand([1, 600_000_000]).matmul(&one.expand([600_000_000, 1])));
    let product = plan.dispatches().iter().find(|d| d.kernel.name == "matmul").expect("a product");
    for info in adapters() {
        for variant in product.kernel.variants.iter().filter(|variant| (variant.fits)(&info, product)) {
            let passes = variant.lowered(&info, product).passes;
            let parts = passes.iter().find(|pass| pass.shader.name == "matmul_parts").expect("a sum of parts");
            let [.., count] = parts.params.expect("numbers of their own").read::<[u32; 3]>();
            assert!(count <= 60_000, "{} on {}: {count} parts", variant.name, info.name);
        }
    }
}

fn passes_keep_to_what_their_kernel_says() {
    for Lowered { dispatch, title, passes } in &ALL.lowered {
        let mut written = BTreeSet::new();
        for pass in passes {
            assert_eq!(pass.slots.len(), pass.shader.access.len(), "{title}: a slot for each binding of the file");
            assert!(pass.groups > 0, "{title}: no workgroups");
            for (slot, access) in pass.slots.iter().zip(pass.shader.access) {
                let Slot::Arg(at) = *slot else { continue };
                if *access != Access::Read {
                    assert_ne!(dispatch.kernel.access[at], Access::Read, "{title}: argument {at} is written");
                    written.insert(at);
                    let times = pass.slots.iter().filter(|other| *other == slot).count();
                    assert_eq!(times, 1, "{title}: argument {at} is written and bound a second time");
                }
            }
        }
        for (at, access) in dispatch.kernel.access.iter().enumerate() {
            assert!(*access == Access::Read || written.contains(&at), "{title}: argument {at} is never written");
        }
    }
}

fn every_file_is_used() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let used: BTreeSet<&str> = ALL.modules.iter().map(|module| module.shader.name).collect();
    for file in std::fs::read_dir(folder).expect("the shaders are there") {
        let file = file.expect("a readable folder");
        let name = file.file_name().into_string().expect("a name in ASCII");
        if file.path().is_dir() {
            assert!(
                name == "prelude",
                "shaders/{name}: one folder holds what stands before some of the files, prelude"
            );
            continue;
        }
        let stem = name.strip_suffix(".wgsl").unwrap_or_else(|| panic!("{name} is no shader"));
        assert!(stem == "prelude" || used.contains(stem), "{name} is used by no case");
    }
}
