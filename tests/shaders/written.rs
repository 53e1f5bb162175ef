//! All modules as files, for the judges that are no part of the crate: `tests/adapters/tint.mjs` and spirv-val.

use super::{ALL, Module};
use naga::ShaderStage;
use naga::back::spv;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use wgrad::kernel::{Access, module_source};

/// Writes each module into the folder that `WGRAD_SHADERS` names, else into one that goes again: its WGSL, SPIR-V for
/// each entry point, and a line in `index.tsv`.
pub fn every_module_is_written() {
    let own = tempfile::tempdir().expect("a temporary folder");
    let folder = std::env::var_os("WGRAD_SHADERS").map_or_else(|| own.path().to_path_buf(), PathBuf::from);
    fs::create_dir_all(&folder).expect("a folder for shaders");
    let mut index = String::new();
    for (at, module) in ALL.modules.iter().enumerate() {
        let stem = format!("{at:04}_{}", module.shader.name);
        write(&folder, &stem, module);
        let kind = match (module.subgroups, module.f16) {
            _ if module.squares => "squares",
            (false, false) => "plain",
            (true, false) => "subgroups",
            (_, true) => "f16",
        };
        let entries: Vec<&str> = module.entries.iter().copied().collect();
        let access: Vec<&str> =
            module.shader.access.iter().map(|&a| if a == Access::Read { "r" } else { "w" }).collect();
        writeln!(index, "{stem}\t{kind}\t{}\t{}\t{:?}", entries.join(","), access.join(","), module.constants)
            .expect("text grows");
    }
    fs::write(folder.join("index.tsv"), &index).expect("the index is written");
    assert_eq!(index.lines().count(), ALL.modules.len());
}

fn write(folder: &Path, stem: &str, module: &Module) {
    let source = module_source(module.shader, &module.constants);
    fs::write(folder.join(format!("{stem}.wgsl")), source).expect("a module is written");
    // The spirv-val of most systems does not know of matrix units yet.
    for &entry in module.entries.iter().filter(|_| !module.squares) {
        let options = spv::Options { lang_version: (1, 3), ..Default::default() };
        let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: entry.to_string() };
        let words = spv::write_vec(&module.naga, &module.info, &options, Some(&pipeline))
            .unwrap_or_else(|error| panic!("{}: {entry} in SPIR-V: {error}", module.name()));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        fs::write(folder.join(format!("{stem}.{entry}.spv")), bytes).expect("an entry point is written");
    }
}
