//! Changes to gradients before an optimizer reads them: `shaders/penalty.wgsl`.

use super::gathered::Gathered;
use super::slab::Stretch;
use crate::kernel::{Access, Call, Cost, Kernel, Pass, Shader, Uniform, Variant, groups, parallel, shader};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = shader!("penalty", &[Access::ReadWrite, Access::Read]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct PenaltyParams {
    first: u32,
    n: u32,
    factor: f32,
    l1: f32,
    l2: f32,
    bound: f32,
}

static PENALTY: Kernel = Kernel::new("penalty", SHADER.access, definition, |d| {
    let n = u64::from(d.params::<PenaltyParams>().n);
    Cost { flops: 7 * n, bytes: 12 * n }
})
.variants(&[Variant::new("flat", |_, d| {
    Pass::new(&SHADER, "penalty", groups(d.params::<PenaltyParams>().n as usize, 4 * 256)).alone()
})]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&PENALTY];

fn definition(call: &mut Call) {
    let p: PenaltyParams = call.params();
    let run = p.first as usize..(p.first + p.n) as usize;
    let x = &call.read::<f32>(1)[run.clone()];
    parallel::chunks(
        &mut call.write::<f32>(0)[run],
        parallel::GRAIN,
        #[inline(always)]
        |piece, g| {
            for (g, &x) in g.iter_mut().zip(&x[piece * parallel::GRAIN..]) {
                let sign = if x == 0.0 { 0.0 } else { x.signum() };
                *g = (p.factor * *g + p.l1 * sign + p.l2 * x).clamp(-p.bound, p.bound);
            }
        },
    );
}

/// Slopes that are added to gradients, and the bound that holds each element after that.
pub struct Penalty {
    /// The factor of gradients, first of all.
    pub factor: f32,
    pub l1: f32,
    /// The factor of values.
    pub l2: f32,
    pub bound: f32,
}

impl Default for Penalty {
    fn default() -> Penalty {
        // The largest number bounds nothing, and unlike infinity it is no special case in a shader.
        Penalty { factor: 1.0, l1: 0.0, l2: 0.0, bound: f32::MAX }
    }
}

impl Penalty {
    /// One kernel for each stretch, if there is anything to do.
    pub fn apply(&self, gathered: &Gathered) {
        let &Penalty { factor, l1, l2, bound } = self;
        if factor == 1.0 && l1 == 0.0 && l2 == 0.0 && bound == f32::MAX {
            return;
        }
        gathered.rows.iter().for_each(|bucket| bucket.penalize(self));
        for (slab, stretches) in &gathered.slabs {
            for &Stretch { first, n, .. } in stretches {
                Tensor::run(
                    &PENALTY,
                    &[&slab.gradients, &slab.values],
                    &PenaltyParams { first, n, factor, l1, l2, bound },
                );
            }
        }
    }
}
