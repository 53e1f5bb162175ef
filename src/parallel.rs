//! Training on several devices: the same model on each, which sees a part of every batch.
//!
//! A [`Group`] is a number of ranks that exchange values: [`Alone`], [`Threads`] of one process (several adapters, or several
//! handles of one), and with the feature `mpi` the processes of an MPI job, on one machine or on many. Anyone may write
//! another: one method says how values are gathered, and all else follows from it.
//!
//! [`Trainer::parallel`](crate::train::Trainer::parallel) is all that a run needs; a loop by hand has a [`DataParallel`]. Either
//! way the batch size is that of the whole group, so that a program learns the same on any number of ranks, up to rounding.
//!
//! ```
//! use wgrad::data::{DataLoader, LoaderOptions};
//! use wgrad::nn::{Ctx, Init, Layer, Linear};
//! use wgrad::optim::{Optimizer, Sgd, SgdOptions};
//! use wgrad::parallel::{DataParallel, Threads};
//! use wgrad::{Device, Tensor};
//!
//! let weights = Threads::run(&[Device::new_cpu(), Device::new_cpu()], |group, device| {
//!     let set: Vec<([f32; 1], [f32; 1])> = (0..50).map(|i| i as f32 / 50.0).map(|x| ([x], [2.0 * x])).collect();
//!     let loader = DataLoader::new(set, LoaderOptions { batch_size: 8, shuffle: Some(1), ..LoaderOptions::default() })?;
//!     let model = Linear::new(1, 1, &mut Init::new(0, device));
//!     let mut optimizer = Sgd::new(&model, SgdOptions { lr: 0.5, ..SgdOptions::default() })?;
//!     let parallel = DataParallel::new(&model, group)?;
//!     for epoch in 0..20 {
//!         for batch in parallel.epoch(&loader, epoch) {
//!             let [x, y] = batch?.to(device);
//!             let loss = (model.forward(&x, &Ctx::train()) - y).square().mean();
//!             optimizer.step(&parallel.backward(&loss)?);
//!         }
//!     }
//!     model.weight.tensor().item()
//! })?;
//! assert!(weights[0] == weights[1] && (weights[0] - 2.0).abs() < 1e-3, "{weights:?}");
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! | Family | |
//! |---|---|
//! | **Groups** | [`Group`], [`Alone`], [`Threads`] |
//! | **Training** | [`DataParallel`], [`Compression`], [`Stepper::sharded`](crate::optim::Stepper::sharded), [`DiLoCo`], [`DiLoCoOptions`] |
//! | **Which device** | [`devices`], [`device`] |
//!
//! [Parallel training](crate::guide::parallel) is the guide's page about it.

mod compression;
mod data_parallel;
mod diloco;
mod line;
#[cfg(feature = "mpi")]
mod mpi;
mod sharded;
mod threads;

pub use compression::Compression;
pub use data_parallel::DataParallel;
pub use diloco::{DiLoCo, DiLoCoOptions};
#[cfg(feature = "mpi")]
pub use mpi::{Mpi, MpiDevice, MpiOptions};
pub use threads::Threads;

use crate::backend::WgpuOptions;
use crate::backend::wgpu::{Adapter, AdapterChoice};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernel::Class;
use std::sync::Arc;

/// Ranks that exchange values. All of them call the same methods in the same order, and each call ends when it has met those of
/// the others; where one is gone, it is an error.
///
/// [`all_gather`](Group::all_gather) is all that a group of another kind has to say.
#[doc(alias("torch.distributed", "ProcessGroup", "MPI_Comm"))]
pub trait Group: Send + Sync {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// The number of ranks.
    #[doc(alias = "world_size")]
    fn size(&self) -> usize;

    /// The bytes of all ranks, in the order of ranks, on each of them. They may be of different lengths.
    ///
    /// # Errors
    /// [`Error::Group`] if another rank is gone or did not come; so of all others.
    #[doc(alias = "all_gather_object")]
    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// A part for each rank from each rank: part `r` of `parts` goes to rank `r`, and what all ranks have for this one comes, in the
    /// order of ranks. Parts may be of different lengths. By default every rank sees all of them.
    ///
    /// # Errors
    /// [`Error::Group`] as well if there is not a part for each rank.
    fn all_to_all(&self, parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        part_for_each(parts.len(), self.size())?;
        let lens: Vec<u64> = parts.iter().map(|part| part.len() as u64).collect();
        let all = self.all_gather(&[bytemuck::cast_slice(&lens), &parts.concat()].concat())?;
        let own = |bytes: &Vec<u8>| {
            let (lens, rest) = bytes.split_at_checked(8 * self.size())?;
            let lens: Vec<u64> = bytemuck::pod_collect_to_vec(lens);
            let before: u64 = lens[..self.rank()].iter().sum();
            rest.get(before as usize..(before + lens[self.rank()]) as usize).map(<[u8]>::to_vec)
        };
        let unlike = || Error::Group("all_to_all: a rank has sent something else: expected a part for each".into());
        all.iter().map(|bytes| own(bytes).ok_or_else(unlike)).collect()
    }

    /// The bytes of all ranks on rank `root`, in the order of ranks; nothing on the others.
    ///
    /// # Errors
    /// As [`all_gather`](Group::all_gather).
    fn gather(&self, root: usize, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let came = self.all_to_all(parts_for(root, own, self.size()))?;
        Ok(if self.rank() == root { came } else { Vec::new() })
    }

