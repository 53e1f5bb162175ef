//! Gradients by the tensors that they belong to.

use super::rows::{Gradient, Rows};
use super::{Node, accumulate};
use crate::tensor::{Tensor, apart};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, OnceLock};

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
///
/// The gradient of a table may be [`Rows`] ([`Embedding::sparse`](crate::nn::Embedding::sparse)): two of them are added by standing
/// behind one another, `grads *= 0.5` scales them, and optimizers that know of them take them as they are. Whoever asks for a
/// whole gradient, by [`of`](Grads::of) or [`iter`](Grads::iter), gets one that is made there and then.
#[derive(Default, Clone)]
pub struct Grads {
    /// By the ids of their leaves, so that equal steps queue equal kernels.
    of: BTreeMap<u64, (Arc<Node>, Held)>,
}

/// A gradient as it came, and as a whole once it is asked for.
#[derive(Clone)]
struct Held {
    rows: Option<Rows>,
    whole: OnceLock<Tensor>,
}

impl Held {
    fn whole(&self) -> &Tensor {
        self.whole.get_or_init(|| self.rows.as_ref().expect("it came as one or the other").to_dense())
    }

    #[track_caller]
    fn added(&self, other: &Held) -> Held {
        match (&self.rows, &other.rows) {
            (Some(a), Some(b)) => Held { rows: Rows::joined(&[a.clone(), b.clone()]), whole: OnceLock::new() },
            _ => accumulate(self.whole(), other.whole()).into_gradient().into(),
        }
    }

    /// Why it could not be computed.
    fn lost(&self) -> Option<crate::Error> {
        self.rows.as_ref().map_or_else(|| self.whole().lost(), Rows::lost)
    }
}

impl From<Tensor> for Held {
    fn from(whole: Tensor) -> Held {
        Held { rows: None, whole: whole.into() }
    }
}

impl From<Rows> for Held {
    fn from(rows: Rows) -> Held {
        Held { rows: Some(rows), whole: OnceLock::new() }
    }
}

impl AddAssign for Grads {
    #[track_caller]
    fn add_assign(&mut self, other: Grads) {
        for (id, (leaf, gradient)) in other.of {
            match self.of.get_mut(&id) {
                Some((_, sum)) => *sum = sum.added(&gradient),
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
        self.of.get(&tensor.node()?.id).map(|(_, gradient)| gradient.whole())
    }

    /// The gradient with respect to a table, where it is one of [`Rows`].
    #[doc(alias = "is_sparse")]
    pub fn rows(&self, table: &Tensor) -> Option<&Rows> {
        self.of.get(&table.node()?.id).and_then(|(_, gradient)| gradient.rows.as_ref())
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
        let leaf = leaf_of("set", tensor);
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
        self.of.insert(leaf.id, (leaf.clone(), gradient.detach().into_gradient().into()));
    }

    /// The same of a table's gradient of rows: those that a replayed step has returned, say, as two tensors.
    ///
    /// # Panics
    /// As [`Grads::set`].
    #[track_caller]
    pub fn set_rows(&mut self, table: &Tensor, rows: Rows) {
        let leaf = leaf_of("set_rows", table);
        let (shape, dtype) = (rows.shape(), rows.values().dtype());
        assert!(
            shape == table.shape() && dtype == table.dtype(),
            "set_rows: expected rows of {} {} for {}, got rows of {dtype} {shape}",
            table.dtype(),
            table.shape(),
            called(table)
        );
        let (device, other) = (table.device(), rows.values().device());
        assert!(device == other, "set_rows: {} and its gradient {}", called(table), apart(device, other));
        self.of.insert(leaf.id, (leaf.clone(), rows.into()));
    }

    /// What a backward pass has found.
    #[track_caller]
    pub(super) fn put(&mut self, tensor: &Tensor, gradient: Gradient) {
        match gradient {
            Gradient::Whole(gradient) => self.set(tensor, gradient),
            Gradient::Rows(rows) => self.set_rows(tensor, *rows),
        }
    }

    /// Takes the gradient with respect to `tensor` out, so that an optimizer leaves it as it is.
    pub fn remove(&mut self, tensor: &Tensor) -> Option<Tensor> {
        self.of.remove(&tensor.node()?.id).map(|(_, gradient)| gradient.whole().clone())
    }

    /// The same without a look at it.
    pub(crate) fn leave_out(&mut self, tensor: &Tensor) {
        tensor.node().map(|node| self.of.remove(&node.id));
    }

    /// Those of some tensors, as they came.
    pub(crate) fn only(&self, tensors: impl Iterator<Item = Tensor>) -> Grads {
        let ids = tensors.filter_map(|tensor| Some(tensor.node()?.id));
        Grads { of: ids.filter_map(|id| Some((id, self.of.get(&id)?.clone()))).collect() }
    }

    /// The values of each gradient that are not 0, the rows of a table each once.
    pub(crate) fn values(&self) -> impl Iterator<Item = Tensor> {
        let of = |held: &Held| {
            held.rows.as_ref().map_or_else(|| held.whole().clone(), |rows| rows.coalesce().values().clone())
        };
        self.of.values().map(move |(_, held)| of(held))
    }

    /// Puts what `each` makes of them in the place of all values, be they rows or not.
    #[track_caller]
    pub(crate) fn scale(&mut self, each: impl Fn(&Tensor) -> Tensor) {
        for (leaf, gradient) in std::mem::take(&mut self.of).into_values() {
            let Some(tensor) = leaf.tensor() else { continue };
            match &gradient.rows {
                Some(rows) => self.set_rows(&tensor, rows.map(&each)),
                None => self.set(&tensor, each(gradient.whole())),
            }
        }
    }

    /// Each tensor that has a gradient, and that gradient, in the order in which the tensors came to require one.
    pub fn iter(&self) -> impl Iterator<Item = (Tensor, &Tensor)> {
        self.of.values().filter_map(|(leaf, gradient)| Some((leaf.tensor()?, gradient.whole())))
    }

    /// Puts what `each` makes of a tensor and its gradient in the place of that gradient.
    ///
    /// # Panics
    /// As [`Grads::set`].
    #[track_caller]
    pub fn map(&mut self, mut each: impl FnMut(&Tensor, &Tensor) -> Tensor) {
        for (leaf, gradient) in std::mem::take(&mut self.of).into_values() {
            if let Some(tensor) = leaf.tensor() {
                self.set(&tensor, each(&tensor, gradient.whole()));
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
        let mut map = f.debug_map();
        for (leaf, held) in self.of.values() {
            let name = leaf.tensor().map_or_else(String::new, |tensor| called(&tensor));
            match &held.rows {
                Some(rows) => map.entry(&name, rows),
                None => map.entry(&name, held.whole()),
            };
        }
        map.finish()
    }
}

/// The step of a tensor whose gradient is asked for.
#[track_caller]
fn leaf_of<'a>(op: &str, tensor: &'a Tensor) -> &'a Arc<Node> {
    let leaf = tensor.node().filter(|node| node.leaf.is_some());
    let Some(leaf) = leaf else {
        panic!(
            "{op}: {} requires no gradient: only a parameter or a tensor of requires_grad() has one",
            called(tensor)
        );
    };
    leaf
}

/// A tensor in a message.
fn called(tensor: &Tensor) -> String {
    tensor.name().map_or_else(|| format!("a tensor of {}", tensor.shape()), str::to_string)
}
