//! The processes of an MPI job as a group.

mod engine;

use super::{Alone, Group, part_for_each, parts_for};
use crate::backend::{WgpuOptions, edge};
use crate::device::Device;
use crate::error::{Error, Result};
use engine::{Answer, Call, Engine, Job};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Options of [`Mpi::run`].
#[derive(Debug, Clone)]
pub struct MpiOptions {
    /// Where ranks compute: by default each takes the GPU of its place on its machine, in turn, and the CPU backend where there is
    /// none.
    pub device: MpiDevice,
    /// How long others wait for a rank that does nothing; 7 seconds. A rank that computes, compiles shaders, waits for its device or
    /// writes a checkpoint does something; one that waits for data or sleeps does not.
    pub timeout: Duration,
    /// The same before the first exchange, where ranks fetch and read their data; 5 minutes.
    pub start: Duration,
}

/// Where the ranks of an MPI job compute.
#[derive(Debug, Clone)]
pub enum MpiDevice {
    /// On [the GPU of their place](super::device) among those that the options allow.
    Gpu(WgpuOptions),
    /// On the CPU backend.
    Cpu,
}

impl Default for MpiOptions {
    fn default() -> MpiOptions {
        let device = MpiDevice::Gpu(WgpuOptions::default());
        MpiOptions { device, timeout: Duration::from_secs(7), start: Duration::from_secs(300) }
    }
}

/// A rank of a group whose ranks are the processes of an MPI job, on one machine or on many: `mpirun -n 4 ./trainer`, `srun
/// ./trainer`. Clones are the same rank. Cargo feature `mpi`.
///
/// Values are added in the order of ranks, each rank a part of them, so that a sum has the same bits whatever the network does.
///
/// All ranks end together. A panic or an error of one ends the job at once, and so does a rank that is killed, that stops, that does
/// nothing while others wait for it, or that is cut off: those that notice say which one and why, and the launcher gets an exit code
/// that is not 0. What goes on from there is the last checkpoint.
#[derive(Clone)]
pub struct Mpi(Arc<Inner>);

struct Inner {
    rank: usize,
    size: usize,
    /// The name of each rank's machine.
    machines: Vec<String>,
    jobs: Mutex<Sender<Job>>,
}

/// Exit codes: of an error, a panic (as Rust's own), and a rank that is missed.
const FAILED: i32 = 1;
const PANICKED: i32 = 101;

