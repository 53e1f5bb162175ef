//! Choosing variants by measuring: it cannot make a result wrong, and what was chosen can be kept and frozen.

use crate::devices::has_gpu;
use std::str::FromStr;
use wgrad::backend::{Choices, Tuning, WgpuOptions};
use wgrad::kernel::{Access, Dispatch, Kernel, Lowering, Pass, Shader, Variant, groups};
use wgrad::{Device, Rng, Tensor, tuning};

fn device(tuning: Tuning) -> Device {
    Device::wgpu(&WgpuOptions { tuning, ..WgpuOptions::from_env() }).expect("an adapter")
}

static SHADER: Shader = Shader {
    name: "double",
    source: "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: vec4<u32>;

// Slow and right: 2,000 iterations.
@compute @workgroup_size(64)
fn right(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    if i >= p.x { return; }
    var sum = 0.0;
    for (var k = 0u; k < 2000u; k++) { sum = select(sum, x[i] * 2.0, (k & p.y) == 0u); }
    y[i] = sum;
}

@compute @workgroup_size(64)
fn wrong(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    if i < p.x { y[i] = x[i] * 3.0; }
}

@compute @workgroup_size(64)
fn quick(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    if i < p.x { y[i] = x[i] * 2.0; }
}
",
    access: &[Access::Read, Access::Write],
};

fn lower(d: &Dispatch, entry: &'static str) -> Lowering {
    Pass::new(&SHADER, entry, groups(d.params::<[u32; 4]>()[0] as usize, 64)).alone()
}

static DOUBLE: Kernel = Kernel::new(
    "double",
    &[Access::Read, Access::Write],
    |call| {
        let x = call.read::<f32>(0);
        call.write::<f32>(1).iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
    },
    |d| d.cost(d.len(0) as u64),
)
.variants(&[
    Variant::new("right", |_, d| lower(d, "right")),
    Variant::new("wrong", |_, d| lower(d, "wrong")),
    Variant::new("quick", |_, d| lower(d, "quick")),
]);

fn doubled(device: &Device) -> Vec<f32> {
    let x = Tensor::full([20_000], 1.5f32, device);
    let y = x.zeros_like();
    Tensor::run(&DOUBLE, &[&x, &y], &[20_000u32, 0, 0, 0]);
    y.to_vec().expect("the device works")
}

#[test]
fn gpu_a_wrong_variant_is_never_taken_however_fast_it_is() {
    if !has_gpu() {
        return;
    }
    let device = device(Tuning::Measured(Choices::default()));
    for _ in 0..3 {
        assert!(doubled(&device).iter().all(|y| *y == 3.0));
    }
    let choices = device.choices();
    let chosen: Vec<&str> = choices.iter().filter(|(class, _)| class.starts_with("double ")).map(|(_, v)| v).collect();
    assert_eq!(chosen, ["quick"], "{choices}");
}

fn product(device: &Device) -> Vec<u32> {
    let mut rng = Rng::new(1);
    let x = Tensor::normal([96, 130], 0.0, 1.0, &mut rng, device);
    let y = x.matmul(&x.t()).softmax(1).sum_dims(&[0], wgrad::KeepDims::No);
    y.to_vec::<f32>().expect("the device works").into_iter().map(f32::to_bits).collect()
}

#[test]
fn gpu_frozen_choices_give_the_same_bits_and_survive_in_a_file() {
    if !has_gpu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("new");
    let device = tuning::open(&WgpuOptions::from_env(), &place).expect("an adapter");
    let bits = product(&device);
    assert_eq!(product(&device), bits);
    let choices = device.choices();
    assert!(choices.iter().any(|(class, _)| class.starts_with("matmul ")), "{choices}");
    tuning::keep(&device, &place).expect("it can be written");

    let again = tuning::open(&WgpuOptions::from_env(), &place).expect("an adapter");
    assert_eq!(again.choices(), choices);
    let frozen = self::device(Tuning::Frozen(choices.clone()));
    assert_eq!(product(&frozen), bits);
    assert_eq!(frozen.choices(), choices, "nothing is measured");

    // Choices of another machine are not taken, and a file that is none is told.
    let other = Choices::from_str("wgrad 0.0.0 on another\nmatmul 1 1 1: tiled\n").expect("the form is right");
    assert!(!other.is_for(device.info()));
    assert!(self::device(Tuning::Frozen(other)).choices().is_empty());
    let file = place.join(Choices::file_name(device.info()));
    std::fs::write(&file, "wgrad\nno choice\n").expect("it can be written");
    let error = tuning::open(&WgpuOptions::from_env(), &place).expect_err("it is no file of choices").to_string();
    assert!(error.contains("`no choice` is not"), "{error}");
}
