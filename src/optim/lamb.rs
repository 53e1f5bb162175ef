//! LAMB (You et al., 2020): `shaders/lamb.wgsl`, `shaders/lamb_apply.wgsl`.

use super::bucket::{Bucket, Place, SLOT};
use super::hyper::QUAD;
use super::rule::{Now, Rule, decayed, slots, with_decay};
use super::slab::Slab;
use super::{Stepper, at_least_0, rest, share, unbiased};
use crate::error::Result;
use crate::kernel::{Access, Call, Cost, Dispatch, Kernel, Pass, Shader, Uniform, Variant, groups, parallel, shader};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// The paper's arguments, and the defaults that are in use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LambOptions {
    /// The learning rate.
    pub lr: f32,
    /// The parts of the two moments that a step keeps.
    pub betas: (f32, f32),
    /// Added to the root of the second moment.
    pub eps: f32,
    /// The part of each weight that is added to its step.
    pub weight_decay: f32,
}

impl Default for LambOptions {
    fn default() -> LambOptions {
        LambOptions { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-6, weight_decay: 0.01 }
    }
}

use Access::{Read, ReadWrite};

static MOMENTS: Shader = shader!("lamb", &[ReadWrite, Read, ReadWrite, ReadWrite, Read, Read]);

static APPLY: Shader = shader!("lamb_apply", &[Read, ReadWrite, Read, Read, Read, Read]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct LambParams {
    place: Place,
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    eps: f32,
    decay: f32,
}

fn n(d: &Dispatch) -> usize {
    d.params::<LambParams>().place.n as usize
}

/// The moments, and in place of the gradients the direction of the step.
static LAMB: Kernel = Kernel::new("lamb", MOMENTS.access, moments_definition, |d| Cost {
    flops: 13 * n(d) as u64,
    bytes: 28 * n(d) as u64,
})
.variants(&[Variant::new("flat", |_, d| Pass::new(&MOMENTS, "lamb", groups(n(d), 4 * 256)).alone())]);

fn moments_definition(call: &mut Call) {
    let (p, numbers) = (call.params::<LambParams>(), call.read::<f32>(4));
    if numbers[3] == 1.0 {
        return;
    }
    let factor = numbers[0];
    let slots = slots(call, p.place, 4);
    let run = p.place.range();
    let x = &call.read::<f32>(1)[run.clone()];
    let moved = [0, 2, 3].map(|i| &mut call.write::<f32>(i)[run.clone()]);
    parallel::chunks_of(
        moved,
        parallel::GRAIN,
        #[inline(always)]
        |piece, [g, m, v]| {
            let first = piece * parallel::GRAIN;
            for (i, (((g, m), v), x)) in g.iter_mut().zip(m).zip(v).zip(&x[first..]).enumerate() {
                let at = slots.map_or(p.place.at as usize, |slots| QUAD * slots[(first + i) / SLOT] as usize);
                let now = &numbers[at..];
                let slope = factor * *g;
                *m = p.beta1 * *m + p.rest1 * slope;
                *v = p.beta2 * *v + p.rest2 * slope * slope;
                *g = decayed(now[1] * *m / ((now[2] * *v).sqrt() + p.eps), p.decay, *x);
            }
        },
    );
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct ApplyParams {
    place: Place,
    /// The number of the slab's first parameter among those of all slabs.
    entry: u32,
}

/// Each parameter moves along its direction, as far as the lengths of both say.
static LAMB_APPLY: Kernel = Kernel::new("lamb_apply", APPLY.access, apply_definition, |d| {
    let n = u64::from(d.params::<ApplyParams>().place.n);
    Cost { flops: 3 * n, bytes: 12 * n }
})
.variants(&[Variant::new("flat", |_, d| {
    let n = d.params::<ApplyParams>().place.n as usize;
    Pass::new(&APPLY, "lamb_apply", groups(n, 4 * 256)).alone()
})]);

fn apply_definition(call: &mut Call) {
    let (p, u, owners) = (call.params::<ApplyParams>(), call.read::<f32>(0), call.read::<i32>(2));
    let (ours, theirs, numbers) = (call.read::<f32>(3), call.read::<f32>(4), call.read::<f32>(5));
    if numbers[3] == 1.0 {
        return;
    }
    let (run, lr) = (p.place.range(), numbers[p.place.at as usize]);
    let first = run.start / 64;
    let u = &u[run.clone()];
    parallel::chunks(
        &mut call.write::<f32>(1)[run],
        parallel::GRAIN,
        #[inline(always)]
        |piece, x| {
            let at = piece * parallel::GRAIN;
            for (block, (x, u)) in x.chunks_mut(64).zip(u[at..].chunks(64)).enumerate() {
                let owner = p.entry as usize + owners[first + at / 64 + block] as usize;
                let (long, step) = (ours[owner].sqrt(), theirs[owner].sqrt());
                let ratio = if long > 0.0 && step > 0.0 { long / step } else { 1.0 };
                x.iter_mut().zip(u).for_each(|(x, u)| *x -= lr * ratio * u);
            }
        },
    );
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&LAMB, &LAMB_APPLY];

/// LAMB: Adam whose step is as long, for each parameter, as the rate times the parameter itself.
pub type Lamb = Stepper<LambOptions>;

impl LambOptions {
    fn fused(&self, bucket: &Bucket) {
        let LambOptions { betas: (beta1, beta2), eps, weight_decay: decay, .. } = *self;
        let Slab { values, gradients, moments, norms, slots, .. } = bucket.slab;
        let table = norms.as_ref().expect("the lengths are asked for");
        let (rest1, rest2) = (rest(beta1), rest(beta2));
        let p = LambParams { place: bucket.place(), beta1, beta2, rest1, rest2, eps, decay };
        let slots = slots.as_ref().expect("steps are counted");
        Tensor::run(&LAMB, &[gradients, values, &moments[0], &moments[1], bucket.numbers, slots], &p);
        table.square_sums(gradients, bucket.stretch, &table.gradients);
        table.square_sums(values, bucket.stretch, &table.values);
        let args = [gradients, values, &table.owners, &table.values, &table.gradients, bucket.numbers];
        Tensor::run(&LAMB_APPLY, &args, &ApplyParams { place: bucket.place(), entry: table.first });
    }
}

impl Rule for LambOptions {
    const NAME: &'static str = "Lamb";
    const FUSED: Option<fn(&Self, &Bucket)> = Some(Self::fused);
    const SKIPS: bool = true;

    fn check(&self) -> Result<()> {
        share("beta1", self.betas.0)?;
        share("beta2", self.betas.1)?;
        at_least_0("eps", self.eps)?;
        at_least_0("weight decay", self.weight_decay).map(drop)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        let (beta1, beta2) = self.betas;
        moments[0] = &moments[0] * beta1 + gradient * rest(beta1);
        moments[1] = &moments[1] * beta2 + gradient.square() * rest(beta2);
        let step = &moments[0] * &numbers[1] / ((&moments[1] * &numbers[2]).sqrt() + self.eps);
        let step = with_decay(&step, self.weight_decay, x);
        let [zero, one] = [0.0f32, 1.0].map(|value| Tensor::scalar(value, x.device()));
        let [long, short] = [x, &step].map(|t| t.square().sum().sqrt());
        let ratio = Tensor::where_(&(long.gt(&zero) * short.gt(&zero)), &(&long / &short), &one);
        x - step * (ratio * &numbers[0])
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("exp_avg", 0.0), ("exp_avg_sq", 0.0)]
    }

    fn numbers(&self, Now { lr, steps, .. }: Now) -> Vec<f32> {
        let whole = |beta: f32| (1.0 / unbiased(beta, steps)) as f32;
        vec![lr, whole(self.betas.0), whole(self.betas.1)]
    }

    fn needs_norms() -> bool {
        true
    }

    fn by_parameter(&self) -> bool {
        true
    }
}