    /// Puts the sums over all ranks in the place of the values, the same bits on each rank. By default the values are added in
    /// the order of ranks.
    ///
    /// # Errors
    /// [`Error::Group`] as well if the ranks have different numbers of values.
    fn all_reduce(&self, values: &mut [f32]) -> Result<()> {
        let all = self.all_gather(bytemuck::cast_slice(values))?;
        same_lengths(all.iter().map(|bytes| bytes.len() / 4))?;
        values.fill(0.0);
        for bytes in &all {
            values
                .iter_mut()
                .zip(bytemuck::pod_collect_to_vec::<u8, f32>(bytes))
                .for_each(|(sum, value)| *sum += value);
        }
        Ok(())
    }

    /// The same of values that are handed over, which a group may spare a copy.
    ///
    /// # Errors
    /// As [`all_reduce`](Group::all_reduce).
    fn sum(&self, mut values: Vec<f32>) -> Result<Vec<f32>> {
        self.all_reduce(&mut values)?;
        Ok(values)
    }

    /// The bytes of rank `root`, on each rank.
    ///
    /// # Errors
    /// As [`all_gather`](Group::all_gather).
    fn broadcast(&self, root: usize, own: Vec<u8>) -> Result<Vec<u8>> {
        let own = if self.rank() == root { own } else { Vec::new() };
        Ok(self.all_gather(&own)?.swap_remove(root))
    }

    /// Waits until every rank is here.
    ///
    /// # Errors
    /// As [`all_gather`](Group::all_gather).
    fn barrier(&self) -> Result<()> {
        self.all_gather(&[]).map(drop)
    }
}

/// All for one rank.
fn parts_for(root: usize, own: Vec<u8>, size: usize) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new(); size];
    parts[root] = own;
    parts
}

/// Whether there is a part for each rank.
fn part_for_each(parts: usize, size: usize) -> Result<()> {
    if parts == size {
        return Ok(());
    }
    Err(Error::Group(format!("all_to_all: expected a part for each of {size} ranks, got {parts}")))
}

/// Whether all ranks give as many values to a sum as rank 0 does.
fn same_lengths(lens: impl Iterator<Item = usize>) -> Result<()> {
    let lens: Vec<usize> = lens.collect();
    let Some(rank) = lens.iter().position(|len| *len != lens[0]) else { return Ok(()) };
    let [own, first] = [lens[rank], lens[0]];
    Err(Error::Group(format!(
        "all_reduce: rank {rank} has {own} values where rank 0 has {first}: expected the same on all ranks"
    )))
}

macro_rules! through {
    ($($handle:ident),*) => {$(
        impl<G: Group + ?Sized> Group for $handle<G> {
            fn rank(&self) -> usize {
                (**self).rank()
            }

            fn size(&self) -> usize {
                (**self).size()
            }

            fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
                (**self).all_gather(own)
            }

            fn all_to_all(&self, parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
                (**self).all_to_all(parts)
            }

            fn gather(&self, root: usize, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
                (**self).gather(root, own)
            }

            fn all_reduce(&self, values: &mut [f32]) -> Result<()> {
                (**self).all_reduce(values)
            }

            fn sum(&self, values: Vec<f32>) -> Result<Vec<f32>> {
                (**self).sum(values)
            }

            fn broadcast(&self, root: usize, own: Vec<u8>) -> Result<Vec<u8>> {
                (**self).broadcast(root, own)
            }

            fn barrier(&self) -> Result<()> {
                (**self).barrier()
            }
        }
    )*};
}

through!(Arc, Box);

/// A group of one: a program that is written for several runs alone too, and at no cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Group for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(vec![own.to_vec()])
    }
}

/// A device for each GPU of this machine, best first; the CPU backend where there is none. Where the options name an adapter, it is
/// that one alone.
///
/// # Errors
/// As [`Device::wgpu`].
pub fn devices(options: &WgpuOptions) -> Result<Vec<Device>> {
    let places = gpus(options)?.len().max(1);
    (0..places).map(|place| device(place, options)).collect()
}

/// The device of a rank by its place among the ranks of its machine: they take the machine's GPUs in turn.
///
/// # Errors
/// As [`Device::wgpu`].
#[doc(alias = "LOCAL_RANK")]
pub fn device(place: usize, options: &WgpuOptions) -> Result<Device> {
    let gpus = gpus(options)?;
    match gpus.get(place % gpus.len().max(1)) {
        Some(gpu) => Device::wgpu(&WgpuOptions { adapter: AdapterChoice::Index(gpu.index), ..options.clone() }),
        None if options.adapter == AdapterChoice::Best => Ok(Device::best_of(options)),
        None => Device::wgpu(options),
    }
}

/// The GPUs that ranks may choose among, each once.
fn gpus(options: &WgpuOptions) -> Result<Vec<Adapter>> {
    if options.adapter != AdapterChoice::Best {
        return Ok(Vec::new());
    }
    let mut all = Device::adapters(options)?;
    all.retain(|adapter| adapter.info.class == Class::Gpu);
    // Where two APIs reach the same GPUs, those of the first.
    let api = all.first().map(|first| first.info.api.clone());
    all.retain(|adapter| Some(&adapter.info.api) == api.as_ref());
    Ok(all)
}
