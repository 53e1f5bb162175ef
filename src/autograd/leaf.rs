//! Tensors whose gradients are asked for: where they lie, and what may be done to them.

use super::{Node, Op, refuse};
use crate::device::Moves;
use crate::kernel::BufferId;
use crate::tensor::Tensor;
use std::sync::{Arc, PoisonError, RwLock};

/// A tensor whose gradient is asked for, where it is now.
pub(super) struct Leaf {
    tensor: RwLock<Tensor>,
    moves: Moves,
}

impl Leaf {
    fn of(tensor: Tensor) -> Leaf {
        Leaf { tensor: RwLock::new(tensor), moves: Moves::default() }
    }

    fn now(&self) -> Tensor {
        self.tensor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Node {
    /// The start of a graph: the gradient with respect to `tensor` is asked for.
    pub(crate) fn leaf(tensor: Tensor) -> Arc<Node> {
        let (id, name) = (Node::next_id(), tensor.name().map(Arc::from));
        let leaf = Some(Leaf::of(tensor.detach()));
        let (op, shape, dtype) = (Op::new("leaf"), tensor.shape(), tensor.dtype());
        let (inputs, sources) = (Vec::new(), Vec::new());
        let (backward, place, again, flows, reads) = (None, None, None, true, None);
        let gradient = dtype;
        Arc::new(Node {
            id,
            op,
            shape,
            dtype,
            gradient,
            name,
            inputs,
            sources,
            backward,
            place,
            again,
            flows,
            leaf,
            reads,
        })
    }

    /// Tells a leaf where its elements are now, and what they are called.
    pub(crate) fn move_to(&self, place: &Tensor) {
        if let Some(leaf) = &self.leaf {
            let mut tensor = leaf.tensor.write().unwrap_or_else(PoisonError::into_inner);
            if tensor.buffer() != place.buffer() {
                leaf.moves.moved();
            }
            *tensor = place.detach();
        }
    }

    /// The tensor whose gradient is asked for, as it is known outside.
    pub(super) fn tensor(self: &Arc<Node>) -> Option<Tensor> {
        let leaf = self.leaf.as_ref()?.now();
        Some(leaf.with_node(Some(self.clone())))
    }

    /// Whether a gradient ends here.
    pub(crate) fn is_leaf(&self) -> bool {
        self.leaf.is_some() && self.inputs.is_empty()
    }

    /// Whether this is a leaf whose elements lie in another buffer now.
    fn has_moved(&self, from: BufferId) -> bool {
        self.leaf.as_ref().is_some_and(|leaf| leaf.now().buffer() != from)
    }

    /// Whether this stands for elements of a leaf in place, as views of it do.
    pub(crate) fn is_within_leaf(&self, buffer: BufferId) -> bool {
        let mut node = self;
        while let (None, [Some(input)]) = (&node.leaf, &node.inputs[..]) {
            node = input;
        }
        node.is_leaf() && !node.has_moved(buffer)
    }
}

impl Tensor {
    /// The same elements as a tensor whose gradient [`Tensor::backward`] tells. What was computed keeps its history, and its
    /// gradient goes on to what made it: this is PyTorch's `retain_grad` too, for all that is made of the tensor that is returned.
    ///
    /// ```
    /// let x = wgrad::Tensor::ones([], &wgrad::Device::cpu()).requires_grad();
    /// let features = (&x * 3.0).requires_grad();
    /// let grads = features.square().backward();
    /// assert_eq!([&features, &x].map(|of| grads.of(of).map(|dx| dx.item().ok())), [Some(Some(6.0)), Some(Some(18.0))]);
    /// ```
    ///
    /// # Panics
    /// If its elements are no floats.
    #[doc(alias("requires_grad_", "retain_grad", "Variable"))]
    #[track_caller]
    pub fn requires_grad(self) -> Tensor {
        assert!(self.dtype().is_float(), "requires_grad: {} has no gradients", self.dtype());
        match self.node() {
            None => self.into_leaf(),
            Some(node) if node.leaf.is_some() => self,
            Some(_) => {
                let same = |dy: &Tensor, _: &[bool]| vec![Some(dy.clone())];
                let plain = self.clone().with_node(None);
                let mut y = plain.clone().hung(Op::new("requires_grad"), &[&self], Some(Box::new(same)));
                if let Some(node) = y.node_mut() {
                    node.leaf = Some(Leaf::of(plain));
                }
                y
            }
        }
    }

    /// Refuses a handle of a parameter whose values an optimizer has moved since: it would give the old ones for ever. A step
    /// that is being captured notes that they may.
    #[track_caller]
    pub(crate) fn check_place(&self) {
        if let Some(leaf) = self.node().filter(|_| !self.is_saved()).and_then(|node| node.leaf.as_ref()) {
            self.device().watch(self.buffer(), self.name(), &leaf.moves, leaf.moves.count());
        }
        let moved = self.node().filter(|node| !self.is_saved() && node.has_moved(self.buffer()));
        if let Some(node) = moved {
            let name = node.tensor().and_then(|now| now.name().map(|name| format!(" `{name}`"))).unwrap_or_default();
            refuse(format!(
                "a handle of the parameter{name} is from before an optimizer was made, which holds its values in a place of its \
                 own: take Parameter::tensor() again"
            ));
        }
    }
}
