//! Reverse-mode differentiation: each tracked result remembers how to send its gradient on.

mod check;
mod grads;
mod graph;
mod higher;
mod leaf;
mod op;
mod recompute;
mod rows;
mod sum;

pub use check::gradient_check;
pub use grads::Grads;
pub use graph::{Graph, Value, trace};
pub(crate) use higher::result_of;
pub use higher::{GradOptions, Inputs, composed, is_differentiated};
pub use op::{Attribute, IntoOp, Op};
pub use recompute::checkpoint;
pub use rows::Rows;

use crate::dtype::DType;
use crate::kernel::elementwise::{self, BINARY, binary_variants};
use crate::kernel::strided::Strided;
use crate::kernel::{Kernel, Tolerance};
use crate::shape::Shape;
use crate::tensor::{Tensor, apart};
use rows::Gradient;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use sum::{Part, Place, Sum};

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
    /// The type of its gradient.
    gradient: DType,
    name: Option<Arc<str>>,
    inputs: Vec<Option<Arc<Node>>>,
    /// The inputs that have no node, where the thread traces.
    sources: Vec<Tensor>,
    backward: Option<Backward>,
    /// Where its input has this as a part.
    place: Option<Part>,
    /// Makes the result again, where nothing was saved for its gradient.
    again: Option<recompute::Again>,
    /// The tensor whose gradient is asked for, where it is one.
    leaf: Option<leaf::Leaf>,
    /// Whether a gradient goes through, or starts here; others are there to be looked at.
    flows: bool,
    /// The first operation up to here that read a gradient.
    reads: Option<&'static str>,
}

impl Node {
    fn new(result: &Tensor, op: Op, inputs: &[&Tensor], backward: Option<Backward>, reads: bool) -> Node {
        let nodes: Vec<Option<Arc<Node>>> = inputs.iter().map(|input| input.node().cloned()).collect();
        let reads = nodes.iter().flatten().find_map(|input| input.reads).or(reads.then_some(op.name()));
        let without = |input: &&&Tensor| input.node().is_none() && graph::is_tracing();
        Node {
            id: Node::next_id(),
            shape: result.shape(),
            dtype: result.dtype(),
            gradient: result.gradient_dtype(),
            name: inputs.iter().find_map(|input| input.name().map(Arc::from)),
            sources: inputs.iter().filter(without).map(|input| (*input).clone()).collect(),
            flows: backward.is_some(),
            inputs: nodes,
            leaf: None,
            op,
            backward,
            place: None,
            again: None,
            reads,
        }
    }

    fn next_id() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// The operation that read a gradient, where one did.
    pub(crate) fn reads(&self) -> Option<&'static str> {
        self.reads
    }

    /// Whether a gradient goes through, or starts here.
    pub(crate) fn flows(&self) -> bool {
        self.flows
    }
}

