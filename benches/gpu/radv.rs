//! Mesa's RADV as a compiler: SPIR-V goes in, statistics and machine code come out.

use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wgrad::kernel::{Class, Info, Pass, module_source};

/// A chip that RADV can be told to compile for.
pub struct Chip {
    pub name: &'static str,
    /// Invocations of a subgroup, where all have this size.
    subgroup: Option<u32>,
}

/// Those of the table.
pub const CHIPS: [Chip; 3] = [
    Chip { name: "vega10", subgroup: Some(64) },
    Chip { name: "navi21", subgroup: None },
    Chip { name: "gfx1100", subgroup: None },
];

impl Chip {
    /// As the engine would describe it.
    pub fn info(&self) -> Info {
        Info {
            name: self.name.into(),
            api: "vulkan".into(),
            driver: "radv".into(),
            class: Class::Gpu,
            subgroup: self.subgroup,
            max_binding_bytes: 128 << 20,
            max_groups: 65_535,
            max_threads: 1024,
            max_shared_bytes: 64 << 10,
            shader_f16: true,
            cooperative: None,
        }
    }
}

/// The driver's description, and the program that asks it.
pub struct Radv {
    driver: PathBuf,
    program: PathBuf,
    folder: PathBuf,
}

/// What the compiler said of one pipeline.
pub struct Answer {
    /// (name, value).
    pub statistics: Vec<(String, u64)>,
    pub listing: String,
}

impl Radv {
    /// Looks for the driver and builds the program, or says what is missing.
    pub fn find() -> Result<Radv, String> {
        let places = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
        let is_radv = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("radeon_icd") && name.ends_with(".json")
        };
        let files = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
        let driver = files.map(|file| file.path()).find(is_radv).ok_or(
            "Mesa's RADV driver is missing; `apt-get install mesa-vulkan-drivers libvulkan-dev` brings it on Debian",
        )?;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gpu");
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let program = folder.join("radv");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gpu/radv.c");
        let built = Command::new("cc").args(["-O1", "-o"]).arg(&program).arg(source).arg("-lvulkan").output();
        let built = built.map_err(|error| format!("no C compiler answers to `cc`: {error}"))?;
        if !built.status.success() {
            let said = String::from_utf8_lossy(&built.stderr);
            return Err(format!("benches/gpu/radv.c does not build; libvulkan-dev brings what it needs:\n{said}"));
        }
        Ok(Radv { driver, program, folder })
    }

    /// Compiles each pass.
    pub fn compile(&self, chip: &Chip, passes: &[&Pass]) -> Vec<Answer> {
        let mut jobs = String::new();
        for (at, pass) in passes.iter().enumerate() {
            let path = self.folder.join(format!("{at}.spv"));
            fs::write(&path, spirv(pass)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            jobs += &format!("{} {} {}\n", path.display(), pass.entry, pass.shader.access.len());
        }
        let list = self.folder.join("jobs");
        fs::write(&list, jobs).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
        let output = Command::new(&self.program)
            .env("VK_DRIVER_FILES", &self.driver)
            .env("VK_ICD_FILENAMES", &self.driver)
            .env("RADV_FORCE_FAMILY", chip.name)
            .env("MESA_SHADER_CACHE_DISABLE", "1")
            .stdin(fs::File::open(&list).expect("the list was just written"))
            .stderr(Stdio::inherit())
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let text = String::from_utf8_lossy(&output.stdout);
        let answers: Vec<Answer> = text.split("\nbegin\n").skip(1).map(Answer::read).collect();
        assert!(output.status.success() && answers.len() == passes.len(), "RADV does not compile for {}", chip.name);
        answers
    }
}

impl Answer {
    fn read(text: &str) -> Answer {
        let parted = |line: &str| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_string(), value.parse().ok()?))
        };
        let statistics: Vec<(String, u64)> = text.lines().map_while(parted).collect();
        let listing = text.lines().skip(statistics.len()).map(|line| format!("{line}\n")).collect();
        Answer { statistics, listing }
    }
}

/// A pass as the engine gives it to the driver where it trusts its shaders.
fn spirv(pass: &Pass) -> Vec<u8> {
    let source = module_source(pass.shader, &pass.constants);
    let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&source)));
    let able = Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16_IN_FLOAT32 | Capabilities::SHADER_FLOAT16;
    let info = Validator::new(ValidationFlags::all(), able)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(&source)));
    let unchecked = BoundsCheckPolicy::Unchecked;
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::empty(),
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..Default::default()
    };
    let entry = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: pass.entry.into() };
    let words = spv::write_vec(&module, &info, &options, Some(&entry))
        .unwrap_or_else(|error| panic!("{}: {error}", pass.entry));
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}
