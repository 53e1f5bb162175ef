//! Reverse-mode differentiation: each tracked result remembers how to send its gradient on.

mod check;
mod grads;
mod graph;
mod op;

pub use check::gradient_check;
pub use grads::Grads;
pub use graph::{Graph, Value, trace};
pub use op::{Attribute, IntoOp, Op};

use crate::dtype::DType;
use crate::kernel::elementwise::{self, BINARY, binary_variants};
use crate::kernel::strided::Strided;
use crate::kernel::{Kernel, Tolerance};
use crate::shape::Shape;
use crate::tensor::{Tensor, apart};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::ThreadId;

/// The gradient of one operation: from the gradient of its result, and which inputs need one, those of its inputs.
type Backward = Box<dyn Fn(&Tensor, &[bool]) -> Vec<Option<Tensor>> + Send + Sync>;

/// A step of the graph: an operation, or a tensor whose gradient is asked for.
pub struct Node {
    /// Ids only grow, so that going from the highest down is reverse topological order.
    id: u64,
    op: Op,
    /// Of the result.
    shape: Shape,
    dtype: DType,
    name: Option<Arc<str>>,
    inputs: Vec<Option<Arc<Node>>>,
    /// The inputs that have no node, where the thread traces.
    sources: Vec<Tensor>,
    backward: Option<Backward>,
    /// The tensor whose gradient is asked for, where it is one.
    leaf: Option<RwLock<Tensor>>,
    /// Whether a gradient goes through, or starts here; others are there to be looked at.
    flows: bool,
    /// The first operation up to here that read a gradient.
    reads: Option<&'static str>,
}

impl Node {
    fn new(result: &Tensor, op: Op, inputs: &[&Tensor], backward: Option<Backward>, reads: bool) -> Arc<Node> {
        let nodes: Vec<Option<Arc<Node>>> = inputs.iter().map(|input| input.node().cloned()).collect();
        let reads = nodes.iter().flatten().find_map(|input| input.reads).or(reads.then_some(op.name()));
        let without = |input: &&&Tensor| input.node().is_none() && graph::is_tracing();
        Arc::new(Node {
            id: Node::next_id(),
            shape: result.shape(),
            dtype: result.dtype(),
            name: inputs.iter().find_map(|input| input.name().map(Arc::from)),
            sources: inputs.iter().filter(without).map(|input| (*input).clone()).collect(),
            flows: backward.is_some(),
            inputs: nodes,
            leaf: None,
            op,
            backward,
            reads,
        })
    }

