//! Choosing between two tensors: `shaders/select.wgsl`.

use crate::autograd::Op;
use crate::dtype::DType;
use crate::kernel::strided::Strided;
use crate::kernel::{Access, Call, Kernel, Pass, Shader, Tolerance, Variant, elementwise, groups, shader};
use crate::tensor::Tensor;

static SHADER: Shader = shader!("select", ["halves"], &[Access::Read, Access::Read, Access::Read, Access::Write]);

static WHERE: Kernel =
    Kernel::new("where", &[Access::Read, Access::Read, Access::Read, Access::Write], where_definition, |d| d.cost(0))
        .host(|call| {
            let p: Strided = call.params();
            let operands = [call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2)];
            p.map3(&mut call.write::<f32>(3)[..p.n as usize], operands, |c, a, b| if c != 0.0 { a } else { b });
        })
        .tolerance(Tolerance::EXACT)
        .variants(&[
            Variant::new("quads", |_, d| {
                let (p, is_one) = elementwise::spread::<3>(d);
                pass("where_quads", p.n as usize, is_one).params(&p).alone()
            })
            .fits(|_, d| d.params::<Strided>().spread::<3>().is_some()),
            Variant::new("strided", |_, d| pass("where_strided", elementwise::count(d), [false; 3]).alone())
                .fits(elementwise::is_f32)
                .suits(elementwise::is_gpu),
            Variant::new("packed", |_, d| pass("where_packed", elementwise::count(d).div_ceil(4), [false; 3]).alone()),
        ]);

/// `is_one` says which operands have one element for four.
fn pass(entry: &'static str, invocations: usize, is_one: [bool; 3]) -> Pass {
    let texts = [
        ["wide_C(condition4[at])", "vec4<f32>(pick_C(condition_words[at / EACH_C], at))"],
        ["wide_A(a4[at])", "vec4<f32>(pick_A(a_words[at / EACH_A], at))"],
        ["wide_B(b4[at])", "vec4<f32>(pick_B(b_words[at / EACH_B], at))"],
    ];
    let heads = ["four_c(at: u32) -> vec4<f32>", "four_a(at: u32) -> vec4<f32>", "four_b(at: u32) -> vec4<f32>"];
    let pass = Pass::new(&SHADER, entry, groups(invocations, 256)).elements(&["C", "A", "B", "Y"]);
    heads
        .into_iter()
        .zip(texts)
        .zip(is_one)
        .fold(pass, |pass, ((head, texts), is_one)| pass.constant(head, elementwise::by_fours(is_one, texts)))
}

fn where_definition(call: &mut Call) {
    let p: Strided = call.params();
    let (condition, a, b) = (call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    for (y, [c_at, a_at, b_at]) in call.write::<f32>(3).iter_mut().zip(p.offsets()) {
        *y = if condition[c_at] != 0.0 { a[a_at] } else { b[b_at] };
    }
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&WHERE];

/// # Choice and type
impl Tensor {
    /// `a` where this condition is not 0, else `b`; all three broadcast. PyTorch's `torch.where(condition, a, b)`. Of whole numbers
    /// it is i32, of an i64 that is none the nearest; beside floats they become floats.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[doc(alias("where", "select", "torch.where"))]
    #[track_caller]
    pub fn where_(&self, a: &Tensor, b: &Tensor) -> Tensor {
        if !a.dtype().is_float() && !b.dtype().is_float() {
            let chosen = self.ne(0).cast(DType::I32);
            // Of what wraps around, the difference comes back to the bit.
            return a.sub(b).mul(&chosen).add(b);
        }
        if let Some([a, b]) = Tensor::beside_floats("where", [a, b]) {
            return self.where_(&a, &b);
        }
        let (dtype, condition) = (Tensor::promoted("where", &[a, b]), &self.mask());
        let all = [condition.clone(), a.detach().cast(dtype), b.detach().cast(dtype)];
        let shape = condition.shape().broadcast(&a.shape()).and_then(|s| s.broadcast(&b.shape()));
        let Some(shape) = shape else {
            panic!("where: {} x {} x {}: the shapes do not broadcast", condition.shape(), a.shape(), b.shape())
        };
        let [wide_condition, wide_a, wide_b] = all.map(|t| t.detach().expand(shape));
        let order = wide_a.layout().leading(wide_b.layout()).leading(wide_condition.layout());
        let y = Tensor::empty_like(order, dtype, a.device());
        let operands = [&wide_condition, &wide_a, &wide_b].map(|t| (t.layout(), t.base()));
        Tensor::run(&WHERE, &[&wide_condition, &wide_a, &wide_b, &y], &Strided::new(y.layout(), operands));
        let (saved, a_shape, b_shape) = (condition.detach().saved(), a.shape(), b.shape());
        y.tracked(
            || Op::new("where").with("condition", condition),
            &[a, b],
            move |dy, needs| {
                let zero = dy.new_zeros([]);
                vec![
                    needs[0].then(|| Tensor::where_(&saved, dy, &zero).sum_to(a_shape)),
                    needs[1].then(|| Tensor::where_(&saved, &zero, dy).sum_to(b_shape)),
                ]
            },
        )
    }
}
