//! Recomputation: a part of a graph that is made again where its gradient is due, so that nothing of it is kept until then.

use super::{Node, Op, consumers, higher, refuse};
use crate::tensor::Tensor;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Makes a step's result again, with its history; none where that is refused.
pub(super) type Again = Arc<dyn Fn() -> Option<Tensor> + Send + Sync>;

/// The result of `work` on `inputs`, without what is saved for its gradient: backward runs `work` a second time, and tells it
/// so. What it gives must depend on nothing that has changed in between: another shape, type or history is an error as backward
/// comes to it. [`Ctx::checkpoint`](crate::nn::Ctx::checkpoint) is
/// the same for layers, and sees to chance and running statistics.
///
/// The gradients are those of `work` itself, to the bit.
///
/// ```
/// use wgrad::{Tensor, autograd};
/// let x = Tensor::ones([3], &wgrad::Device::cpu()).requires_grad();
/// let y = autograd::checkpoint(&[&x], |x, _again| x[0].exp().sin().exp());
/// let grads = y.sum().backward();
/// assert_eq!(grads.of(&x).expect("it has one").to_vec::<f32>()?, x.exp().sin().exp().sum().backward().of(&x).expect("so has this").to_vec::<f32>()?);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("torch.utils.checkpoint", "gradient checkpointing", "remat"))]
#[track_caller]
pub fn checkpoint(inputs: &[&Tensor], work: impl Fn(&[Tensor], bool) -> Tensor + Send + Sync + 'static) -> Tensor {
    let inputs: Vec<Tensor> = inputs.iter().map(|input| (*input).clone()).collect();
    let first = Node::next_id();
    let y = work(&inputs, false);
    let Some(root) = y.node().filter(|node| node.flows && node.id >= first) else { return y };
    let ends = ends(root, first);
    let watched: Vec<Tensor> =
        ends.iter().filter_map(|end| end.tensor()).chain(inputs.iter().cloned()).map(|x| x.saved()).collect();
    let (shape, dtype, targets) = (y.shape(), y.dtype(), ends.clone());
    let again: Again = Arc::new(move || {
        if let Some(changed) = watched.iter().find(|x| x.is_stale()) {
            let name = changed.name().map_or(String::new(), |name| format!(" ({name})"));
            refuse(format!(
                "checkpoint: a tensor{name} that is read again for this gradient was changed in place since"
            ));
            return None;
        }
        let first = Node::next_id();
        let y = work(&inputs, true);
        let ids = |ends: &[Arc<Node>]| ends.iter().map(|end| end.id).collect::<Vec<_>>();
        let found = y.node().filter(|node| node.flows && node.id >= first).map(|root| self::ends(root, first));
        let problem = if (y.shape(), y.dtype()) != (shape, dtype) {
            format!("gave {shape} of {dtype} first, and {} of {} as it ran again", y.shape(), y.dtype())
        } else if found.map(|found| ids(&found)) != Some(ids(&targets)) {
            "led to other tensors that have a gradient as it ran again than it did first".to_string()
        } else {
            return Some(y);
        };
        refuse(format!("checkpoint: a part {problem}: both runs have to do the same"));
        None
    });
    let (own, targets) = (again.clone(), ends.clone());
    // Of a gradient that is differentiated itself.
    let backward = move |dy: &Tensor, needs: &[bool]| {
        let y = own();
        let Some(root) = y.as_ref().and_then(|y| y.node()) else { return vec![None; targets.len()] };
        let wanted: Vec<&Arc<Node>> =
            targets.iter().zip(needs).filter(|(_, needed)| **needed).map(|(end, _)| end).collect();
        let mut found = higher::gradients(root, dy.clone(), &wanted, super::is_differentiated());
        targets.iter().map(|end| found.remove(&end.id)).collect()
    };
    let node = Arc::new(Node {
        id: Node::next_id(),
        op: Op::new("checkpoint"),
        shape: y.shape(),
        dtype: y.dtype(),
        gradient: root.gradient,
        place: None,
        name: root.name.clone(),
        inputs: ends.into_iter().map(Some).collect(),
        sources: Vec::new(),
        backward: Some(Box::new(backward)),
        again: Some(again),
        leaf: None,
        flows: true,
        reads: root.reads,
    });
    y.with_node(Some(node))
}

/// The steps from before `first` that a graph begins with.
fn ends(root: &Arc<Node>, first: u64) -> Vec<Arc<Node>> {
    let (mut found, mut met) = (BTreeMap::new(), BTreeMap::from([(root.id, ())]));
    let mut rest = vec![root];
    while let Some(node) = rest.pop() {
        for input in node.inputs.iter().flatten().filter(|input| input.flows) {
            if input.id < first {
                found.insert(input.id, input.clone());
            } else if met.insert(input.id, ()).is_none() {
                rest.push(input);
            }
        }
    }
    found.into_values().collect()
}

/// Makes a step again for a walk that has come to it: its parts take its place, in the order that they would have had.
pub(super) fn expanded(again: &Again, counts: &mut HashMap<u64, usize>) -> Option<Arc<Node>> {
    let first = Node::next_id();
    let root = again()?.node().cloned()?;
    for (id, count) in consumers(&root, first) {
        *counts.entry(id).or_insert(0) += count;
    }
    Some(root)
}
