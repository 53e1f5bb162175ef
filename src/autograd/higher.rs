//! Gradients that are tracked themselves.
//!
//! In a tracked pass the tensors that a gradient's closure has saved have their history, so that what it makes of them by
//! operations is a graph like any other. A kernel's result has none: where the gradient is a kernel, the closure asks
//! [`composed`] first, or says it in operations.

use super::sum::Sum;
use super::{Backpass, Node, Watch, passes, refuse, send};
use crate::shape::Shape;
use crate::tensor::{Tensor, apart};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tracked passes under way, on all threads: none, nearly always.
pub(super) static TRACKED: AtomicUsize = AtomicUsize::new(0);

/// Asks the pass that this thread is in, where it is a tracked one.
fn in_pass<R>(ask: impl FnOnce(&mut Backpass) -> R) -> Option<R> {
    if TRACKED.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let here = std::thread::current().id();
    let mut passes = passes();
    passes.iter_mut().rev().find(|pass| pass.thread == here).filter(|pass| pass.tracked).map(ask)
}

/// Whether this thread computes gradients that are to be differentiated: asked by a gradient's closure that has a faster way
/// to what operations can say.
pub fn is_differentiated() -> bool {
    in_pass(|_| ()).is_some()
}

/// In a gradient's closure: the saved result of its operation, with its history where that counts.
pub(crate) fn result_of(saved: &Tensor) -> Tensor {
    match in_pass(|pass| pass.node.clone()) {
        Some(node) => saved.clone().with_node(node),
        None => saved.clone(),
    }
}

/// The gradients of an operation by what it is made of, where they are to be differentiated; nothing elsewhere.
///
/// `function` makes the operation's result of its inputs by operations whose gradients are known; `inputs` are these as they were
/// [saved](Tensor::saved). It is the second way of an operation whose gradient is a kernel, in a closure of
/// [`Tensor::tracked`]:
///
/// ```
/// use wgrad::{Device, Tensor, autograd::composed};
/// /// The cube, as if a kernel of its own computed it and its gradient.
/// fn cube(x: &Tensor) -> Tensor {
///     let saved = x.saved();
///     x.detach().pow_scalar(3.0).tracked("cube", &[x], move |dy, needs| {
///         if let Some(gradients) = composed(dy, needs, &[&saved], |x| x[0].square().mul(&x[0])) {
///             return gradients;
///         }
///         vec![Some(saved.detach().square().mul(&dy.affine(3.0, 0.0)))]
///     })
/// }
/// let x = Tensor::from_slice(&[2.0f32], [], &Device::cpu()).requires_grad();
/// let slope = cube(&x).grad(&x);
/// assert_eq!((slope.item()?, slope.grad(&x).item()?), (12.0, 12.0));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn composed(
    dy: &Tensor,
    needs: &[bool],
    inputs: &[&Tensor],
    function: impl FnOnce(&[Tensor]) -> Tensor,
) -> Option<Vec<Option<Tensor>>> {
    if !is_differentiated() {
        return None;
    }
    // The gradients end at the inputs, whatever these were made of.
    let own = |(input, needed): (&&Tensor, &bool)| match (*needed, input.is_tracked()) {
        (false, _) => (*input).clone(),
        (true, false) => input.detach().requires_grad(),
        (true, true) => input.detach().tracked("alias", &[input], |dy, _| vec![Some(dy.clone())]),
    };
    let own: Vec<Tensor> = inputs.iter().zip(needs).map(own).collect();
    let y = function(&own);
    let nodes: Vec<Option<Arc<Node>>> =
        own.iter().zip(needs).map(|(own, needed)| own.node().filter(|_| *needed).cloned()).collect();
    let Some(root) = y.node().filter(|node| node.flows) else { return Some(vec![None; needs.len()]) };
    let targets: Vec<&Arc<Node>> = nodes.iter().flatten().collect();
    let mut found = gradients(root, dy.reshape_to(y.shape()).cast(y.dtype()), &targets, true);
    Some(nodes.iter().map(|node| node.as_ref().and_then(|node| found.remove(&node.id))).collect())
}

/// Refuses tensors that a kernel made of tracked ones in a closure, without a word on how.
pub(super) fn check(inputs: &[&Tensor]) {
    if !is_differentiated() || !inputs.iter().any(|input| input.is_unknown()) {
        return;
    }
    let op = in_pass(|pass| pass.node.as_ref().map(|node| node.op.name())).flatten();
    refuse(unknown(op.unwrap_or("an operation")));
}

/// The same of a gradient.
pub(super) fn check_gradient(op: &str, gradient: &Tensor) {
    if is_differentiated() && gradient.is_unknown() {
        refuse(unknown(op));
    }
}

fn unknown(op: &str) -> String {
    format!(
        "grad: the gradient of {op} is a kernel that cannot be differentiated again: make it of tracked operations, or say what \
         it is by autograd::composed, or take it by backward() where it is meant to be a constant"
    )
}

