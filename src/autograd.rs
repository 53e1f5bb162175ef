//! Reverse-mode differentiation: each tracked result remembers how to send its gradient on.

mod check;

pub use check::gradient_check;

use crate::dtype::DType;
use crate::kernel::strided::Strided;
use crate::kernel::{Access, Call, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Tolerance, Variant, groups};
use crate::tensor::Tensor;
use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

/// The gradient of one operation: from the gradient of its result, and which inputs need one, those of its inputs.
type Backward = Box<dyn Fn(&Tensor, &[bool]) -> Vec<Option<Tensor>> + Send + Sync>;

/// A step of the graph: an operation, or a tensor whose gradient is asked for.
pub struct Node {
    /// Ids only grow, so that going from the highest down is reverse topological order.
    id: u64,
    op: &'static str,
    name: Option<Arc<str>>,
    inputs: Vec<Option<Arc<Node>>>,
    backward: Option<Backward>,
    /// The first operation up to here that read a gradient.
    reads: Option<&'static str>,
}

impl Node {
    fn new(
        op: &'static str,
        name: Option<Arc<str>>,
        inputs: Vec<Option<Arc<Node>>>,
        backward: Option<Backward>,
        reads: Option<&'static str>,
    ) -> Arc<Node> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let reads = inputs.iter().flatten().find_map(|input| input.reads).or(reads);
        Arc::new(Node { id: NEXT.fetch_add(1, Ordering::Relaxed), op, name, inputs, backward, reads })
    }

    /// The operation that read a gradient, where one did.
    pub(crate) fn reads(&self) -> Option<&'static str> {
        self.reads
    }

    pub(crate) fn leaf(name: Option<Arc<str>>) -> Arc<Node> {
        Node::new("leaf", name, Vec::new(), None, None)
    }
}

impl Drop for Node {
    // A long chain of nodes would overflow the stack if each dropped the next.
    fn drop(&mut self) {
        let mut rest = std::mem::take(&mut self.inputs);
        while let Some(input) = rest.pop() {
            if let Some(mut node) = input.and_then(Arc::into_inner) {
                rest.append(&mut node.inputs);
            }
        }
    }
}

impl Tensor {
    /// Tells how a result's gradient goes on to the inputs it was made from. `backward` gets the gradient of the
    /// result and, for each input, whether its gradient is needed; it answers with those gradients, each of its
    /// input's shape. What it needs of tensors it captures as [`Tensor::saved`].
    pub fn tracked(
        self,
        op: &'static str,
        inputs: &[&Tensor],
        backward: impl Fn(&Tensor, &[bool]) -> Vec<Option<Tensor>> + Send + Sync + 'static,
    ) -> Tensor {
        let reads = inputs.iter().any(|input| input.is_gradient());
        if inputs.iter().all(|input| !input.is_tracked()) {
            return if reads { self.into_gradient() } else { self };
        }
        let nodes = inputs.iter().map(|input| input.node().cloned()).collect();
        let name = inputs.iter().find_map(|input| input.name().map(Arc::from));
        self.with_node(Some(Node::new(op, name, nodes, Some(Box::new(backward)), reads.then_some(op))))
    }
}

/// The gradients that one backward pass found, or several: those of the parts of a large batch are added up by `+=`.
///
/// ```
/// let x = wgrad::Tensor::ones([2], &wgrad::Device::cpu()).requires_grad();
/// let mut grads = x.exp().sum().backward();
/// grads += (&x * 3.0).sum().backward();
/// let sum = grads.of(&x).expect("both depend on x").to_vec::<f32>()?;
/// assert!((sum[0] - (1f32.exp() + 3.0)).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Default)]
pub struct Grads {
    of: HashMap<u64, Tensor>,
}

impl AddAssign for Grads {
    #[track_caller]
    fn add_assign(&mut self, other: Grads) {
        // In the order of ids, so that equal steps queue equal kernels.
        for (id, gradient) in BTreeMap::from_iter(other.of) {
            match self.of.get_mut(&id) {
                Some(sum) => *sum = accumulate(sum, &gradient).into_gradient(),
                None => drop(self.of.insert(id, gradient)),
            }
        }
    }
}

impl Grads {
    /// The gradient with respect to `tensor`, of its shape; `None` if the loss does not depend on it or it was not
    /// marked by [`Tensor::requires_grad`].
    pub fn of(&self, tensor: &Tensor) -> Option<&Tensor> {
        self.of.get(&tensor.node()?.id)
    }

    /// Why one of the gradients could not be computed.
    pub(crate) fn lost(&self) -> Option<crate::Error> {
        self.of.values().find_map(Tensor::lost)
    }
}

/// The backward passes under way, by their threads, each with what is wrong with it.
static PASSES: Mutex<Vec<(ThreadId, Option<String>)>> = Mutex::new(Vec::new());

