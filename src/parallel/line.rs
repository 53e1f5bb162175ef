//! The line of exchanges of a rank: one after the other on a thread of their own, while the device goes on.

use super::{Compression, Group};
use crate::backend::{Pending, edge};
use crate::device::Beside;
use crate::error::{Error, Result};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Numbers behind the values of an exchange: the weight of this rank, and what it asks of all.
const TAIL: usize = 1 + ASKED;
/// What can be asked: any of them is answered yes if one rank says so.
pub(super) const ASKED: usize = 3;

/// What becomes of values.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Their mean, in which each rank has its weight, sent so.
    Mean(Compression),
    /// Their sum over the ranks that have a weight.
    Sum,
    /// The gradient of such a sum: the ranks' losses are parts of a mean, in which each has its weight.
    Slope,
}

/// Values to be exchanged.
pub(super) struct Job {
    pub kind: Kind,
    /// They are on their way from the device.
    pub values: Pending<Vec<f32>>,
    /// What they are of, as long as the ranks have not compared it.
    pub what: Arc<str>,
    /// The weight of this rank.
    pub weight: f32,
    pub asks: [bool; ASKED],
    /// Where a profile of the device notes it.
    pub beside: Beside,
    pub reply: Sender<Result<Averaged>>,
}

/// Means over the ranks, and what any of them asks.
pub(super) struct Averaged {
    pub values: Vec<f32>,
    pub asked: [bool; ASKED],
}

/// Starts the thread, which ends with the last sender.
pub(super) fn start(group: Arc<dyn Group>) -> Sender<Job> {
    let (jobs, line): (Sender<Job>, Receiver<Job>) = channel();
    edge::beside(move || {
        let mut compared: HashSet<Arc<str>> = HashSet::new();
        for Job { kind, values, what, weight, asks, beside, reply } in line {
            let is_new = compared.insert(what.clone());
            let agreed = if is_new { agree(&*group, "gradients", &what) } else { Ok(()) };
            let exchanged = |values: Vec<f32>| {
                let (bytes, began) = (4 * values.len() as u64, edge::Instant::now());
                let averaged = exchange(&*group, kind, values, weight, asks);
                beside.note("exchange", &what, bytes, began);
                averaged
            };
            let averaged = agreed.and_then(|()| exchanged(values.wait()?));
            // Nobody asks for it where a step has failed.
            let _ = reply.send(averaged);
        }
    });
    jobs
}

/// What goes with the values.
pub(super) fn tail(weight: f32, asks: [bool; ASKED]) -> [f32; TAIL] {
    std::array::from_fn(|at| if at == 0 { weight } else { f32::from(u8::from(asks[at - 1])) })
}

/// What any rank asks, by the sums of what went with the values.
pub(super) fn told(tails: &[f32; TAIL]) -> [bool; ASKED] {
    std::array::from_fn(|at| tails[1 + at] > 0.0)
}

/// Whether the parts from all ranks have the length of what is added up here.
pub(super) fn same_parts(parts: &[Vec<u8>], len: usize) -> Result<()> {
    let Some(rank) = parts.iter().position(|part| part.len() != len) else { return Ok(()) };
    let other = parts[rank].len();
    Err(Error::Group(format!("a part of rank {rank} has {other} bytes: expected {len}, as this rank's own has")))
}

/// The weight of all ranks together.
///
/// # Errors
/// If it is 0, on all ranks alike.
pub(super) fn weighed(whole: f32) -> Result<f32> {
    if whole > 0.0 {
        return Ok(whole);
    }
    Err(Error::Group("no rank has an item (DataParallel::weigh), and there is no mean of nothing".into()))
}

pub(super) fn exchange(
    group: &dyn Group,
    kind: Kind,
    mut values: Vec<f32>,
    weight: f32,
    asks: [bool; ASKED],
) -> Result<Averaged> {
    if let Kind::Mean(compression @ (Compression::F16 | Compression::BF16)) = kind {
        return compression.mean(group, &values, weight, asks);
    }
    let count = values.len();
    let share = if kind == Kind::Sum { f32::from(u8::from(weight > 0.0)) } else { weight };
    if share != 1.0 {
        values.iter_mut().for_each(|value| *value *= share);
    }
    values.extend(tail(weight, asks));
    let mut values = group.sum(values)?;
    let tail: [f32; TAIL] = std::array::from_fn(|at| values[count + at]);
    values.truncate(count);
    let whole = match kind {
        Kind::Mean(_) => weighed(tail[0])?,
        Kind::Sum => 1.0,
        Kind::Slope if weight > 0.0 => weight,
        Kind::Slope => f32::INFINITY,
    };
    if whole != 1.0 {
        values.iter_mut().for_each(|value| *value /= whole);
    }
    Ok(Averaged { values, asked: told(&tail) })
}

/// Whether all ranks say the same, line by line.
pub(super) fn agree(group: &dyn Group, what: &str, own: &str) -> Result<()> {
    let all = group.all_gather(own.as_bytes())?;
    // The same sentence on all ranks: the first that is not like rank 0.
    let Some(rank) = all.iter().position(|other| *other != all[0]) else { return Ok(()) };
    let [first, other] = [&all[0], &all[rank]].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let (mut first, mut other) = (first.lines(), other.lines());
    let (first, other) = loop {
        match (first.next(), other.next()) {
            (first, other) if first == other && first.is_some() => {}
            (first, other) => break (first.unwrap_or("nothing").to_string(), other.unwrap_or("nothing").to_string()),
        }
    };
    Err(Error::Group(format!("the ranks have other {what}: rank 0 has {first}, rank {rank} has {other}")))
}
