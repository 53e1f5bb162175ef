//! Steps that take no more memory than they may: parts of a batch, and parts of a model that run again.

use super::task::StepOptions;
use super::trainer::{Trainer, items};
use crate::error::{Error, Result, sizes};
use crate::kernel::Cost;
use crate::nn::{Entry, Recompute, Visitor};
use crate::plan::{StepMemory, mega};
use crate::tensor::Tensor;
use std::fmt;

/// The way in which a step fits into the memory that it [may take](Trainer::max_memory).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// The parts that a batch is cut into; 1 where it is whole.
    pub micro_batches: usize,
    /// What of the model [runs again](crate::nn::Ctx::recompute), where anything does.
    pub recompute: Option<(Recompute, u8)>,
    /// What the step takes so.
    pub memory: StepMemory,
    /// What it may take.
    pub max_memory: u64,
    /// The items of the batch that it was chosen for.
    pub items: usize,
}

impl fmt::Display for Fitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match self.micro_batches {
            1 => "whole".to_string(),
            parts => format!("in {parts} parts"),
        };
        let again = if self.recompute.is_some() { ", activations computed again" } else { "" };
        let [takes, may] = [self.memory.total(), self.max_memory].map(mega);
        write!(f, "memory: batches of {} {parts}{again}: {takes:.1} of {may:.1} MiB", self.items)
    }
}

/// A byte that is moved costs about as much as so many operations.
const OPERATIONS: u64 = 16;

/// What may run again: of containers within one another the outermost three.
const AGAIN: [(Recompute, u8); 6] = [
    (Recompute::Segments, 0),
    (Recompute::Layers, 0),
    (Recompute::Segments, 1),
    (Recompute::Layers, 1),
    (Recompute::Segments, 2),
    (Recompute::Layers, 2),
];

/// What was chosen, by the sizes of the batches that it was chosen for.
#[derive(Debug, Default)]
pub(super) struct Memory {
    all: Vec<(Vec<Vec<usize>>, Fitted)>,
}

impl Memory {
    pub fn last(&self) -> Option<&Fitted> {
        self.all.last().map(|(_, fitted)| fitted)
    }

    /// The first choice that was made for a batch of at least these sizes.
    fn of(&self, sizes: &[Vec<usize>]) -> Option<&Fitted> {
        let holds = |own: &[usize], new: &[usize]| own.len() == new.len() && own.iter().zip(new).all(|(a, b)| a >= b);
        let of = |own: &[Vec<usize>]| own.iter().zip(sizes).all(|(own, new)| holds(own, new));
        self.all.iter().find(|(own, _)| of(own)).map(|(_, fitted)| fitted)
    }
}