fn passes() -> MutexGuard<'static, Vec<(ThreadId, Option<String>)>> {
    PASSES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Panics at the caller's line; within a gradient's closure, which does not know that line, at that of `backward`.
#[track_caller]
pub(crate) fn refuse(text: String) {
    let here = std::thread::current().id();
    let mut passes = passes();
    if let Some((_, wrong)) = passes.iter_mut().rev().find(|(thread, _)| *thread == here) {
        wrong.get_or_insert(text);
        return;
    }
    drop(passes);
    panic!("{text}");
}

/// A backward pass of this thread, until it ends or panics.
struct Watch(ThreadId);

impl Watch {
    fn start() -> Watch {
        let here = std::thread::current().id();
        passes().push((here, None));
        Watch(here)
    }

    fn wrong(&self) -> Option<String> {
        passes().iter_mut().rev().find(|(thread, _)| *thread == self.0)?.1.take()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut passes = passes();
        if let Some(at) = passes.iter().rposition(|(thread, _)| *thread == self.0) {
            passes.remove(at);
        }
    }
}

#[track_caller]
pub(crate) fn backward(root: &Arc<Node>, upstream: Tensor) -> Grads {
    let pass = Watch::start();
    let mut waiting = BTreeMap::from([(root.id, (root.clone(), upstream))]);
    let mut of = HashMap::new();
    while let Some((id, (node, dy))) = waiting.pop_last() {
        let Some(backward) = &node.backward else {
            of.insert(id, dy.into_gradient());
            continue;
        };
        let needs: Vec<bool> = node.inputs.iter().map(Option::is_some).collect();
        // Under the layer's name, so that the kernels of the gradient are labelled too.
        let gradients = backward(&dy.with_name(node.name.clone()), &needs);
        if let Some(wrong) = pass.wrong() {
            panic!("{wrong}");
        }
        assert!(gradients.len() == node.inputs.len(), "{}: a gradient for each input is due", node.op);
        for (input, gradient) in node.inputs.iter().zip(gradients) {
            let (Some(input), Some(gradient)) = (input, gradient) else { continue };
            match waiting.get_mut(&input.id) {
                Some((_, sum)) => *sum = accumulate(sum, &gradient),
                None => {
                    waiting.insert(input.id, (input.clone(), gradient.detach()));
                }
            }
        }
    }
    Grads { of }
}

static SHADER: Shader = Shader {
    name: "accumulate",
    source: include_str!("../shaders/accumulate.wgsl"),
    access: &[Access::Read, Access::Read, Access::Write],
};

/// sum = a + b, for a tensor that several operations used.
pub static ACCUMULATE: Kernel = Kernel {
    name: "accumulate",
    access: &[Access::Read, Access::Read, Access::Write],
    twin: accumulate_twin,
    cost: |d| Cost { flops: u64::from(d.params::<Strided>().n), bytes: d.bytes() },
    tolerance: Tolerance::EXACT,
    rewrites: &[],
    variants: &[
        Variant { name: "flat", fits: is_flat, suits: |_, _| true, lower: |_, d| lower(d, "accumulate_flat", 4) },
        Variant {
            name: "quads",
            fits: |_, d| d.params::<Strided>().quads(2).is_some(),
            suits: |_, _| true,
            lower: |_, d| {
                let p: Strided = d.params();
                let p = p.quads(2).unwrap_or(p);
                Pass::new(&SHADER, "accumulate_quads", groups(p.n as usize, 256)).params(&p).alone()
            },
        },
        Variant {
            name: "strided",
            fits: |_, _| true,
            suits: |_, _| true,
            lower: |_, d| lower(d, "accumulate_strided", 1),
        },
    ],
};

fn is_flat(_: &Info, d: &Dispatch) -> bool {
    d.params::<Strided>().is_flat(2)
}

fn lower(d: &Dispatch, entry: &'static str, per_thread: usize) -> Lowering {
    Pass::new(&SHADER, entry, groups(d.params::<Strided>().n as usize, 256 * per_thread)).alone()
}

fn accumulate_twin(call: &mut Call) {
    let p: Strided = call.params();
    let (a, b) = (call.read::<f32>(0), call.read::<f32>(1));
    let sum = &mut call.write::<f32>(2)[..p.n as usize];
    p.map2(sum, a, b, |a, b| a + b);
}

#[track_caller]
fn accumulate(a: &Tensor, b: &Tensor) -> Tensor {
    assert!(a.shape() == b.shape(), "accumulate: gradients of {} and {} meet at one tensor", a.shape(), b.shape());
    let out = Tensor::empty_like(a.layout(), DType::F32, a.device());
    let params = Strided::new(out.layout(), [(a.layout(), a.base()), (b.layout(), b.base())]);
    Tensor::run(&ACCUMULATE, &[a, b, &out], &params);
    out
}
