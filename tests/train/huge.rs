//! A replayed step that is too long for one submit goes out in parts: a watchdog resets a device that is silent.

use crate::devices::devices;
use wgrad::Tensor;
use wgrad::kernel::{Access, Cost, Kernel, Pass, Shader, Variant};

const ACCESS: &[Access] = &[Access::ReadWrite];

static SHADER: Shader = Shader {
    name: "one_more",
    source: "@group(0) @binding(0) var<storage, read_write> x: array<f32>;\n\
        struct Params { n: vec4<u32> }\n\
        @group(0) @binding(1) var<uniform> p: Params;\n\
        @compute @workgroup_size(1) fn one_more(grid: Grid) { x[0] += f32(p.n.x); }\n",
    access: ACCESS,
};

/// Adds 1, and tells 150 GFLOP.
static ONE_MORE: Kernel = Kernel::new(
    "one_more",
    ACCESS,
    |call| call.write::<f32>(0)[0] += 1.0,
    |_| Cost { flops: 150_000_000_000, bytes: 8 },
)
.variants(&[Variant::new("only", |_, _| Pass::new(&SHADER, "one_more", 1).alone())]);

#[test]
fn a_replayed_step_of_many_operations_is_several_submits() {
    for (name, device) in devices() {
        let x = Tensor::zeros([1], &device);
        let step = device
            .capture(&x, |x| {
                (0..5).for_each(|_| Tensor::run(&ONE_MORE, &[x], &[1u32, 0, 0, 0]));
                Ok(())
            })
            .expect("it only adds");
        assert_eq!(x.item().expect("the device works"), 5.0, "{name}");
        let before = device.counters().submits;
        for _ in 0..3 {
            step.run(&x).expect("it only adds");
        }
        let submits = device.counters().submits - before;
        // Each step's parts are 450 and 300 GFLOP, and nothing past 400 has anything added to it.
        assert!(name == "cpu" || submits >= 3, "{submits} submits of 15 kernels with 150 GFLOP each");
        // The last part is still pending: what the host writes comes after it.
        x.upload(&[0.5f32]);
        assert_eq!(x.item().expect("the device works"), 0.5, "{name}");
        step.run(&x).expect("it only adds");
        assert_eq!(x.item().expect("the device works"), 5.5, "{name}");
    }
}
