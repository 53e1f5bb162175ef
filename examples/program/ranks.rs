//! Running an example on several ranks.

use crate::start::{DeviceChoice, note};
use std::sync::Arc;
use wgrad::backend::WgpuOptions;
use wgrad::parallel::{self, Alone, Group, Threads};
use wgrad::{Device, Error, Result};

/// How many train together.
#[derive(clap::Args)]
pub struct Ranks {
    /// Trains on so many ranks, in threads: each takes a GPU in turn, or all the CPU. `mpi` stands for the processes that mpirun or
    /// srun has started (feature mpi).
    #[arg(long, value_name = "RANKS|mpi")]
    parallel: Option<String>,
}

impl Ranks {
    /// Runs the example as each rank; alone where nothing was asked for.
    pub fn run(&self, choice: DeviceChoice, work: impl Fn(Arc<dyn Group>, &Device) -> Result<()> + Sync) -> Result<()> {
        let told = |group: &dyn Group, device: &Device| match group.size() {
            1 => note!("device: {device}: {}", device.why()),
            size => note!("rank {} of {size}: device: {device}", group.rank()),
        };
        match self.parallel.as_deref() {
            None => {
                let device = choice.open()?;
                told(&Alone, &device);
                work(Arc::new(Alone), &device)
            }
            Some("mpi") => self.by_mpi(choice, |group, device| {
                told(&*group, device);
                work(group, device)
            }),
            Some(ranks) => {
                let ranks = ranks.parse().ok().filter(|ranks| (1..=64).contains(ranks));
                let ranks: usize = ranks.ok_or_else(|| {
                    Error::Option("--parallel: expected a number of ranks from 1 to 64, or mpi".into())
                })?;
                let all = match choice {
                    DeviceChoice::Auto => parallel::devices(&WgpuOptions::from_env())?,
                    _ => vec![choice.open()?],
                };
                let devices: Vec<Device> = (0..ranks).map(|rank| all[rank % all.len()].clone()).collect();
                Threads::run(&devices, |group, device| {
                    told(&group, device);
                    work(Arc::new(group), device)
                })
                .map(drop)
            }
        }
    }

    #[cfg(feature = "mpi")]
    fn by_mpi(&self, choice: DeviceChoice, work: impl FnOnce(Arc<dyn Group>, &Device) -> Result<()>) -> Result<()> {
        use wgrad::parallel::{Mpi, MpiDevice, MpiOptions};
        let device = match choice {
            DeviceChoice::Cpu => MpiDevice::Cpu,
            _ => MpiDevice::Gpu(WgpuOptions::from_env()),
        };
        Mpi::run(&MpiOptions { device, ..MpiOptions::default() }, |group, device| work(Arc::new(group), device))
    }

    #[cfg(not(feature = "mpi"))]
    fn by_mpi(&self, _: DeviceChoice, _: impl FnOnce(Arc<dyn Group>, &Device) -> Result<()>) -> Result<()> {
        Err(Error::Option(
            "--parallel mpi: this program was built without it: build it by `cargo build --features mpi`".into(),
        ))
    }
}