    fn next_id() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// The operation that read a gradient, where one did.
    pub(crate) fn reads(&self) -> Option<&'static str> {
        self.reads
    }

    /// The start of a graph: the gradient with respect to `tensor` is asked for.
    pub(crate) fn leaf(tensor: Tensor) -> Arc<Node> {
        let (id, name) = (Node::next_id(), tensor.name().map(Arc::from));
        let leaf = Some(RwLock::new(tensor.detach()));
        let (op, shape, dtype) = (Op::new("leaf"), tensor.shape(), tensor.dtype());
        let (inputs, sources) = (Vec::new(), Vec::new());
        Arc::new(Node { id, op, shape, dtype, name, inputs, sources, backward: None, flows: true, leaf, reads: None })
    }

    /// Tells a leaf where its elements are now, and what they are called.
    pub(crate) fn move_to(&self, place: &Tensor) {
        if let Some(leaf) = &self.leaf {
            *leaf.write().unwrap_or_else(PoisonError::into_inner) = place.detach();
        }
    }

    /// The tensor whose gradient is asked for, as it is known outside.
    fn tensor(self: &Arc<Node>) -> Option<Tensor> {
        let leaf = self.leaf.as_ref()?.read().unwrap_or_else(PoisonError::into_inner).clone();
        Some(leaf.with_node(Some(self.clone())))
    }

    /// Whether a gradient goes through, or starts here.
    pub(crate) fn flows(&self) -> bool {
        self.flows
    }

    /// Whether a gradient ends here.
    pub(crate) fn is_leaf(&self) -> bool {
        self.leaf.is_some()
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

/// # Operations of one's own, and graphs
impl Tensor {
    /// Tells how a result's gradient goes on to the inputs it was made from. `backward` gets the gradient of the
    /// result and, for each input, whether its gradient is needed; it answers with those gradients, each of its
    /// input's shape. What it needs of tensors it captures as [`Tensor::saved`].
    ///
    /// `op` names the operation: `"exp"`, or `|| Op::new("softmax").with("dim", dim)`, which is called where the operation is
    /// remembered and costs nothing elsewhere.
    #[doc(alias("autograd.Function", "custom_vjp"))]
    pub fn tracked(
        self,
        op: impl IntoOp,
        inputs: &[&Tensor],
        backward: impl Fn(&Tensor, &[bool]) -> Vec<Option<Tensor>> + Send + Sync + 'static,
    ) -> Tensor {
        let reads = inputs.iter().any(|input| input.is_gradient());
        if inputs.iter().all(|input| !input.is_tracked()) {
            let y = self.noted(op, inputs);
            return if reads { y.into_gradient() } else { y };
        }
        let node = Node::new(&self, op.into_op(), inputs, Some(Box::new(backward)), reads);
        self.with_node(Some(node))
    }

    /// Tells what made a result that no gradient flows through, to whoever [traces](trace).
    #[must_use]
    pub fn noted(self, op: impl IntoOp, inputs: &[&Tensor]) -> Tensor {
        if !graph::is_tracing() {
            return self;
        }
        let node = Node::new(&self, op.into_op(), inputs, None, false);
        self.with_node(Some(node))
    }

    /// The operations that made it: those that its gradient goes back through, and within a [`trace`] all.
    #[doc(alias("make_dot", "torch.fx", "tensorboard"))]
    pub fn graph(&self) -> Graph {
        Graph::of(self)
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

/// # Gradients
impl Tensor {
    /// The gradients of this scalar with respect to every tensor that requires one.
    ///
    /// # Panics
    /// If it has more than one element or no history, or reads a gradient.
    #[doc(alias("grad", "zero_grad"))]
    #[track_caller]
    pub fn backward(&self) -> Grads {
        let mut grads = Grads::new();
        self.backward_each(|tensor, gradient| grads.set(tensor, gradient));
        grads
    }

    /// Tells `ready` each tensor that requires a gradient together with its gradient, as soon as the last operation that
    /// used the tensor has added its part: late layers first, while what lies before them has not been queued yet. What
    /// `ready` queues stands in between, as an exchange between processes does.
    ///
    /// ```
    /// use wgrad::Tensor;
    /// let device = wgrad::Device::cpu();
    /// let [early, late] = [2.0f32, 3.0].map(|x| Tensor::from_slice(&[x], [], &device).requires_grad());
    /// let mut told = Vec::new();
    /// early.exp().mul(&late).backward_each(|tensor, gradient| told.push((tensor.item(), gradient.shape())));
    /// assert_eq!(told.iter().map(|(x, _)| x.clone()).collect::<Result<Vec<_>, _>>()?, [3.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`Tensor::backward`].
    #[doc(alias("register_hook", "post_accumulate_grad_hook"))]
    #[track_caller]
    pub fn backward_each(&self, mut ready: impl FnMut(&Tensor, Tensor)) {
        assert!(self.numel() == 1, "backward: {} is no scalar; reduce it by sum or mean first", self.shape());
        let node = self.history();
        backward(node, Tensor::constant(&[1.0f32], self.shape(), self.device()).cast(self.dtype()), &mut ready);
    }

    /// The gradients of `sum(upstream * self)`.
    ///
    /// # Panics
    /// If the shapes differ, it has no history, or it reads a gradient that was not [detached](Tensor::detach): there are
    /// no gradients of gradients.
    #[doc(alias = "vjp")]
    #[track_caller]
    pub fn backward_with(&self, upstream: &Tensor) -> Grads {
        assert!(
            upstream.shape() == self.shape(),
            "backward_with: {} x {}: the upstream gradient has another shape",
            self.shape(),
            upstream.shape()
        );
        assert!(
            upstream.dtype().is_float(),
            "backward_with: expected an upstream gradient of floats, got {}",
            upstream.dtype()
        );
        let (device, other) = (self.device(), upstream.device());
        assert!(device == other, "backward_with: a loss and its upstream gradient {}", apart(device, other));
        let mut grads = Grads::new();
        let mut ready = |tensor: &Tensor, gradient| grads.set(tensor, gradient);
        backward(self.history(), upstream.detach().cast(self.dtype()), &mut ready);
        grads
    }

    /// The node that its gradient goes back by.
    ///
    /// # Panics
    /// If there is nothing, or it reads a gradient.
    #[track_caller]
    fn history(&self) -> &Arc<Node> {
        let reads = self.node().map_or(self.is_gradient().then_some("the loss"), |node| node.reads());
        if let Some(op) = reads {
            panic!(
                "backward: {op} reads a gradient, and there is no gradient of a gradient here: detach() it where it is meant \
                 to be a constant"
            );
        }
        self.node().filter(|node| node.flows).expect(
            "backward: nothing here requires a gradient: was the forward pass run with Ctx::eval, or the tensor detached?",
        )
    }
}

/// The number of operations that send a gradient to each node of a graph.
fn consumers(root: &Arc<Node>) -> HashMap<u64, usize> {
    let mut counts = HashMap::from([(root.id, 0)]);
    let mut rest = vec![root];
    while let Some(node) = rest.pop() {
        for input in node.inputs.iter().flatten() {
            let count = counts.entry(input.id).or_insert_with(|| {
                rest.push(input);
                0
            });
            *count += 1;
        }
    }
    counts
}

/// Goes from `root` to all leaves, and tells `ready` the gradient of each as soon as its last part has been added.
#[track_caller]
fn backward(root: &Arc<Node>, upstream: Tensor, ready: &mut dyn FnMut(&Tensor, Tensor)) {
    let pass = Watch::start();
    let mut counts = consumers(root);
    let mut waiting = BTreeMap::from([(root.id, (root.clone(), upstream))]);
    // Nodes that nothing more will reach, the root first: leaves whose gradients are whole, and what got none.
    let mut ended = vec![root.clone()];
    loop {
        while let Some(node) = ended.pop() {
            if let Some(tensor) = node.tensor() {
                if let Some((_, gradient)) = waiting.remove(&node.id) {
                    ready(&tensor, gradient.into_gradient());
                }
            } else if !waiting.contains_key(&node.id) {
                ended.extend(released(&node, &mut counts));
            }
        }
        if let Some(wrong) = pass.wrong() {
            panic!("{wrong}");
        }
        let Some((_, (node, dy))) = waiting.pop_last() else { return };
        let backward = node.backward.as_ref().expect("a leaf is ready before anything behind it runs");
        let needs: Vec<bool> = node.inputs.iter().map(|input| input.as_ref().is_some_and(|node| node.flows)).collect();
        // Under the layer's name, so that the kernels of the gradient are labelled too.
        let gradients = backward(&dy.with_name(node.name.clone()), &needs);
        if let Some(wrong) = pass.wrong() {
            panic!("{wrong}");
        }
        assert!(gradients.len() == node.inputs.len(), "{}: expected a gradient for each input", node.op.name());
        for (input, gradient) in node.inputs.iter().zip(gradients) {
            let (Some(input), Some(gradient)) = (input.as_ref().filter(|input| input.flows), gradient) else {
                continue;
            };
            // Where types met, the result is of the wider.
            let gradient = gradient.cast(input.dtype);
            match waiting.get_mut(&input.id) {
                Some((_, sum)) => *sum = accumulate(sum, &gradient),
                None => {
                    waiting.insert(input.id, (input.clone(), gradient.detach()));
                }
            }
        }
        ended.extend(released(&node, &mut counts));
    }
}

/// The inputs of a node that is done which no other node will send a gradient to.
fn released(node: &Node, counts: &mut HashMap<u64, usize>) -> Vec<Arc<Node>> {
    let mut last = Vec::new();
    for input in node.inputs.iter().flatten() {
        let count = counts.get_mut(&input.id).expect("the walk before met it");
        *count -= 1;
        if *count == 0 {
            last.push(input.clone());
        }
    }
    last
}

/// sum = a + b, for a tensor that several operations used.
pub static ACCUMULATE: Kernel = Kernel::new(
    "accumulate",
    BINARY,
    |call| elementwise::definition::<f32, f32>(call, |a, b| a + b),
    |d| d.cost(elementwise::count(d) as u64),
)
.host(|call| elementwise::host::<f32, f32>(call, |a, b| a + b))
.tolerance(Tolerance::EXACT)
.variants(binary_variants!("a + b"));

#[track_caller]
fn accumulate(a: &Tensor, b: &Tensor) -> Tensor {
    assert!(a.shape() == b.shape(), "accumulate: gradients of {} and {} meet at one tensor", a.shape(), b.shape());
    let out = a.new_like();
    let params = Strided::new(out.layout(), [(a.layout(), a.base()), (b.layout(), b.base())]);
    Tensor::run(&ACCUMULATE, &[a, b, &out], &params);
    out
}
