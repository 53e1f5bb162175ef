//! Gradients by the tensors that they belong to.

use super::{Node, accumulate};
use crate::tensor::{Tensor, apart};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;

/// The gradients that one backward pass found, or several: those of the parts of a large batch are added up by `+=`.
///
/// They are data: iterated in the order in which their tensors came to [require](Tensor::requires_grad) one, read
/// ([`Grads::of`]), replaced, scaled (`grads *= 0.5`), and collected from pairs of tensors and gradients.
///
/// ```
/// use wgrad::autograd::Grads;
/// let x = wgrad::Tensor::ones([2], &wgrad::Device::cpu()).requires_grad();
/// let mut grads = x.exp().sum().backward();
/// grads += (&x * 3.0).sum().backward();
/// grads *= 0.5;
/// let sum = grads.of(&x).expect("both depend on x").to_vec::<f32>()?;
/// assert!((sum[0] - (1f32.exp() + 3.0) / 2.0).abs() < 1e-5);
/// let clamped: Grads = grads.iter().map(|(x, gradient)| (x, gradient.clamp(-1.0, 1.0))).collect();
/// assert_eq!(clamped.of(&x).expect("it was collected").to_vec::<f32>()?, [1.0, 1.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Default, Clone)]
pub struct Grads {
    /// By the ids of their leaves, so that equal steps queue equal kernels.
    of: BTreeMap<u64, (Arc<Node>, Tensor)>,
}

impl AddAssign for Grads {
    #[track_caller]
    fn add_assign(&mut self, other: Grads) {
        for (id, (leaf, gradient)) in other.of {
            match self.of.get_mut(&id) {
                Some((_, sum)) => *sum = accumulate(sum, &gradient).into_gradient(),
                None => drop(self.of.insert(id, (leaf, gradient))),
            }
        }
    }
}

impl Grads {
    /// None yet.
    pub fn new() -> Grads {
        Grads::default()
    }

    /// The gradient with respect to `tensor`, of its shape; `None` if the loss does not depend on it or it was not
    /// marked by [`Tensor::requires_grad`].
    pub fn of(&self, tensor: &Tensor) -> Option<&Tensor> {
        self.of.get(&tensor.node()?.id).map(|(_, gradient)| gradient)
    }

    /// The gradients with respect to `tensors`, in their order: what a replayed step returns, to be collected again outside
    /// of it.
    ///
    /// ```
    /// use wgrad::autograd::Grads;
    /// use wgrad::nn::{Ctx, Init, Layer, Linear, parameters};
    /// let device = wgrad::Device::cpu();
    /// let model = Linear::new(2, 1, &mut Init::new(0, &device));
    /// let leaves: Vec<_> = parameters(&model).iter().map(|(_, parameter)| parameter.tensor()).collect();
    /// let x = wgrad::Tensor::ones([4, 2], &device);
    /// let step = device.capture(&x, |x| {
    ///     let loss = model.forward(x, &Ctx::train()).square().mean();
    ///     Ok(loss.backward().to_vec(&leaves))
    /// })?;
    /// let grads: Grads = leaves.iter().zip(step.run(&x)?).collect();
    /// assert_eq!(grads.len(), 2);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If one of them has none.
    #[track_caller]
    pub fn to_vec(&self, tensors: &[Tensor]) -> Vec<Tensor> {
        let mut all = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let Some(gradient) = self.of(tensor) else {
                panic!("to_vec: there is no gradient for {}: nothing in the loss depends on it", called(tensor));
            };
            all.push(gradient.clone());
        }
        all
    }

    /// Takes `gradient` for that of `tensor`, in the place of the one there was.
    ///
    /// # Panics
    /// If `tensor` requires none ([`Tensor::requires_grad`]), or the gradient has another shape, type or device.
    #[track_caller]
    pub fn set(&mut self, tensor: &Tensor, gradient: Tensor) {
        let leaf = tensor.node().filter(|node| node.leaf.is_some());
        let Some(leaf) = leaf else {
            panic!(
                "set: {} requires no gradient: only a parameter or a tensor of requires_grad() has one",
                called(tensor)
            );
        };
        assert!(
            gradient.shape() == tensor.shape() && gradient.dtype() == tensor.dtype(),
            "set: expected a gradient of {} {} for {}, got {} {}",
            tensor.dtype(),
            tensor.shape(),
            called(tensor),
            gradient.dtype(),
            gradient.shape()
        );
        let (device, other) = (tensor.device(), gradient.device());
        assert!(device == other, "set: {} and its gradient {}", called(tensor), apart(device, other));
        self.of.insert(leaf.id, (leaf.clone(), gradient.detach().into_gradient()));
    }

    /// Takes the gradient with respect to `tensor` out, so that an optimizer leaves it as it is.
    pub fn remove(&mut self, tensor: &Tensor) -> Option<Tensor> {
        self.of.remove(&tensor.node()?.id).map(|(_, gradient)| gradient)
    }

    /// Each tensor that has a gradient, and that gradient, in the order in which the tensors came to require one.
    pub fn iter(&self) -> impl Iterator<Item = (Tensor, &Tensor)> {
        self.of.values().filter_map(|(leaf, gradient)| Some((leaf.tensor()?, gradient)))
    }

    /// Puts what `each` makes of a tensor and its gradient in the place of that gradient.
    ///
    /// # Panics
    /// As [`Grads::set`].
    #[track_caller]
    pub fn map(&mut self, mut each: impl FnMut(&Tensor, &Tensor) -> Tensor) {
        for (leaf, gradient) in std::mem::take(&mut self.of).into_values() {
            if let Some(tensor) = leaf.tensor() {
                self.set(&tensor, each(&tensor, &gradient));
            }
        }
    }

    /// The number of tensors that have one.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether none has one.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Why one of the gradients could not be computed.
    pub(crate) fn lost(&self) -> Option<crate::Error> {
        self.of.values().find_map(|(_, gradient)| gradient.lost())
    }
}

impl<T: Borrow<Tensor>> FromIterator<(T, Tensor)> for Grads {
    /// As [`Grads::set`] for each pair.
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = (T, Tensor)>>(pairs: I) -> Grads {
        let mut grads = Grads::new();
        for (tensor, gradient) in pairs {
            grads.set(tensor.borrow(), gradient);
        }
        grads
    }
}

impl fmt::Debug for Grads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(tensor, gradient)| (called(&tensor), gradient))).finish()
    }
}

/// A tensor in a message.
fn called(tensor: &Tensor) -> String {
    tensor.name().map_or_else(|| format!("a tensor of {}", tensor.shape()), str::to_string)
}
