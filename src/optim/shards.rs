//! Moments dealt out to several ranks: each keeps those of some parameters, moves these, and tells the others.

use super::slab::Slab;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::{StateDict, StateTensor, Values};
use crate::tensor::Tensor;
use std::cmp::Reverse;
use std::sync::{Arc, Mutex, PoisonError};

/// The ranks, as an optimizer sees them.
pub(crate) trait Peers: Send + Sync {
    fn rank(&self) -> usize;

    fn size(&self) -> usize;

    /// The bytes of all ranks, on each of them.
    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// The bytes of all ranks on rank 0; nothing on the others.
    fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>>;
}

/// The rank of each parameter, by the bytes that are kept for it: the largest first, each to the rank that has least so far.
pub(super) fn owners(bytes: &[usize], ranks: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..bytes.len()).collect();
    order.sort_by_key(|at| Reverse(bytes[*at]));
    let (mut all, mut owners) = (vec![0; ranks], vec![0; bytes.len()]);
    for at in order {
        let least = (0..ranks).min_by_key(|rank| all[*rank]).unwrap_or(0);
        owners[at] = least;
        all[least] += bytes[at].max(1);
    }
    owners
}

/// The slabs of each rank.
fn by_owner<T>(slabs: impl Iterator<Item = T>, owner: impl Fn(&T) -> usize, ranks: usize) -> Vec<Vec<T>> {
    let mut all: Vec<Vec<T>> = (0..ranks).map(|_| Vec::new()).collect();
    slabs.for_each(|slab| all[owner(&slab)].push(slab));
    all
}

/// Has every rank hold the values that their owners have made: slab by slab, each rank gives one and takes those of all others.
pub(super) fn share<'a>(peers: &Arc<dyn Peers>, slabs: impl Iterator<Item = &'a Slab>) -> Result<()> {
    let all = by_owner(slabs, |slab| slab.owner, peers.size());
    let rounds = all.iter().map(Vec::len).max().unwrap_or(0);
    (0..rounds).try_for_each(|round| {
        let slabs: Vec<Option<&Slab>> = all.iter().map(|own| own.get(round).copied()).collect();
        share_round(peers, &slabs)
    })
}

fn share_round(peers: &Arc<dyn Peers>, slabs: &[Option<&Slab>]) -> Result<()> {
    let Some(any) = slabs.iter().flatten().next() else { return Ok(()) };
    let (device, own) = (any.values.device(), slabs[peers.rank()]);
    // A rank that has nothing to give takes part too.
    let from = own.map_or_else(|| any.values.narrow(0, 0, 1), |slab| slab.values.clone()).cast(DType::F32);
    let n = own.map_or(0, |slab| slab.values.numel());
    let parcels: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (came, asked) = (parcels.clone(), peers.clone());
    device.host(&[&from], &[], move |call| {
        let all = asked.all_gather(bytemuck::cast_slice(&call.read::<f32>(0)[..n]))?;
        *came.lock().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    })?;
    for (owner, slab) in slabs.iter().enumerate().filter(|(owner, _)| *owner != peers.rank()) {
        let Some(Slab { values, .. }) = slab else { continue };
        let (parcels, n) = (parcels.clone(), values.numel());
        let to = if values.dtype() == DType::F32 { values.clone() } else { Tensor::empty([n], DType::F32, device) };
        device.take(&to, move || {
            let mut parcels = parcels.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = parcels.get_mut(owner).map(std::mem::take).unwrap_or_default();
            if bytes.len() != 4 * n {
                let have = bytes.len() / 4;
                return Err(Error::Group(format!("rank {owner} has given {have} values of its part: expected {n}")));
            }
            Ok(bytemuck::pod_collect_to_vec(&bytes))
        })?;
        if values.dtype() != DType::F32 {
            values.assign(&to.cast(values.dtype()));
        }
    }
    Ok(())
}

/// Adds the moments that the other ranks keep to a state, on rank 0.
pub(super) fn gather<'a>(
    peers: &dyn Peers,
    slabs: impl Iterator<Item = (&'a Slab, Vec<&'static str>)>,
    state: &mut StateDict,
) -> Result<()> {
    let all = by_owner(slabs, |(slab, _)| slab.owner, peers.size());
    let mut own = Vec::new();
    if peers.rank() > 0 {
        for moment in all[peers.rank()].iter().flat_map(|(slab, _)| &slab.moments) {
            own.extend_from_slice(bytemuck::cast_slice(&moment.cast(DType::F32).to_vec::<f32>()?));
        }
    }
    let parcels = peers.gather(own)?;
    for (owner, slabs) in all.iter().enumerate().skip(1).filter(|_| peers.rank() == 0) {
        let values: Vec<f32> = parcels.get(owner).map_or_else(Vec::new, |bytes| bytemuck::pod_collect_to_vec(bytes));
        let mut start = 0;
        for (slab, moments) in slabs {
            for moment in moments {
                for (name, shape, offset) in slab.entries() {
                    let first = start + offset;
                    let Some(part) = values.get(first..first + shape.numel()) else {
                        let have = values.len();
                        return Err(Error::Group(format!(
                            "rank {owner} has given {have} moments, and {name} lies behind"
                        )));
                    };
                    let value = StateTensor { shape: shape.to_vec(), values: Values::F32(part.to_vec()) };
                    state.insert(format!("{moment}.{name}"), value);
                }
                start += slab.values.numel();
            }
        }
    }
    Ok(())
}
