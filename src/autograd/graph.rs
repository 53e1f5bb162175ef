//! The graph of a computation, to be read, drawn and exported.

use super::Node;
use super::op::{Attribute, Op};
use crate::dtype::DType;
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

/// The threads that trace, as often as they do.
static TRACES: Mutex<Vec<ThreadId>> = Mutex::new(Vec::new());
/// Their number: a look that costs next to nothing.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Whether this thread traces.
pub(super) fn is_tracing() -> bool {
    COUNT.load(Ordering::Relaxed) > 0 && threads(|all| all.contains(&std::thread::current().id()))
}

fn threads<R>(each: impl FnOnce(&mut Vec<ThreadId>) -> R) -> R {
    let mut all = TRACES.lock().unwrap_or_else(PoisonError::into_inner);
    let result = each(&mut all);
    COUNT.store(all.len(), Ordering::Relaxed);
    result
}

/// Runs `work`, whose results remember all operations that made them, also those that no gradient goes through:
/// [`Tensor::graph`] then tells them all. It is for looking and exporting; it keeps all tensors in between alive.
///
/// ```
/// use wgrad::{Device, Tensor, autograd::trace};
/// let x = Tensor::from_slice(&[1.0f32, 3.0, 2.0, 0.0], [2, 2], &Device::cpu()).named("x");
/// let y = trace(|| x.t().softmax(-1).argmax(1));
/// assert_eq!(
///     y.graph().to_string(),
///     "%0 = x [2, 2] f32\n\
///      %1 = permute(%0, order=[1, 0]) [2, 2] f32\n\
///      %2 = copy(%1) [2, 2] f32\n\
///      %3 = softmax(%2, dim=1) [2, 2] f32\n\
///      %4 = argmax(%3, dim=1) [2] i32\n"
/// );
/// ```
#[doc(alias("torch.fx", "jit"))]
pub fn trace<R>(work: impl FnOnce() -> R) -> R {
    struct End(ThreadId);
    impl Drop for End {
        fn drop(&mut self) {
            threads(|all| all.iter().rposition(|thread| *thread == self.0).map(|at| all.swap_remove(at)));
        }
    }
    let here = std::thread::current().id();
    threads(|all| all.push(here));
    let _end = End(here);
    work()
}

/// A tensor of a graph, and what made it.
#[derive(Debug, Clone)]
pub struct Value {
    /// The operation; `None` for what the computation starts from.
    pub op: Option<Op>,
    /// The numbers of the operation's inputs; `None` for one that is not known, as no gradient flows to it and it was not
    /// [traced](trace).
    pub inputs: Vec<Option<usize>>,
    /// Its sizes.
    pub shape: Shape,
    /// Its type.
    pub dtype: DType,
    /// The path of the parameter that it is, or that the operation reads.
    pub name: Option<Arc<str>>,
    /// The tensor that the computation starts from, where it was traced.
    pub tensor: Option<Tensor>,
}

/// The operations that made a tensor, each behind those that it needs; printed, one line each. See [`Tensor::graph`].
#[derive(Debug, Clone)]
pub struct Graph {
    values: Vec<Value>,
}

