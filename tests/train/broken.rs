//! A shader that does not build is told by its kernel's name, queued and replayed, whichever thread found it.

use crate::devices::gpu;
use wgrad::Tensor;
use wgrad::kernel::{Access, Cost, Kernel, Pass, Shader, Variant};

const ACCESS: &[Access] = &[Access::ReadWrite];

static NONSENSE: Shader = Shader { name: "nonsense", source: "this is no WGSL", access: ACCESS };
static NOWHERE: Shader = Shader { name: "nowhere", source: "// no entry point at all\n", access: ACCESS };

macro_rules! kernel {
    ($name:literal, $shader:ident) => {
        Kernel::new($name, ACCESS, |_| {}, |_| Cost::default())
            .variants(&[Variant::new("only", |_, _| Pass::new(&$shader, "main", 1).alone())])
    };
}

static FIRST: Kernel = kernel!("first", NOWHERE);
static SECOND: Kernel = kernel!("second", NONSENSE);

/// Two kernels that do not build among others.
fn work(x: &Tensor) -> Tensor {
    let (y, w) = (x.exp(), x.sin());
    Tensor::run(&FIRST, &[&y], &[0u32; 4]);
    Tensor::run(&SECOND, &[&w], &[0u32; 4]);
    (y + w).softmax(-1).matmul(&x.t())
}

#[test]
fn gpu_a_shader_that_does_not_build_names_its_kernel() {
    // The first error of a device stays, so each form gets one of its own.
    let (Some(queued), Some(replayed)) = (gpu(), gpu()) else { return };
    let x = |device| Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [2, 2], device);
    let errors =
        [work(&x(&queued)).to_vec::<f32>().map(drop), replayed.capture(&x(&replayed), |x| Ok(work(x))).map(drop)];
    for error in errors.map(|done| done.expect_err("two shaders do not build").to_string()) {
        assert!(error.contains("first: its shader nowhere.wgsl does not build"), "{error}");
    }
}