impl Mpi {
    /// Runs `work` as this process's rank; a process that no launcher started is alone. It is called once, and first of all, by
    /// every process of the job. Where it fails here, its error is told on standard error, and the job ends.
    ///
    /// ```no_run
    /// use wgrad::parallel::{Group, Mpi, MpiOptions};
    /// Mpi::run(&MpiOptions::default(), |group, device| {
    ///     println!("rank {} of {} on {device}", group.rank(), group.size());
    ///     // .. a Trainer with `.parallel(group)` ..
    ///     Ok(())
    /// })?;
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Group`] if the launcher started several processes and MPI knows of one, or MPI was started before; that of `work`,
    /// where this process is alone.
    #[doc(alias("MPI_Init", "init_process_group"))]
    pub fn run<R>(options: &MpiOptions, work: impl FnOnce(Mpi, &Device) -> Result<R>) -> Result<R> {
        let group = Mpi::from_env(options)?;
        let run = || catch_unwind(AssertUnwindSafe(|| work(group.clone(), &group.device(options)?)));
        let (rank, size) = (group.rank(), group.size());
        // Some launchers take `exit(0)` for success.
        let ended = edge::unless_exits(run, move || {
            if size > 1 {
                engine::say(
                    rank,
                    size,
                    "its process exits within `Mpi::run`: return an error in place of `std::process::exit`",
                );
                engine::abort(FAILED);
            }
        });
        // MPI ends in good order by waiting for all ranks, which is for ever where one of them is on its way out.
        match ended {
            Ok(Err(error)) if size > 1 => group.fail(FAILED, &error.to_string()),
            Err(panic) if size > 1 => group.fail(PANICKED, &format!("panicked: {}", edge::message(&*panic))),
            ended => {
                group.ask(Call::End)?;
                ended.unwrap_or_else(|panic| resume_unwind(panic))
            }
        }
    }

    /// Starts MPI, and looks whether it knows of all processes that a launcher has started.
    fn from_env(options: &MpiOptions) -> Result<Mpi> {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.trim().parse::<usize>().ok());
        let launched = ["SLURM_STEP_NUM_TASKS", "WORLD_SIZE"].into_iter().find_map(|name| Some((name, number(name)?)));
        let (jobs, line) = channel();
        let (started, start) = channel();
        let (timeout, first) = (options.timeout, options.start);
        edge::beside(move || {
            let engine = Engine::start(timeout, first);
            let told = engine.as_ref().map(|engine| (engine.rank(), engine.size()));
            let _ = started.send(told);
            engine.into_iter().for_each(|engine| engine.serve(&line));
        });
        let Ok(Some((rank, size))) = start.recv() else {
            return Err(Error::Group("MPI does not start, or was started before: call `Mpi::run` once".into()));
        };
        if let (1, Some((name, count @ 2..))) = (size, launched) {
            return Err(Error::Group(format!(
                "{name} says that {count} processes were started, and MPI knows of one: start them by `mpirun -n {count}`, or by \
                 `srun --mpi=pmix` where Slurm was built for it"
            )));
        }
        let group = Mpi(Arc::new(Inner { rank, size, machines: Vec::new(), jobs: Mutex::new(jobs.clone()) }));
        let machines = group.all_gather(engine::machine().as_bytes())?;
        let machines = machines.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        Ok(Mpi(Arc::new(Inner { rank, size, machines, jobs: Mutex::new(jobs) })))
    }

    /// The place of this rank among those of its machine, from 0.
    #[doc(alias = "LOCAL_RANK")]
    pub fn place(&self) -> usize {
        let Inner { rank, machines, .. } = &*self.0;
        machines[..*rank].iter().filter(|name| **name == machines[*rank]).count()
    }

    /// Where this rank computes.
    fn device(&self, options: &MpiOptions) -> Result<Device> {
        let device = match &options.device {
            MpiDevice::Cpu => Device::cpu(),
            MpiDevice::Gpu(options) => super::device(self.place(), options)?,
        };
        log::info!("rank {} of {}, {} on {}: {device}", self.0.rank, self.0.size, self.place(), engine::machine());
        Ok(device)
    }

    /// Says why, and ends the job.
    fn fail(&self, code: i32, why: &str) -> ! {
        engine::say(self.0.rank, self.0.size, why);
        engine::abort(code)
    }

    /// Gives each rank its part; whether that is a part of training, for which no rank is waited for long.
    fn deal(&self, parts: Vec<Vec<u8>>, trains: bool) -> Result<Vec<Vec<u8>>> {
        match self.ask(Call::Deal { parts, trains })? {
            Answer::All(all) => Ok(all),
            _ => unanswered(),
        }
    }

    fn ask(&self, call: Call) -> Result<Answer> {
        let (reply, answer) = channel();
        let sent = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner).send(Job { call, reply });
        let ended = || Error::Group("the MPI job has ended: `Mpi::run` is over".into());
        sent.ok().and_then(|()| answer.recv().ok()).ok_or_else(ended)
    }
}

impl Group for Mpi {
    fn rank(&self) -> usize {
        self.0.rank
    }

    fn size(&self) -> usize {
        self.0.size
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        if self.0.size == 1 {
            return Alone.all_gather(own);
        }
        match self.ask(Call::Gather(own.to_vec()))? {
            Answer::All(all) => Ok(all),
            _ => unanswered(),
        }
    }

    fn all_to_all(&self, parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        part_for_each(parts.len(), self.size())?;
        if self.0.size == 1 {
            return Ok(parts);
        }
        self.deal(parts, true)
    }

    fn gather(&self, root: usize, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        if self.0.size == 1 {
            return Ok(vec![own]);
        }
        let came = self.deal(parts_for(root, own, self.0.size), false)?;
        Ok(if self.0.rank == root { came } else { Vec::new() })
    }

    fn all_reduce(&self, values: &mut [f32]) -> Result<()> {
        if self.0.size > 1 {
            values.copy_from_slice(&self.sum(values.to_vec())?);
        }
        Ok(())
    }

    fn sum(&self, values: Vec<f32>) -> Result<Vec<f32>> {
        if self.0.size == 1 {
            return Ok(values);
        }
        match self.ask(Call::Reduce(values))? {
            Answer::Sums(sums) => Ok(sums),
            _ => unanswered(),
        }
    }

    fn broadcast(&self, root: usize, own: Vec<u8>) -> Result<Vec<u8>> {
        if self.0.size == 1 {
            return Ok(own);
        }
        match self.ask(Call::Broadcast(root, own))? {
            Answer::Bytes(bytes) => Ok(bytes),
            _ => unanswered(),
        }
    }
}

fn unanswered<T>() -> Result<T> {
    Err(Error::Group("MPI gave another answer than was asked for".into()))
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mpi(rank {} of {})", self.0.rank, self.0.size)
    }
}