impl<const N: usize> Trainer<'_, N> {
    /// The options of a step on this batch, where its memory has a limit.
    pub(super) fn fit_memory(&mut self, batch: &[Tensor; N]) -> Result<Option<StepOptions>> {
        let Some(max_memory) = self.options.max_memory else { return Ok(None) };
        let shapes: Vec<Vec<usize>> = batch.iter().map(|tensor| tensor.shape().to_vec()).collect();
        let parallel = self.options.parallel.clone();
        // Ranks cut their parts alike, and none of them chooses anew while the others go on.
        let found = if parallel.is_some() { self.memory.last() } else { self.memory.of(&shapes) };
        let fitted = match found {
            Some(fitted) => fitted.clone(),
            None => {
                let mut fitted = self.fitting(batch, max_memory);
                if let Some(parallel) = parallel {
                    let first = parallel.group().broadcast(0, told(fitted.as_ref().ok()))?;
                    fitted = fitted.and_then(|own| taken(own, &first));
                }
                let fitted = fitted?;
                self.memory.all.push((shapes, fitted.clone()));
                fitted
            }
        };
        let (micro_batches, recompute) = (fitted.micro_batches, fitted.recompute);
        Ok(Some(StepOptions { micro_batches, recompute, ..self.options.clone() }))
    }

    /// The cheapest way that fits.
    fn fitting(&mut self, batch: &[Tensor; N], max_memory: u64) -> Result<Fitted> {
        let (items, first) = (items(batch.each_ref()), self.options.micro_batches.max(1));
        let sees_parts = self.has_statistics();
        // Of a single item there are no statistics.
        let most = if sees_parts { (items / 2).max(1) } else { items };
        let doubled = std::iter::successors(Some(first), |parts| (*parts < most).then(|| (2 * parts).min(most)));
        let doubled: Vec<usize> = doubled.collect();
        let mut found: Vec<(Fitted, Cost)> = Vec::new();
        let (mut least, mut whole, mut refused) = (u64::MAX, u64::MAX, None);
        for recompute in std::iter::once(None).chain(AGAIN.map(Some)) {
            for &micro_batches in &doubled {
                // Who has fewer parts without it gains nothing by it.
                if found.first().is_some_and(|(plain, _)| micro_batches >= plain.micro_batches) {
                    break;
                }
                let (memory, cost) = match self.step_memory(batch, micro_batches, recompute) {
                    // A tensor of it is more than the device binds: one of a part may not be.
                    Err(error @ (Error::OutOfMemory { .. } | Error::Limit(_))) => {
                        refused = Some(error);
                        continue;
                    }
                    told => told?,
                };
                least = least.min(memory.total());
                if memory.total() <= max_memory {
                    found.push((Fitted { micro_batches, recompute, memory, max_memory, items }, cost));
                    break;
                }
                match recompute {
                    None if micro_batches == first => whole = memory.total(),
                    None => {}
                    // A model without such parts, or whose parts keep nothing.
                    Some(_) if micro_batches == first && memory.total() >= whole => break,
                    Some(_) => {}
                }
            }
        }
        let work = |cost: &Cost| cost.flops + OPERATIONS * cost.bytes;
        let order = |(fitted, cost): &(Fitted, Cost)| (if sees_parts { fitted.micro_batches } else { 0 }, work(cost));
        found.into_iter().min_by_key(order).map(|(fitted, _)| fitted).ok_or_else(|| {
            if let (u64::MAX, Some(error)) = (least, refused) {
                return error;
            }
            let [least, may] = sizes([least, max_memory]);
            Error::Option(format!(
                "max_memory: a step on {items} items needs at least {least}, in the smallest parts and with all that can be computed \
                 again, and {may} are allowed: take more, or a smaller model"
            ))
        })
    }

    /// What a step would take and cost.
    fn step_memory(
        &mut self,
        batch: &[Tensor; N],
        micro_batches: usize,
        recompute: Option<(Recompute, u8)>,
    ) -> Result<(StepMemory, Cost)> {
        // Ranks have exchanged nothing yet.
        let options = &StepOptions { micro_batches, recompute, parallel: None, ..self.options.clone() };
        let (task, totals) = (&mut self.task, &mut self.training.totals);
        self.device.estimated(batch.each_ref(), |batch: [&Tensor; N]| {
            let outcome = task.train_as(batch, options)?;
            totals.add(&outcome, items(batch))?;
            let others = outcome.others.into_iter().map(|(_, value)| value);
            Ok(std::iter::once(outcome.loss).chain(others).collect::<Vec<_>>())
        })
    }

    /// Whether a layer changes something by itself, as batch normalisation does, which sees parts of a batch.
    fn has_statistics(&self) -> bool {
        let mut found = false;
        for (_, module) in self.task.modules() {
            let mut each = |_: &str, entry: Entry| found |= matches!(entry, Entry::Buffer(_));
            module.visit(&mut Visitor::new(&mut each));
        }
        found
    }
}

/// The choice of rank 0, as the others hear of it.
fn told(own: Option<&Fitted>) -> Vec<u8> {
    let Some(own) = own else { return Vec::new() };
    let again = AGAIN.iter().position(|again| Some(*again) == own.recompute);
    [own.micro_batches as u64, again.map_or(0, |at| at as u64 + 1)].iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn taken(own: Fitted, first: &[u8]) -> Result<Fitted> {
    let (words, _) = first.as_chunks::<8>();
    let [parts, again] = *words else {
        return Err(Error::Group("max_memory: no step of rank 0 fits".into()));
    };
    let [parts, again] = [parts, again].map(|word| u64::from_le_bytes(word) as usize);
    let recompute = again.checked_sub(1).and_then(|at| AGAIN.get(at).copied());
    Ok(Fitted { micro_batches: parts, recompute, ..own })
}