/// The steps from which a target is reached, among those that `root` was made by.
fn reaching(root: &Arc<Node>, targets: &[&Arc<Node>]) -> HashSet<u64> {
    // Ids only grow: what is older than all targets reaches none.
    let first = targets.iter().map(|node| node.id).min().unwrap_or(u64::MAX);
    let mut met = BTreeMap::from([(root.id, root)]);
    let mut rest = vec![root];
    while let Some(node) = rest.pop() {
        for input in node.inputs.iter().flatten().filter(|input| input.id >= first) {
            if met.insert(input.id, input).is_none() {
                rest.push(input);
            }
        }
    }
    let mut found: HashSet<u64> = targets.iter().map(|node| node.id).collect();
    for (id, node) in met {
        if node.inputs.iter().flatten().any(|input| input.flows && found.contains(&input.id)) {
            found.insert(id);
        }
    }
    found
}

/// The gradients at some steps, by their ids.
#[track_caller]
pub(super) fn gradients(
    root: &Arc<Node>,
    upstream: Tensor,
    targets: &[&Arc<Node>],
    tracked: bool,
) -> BTreeMap<u64, Tensor> {
    let reaching = reaching(root, targets);
    let wanted: HashSet<u64> = targets.iter().map(|node| node.id).collect();
    let pass = Watch::start(tracked);
    let mut found = BTreeMap::new();
    let mut waiting = BTreeMap::from([(root.id, (root.clone(), Sum::of(upstream)))]);
    while let Some((id, (node, dy))) = waiting.pop_last() {
        let dy = dy.total(node.shape);
        let needed = |input: &Option<Arc<Node>>| input.as_ref().is_some_and(|i| i.flows && reaching.contains(&i.id));
        let needs: Vec<bool> = node.inputs.iter().map(needed).collect();
        if needs.contains(&true) {
            in_pass(|pass| pass.node = Some(node.clone()));
            send(&node, &dy, &needs, &mut waiting);
            pass.check();
        }
        if wanted.contains(&id) {
            found.insert(id, dy);
        }
    }
    found
}

/// How [`Tensor::grad_with`] takes gradients.
#[derive(Debug, Clone)]
pub struct GradOptions {
    /// The gradient from above, of the result's shape; 1 of a scalar where it is left out: PyTorch's `grad_outputs`.
    pub upstream: Option<Tensor>,
    /// Whether the gradients are tracked, to be differentiated again. Without it they are constants, and come by the
    /// fused kernels of [`Tensor::backward`].
    pub create_graph: bool,
    /// Whether what the result does not depend on has a gradient of 0, and is not refused.
    pub materialize_grads: bool,
}

impl Default for GradOptions {
    fn default() -> GradOptions {
        GradOptions { upstream: None, create_graph: true, materialize_grads: false }
    }
}

/// What gradients are taken by: one tensor, an array of them, or a slice; the gradients come in the same form.
pub trait Inputs {
    /// A tensor, an array, or a `Vec`.
    type Gradients;

    /// The tensors in their order.
    fn tensors(&self) -> Vec<&Tensor>;

    /// Their gradients, in that order.
    fn gradients(all: Vec<Tensor>) -> Self::Gradients;
}

impl Inputs for &Tensor {
    type Gradients = Tensor;

    fn tensors(&self) -> Vec<&Tensor> {
        vec![self]
    }

    fn gradients(mut all: Vec<Tensor>) -> Tensor {
        all.remove(0)
    }
}

macro_rules! arrays {
    ($($from:ty),*) => {$(
        impl<const N: usize> Inputs for $from {
            type Gradients = [Tensor; N];

            fn tensors(&self) -> Vec<&Tensor> {
                self.iter().map(std::borrow::Borrow::borrow).collect()
            }

            fn gradients(all: Vec<Tensor>) -> [Tensor; N] {
                let mut all = all.into_iter();
                std::array::from_fn(|_| all.next().expect("there are as many gradients as inputs"))
            }
        }
    )*};
}

macro_rules! slices {
    ($($from:ty),*) => {$(
        impl Inputs for $from {
            type Gradients = Vec<Tensor>;

            fn tensors(&self) -> Vec<&Tensor> {
                self.iter().map(std::borrow::Borrow::borrow).collect()
            }

            fn gradients(all: Vec<Tensor>) -> Vec<Tensor> {
                all
            }
        }
    )*};
}

arrays!([&Tensor; N], &[&Tensor; N], &[Tensor; N]);
slices!(&[&Tensor], &[Tensor], &Vec<Tensor>, &Vec<&Tensor>);

