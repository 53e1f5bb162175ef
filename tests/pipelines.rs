//! What a driver has compiled is kept for the next start, and nothing depends on it.

use crate::devices::{has_gpu, open};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wgrad::backend::{PipelineCache, WgpuOptions};
use wgrad::plan::Replay;
use wgrad::{Device, Tensor};

fn device(pipeline_cache: PipelineCache) -> Device {
    open(&WgpuOptions { pipeline_cache, ..WgpuOptions::from_env() })
}

fn kept_in(folder: &Path) -> Device {
    device(PipelineCache::Folder(folder.into()))
}

/// A few kernels, eager and replayed.
fn bits(device: &Device) -> Vec<u32> {
    let x = Tensor::from_vec((0..70).map(|at| at as f32 / 64.0).collect(), [7, 10], device);
    let mut replay = Replay::new();
    let y = replay.run([&x], |[x]| Ok(x.matmul(&x.t()).softmax(-1))).expect("it is captured");
    let sums = y.add(&y.exp()).to_vec::<f32>().expect("the device works");
    sums.into_iter().map(f32::to_bits).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.expect("it can be read").path()).collect()
}

#[test]
fn gpu_pipelines_are_kept_and_a_spoilt_file_is_dropped() {
    if !has_gpu() {
        return;
    }
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("new").join("folder");
    let want = bits(&device(PipelineCache::Off));
    assert_eq!(bits(&kept_in(&folder)), want, "cold");
    let is_vulkan = device(PipelineCache::Off).info().api.eq_ignore_ascii_case("vulkan");
    let found = files(&folder);
    assert_eq!(found.len(), usize::from(is_vulkan), "{found:?}");
    assert_eq!(bits(&kept_in(&folder)), want, "warm");
    let Some(path) = found.first() else { return };
    let whole = fs::read(path).expect("it is there");
    assert!(whole.starts_with(b"wgrad pipelines\n"), "{}", path.display());
    let spoilt = [
        Vec::new(),
        b"wgrad pipelines\n".to_vec(),
        whole[..whole.len() - 1].to_vec(),
        whole.iter().map(|byte| !byte).collect(),
        [&whole[..], b"more"].concat(),
    ];
    for bytes in spoilt {
        fs::write(path, &bytes).expect("it can be written");
        assert_eq!(bits(&kept_in(&folder)), want, "after {} bytes of {}", bytes.len(), whole.len());
        let again = fs::read(path).expect("it is there");
        assert!(again.starts_with(b"wgrad pipelines\n") && again != bytes, "a spoilt file is replaced");
    }
    assert_eq!(files(&folder), found, "no part is left");
}

#[test]
fn gpu_a_folder_that_cannot_be_is_no_error() {
    if !has_gpu() {
        return;
    }
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("a file");
    fs::write(&file, "no folder").expect("it can be written");
    let want = bits(&device(PipelineCache::Off));
    assert_eq!(bits(&kept_in(&file.join("below"))), want);
    assert_eq!(fs::read(&file).expect("it is there"), b"no folder");
    // A folder where the file would be.
    let folder = place.path().join("folder");
    drop(bits(&kept_in(&folder)));
    for path in files(&folder) {
        fs::remove_file(&path).and_then(|()| fs::create_dir(&path)).expect("it can be replaced");
    }
    assert_eq!(bits(&kept_in(&folder)), want);
}

/// Is also what the processes of the next test run.
#[test]
fn gpu_the_environment_names_the_folder() {
    if has_gpu() {
        bits(&open(&WgpuOptions::from_env()));
    }
}

#[test]
fn gpu_processes_at_once_leave_a_whole_file() {
    if !has_gpu() {
        return;
    }
    let place = tempfile::tempdir().expect("a folder");
    let started = |value: &Path| {
        Command::new(std::env::current_exe().expect("the test knows where it is"))
            .args(["--exact", "pipelines::gpu_the_environment_names_the_folder"])
            .env("WGRAD_PIPELINE_CACHE", value)
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts")
    };
    let folder = place.path().join("shared");
    for _ in 0..2 {
        let all = [0; 4].map(|_| started(&folder));
        for mut one in all {
            assert!(one.wait().expect("it ends").success());
        }
    }
    let found = files(&folder);
    for path in &found {
        let before = fs::read(path).expect("it is there");
        bits(&kept_in(&folder));
        assert!(fs::read(path).expect("it is there") == before, "it is whole, and holds all that is needed");
    }
    let off = started(Path::new("off")).wait().expect("it ends");
    assert!(off.success() && files(&folder) == found && !Path::new("off").exists());
}