impl Drop for Node {
    // A long chain of nodes would overflow the stack if each dropped the next.
    fn drop(&mut self) {
        // What it saved has the nodes of inputs too.
        (self.backward, self.again) = (None, None);
        let mut rest = std::mem::take(&mut self.inputs);
        while let Some(input) = rest.pop() {
            if let Some(mut node) = input.and_then(Arc::into_inner) {
                (node.backward, node.again) = (None, None);
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
    /// Where the gradient of the gradient is asked for ([`Tensor::grad`]), saved tensors have their history, and what `backward`
    /// makes of them by tracked operations is tracked. What it makes by kernels is not: such a gradient is refused, unless
    /// [`composed`] says the operation in others that are.
    ///
    /// `op` names the operation: `"exp"`, or `|| Op::new("softmax").with("dim", dim)`, which is called where the operation is
    /// remembered and costs nothing elsewhere.
    #[doc(alias("autograd.Function", "custom_vjp"))]
    #[track_caller]
    pub fn tracked(
        self,
        op: impl IntoOp,
        inputs: &[&Tensor],
        backward: impl Fn(&Tensor, &[bool]) -> Vec<Option<Tensor>> + Send + Sync + 'static,
    ) -> Tensor {
        // Short, for there is an instance for each operation.
        match self.made_of(inputs) {
            (y, Role::Tracked) => y.hung(op.into_op(), inputs, Some(Box::new(backward))),
            (y, Role::Noted) => y.hung(op.into_op(), inputs, None),
            (y, Role::Plain) => y,
        }
    }

    /// The same tensor with what it takes over from its inputs, and what becomes of it in a graph.
    #[track_caller]
    fn made_of(self, inputs: &[&Tensor]) -> (Tensor, Role) {
        higher::check(inputs);
        inputs.iter().for_each(|input| input.check_place());
        self.known();
        let y = self.marked_by(inputs);
        if inputs.iter().any(|input| input.is_tracked()) {
            return (y, Role::Tracked);
        }
        let y = if inputs.iter().any(|input| input.is_gradient()) { y.into_gradient() } else { y };
        (y, if graph::is_tracing() { Role::Noted } else { Role::Plain })
    }

    /// The same tensor as the result of an operation.
    fn hung(self, op: Op, inputs: &[&Tensor], backward: Option<Backward>) -> Tensor {
        let reads = backward.is_some() && inputs.iter().any(|input| input.is_gradient());
        let node = Node::new(&self, op, inputs, backward, reads);
        self.with_node(Some(Arc::new(node)))
    }

    /// [`Tensor::tracked`] of what is a part of one tensor, from an index along a dimension. Where gradients are not
    /// differentiated again, those of several parts are laid side by side, and `backward`, which has zeros around one, is not
    /// asked.
    #[track_caller]
    pub(crate) fn tracked_part(
        self,
        op: impl IntoOp,
        input: &Tensor,
        place: Place,
        backward: impl Fn(&Tensor, &[bool]) -> Vec<Option<Tensor>> + Send + Sync + 'static,
    ) -> Tensor {
        let mut y = self.tracked(op, &[input], backward);
        if let Some(node) = y.node_mut().filter(|node| node.backward.is_some()) {
            node.place = Some(Part::Along(place));
        }
        y
    }

    /// [`Tensor::tracked`] of the rows of a table, one for each of `indices`, `[n]`; numbers outside of it stand for nothing.
    /// Where gradients are not differentiated again, that of the table stays rows ([`Rows`]), and `backward` is not asked.
    #[track_caller]
    pub(crate) fn tracked_rows(
        self,
        op: impl IntoOp,
        table: &Tensor,
        indices: Tensor,
        backward: impl Fn(&Tensor, &[bool]) -> Vec<Option<Tensor>> + Send + Sync + 'static,
    ) -> Tensor {
        let mut y = self.tracked(op, &[table], backward);
        if let Some(node) = y.node_mut().filter(|node| node.backward.is_some()) {
            node.place = Some(Part::Rows(indices));
        }
        y
    }

    /// Tells what made a result that no gradient flows through, to whoever [traces](trace).
    #[must_use]
    pub fn noted(self, op: impl IntoOp, inputs: &[&Tensor]) -> Tensor {
        self.known();
        let y = self.marked_by(inputs);
        if graph::is_tracing() { y.hung(op.into_op(), inputs, None) } else { y }
    }

    /// The operations that made it: those that its gradient goes back through, and within a [`trace`] all.
    #[doc(alias("make_dot", "torch.fx", "tensorboard"))]
    pub fn graph(&self) -> Graph {
        Graph::of(self)
    }
}

/// What becomes of a result in a graph.
enum Role {
    /// Its gradient flows on to inputs.
    Tracked,
    /// A trace tells what made it.
    Noted,
    Plain,
}

/// A backward pass under way.
struct Backpass {
    thread: ThreadId,
    /// What is wrong with it.
    wrong: Option<String>,
    /// Whether its gradients are tracked.
    tracked: bool,
    /// Of a tracked pass: the step whose gradient is computed.
    node: Option<Arc<Node>>,
}

static PASSES: Mutex<Vec<Backpass>> = Mutex::new(Vec::new());

fn passes() -> MutexGuard<'static, Vec<Backpass>> {
    PASSES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Panics at the caller's line; within a gradient's closure, which does not know that line, at that of `backward`.
#[track_caller]
pub(crate) fn refuse(text: String) {
    let here = std::thread::current().id();
    let mut passes = passes();
    if let Some(pass) = passes.iter_mut().rev().find(|pass| pass.thread == here) {
        pass.wrong.get_or_insert(text);
        return;
    }
    drop(passes);
    panic!("{text}");
}

/// A backward pass of this thread, until it ends or panics.
struct Watch(ThreadId);

impl Watch {
    fn start(tracked: bool) -> Watch {
        let thread = std::thread::current().id();
        passes().push(Backpass { thread, wrong: None, tracked, node: None });
        higher::TRACKED.fetch_add(usize::from(tracked), Ordering::Relaxed);
        Watch(thread)
    }

    /// Panics at the caller's line if something is wrong.
    #[track_caller]
    fn check(&self) {
        let wrong = passes().iter_mut().rev().find(|pass| pass.thread == self.0).and_then(|pass| pass.wrong.take());
        if let Some(wrong) = wrong {
            panic!("{wrong}");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut passes = passes();
        if let Some(at) = passes.iter().rposition(|pass| pass.thread == self.0) {
            let pass = passes.remove(at);
            higher::TRACKED.fetch_sub(usize::from(pass.tracked), Ordering::Relaxed);
            drop(passes);
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
        self.backward_all("backward", &mut |tensor, gradient| grads.put(tensor, gradient));
        grads
    }

    /// Tells `ready` each tensor that requires a gradient together with its gradient, as soon as the last operation that
    /// used the tensor has added its part: late layers first, while what lies before them has not been queued yet. What
    /// `ready` queues stands in between, as an exchange between processes does. A gradient of [rows](Rows) is told as a whole.
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
        self.backward_all("backward", &mut |tensor, gradient| ready(tensor, gradient.whole()));
    }

    #[track_caller]
    fn backward_all(&self, op: &str, ready: &mut dyn FnMut(&Tensor, Gradient)) {
        assert!(self.numel() == 1, "{op}: {} is no scalar; reduce it by sum or mean first", self.shape());
        let node = self.history(op);
        backward(node, Tensor::constant(&[1.0f32], self.shape(), self.device()).cast(self.dtype()), ready);
    }

    /// The gradients of `sum(upstream * self)`.
    ///
    /// # Panics
    /// If the shapes differ, it has no history, or it reads a gradient of `backward` that was not [detached](Tensor::detach).
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
        let mut ready = |tensor: &Tensor, gradient| grads.put(tensor, gradient);
        backward(self.history("backward_with"), upstream.detach().cast(self.dtype()), &mut ready);
        grads
    }

    /// The node that its gradient goes back by.
    ///
    /// # Panics
    /// If there is nothing, or it reads a gradient.
    #[track_caller]
    fn history(&self, op: &str) -> &Arc<Node> {
        let reads = self.node().map_or(self.is_gradient().then_some("the loss"), |node| node.reads());
        if let Some(reader) = reads {
            panic!(
                "{op}: {reader} reads a gradient that is not tracked: take it by grad(), whose results are, or detach() it where \
                 it is meant to be a constant"
            );
        }
        let node = self.node().filter(|node| node.flows);
        let Some(node) = node else {
            panic!(
                "{op}: nothing here requires a gradient: was the forward pass run with Ctx::eval, or the tensor detached? A tensor \
                 that is no parameter is asked for its gradient by requires_grad(), before it is used"
            )
        };
        node
    }
}

/// The number of operations that send a gradient to each node of a graph, as far as it was made from the id `first` on.
fn consumers(root: &Arc<Node>, first: u64) -> HashMap<u64, usize> {
    let mut counts = HashMap::from([(root.id, 0)]);
    let mut rest = vec![root];
    while let Some(node) = rest.pop() {
        for input in node.inputs.iter().flatten() {
            let count = counts.entry(input.id).or_insert_with(|| {
                rest.extend((input.id >= first).then_some(input));
                0
            });
            *count += 1;
        }
    }
    counts
}

/// Goes from `root` to all leaves, and tells `ready` the gradient of each as soon as its last part has been added.
#[track_caller]
fn backward(root: &Arc<Node>, upstream: Tensor, ready: &mut dyn FnMut(&Tensor, Gradient)) {
    let pass = Watch::start(false);
    let mut counts = consumers(root, 0);
    let mut waiting = BTreeMap::from([(root.id, (root.clone(), Sum::of(upstream)))]);
    // Nodes that nothing more will reach, the root first: leaves whose gradients are whole, and what got none.
    let mut ended = vec![root.clone()];
    loop {
        while let Some(node) = ended.pop() {
            if let Some(tensor) = node.tensor().filter(|_| node.is_leaf()) {
                if let Some((_, gradient)) = waiting.remove(&node.id) {
                    ready(&tensor, gradient.found(node.shape));
                }
            } else if !waiting.contains_key(&node.id) {
                ended.extend(released(&node, &mut counts));
            }
        }
        pass.check();
        let Some((_, (node, dy))) = waiting.pop_last() else { return };
        let dy = dy.total(node.shape);
        if let Some(tensor) = node.tensor() {
            ready(&tensor, Gradient::Whole(dy.clone()));
        }
        let needs: Vec<bool> = node.inputs.iter().map(|input| input.as_ref().is_some_and(|node| node.flows)).collect();
        match &node.again {
            Some(again) => {
                let root = recompute::expanded(again, &mut counts);
                waiting.extend(root.map(|root| (root.id, (root, Sum::of(dy)))));
            }
            None => send(&node, &dy, &needs, &mut waiting),
        }
        pass.check();
        ended.extend(released(&node, &mut counts));
    }
}

/// Steps that have got some of their gradients, with the sum of these.
type Waiting = BTreeMap<u64, (Arc<Node>, Sum)>;

/// Sends the gradients of the inputs that need one on to them.
#[track_caller]
fn send(node: &Node, dy: &Tensor, needs: &[bool], waiting: &mut Waiting) {
    let backward = node.backward.as_ref().expect("a leaf is ready before anything behind it runs");
    // Under the layer's name, so that the kernels of the gradient are labelled too.
    let dy = dy.clone().with_name(node.name.clone());
    if let (Some(part), [Some(input)], [true], false) = (&node.place, &node.inputs[..], needs, is_differentiated()) {
        let waiting = &mut waiting.entry(input.id).or_insert_with(|| (input.clone(), Sum::default())).1;
        let gradient = dy.detach().cast_once(input.gradient);
        return match part {
            Part::Along(place) => waiting.add_part(*place, gradient),
            Part::Rows(indices) => {
                let values = gradient.reshape_to(Shape::from([indices.numel(), input.shape[1]]));
                waiting.add_rows(Rows::new(indices.clone(), values, input.shape));
            }
        };
    }
    let gradients = backward(&dy, needs);
    if passes().iter().rev().any(|pass| pass.thread == std::thread::current().id() && pass.wrong.is_some()) {
        return;
    }
    assert!(gradients.len() == node.inputs.len(), "{}: expected a gradient for each input", node.op.name());
    for ((input, gradient), needed) in node.inputs.iter().zip(gradients).zip(needs) {
        let (Some(input), Some(gradient)) = (input.as_ref().filter(|_| *needed), gradient) else {
            continue;
        };
        higher::check_gradient(node.op.name(), &gradient);
        // Where types met, the result is of the wider.
        let gradient = gradient.cast_once(input.gradient);
        waiting.entry(input.id).or_insert_with(|| (input.clone(), Sum::default())).1.add(gradient);
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
    let out = Tensor::empty_like(a.layout().leading(b.layout()), a.dtype(), a.device());
    let params = Strided::new(out.layout(), [(a.layout(), a.base()), (b.layout(), b.base())]);
    Tensor::run(&ACCUMULATE, &[a, b, &out], &params);
    out.tracked("accumulate", &[a, b], |dy, needs| needs.iter().map(|needed| needed.then(|| dy.clone())).collect())
}
