//! Groups of threads in one process.

use super::{Group, part_for_each, same_lengths};
use crate::backend::edge;
use crate::device::Device;
use crate::error::{Error, Result};
use std::fmt;
use std::iter::repeat;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A rank of a group whose ranks are threads of one process, each with a device of its own: several adapters, or several handles
/// of one. Clones are the same rank.
///
/// Values are added in the order of ranks, each rank a part of them.
#[derive(Clone)]
pub struct Threads(Arc<Inner>);

struct Inner {
    rank: usize,
    to: Vec<Sender<Parcel>>,
    /// What each rank sends, until it leaves. One exchange goes on at a time.
    from: Mutex<Vec<Option<Receiver<Parcel>>>>,
    /// Why the first rank ended that did not end well.
    cause: Arc<Mutex<Option<(usize, String)>>>,
}

/// What one rank tells another.
#[derive(Clone)]
enum Parcel {
    Bytes(Arc<Vec<u8>>),
    /// What is for the other alone.
    Part(Vec<u8>),
    /// All values of a rank.
    Values(Arc<Vec<f32>>),
    /// The sums of its part.
    Sums(Arc<Vec<f32>>),
    /// It will send nothing more.
    Left,
}

impl Threads {
    /// The ranks of a group, to be given to a thread each: [`run`](Threads::run) does so.
    pub fn new(size: usize) -> Vec<Threads> {
        let cause = Arc::new(Mutex::new(None));
        let (mut to, mut from): (Vec<Vec<_>>, Vec<Vec<_>>) = (Vec::new(), (0..size).map(|_| Vec::new()).collect());
        for _ in 0..size {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..size).map(|_| channel()).unzip();
            to.push(senders);
            from.iter_mut().zip(receivers).for_each(|(all, one)| all.push(one));
        }
        let mut ranks = Vec::with_capacity(size);
        for (to, from) in to.into_iter().zip(from) {
            let from = Mutex::new(from.into_iter().map(Some).collect());
            ranks.push(Threads(Arc::new(Inner { rank: ranks.len(), to, from, cause: cause.clone() })));
        }
        ranks
    }

    /// Runs `work` on a thread for each device, as the ranks of a group; what each gave, in the order of ranks. Where one fails,
    /// the others' exchanges fail too, and all end.
    ///
    /// # Errors
    /// That of the rank that failed first.
    ///
    /// # Panics
    /// If `work` panics on a rank.
    #[track_caller]
    pub fn run<R: Send>(devices: &[Device], work: impl Fn(Threads, &Device) -> Result<R> + Sync) -> Result<Vec<R>> {
        let ranks = Threads::new(devices.len());
        let all = edge::on_threads(devices.len(), |at| {
            let ended = catch_unwind(AssertUnwindSafe(|| work(ranks[at].clone(), &devices[at])));
            ranks[at].leave(match &ended {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(panic) => Some(format!("it panicked: {}", edge::message(&**panic))),
            });
            ended.unwrap_or_else(|panic| resume_unwind(panic))
        });
        let first = ranks.first().and_then(|rank| rank.cause().as_ref().map(|(rank, _)| *rank));
        let mut all: Vec<_> = all.into_iter().map(|ended| ended.unwrap_or_else(|panic| resume_unwind(panic))).collect();
        match first.map(|rank| all.swap_remove(rank)) {
            Some(Err(error)) => Err(error),
            _ => all.into_iter().collect(),
        }
    }

    fn cause(&self) -> MutexGuard<'_, Option<(usize, String)>> {
        self.0.cause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the others not to wait for this rank any more.
    fn leave(&self, why: Option<String>) {
        if let Some(why) = why {
            self.cause().get_or_insert((self.0.rank, why));
        }
        self.0.to.iter().for_each(|to| drop(to.send(Parcel::Left)));
    }

    /// Sends every rank its parcel; those of all, in the order of ranks.
    fn exchange(&self, own: impl IntoIterator<Item = Parcel>) -> Result<Vec<Parcel>> {
        let mut from = self.0.from.lock().unwrap_or_else(PoisonError::into_inner);
        // Who is gone is found by what does not come.
        self.0.to.iter().zip(own).for_each(|(to, own)| drop(to.send(own)));
        let mut all = Vec::with_capacity(from.len());
        for (rank, from) in from.iter_mut().enumerate() {
            match from.as_ref().and_then(|from| from.recv().ok()) {
                Some(Parcel::Left) | None => {
                    *from = None;
                    return Err(self.gone(rank));
                }
                Some(parcel) => all.push(parcel),
            }
        }
        Ok(all)
    }

    fn gone(&self, rank: usize) -> Error {
        let size = self.size();
        Error::Group(match &*self.cause() {
            Some((rank, why)) => format!("rank {rank} of {size} has ended: {why}"),
            None => format!("rank {rank} of {size} has ended, and rank {} has not", self.0.rank),
        })
    }

    /// The parcels of all ranks in the order of ranks, as `open` takes them.
    fn exchanged<T>(
        &self,
        own: impl IntoIterator<Item = Parcel>,
        open: impl Fn(Parcel) -> Option<T>,
    ) -> Result<Vec<T>> {
        let all = self.exchange(own)?;
        let unlike =
            || Error::Group("the ranks call different methods of their group: expected the same in one order".into());
        all.into_iter().map(|parcel| open(parcel).ok_or_else(unlike)).collect()
    }
}

impl Group for Threads {
    fn rank(&self) -> usize {
        self.0.rank
    }

    fn size(&self) -> usize {
        self.0.to.len()
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        let bytes = |parcel| if let Parcel::Bytes(bytes) = parcel { Some(bytes.to_vec()) } else { None };
        self.exchanged(repeat(Parcel::Bytes(Arc::new(own.to_vec()))), bytes)
    }

    fn all_to_all(&self, parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        part_for_each(parts.len(), self.size())?;
        let part = |parcel| if let Parcel::Part(bytes) = parcel { Some(bytes) } else { None };
        self.exchanged(parts.into_iter().map(Parcel::Part), part)
    }

    fn all_reduce(&self, values: &mut [f32]) -> Result<()> {
        values.copy_from_slice(&self.sum(values.to_vec())?);
        Ok(())
    }

    fn sum(&self, values: Vec<f32>) -> Result<Vec<f32>> {
        let floats = |parcel| if let Parcel::Values(values) = parcel { Some(values) } else { None };
        let values = Arc::new(values);
        let all = self.exchanged(repeat(Parcel::Values(values.clone())), floats)?;
        same_lengths(all.iter().map(|values| values.len()))?;
        // Each rank adds up a part, and tells it to the others.
        let part = |rank: usize| rank * values.len() / self.size()..(rank + 1) * values.len() / self.size();
        let mut sums = vec![0.0f32; part(self.0.rank).len()];
        for other in &all {
            sums.iter_mut().zip(&other[part(self.0.rank)]).for_each(|(sum, value)| *sum += value);
        }
        let floats = |parcel| if let Parcel::Sums(sums) = parcel { Some(sums) } else { None };
        let all = self.exchanged(repeat(Parcel::Sums(Arc::new(sums))), floats)?;
        let mut whole = Vec::with_capacity(values.len());
        all.iter().for_each(|sums| whole.extend_from_slice(sums));
        Ok(whole)
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threads(rank {} of {})", self.0.rank, self.size())
    }
}