impl Graph {
    pub(super) fn of(result: &Tensor) -> Graph {
        let mut nodes: BTreeMap<u64, Arc<Node>> = BTreeMap::new();
        let mut waiting: Vec<Arc<Node>> = result.node().cloned().into_iter().collect();
        while let Some(node) = waiting.pop() {
            if nodes.contains_key(&node.id) {
                continue;
            }
            waiting.extend(node.inputs.iter().flatten().cloned());
            waiting.extend(read_by(&node.op).filter_map(|(_, x)| x.node().cloned()));
            nodes.insert(node.id, node);
        }
        let (mut values, mut numbers, mut starts) = (Vec::new(), HashMap::new(), Vec::new());
        let mut start = |x: &Tensor, values: &mut Vec<Value>| match starts
            .iter()
            .find(|(y, _): &&(Tensor, usize)| y.is_at(x))
        {
            Some((_, at)) => *at,
            None => {
                starts.push((x.clone(), values.len()));
                let (name, tensor) = (x.name().map(Arc::from), Some(x.clone()));
                values.push(Value { op: None, inputs: Vec::new(), shape: x.shape(), dtype: x.dtype(), name, tensor });
                values.len() - 1
            }
        };
        // Ids only grow, so that this is their order.
        for (id, node) in nodes {
            let mut sources = node.sources.iter();
            let mut inputs = Vec::new();
            for input in &node.inputs {
                inputs.push(match input {
                    Some(input) => numbers.get(&input.id).copied(),
                    None => sources.next().map(|x| start(x, &mut values)),
                });
            }
            for (_, x) in read_by(&node.op) {
                inputs.push(match x.node() {
                    Some(node) => numbers.get(&node.id).copied(),
                    None => Some(start(x, &mut values)),
                });
            }
            numbers.insert(id, values.len());
            let op = (!node.is_leaf()).then(|| node.op.clone());
            let (shape, dtype, leaf) = (node.shape, node.dtype, node.tensor().filter(|_| node.is_leaf()));
            let name = leaf.as_ref().map_or(node.name.clone(), |leaf| leaf.name().map(Arc::from));
            values.push(Value { op, inputs, shape, dtype, name, tensor: leaf.map(|leaf| leaf.detach()) });
        }
        if values.is_empty() {
            start(result, &mut values);
        }
        Graph { values }
    }

    /// All tensors, the inputs of each before it; the last is the result.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The graph in the language of Graphviz: `dot -Tsvg` draws it.
    pub fn dot(&self) -> String {
        let mut text = String::from("digraph {\n    node [shape=box]\n");
        for (at, value) in self.values.iter().enumerate() {
            let what = value.title().replace(['"', '\\'], "'");
            let shape = if value.op.is_some() { "" } else { ", style=rounded" };
            // Writing to a text does not fail.
            let _ = writeln!(text, "    v{at} [label=\"{what}\\n{} {}\"{shape}]", value.dtype, value.shape);
            for input in value.inputs.iter().flatten() {
                let _ = writeln!(text, "    v{input} -> v{at}");
            }
        }
        text.push_str("}\n");
        text
    }
}

/// The tensors among an operation's attributes.
fn read_by(op: &Op) -> impl Iterator<Item = (&'static str, &Tensor)> {
    op.attributes().iter().filter_map(|(name, value)| match value {
        Attribute::Tensor(x) => Some((*name, x)),
        _ => None,
    })
}

impl Value {
    /// The operation without its inputs.
    fn title(&self) -> String {
        match &self.op {
            None => self.name.as_deref().unwrap_or("input").to_string(),
            Some(op) => {
                let plain = op.attributes().iter().filter(|(_, value)| !matches!(value, Attribute::Tensor(_)));
                let all: Vec<String> = plain.map(|(name, value)| format!("{name}={value}")).collect();
                if all.is_empty() { op.name().to_string() } else { format!("{} {}", op.name(), all.join(", ")) }
            }
        }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Value { op, inputs, shape, dtype, name, .. }) in self.values.iter().enumerate() {
            let Some(op) = op else {
                writeln!(f, "%{at} = {} {shape} {dtype}", name.as_deref().unwrap_or("input"))?;
                continue;
            };
            let plain = inputs.len() - read_by(op).count();
            let told = |at: &Option<usize>| at.map_or("_".into(), |at| format!("%{at}"));
            let mut parts: Vec<String> = inputs[..plain].iter().map(told).collect();
            let mut read = inputs[plain..].iter();
            for (name, value) in op.attributes() {
                parts.push(match value {
                    Attribute::Tensor(_) => format!("{name}={}", told(read.next().unwrap_or(&None))),
                    other => format!("{name}={other}"),
                });
            }
            writeln!(f, "%{at} = {}({}) {shape} {dtype}", op.name(), parts.join(", "))?;
        }
        Ok(())
    }
}