/// # Gradients of gradients
impl Tensor {
    /// The gradients of this scalar with respect to some tensors, which are tracked themselves: a loss may be made of them.
    /// PyTorch's `torch.autograd.grad` with `create_graph=True`. The tensors may stand anywhere in the graph; the
    /// gradients have the form in which they are named.
    ///
    /// [`Tensor::backward`] gives gradients that are constants, and is faster: its kernels do at once what here are several
    /// operations.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], [2], &Device::cpu()).requires_grad();
    /// let slope = x.pow_scalar(3.0).sum().grad(&x);
    /// assert_eq!(slope.to_vec::<f32>()?, [3.0, 12.0]);
    /// // The product of the Hessian matrix and a vector of ones.
    /// let [curvature] = slope.sum().grad(&[&x]);
    /// assert_eq!(curvature.to_vec::<f32>()?, [6.0, 12.0]);
    /// // A loss that reads a gradient.
    /// let grads = slope.square().mean().backward();
    /// assert_eq!(grads.of(&x).expect("it depends on x").to_vec::<f32>()?, [18.0, 144.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If it has more than one element or no history, it does not depend on one of the tensors, or the gradient of an
    /// operation in between is a kernel of another crate that is not [`composed`].
    #[doc(alias("create_graph", "autograd.grad", "hessian", "hvp", "double_backward"))]
    #[track_caller]
    pub fn grad<I: Inputs>(&self, inputs: I) -> I::Gradients {
        self.grad_with(inputs, &GradOptions::default())
    }

    /// [`Tensor::grad`] of more than a scalar, untracked, or with respect to what may not be there.
    ///
    /// # Panics
    /// As [`Tensor::grad`], or if the gradient from above has another shape or device, or is not of floats.
    #[track_caller]
    pub fn grad_with<I: Inputs>(&self, inputs: I, options: &GradOptions) -> I::Gradients {
        let upstream = match &options.upstream {
            Some(upstream) => {
                let (shape, got) = (self.shape(), upstream.shape());
                assert!(shape == got, "grad: {shape} x {got}: the gradient from above has another shape");
                let dtype = upstream.dtype();
                assert!(dtype.is_float(), "grad: expected a gradient from above of floats, got {dtype}");
                let (device, other) = (self.device(), upstream.device());
                assert!(device == other, "grad: a result and the gradient from above {}", apart(device, other));
                upstream.clone()
            }
            None => {
                let shape = self.shape();
                assert!(
                    self.numel() == 1,
                    "grad: {shape} is no scalar: reduce it by sum or mean first, or give the gradient from above"
                );
                Tensor::constant(&[1.0f32], shape, self.device())
            }
        };
        let upstream = if options.create_graph { upstream } else { upstream.detach() };
        let root = self.history("grad");
        let tensors = inputs.tensors();
        let mut nodes = Vec::with_capacity(tensors.len());
        for (at, tensor) in tensors.iter().enumerate() {
            let node = tensor.node().filter(|node| node.flows);
            let Some(node) = node else {
                panic!(
                    "grad: input {at}, {} {}, requires no gradient: say requires_grad() before it is used",
                    tensor.dtype(),
                    tensor.shape()
                )
            };
            nodes.push(node);
        }
        let found = gradients(root, upstream.cast(self.dtype()), &nodes, options.create_graph);
        let mut all = Vec::with_capacity(nodes.len());
        for (at, (node, tensor)) in nodes.iter().zip(&tensors).enumerate() {
            all.push(match found.get(&node.id) {
                Some(gradient) if options.create_graph => gradient.clone(),
                Some(gradient) => gradient.detach().into_gradient(),
                None if options.materialize_grads => tensor.zeros_like(),
                None => panic!(
                    "grad: the result does not depend on input {at}, {} {}: leave it out, or take materialize_grads for zeros",
                    tensor.dtype(),
                    tensor.shape()
                ),
            });
        }
        I::gradients(all)
    }

    /// The derivative of this tensor where `inputs` move along `directions`: the product of the Jacobian matrix and a
    /// vector, of this tensor's shape, tracked. It is the gradient of the gradient by what comes from above, and costs about
    /// two gradients.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], [2], &device).requires_grad();
    /// let y = x.square();
    /// let along = Tensor::from_slice(&[1.0f32, -1.0], [2], &device);
    /// assert_eq!(y.jvp(&[&x], &[&along]).to_vec::<f32>()?, [2.0, -4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`Tensor::grad`], or if there are not as many directions as inputs, each of its input's shape.
    #[doc(alias("forward_ad", "jacobian_vector_product"))]
    #[track_caller]
    pub fn jvp(&self, inputs: &[&Tensor], directions: &[&Tensor]) -> Tensor {
        let shapes = |all: &[&Tensor]| all.iter().map(|x| x.shape()).collect::<Vec<Shape>>();
        let (have, want) = (shapes(directions), shapes(inputs));
        assert!(have == want, "jvp: expected directions of the inputs' shapes {want:?}, got {have:?}");
        let above = Tensor::zeros(self.shape(), self.device()).cast(self.dtype()).requires_grad();
        let options = GradOptions { upstream: Some(above.clone()), ..GradOptions::default() };
        let slopes = self.grad_with(inputs, &options);
        let parts = slopes.iter().zip(directions).map(|(slope, along)| slope.mul(along).sum());
        let Some(sum) = parts.reduce(|a, b| a.add(&b)) else { panic!("jvp: expected at least one input") };
        sum.grad(&above)
    }
}
